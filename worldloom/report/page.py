"""HTML from templates: escaped, with pictures inside, no script, nothing loaded from anywhere."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from worldloom.report.content import TruthRow
from worldloom.report.figure import DPI
from worldloom.report.pictures import data_uri, width_of

if TYPE_CHECKING:
    import jinja2

TEMPLATES = Path(__file__).parent / "templates"
CSS_PIXELS = 103
"""Pixels of the page per inch of a figure: a figure of 10.4 inches fills it, and type has one size in all."""


@dataclass(frozen=True)
class Drawn:
    """A picture on a page with the words around it, or the reason why there is none."""

    title: str = ""
    says: str = ""
    uri: str = ""
    alt: str = ""
    reason: str = ""
    width: int = 0

    @classmethod
    def of(cls, png: bytes, title: str = "", says: str = "", alt: str = "") -> Drawn:
        """A picture from its bytes."""
        return cls(title, says, data_uri(png), alt or title, width=round(width_of(png) * CSS_PIXELS / DPI))


@dataclass(frozen=True)
class Section:
    """A part of a page: `kind` says which macro draws it, `pictures` what is in it otherwise."""

    anchor: str
    title: str
    why: str = ""
    kind: str = "pictures"
    pictures: list[Drawn] = field(default_factory=list)
    columns: str = ""
    wide: bool = False


def render(template: str, **values: Any) -> str:
    """The page of `template`, every value escaped.

    Args:
        template: file name in `worldloom/report/templates`.
        values: what the template names.
    """
    return _environment().get_template(template).render(**values)


@lru_cache(maxsize=1)
def _environment() -> jinja2.Environment:
    """Kept, because compiling a clip's template takes as long as drawing the clip."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["figure"] = as_figure
    environment.filters["percent"] = as_percent
    return environment


def write_page(path: Path, template: str, **values: Any) -> Path:
    """Write the page of `template` as one file; its folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(render(template, **values), encoding="utf-8")
    return path


def as_figure(value: float | None) -> str:
    """A figure with three significant digits, `–` where there is none."""
    if value is None or value != value:
        return "–"
    if float(value).is_integer() and abs(value) < 1e6:
        return str(int(value))
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"


def as_percent(value: float) -> str:
    """A length in percent as SVG takes it, three decimals at most."""
    return f"{value:.3f}".rstrip("0").rstrip(".") + "%"


def in_groups(rows: list[TruthRow]) -> list[tuple[str, list[TruthRow]]]:
    """Rows of the table of label truth under their headings, in the order in which these first appear."""
    groups: dict[str, list[TruthRow]] = {}
    for row in rows:
        groups.setdefault(row.group, []).append(row)
    return list(groups.items())

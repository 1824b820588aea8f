"""Licences that sources state: what each is called elsewhere, and whether clips made under it may be passed on.

A clip is cut, scaled, encoded anew and labelled: adapted material, which a licence without derivatives keeps at home.
This is a table for the eye of a person, no legal advice.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Licence:
    """One licence.

    Attributes:
        name: identifier of SPDX; of a Creative Commons licence without its version, the name of the family.
        url: of its text; empty where the version is not known.
        hub: how Hugging Face calls it; empty where it does not.
        adapted: may clips, which are adapted material, be passed on: `yes`, `share alike`, or `no`.
        commercial: may they be used commercially.
        credit: must their makers be named.
    """

    name: str
    url: str = ""
    hub: str = ""
    adapted: Literal["yes", "share alike", "no"] = "yes"
    commercial: bool = True
    credit: bool = True


_SPDX = "https://spdx.org/licenses/"
_PLAIN = (
    Licence("CC0-1.0", "https://creativecommons.org/publicdomain/zero/1.0/", "cc0-1.0", credit=False),
    Licence("MIT", f"{_SPDX}MIT.html", "mit"),
    Licence("MIT-0", f"{_SPDX}MIT-0.html", credit=False),
    Licence("Apache-2.0", "https://www.apache.org/licenses/LICENSE-2.0", "apache-2.0"),
    Licence("BSD-2-Clause", f"{_SPDX}BSD-2-Clause.html", "bsd-2-clause"),
    Licence("BSD-3-Clause", f"{_SPDX}BSD-3-Clause.html", "bsd-3-clause"),
    Licence("Unlicense", f"{_SPDX}Unlicense.html", "unlicense", credit=False),
    Licence("PDDL-1.0", "https://opendatacommons.org/licenses/pddl/1-0/", "pddl", credit=False),
    Licence("ODC-By-1.0", "https://opendatacommons.org/licenses/by/1-0/", "odc-by"),
    Licence("ODbL-1.0", "https://opendatacommons.org/licenses/odbl/1-0/", "odbl", adapted="share alike"),
    Licence("CDLA-Permissive-1.0", f"{_SPDX}CDLA-Permissive-1.0.html", "cdla-permissive-1.0"),
    Licence("CDLA-Permissive-2.0", f"{_SPDX}CDLA-Permissive-2.0.html", "cdla-permissive-2.0", credit=False),
    Licence("CDLA-Sharing-1.0", f"{_SPDX}CDLA-Sharing-1.0.html", "cdla-sharing-1.0", adapted="share alike"),
    Licence("GPL-3.0-only", f"{_SPDX}GPL-3.0-only.html", "gpl-3.0", adapted="share alike"),
    Licence("GPL-3.0-or-later", f"{_SPDX}GPL-3.0-or-later.html", "gpl-3.0", adapted="share alike"),
)
_BY_NAME = {one.name.lower(): one for one in _PLAIN}
_CREATIVE_COMMONS = re.compile(r"cc-by(-nc)?(?:-(sa|nd))?(?:-(1\.0|2\.0|2\.5|3\.0|4\.0))?\Z")
_ON_HUB = {
    *(f"cc-by-{version}" for version in ("2.0", "2.5", "3.0", "4.0")),
    *(f"cc-by-sa-{version}" for version in ("3.0", "4.0")),
    *(f"cc-by-nc-{version}" for version in ("2.0", "3.0", "4.0")),
    *(f"cc-by-nc-sa-{version}" for version in ("2.0", "3.0", "4.0")),
    *("cc-by-nd-4.0", "cc-by-nc-nd-3.0", "cc-by-nc-nd-4.0"),
}
"""Of https://huggingface.co/docs/hub/repositories-licenses."""

_NO_WORDS = ("", "unknown", "none", "n/a", "na", "?", "-", "tbd")
_UNSTATED = (*_NO_WORDS, "not stated", "not known", "unspecified", "noassertion")
"""Words that state no licence; the last one is SPDX's."""


def known_licence(stated: str | None) -> Licence | None:
    """The licence that a source states; None where it states none, or one of its own.

    Args:
        stated: as the job or the source has it: `CC-BY-4.0`, `cc by-nc-nd`, or the address of a Creative Commons deed.
    """
    text = re.sub(r"[\s_]+", "-", (stated or "").strip().lower())
    deed = re.match(r"https?://(?:www\.)?creativecommons\.org/licenses/([a-z-]+)/(\d\.\d)/?", text)
    if deed:
        text = f"cc-{deed[1]}-{deed[2]}"
    elif re.match(r"https?://(?:www\.)?creativecommons\.org/publicdomain/zero/", text) or text == "cc0":
        text = "cc0-1.0"
    found = _CREATIVE_COMMONS.match(text)
    if found is None:
        return _BY_NAME.get(text)
    non_commercial, kind, version = found[1], found[2], found[3]
    family = "-".join(["by", *(["nc"] if non_commercial else []), *([kind] if kind else [])])
    name = f"CC-{family.upper()}" + (f"-{version}" if version else "")
    return Licence(
        name,
        f"https://creativecommons.org/licenses/{family}/{version}/" if version else "",
        name.lower() if name.lower() in _ON_HUB else "",
        "no" if kind == "nd" else "share alike" if kind == "sa" else "yes",
        commercial=not non_commercial,
    )


def is_stated(stated: str | None) -> bool:
    """Whether a source states a licence at all."""
    return " ".join((stated or "").split()).casefold().strip(".") not in _UNSTATED


def terms(stated: str | None) -> tuple[str, str, str]:
    """What one wants to know before passing clips on: adapted copies, commercial use, naming the makers.

    Returns:
        A word or two each; `not known` for a licence that is not in the table.
    """
    found = known_licence(stated)
    if found is None:
        word = "not known" if is_stated(stated) else "nobody said so"
        return word, word, word
    adapted = {"yes": "yes", "share alike": "under the same licence", "no": "NO"}[found.adapted]
    return adapted, "yes" if found.commercial else "no", "yes" if found.credit else "no"

"""The one place that prints: lines, tables, progress and errors.

Long work shows a bar with an estimate where stdout is a terminal; elsewhere a line when a stage ends. Errors go to
stderr. rich is imported on first use, so that `worldloom --help` stays quick.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID

_PIPED_WIDTH = 160
"""Columns where stdout is no terminal: wide enough that no table cell is folded in a log (ours)."""


@dataclass
class Settings:
    """What the options before the verb say.

    Attributes:
        debug: show the traceback of an error.
    """

    debug: bool = False


settings = Settings()


_live: Console | None = None
"""The console that shows bars, while it does: lines printed through it go above them."""


def out() -> Console:
    """rich's console on stdout, made anew so that a redirected stdout is honoured."""
    from rich.console import Console

    if _live is not None:
        return _live
    return Console(
        file=sys.stdout, width=None if sys.stdout.isatty() else _PIPED_WIDTH, highlight=False, soft_wrap=True
    )


def say(text: str = "") -> None:
    """One plain line; square brackets mean themselves."""
    out().print(text, markup=False)


def warn(text: str) -> None:
    """One line to stderr that a person should see even where stdout is piped away."""
    _to_stderr(f"warning: {text}", "yellow")


def error(text: str) -> None:
    """What is wrong, where, and what to do, to stderr."""
    _to_stderr(f"error: {text}", "red")


def hint(text: str) -> None:
    """One dim line to stderr below an error."""
    _to_stderr(f"  ({text})", "dim")


def traceback() -> None:
    """The traceback of the exception being handled, to stderr."""
    import traceback as module

    print(module.format_exc(), file=sys.stderr, end="")


def following(command: str) -> None:
    """The next command to type; every verb ends with it."""
    out().print(f"next: {command}", markup=False, style="bold" if sys.stdout.isatty() else None)


def clear() -> None:
    """Start at the top of an empty screen; nothing where stdout is no terminal."""
    if sys.stdout.isatty():
        print("\033[H\033[2J", end="", flush=True)


def table(headers: Sequence[str], rows: Sequence[Sequence[object]], *, title: str = "") -> None:
    """A table; columns whose cells are all numbers stand to the right.

    Args:
        headers: column names.
        rows: one sequence of cells per row, as long as `headers`.
        title: line above it.
    """
    from rich import box
    from rich.table import Table
    from rich.text import Text

    drawn = Table(box=box.SIMPLE_HEAD, title=title or None, title_justify="left", title_style="bold", pad_edge=False)
    for column, name in enumerate(headers):
        cells = [row[column] for row in rows if row[column] != ""]
        numeric = bool(cells) and all(_is_number(cell) for cell in cells)
        drawn.add_column(name, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        drawn.add_row(*(Text(_cell(cell)) for cell in row))
    out().print(drawn, soft_wrap=False)


@contextmanager
def step(text: str) -> Iterator[None]:
    """Say what is being done, and afterwards how long it took."""
    started = time.monotonic()
    say(f"{text} ...")
    yield
    say(f"  done in {duration(time.monotonic() - started)}")


def duration(seconds: float) -> str:
    """`0.4 s`, `12 s`, `3 min 20 s`, `2 h 5 min`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"


def size(count: float) -> str:
    """Bytes for people: `812 B`, `1.4 MB`, `23.5 GB` (powers of 1000)."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} B" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


class StatusLine:
    """One line that is written over again and again: on a terminal in place, elsewhere now and then.

    Args:
        every_s: least seconds between two lines where stdout is no terminal.
    """

    def __init__(self, every_s: float = 20.0) -> None:
        self._every_s, self._last, self._width = every_s, -every_s, 0

    def show(self, text: str, *, whole: bool = False) -> None:
        """The line as it is now; `whole` keeps it."""
        if sys.stdout.isatty():
            import shutil

            shown = text if whole else text[: shutil.get_terminal_size().columns - 1]
            print("\r" + shown.ljust(self._width), end="\n" if whole else "", flush=True)
            self._width = 0 if whole else len(shown)
        elif whole or time.monotonic() - self._last >= self._every_s:
            self._last = time.monotonic()
            say(text)

    def clear(self) -> None:
        """Make room for other lines."""
        if self._width:
            print("\r" + " " * self._width + "\r", end="", flush=True)
            self._width = 0


class StageProgress:
    """Progress of work that runs in named stages, one after the other or side by side.

    One line per finished stage; on a terminal, a bar with count and estimate while it lasts. Use it as a context
    manager; it is what `run_job(progress=...)` calls.
    """

    def __init__(self) -> None:
        self._bars: Progress | None = None
        self._stages: dict[str, _Stage] = {}

    def __enter__(self) -> Self:
        global _live
        if sys.stdout.isatty():
            from rich import progress as bars

            _live = out()
            self._bars = bars.Progress(
                bars.TextColumn("{task.description:<12}"),
                bars.BarColumn(),
                bars.MofNCompleteColumn(),
                bars.TimeElapsedColumn(),
                bars.TextColumn("left"),
                bars.TimeRemainingColumn(),
                bars.TextColumn("{task.fields[note]}", markup=False),
                console=_live,
                transient=False,
            )
            self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        global _live
        _live = None
        if self._bars is not None:
            self._bars.stop()
            self._bars = None

    def start(self, stage: str, total: int | None, note: str = "") -> None:
        """A stage begins; `total` is None where nobody knows it yet."""
        task = None
        if self._bars is not None:
            task = self._bars.add_task(stage, total=total, note=note)
        self._stages[stage] = _Stage(total, time.monotonic(), task)

    def advance(self, stage: str, count: int = 1, note: str = "") -> None:
        """`count` more items of `stage` are finished."""
        if stage not in self._stages:
            self.start(stage, None)
        entry = self._stages[stage]
        entry.done += count
        if self._bars is not None and entry.task is not None:
            self._bars.update(entry.task, advance=count, note=note)

    def finish(self, stage: str, note: str = "") -> None:
        """The stage is over: its bar goes, a line stays."""
        entry = self._stages.pop(stage, None)
        if entry is None:
            return
        if self._bars is not None and entry.task is not None:
            self._bars.remove_task(entry.task)
        tail = f"; {note}" if note else ""
        say(f"{stage}: {entry.done} in {duration(time.monotonic() - entry.started)}{tail}")


@dataclass
class _Stage:
    total: int | None
    started: float
    task: TaskID | None
    done: int = 0


def _to_stderr(text: str, style: str) -> None:
    from rich.console import Console

    console = Console(file=sys.stderr, highlight=False, soft_wrap=True)
    console.print(text, markup=False, style=style if sys.stderr.isatty() else None)


def _is_number(cell: object) -> bool:
    return isinstance(cell, (int, float)) or str(cell).replace(".", "", 1).replace("-", "", 1).strip("% ").isdigit()


def _cell(cell: Any) -> str:
    if cell is None:
        return ""
    return f"{cell:.4g}" if isinstance(cell, float) else str(cell)

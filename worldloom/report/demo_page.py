"""The report of a run on rendered worlds: what was done, what came out, and how true it is, in one HTML file."""

from __future__ import annotations

from pathlib import Path

from worldloom.report.content import ReportContent


def write_report(path: Path, content: ReportContent) -> Path:
    """Write the report as one HTML file with its pictures inside.

    Args:
        path: the file to write; its folder is made.
        content: what it says; see `worldloom.report.content`.

    Returns:
        `path`.
    """
    from worldloom.report.page import render

    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(render("report.html.j2", content=content), encoding="utf-8")
    return path

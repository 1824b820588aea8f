"""The driver of a disturbed job: runs it, says every step on stdout, and can be told to die inside the commit.

    python -m benchmarks.chaos.driver JOB.yaml [before_link|after_link] [--retry REASON] [--only PASS]

The last line of stdout is the outcome as JSON. Dying is done by standing in for `os.link` in this process: the
manifest becomes the dataset by a link, and the process kills itself right before or right after.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
from dataclasses import asdict
from pathlib import Path
from typing import Any

from worldloom.pipeline.job import load_job
from worldloom.pipeline.progress import Silent
from worldloom.pipeline.run import run_job


class Loud(Silent):
    """Says every step."""

    def start(self, stage: str, *_: Any, **__: Any) -> None:
        """A stage begins."""
        print("start", stage, flush=True)

    def advance(self, stage: str, count: int = 1, *_: Any, **__: Any) -> None:
        """Rows are done."""
        for _row in range(count):
            print("advance", stage, flush=True)


def die_at_commit(moment: str) -> None:
    """Let the link that makes a manifest the dataset be this process's end."""
    link = os.link

    def deadly(source: Any, target: Any, *arguments: Any, **options: Any) -> None:
        is_commit = Path(target).parent.name == "manifests"
        if is_commit and moment == "before_link":
            os.kill(os.getpid(), signal.SIGKILL)
        link(source, target, *arguments, **options)
        if is_commit:
            os.kill(os.getpid(), signal.SIGKILL)

    os.link = deadly  # type: ignore[assignment]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("job", type=Path)
    parser.add_argument("moment", nargs="?", choices=("before_link", "after_link"))
    parser.add_argument("--retry")
    parser.add_argument("--only")
    arguments = parser.parse_args()
    if arguments.moment:
        die_at_commit(arguments.moment)
    summary = run_job(load_job(arguments.job), only=arguments.only, retry=arguments.retry, progress=Loud())
    outcome = {
        "tables": [asdict(tally) for tally in summary.tables],
        "balanced": all(tally.balanced for tally in summary.tables),
        "ran": summary.ran,
        "notes": summary.notes,
        "committed": summary.committed,
        "exit_code": summary.exit_code,
    }
    print(json.dumps(outcome), flush=True)
    raise SystemExit(summary.exit_code)


if __name__ == "__main__":
    main()

"""The command line: one verb per file of `worldloom.commands`.

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 done but over the failure budget, 130 interrupted. Nothing heavy is
imported here: every verb imports what it needs when it runs.
"""

from __future__ import annotations

import errno
import functools
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from types import FrameType
from typing import Annotated, Any

import typer

from worldloom import __version__, console
from worldloom.catalogs.errors import WorldloomError
from worldloom.commands.annotate import annotate
from worldloom.commands.clean import clean
from worldloom.commands.demo import demo
from worldloom.commands.doctor import doctor
from worldloom.commands.export import export
from worldloom.commands.generate import generate
from worldloom.commands.inspect import inspect
from worldloom.commands.merge import merge
from worldloom.commands.remove import remove
from worldloom.commands.rollback import rollback
from worldloom.commands.run import run
from worldloom.commands.scorecard import scorecard
from worldloom.commands.status import status
from worldloom.commands.train import train
from worldloom.commands.verify import verify

INTERRUPTED = 130
STOPPABLE = ("run",)
"""Verbs that say so when they are asked to stop, by Ctrl-C or by a scheduler; training saves a checkpoint itself."""

_AGAIN = "and run the same command again"
_REMEDIES = {
    errno.ENOSPC: f"free some room on that disk {_AGAIN}",
    errno.EDQUOT: f"free some of your quota on that disk {_AGAIN}",
    errno.EFBIG: f"raise the limit on the size of a file (ulimit -f) {_AGAIN}",
    errno.EACCES: "get the right to it, or name another place",
    errno.EPERM: "get the right to it, or name another place",
    errno.EROFS: "name a place on a disk that can be written",
    errno.EEXIST: "a file is where a folder should be; move it away, or name another folder",
    errno.ENOTDIR: "a file is where a folder should be; move it away, or name another folder",
    errno.EISDIR: "a folder is where a file should be; move it away, or name another file",
    errno.ENAMETOOLONG: "name a shorter place",
    errno.ELOOP: "its links lead in a circle; mend them",
    errno.EMFILE: f"raise the limit on open files (ulimit -n 65536) {_AGAIN}",
    errno.ENFILE: f"too many files are open on this machine; end what holds them {_AGAIN}",
    errno.ENOMEM: f"no memory is left on this machine; end what holds it {_AGAIN}",
    errno.EIO: f"the disk fails; see the system's log, mend it {_AGAIN}",
    errno.ESTALE: f"the network file system has lost it; mount it again {_AGAIN}",
}
"""What a person can do about an error of the operating system; one that is not among these is a fault of ours."""

app = typer.Typer(
    name="worldloom",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        console.say(f"worldloom {__version__}")
        raise typer.Exit()


@app.callback()
def worldloom(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", is_eager=True, callback=_show_version)
    ] = False,
) -> None:
    """Weave raw video into training shards for interactive video world models.

    Start with `worldloom demo`, or with `worldloom run FOLDER` on videos of your own.
    """
    console.settings.debug = debug


def guarded(verb: Callable[..., None]) -> Callable[..., None]:
    """`verb`, with every exception turned into a message and an exit code."""

    @functools.wraps(verb)
    def wrapper(*args: Any, **kwargs: Any) -> None:
        try:
            with stopping() if verb.__name__ in STOPPABLE else nullcontext():
                verb(*args, **kwargs)
        except WorldloomError as error:
            _explain(str(error), expected=True)
            raise typer.Exit(error.exit_code) from None
        except KeyboardInterrupt as stop:
            console.error(f"interrupted; {str(stop) or 'the same command resumes'}")
            raise typer.Exit(INTERRUPTED) from None
        except (typer.Exit, typer.Abort, typer.BadParameter, BrokenPipeError):
            raise  # typer knows what these mean; it ends quietly when the reader of a pipe goes away
        except Exception as error:
            told = _mendable(error) if isinstance(error, OSError) else ""
            _explain(told or ": ".join(filter(None, [type(error).__name__, str(error)])), expected=bool(told))
            raise typer.Exit(1) from None

    return wrapper


@contextmanager
def stopping() -> Iterator[None]:
    """Let Ctrl-C and SIGTERM, which schedulers send, end the work in order, and a second one end it at once."""
    asked = False

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        if asked:
            os.write(2, b"\nstopped at once; what was flushed is kept, the same command resumes\n")
            os._exit(INTERRUPTED)
        asked = True
        # Not through the console: it may be in the middle of a line, and is not made to be entered twice.
        os.write(2, b"\nstopping: finished rows are kept, work in flight is given up; again to stop at once\n")
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():  # only there may handlers be set
        yield
        return
    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    except Exception as error:
        if asked:  # native code may turn the interrupt into an error of its own; a note says how far the run was
            raise KeyboardInterrupt(*getattr(error, "__notes__", [])[-1:]) from None
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _mendable(error: OSError) -> str:
    """What is wrong, where, and what a person can do about it; empty where that is nothing."""
    remedy = _REMEDIES.get(error.errno or 0)
    place = error.filename2 or error.filename
    return f"{f'{place}: ' if place else ''}{error.strerror}; {remedy}" if remedy else ""


def _explain(text: str, *, expected: bool) -> None:
    if console.settings.debug:
        console.traceback()
    console.error(text)
    if not (expected or console.settings.debug):
        console.hint("this is a fault of worldloom; the same command with --debug shows where it happened")


_VERBS = (
    demo,
    doctor,
    run,
    status,
    clean,
    inspect,
    annotate,
    scorecard,
    verify,
    export,
    remove,
    merge,
    rollback,
    train,
    generate,
)
for _verb in _VERBS:
    app.command(_verb.__name__)(guarded(_verb))


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry of the console script; ends with `SystemExit`.

    Args:
        arguments: without the program's name; `sys.argv[1:]` where not given.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    if "--debug" in words:  # accepted anywhere, since people add it to the end of a command that failed
        words = ["--debug", *(word for word in words if word != "--debug")]
    app(words, prog_name="worldloom")


if __name__ == "__main__":
    main()

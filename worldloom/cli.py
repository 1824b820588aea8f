"""The command line: one verb per file of `worldloom.commands`.

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 done but over the failure budget, 130 interrupted. Nothing heavy is
imported here: every verb imports what it needs when it runs.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer

from worldloom import __version__, console
from worldloom.catalogs.errors import WorldloomError
from worldloom.commands.annotate import annotate
from worldloom.commands.demo import demo
from worldloom.commands.doctor import doctor
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
            verb(*args, **kwargs)
        except WorldloomError as error:
            _explain(str(error), expected=True)
            raise typer.Exit(error.exit_code) from None
        except KeyboardInterrupt:
            console.error("interrupted; the same command resumes")
            raise typer.Exit(INTERRUPTED) from None
        except (typer.Exit, typer.Abort, typer.BadParameter, BrokenPipeError):
            raise  # typer knows what these mean; it ends quietly when the reader of a pipe goes away
        except Exception as error:
            _explain(": ".join(filter(None, [type(error).__name__, str(error)])), expected=False)
            raise typer.Exit(1) from None

    return wrapper


def _explain(text: str, *, expected: bool) -> None:
    if console.settings.debug:
        console.traceback()
    console.error(text)
    if not (expected or console.settings.debug):
        console.hint("this is a fault of worldloom; the same command with --debug shows where it happened")


for _verb in (
    demo,
    doctor,
    run,
    status,
    inspect,
    annotate,
    scorecard,
    verify,
    remove,
    merge,
    rollback,
    train,
    generate,
):
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

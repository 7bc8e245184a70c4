"""The program: its groups of commands, and the way in.

`run` takes the arguments and returns the exit code, for tests and the demonstration; `entry` is what the installed
``anpr-share`` calls. Importing this module loads no heavy library: ``--help`` takes a fraction of a second.
"""

from __future__ import annotations

import functools
import inspect
import io
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Annotated, Protocol

import typer
from typer.core import TyperGroup

from anpr_share import __version__
from anpr_share.cli import (
    agreements,
    audit,
    demo,
    exchange,
    extracts,
    failures,
    feasibility,
    ledger,
    notices,
    research,
    retention,
    risk,
    sites,
)
from anpr_share.cli.common import Commands, Invocation, keep, system_clock, with_common_options
from anpr_share.errors import StorageError


class Group(Protocol):
    """A module of commands."""

    def register(self, program: typer.Typer) -> None:
        """Add its commands to the program."""


NAME = "anpr-share"
SWITCH_SECONDS = 0.0003

MODULES: tuple[Group, ...] = (
    demo,
    sites,
    extracts,
    feasibility,
    risk,
    agreements,
    exchange,
    notices,
    research,
    retention,
    ledger,
    audit,
)
"""The groups of commands, in the order in which ``--help`` lists them under their headings."""

ABOUT = """Linkable number-plate data from police to universities, without a plate, a camera
identity or an over-age read. New here? Run: anpr-share demo
"""


def _version(asked: bool | None) -> None:  # noqa: FBT001 # typer calls it so
    if asked:
        typer.echo(__version__)
        raise typer.Exit


@functools.cache
def parser() -> TyperGroup:
    """The whole tree of commands, built once: the demonstration alone runs forty of them in one process."""
    return typer.main.get_group(_program())


def _program() -> typer.Typer:
    program = typer.Typer(
        name=NAME,
        help=ABOUT,
        cls=Commands,
        add_completion=False,
        rich_markup_mode=None,
        # Its tracebacks can show values; ours show lines only.
        pretty_exceptions_enable=False,
    )
    version = inspect.Parameter(
        "version",
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=Annotated[
            bool | None, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
        ],
    )
    program.callback()(with_common_options(_begin, (version,)))
    for module in MODULES:
        module.register(program)
    return program


def _begin(ctx: typer.Context, *, version: bool | None, **given: object) -> None:  # noqa: ARG001 # eager: told already
    keep(ctx, **given)


def run(argv: Sequence[str], *, clock: Callable[[], datetime] = system_clock) -> int:
    """Run one command and return its exit code; whatever happens is told on the terminal.

    Args:
        argv: the arguments after the program's name; none at all is ``--help``.
        clock: where commands take the time from.
    """
    arguments = list(argv) or ["--help"]
    program = parser()
    try:
        invocation = Invocation(clock=clock, run=functools.partial(run, clock=clock))
        with program.make_context(NAME, [*arguments], obj=invocation) as ctx:
            code: int = program.invoke(ctx)  # parsing empties the list it is given, hence the copy
            return code
    except typer.Exit as done:
        return done.exit_code
    except BaseException as error:  # noqa: BLE001 # as in `common.command`
        options = arguments[: arguments.index("--")] if "--" in arguments else arguments
        context = getattr(error, "ctx", None)
        command = "" if context is None else context.command_path.partition(" ")[2]
        return failures.report(error, command=command, json="--json" in options)


def entry() -> None:
    """The installed program."""
    # The thread that hashes holds Python's lock all the time. Left at 5 ms, those that read and sort would wait so long
    # for each of their many short turns.
    sys.setswitchinterval(SWITCH_SECONDS)
    if sys.platform != "win32":
        import resource

        # A core file would hold plates, keys and the passphrase.
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A name in another script must not end a command on a terminal that cannot show it.
            # And a draft or a profile in a file is read again as UTF-8, whatever this system writes by itself.
            redirected = not stream.isatty() and not os.environ.get("PYTHONIOENCODING")
            stream.reconfigure(encoding="utf-8" if redirected else None, errors="backslashreplace")
    if not sys.warnoptions:
        # A library's warning may quote data, and means nothing to who sees it here.
        warnings.simplefilter("ignore")
    try:
        code = run(sys.argv[1:])
    except BrokenPipeError:
        # Whoever read standard error has left too.
        code = failures.PIPE_CLOSED
    except OSError:
        # The terminal itself is gone, and nobody is left to tell.
        code = StorageError.exit_code
    sys.exit(code)

"""What every command shares: the common options, the passphrase, and how a result is handed back.

A command is a function whose first argument is the `Invocation`, registered with `command`::

    def status(invocation: Invocation) -> Outcome:
        '''One screen: what is held, what is deleted next.'''
        with opened(invocation, unlock=False) as site:
            result = status(site)
        return Outcome(result, lines=status_lines(result), answer=not result.overdue)

    command(program, "status", panel="Site", example="anpr-share status")(status)

`command` adds ``--site --json --passphrase-file --actor --quiet`` to its signature, as `group` does to a group of
commands and the main program to itself. So each option may stand anywhere, and the last one given wins.
"""

from __future__ import annotations

import functools
import getpass
import inspect
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from typer._click.exceptions import MissingParameter  # as in failures.py
from typer.core import TyperCommand, TyperGroup

from anpr_share.cli import failures
from anpr_share.errors import LockedError, UsageError
from anpr_share.reports import terminal

PANELS = ("Start", "Extracts", "Site", "Exchange", "Research", "Audit")
"""The headings of ``--help``, in order."""

PASSPHRASE_VARIABLE = "ANPR_SHARE_PASSPHRASE_FILE"  # noqa: S105 # the name of a variable that names a file


def system_clock() -> datetime:
    """The time of the machine, in UTC."""
    return datetime.now(UTC)


def _no_program(_arguments: Sequence[str]) -> int:
    raise UsageError("there is no program to run a command with")


@dataclass(frozen=True, slots=True)
class Invocation:
    """One call of the program: the common options, the clock, and how to run another command in this process.

    ``site`` is what ``--site`` said, or None: then it is looked for, as the documentation says.
    """

    command: str = ""
    site: Path | None = None
    json: bool = False
    passphrase_file: Path | None = None
    actor: str | None = None
    quiet: bool = False
    clock: Callable[[], datetime] = field(default=system_clock, repr=False)
    run: Callable[[Sequence[str]], int] = field(default=_no_program, repr=False, compare=False)

    def say(self, text: str) -> None:
        """Tell something beside the result, unless ``--quiet``."""
        if not self.quiet:
            terminal.say(text)

    def progress(self) -> AbstractContextManager[Callable[[str], None]]:
        """What longer work reports to, as `anpr_share.reports.terminal.progress` says; nothing under ``--quiet``."""
        return terminal.progress(quiet=self.quiet)

    def passphrase(self) -> bytes:
        """The passphrase: of ``--passphrase-file``, else of ``$ANPR_SHARE_PASSPHRASE_FILE``, else asked for.

        Raises:
            LockedError: there is no such file, it is empty, or there is nobody to ask.
        """
        if (path := self.passphrase_path()) is not None:
            return read_passphrase(path)
        return _prompt("passphrase: ")

    def new_passphrase(self) -> bytes:
        """The passphrase of a site that is being made: as `passphrase`, but one that is typed is typed twice.

        Raises:
            LockedError: as `passphrase`.
            UsageError: the two differ.
        """
        if (path := self.passphrase_path()) is not None:
            return read_passphrase(path)
        return type_twice()

    def passphrase_path(self) -> Path | None:
        """The file that holds the passphrase, if one was named."""
        if self.passphrase_file is not None:
            return self.passphrase_file
        named = os.environ.get(PASSPHRASE_VARIABLE)
        return Path(named) if named else None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a command hands back.

    ``result`` is the frozen dataclass that ``--json`` prints; ``lines`` say the same to a person; ``answer`` False
    means that the command did its work and the answer is no: exit code 1. A command that has written its data to
    standard output itself hands back neither result nor lines.
    """

    result: object = None
    lines: Sequence[terminal.Line] = ()
    answer: bool = True


Work = Callable[..., Outcome]
"""A command: takes the `Invocation` first, then its own arguments by name."""


class Command(TyperCommand):
    """A command whose help says first what it needs, and last what every command takes."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """The usage line: arguments, then the options that must be given, then the rest."""
        parameters = sorted(self.get_params(ctx), key=_is_argument, reverse=True)
        return [*(_record(item)[0] for item in parameters if item.required or _is_argument(item)), "[OPTIONS]"]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write an example, then what must and may be given."""
        parameters = self.get_params(ctx)
        _write_own(formatter, self.epilog, parameters, [parameter for parameter in parameters if parameter.required])
        _write_common(formatter, parameters)

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """The example stands further up."""


class Commands(TyperGroup):
    """A group whose help lists its commands under their headings, in the order of `PANELS`, before its options."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the commands, and then the options."""
        self.format_commands(ctx, formatter)
        parameters = self.get_params(ctx)
        _write_section(formatter, "Options", [item for item in parameters if item.name not in _COMMON_NAMES])
        _write_common(formatter, parameters)

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002 # typer's own signature
        """Write one list of commands for each heading."""
        panels: dict[str, list[tuple[str, str]]] = {}
        width = max((len(name) for name in self.commands), default=0)
        for name, found in self.commands.items():
            panel = getattr(found, "rich_help_panel", None)
            panel = panel if isinstance(panel, str) else "Commands"
            # The whole first paragraph: it is wrapped where it does not fit, and never cut.
            text = " ".join((found.help or "").partition("\n\n")[0].split())
            panels.setdefault(panel, []).append((name.ljust(width), text))
        for panel in sorted(panels, key=lambda name: PANELS.index(name) if name in PANELS else len(PANELS)):
            with formatter.section(panel):
                formatter.write_dl(panels[panel])


class CommandWithMore(Commands):
    """A command that has commands of its own as well: without one of these it does its own work.

    What it cannot work without is asked for only then, and told first in its help.
    """

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self.needed = tuple(parameter for parameter in self.params if parameter.required)
        for parameter in self.needed:
            parameter.required = False

    def require(self, ctx: Any) -> None:
        """Raise what the parser raises where something is missing."""
        for parameter in self.needed:
            if not ctx.params.get(parameter.name):
                raise MissingParameter(ctx=ctx, param=parameter)  # type: ignore[arg-type] # typer's own two classes

    def collect_usage_pieces(self, ctx: Any) -> list[str]:  # noqa: ARG002 # typer's own signature
        """The usage line: what must be given, the rest, or a command."""
        return [*(_record(parameter)[0] for parameter in self.needed), "[OPTIONS]", "[COMMAND]"]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write an example, what must and may be given, and the commands."""
        parameters = self.get_params(ctx)
        _write_own(formatter, self.epilog, parameters, self.needed)
        self.format_commands(ctx, formatter)
        _write_common(formatter, parameters)

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """The example stands further up."""


def _is_argument(parameter: Any) -> bool:
    return bool(parameter.param_type_name == "argument")


def _record(parameter: Any) -> tuple[str, str]:
    """What help says of a parameter: how it is typed, and what it is."""
    if _is_argument(parameter):
        name = parameter.metavar or parameter.name.upper()
        name = f"{name}..." if parameter.nargs == -1 else name
        return (name if parameter.required else f"[{name}]"), parameter.help or ""
    name = ", ".join(parameter.opts)
    return (name if parameter.is_flag else f"{name} {parameter.metavar}"), parameter.help or ""


def _write_own(formatter: Any, example: str | None, parameters: Sequence[Any], needed: Sequence[Any]) -> None:
    """An example, then what must and may be given."""
    if example:
        with formatter.section("Example"):
            for line in example.splitlines():
                formatter.write(f"{'':{formatter.current_indent}}{line}\n")
    own = [parameter for parameter in parameters if parameter.name not in _COMMON_NAMES]
    _write_section(formatter, "Required", needed)
    _write_section(formatter, "Options", [parameter for parameter in own if parameter not in needed])


def _write_section(formatter: Any, heading: str, parameters: Sequence[Any]) -> None:
    if parameters:
        with formatter.section(heading):
            formatter.write_dl([_record(parameter) for parameter in parameters])


def _write_common(formatter: Any, parameters: Sequence[Any]) -> None:
    _write_section(formatter, "Options of every command", [item for item in parameters if item.name in _COMMON_NAMES])


def group(name: str, text: str) -> typer.Typer:
    """A group of commands, such as ``profile``, that takes the common options itself."""
    made = typer.Typer(name=name, help=text, cls=Commands, no_args_is_help=True, rich_markup_mode=None)
    made.callback()(with_common_options(keep, ()))
    return made


def command(
    app: typer.Typer, name: str, *, panel: str | None = None, example: str | None = None
) -> Callable[[Work], Work]:
    """Register a function as a command, with the common options added to its own.

    Args:
        app: the program, or a `group` of it.
        name: what the user types.
        panel: the heading of `PANELS` that ``--help`` lists it under; none inside a group.
        example: a good call, as somebody would type it; its lines are shown as they are.
    """

    def register(work: Work) -> Work:
        def call(ctx: typer.Context, **given: Any) -> int:
            return _done(merge(ctx, given), work, given)

        register_as = app.command(name, cls=Command, help=inspect.getdoc(work), epilog=example, rich_help_panel=panel)
        register_as(with_common_options(call, _own_parameters(work)))
        return work

    return register


def command_with_more(work: Work, name: str, *, example: str) -> typer.Typer:
    """A function as a command that has commands of its own: register these with `command`.

    Typed without one of them it does its own work; its options beside one of them are refused.
    """

    def call(ctx: typer.Context, **given: Any) -> int | None:
        invocation = merge(ctx, given)
        if ctx.invoked_subcommand is None:
            assert isinstance(ctx.command, CommandWithMore)
            ctx.command.require(ctx)
            return _done(invocation, work, given)
        if any(value is not None for value in given.values()):
            raise UsageError(
                f"options of {invocation.command} itself stand before {ctx.invoked_subcommand}",
                hint=f"run: {ctx.command_path} {ctx.invoked_subcommand} --help",
            )
        ctx.obj = invocation
        return None

    made = typer.Typer(name=name, cls=CommandWithMore, rich_markup_mode=None)
    text = inspect.getdoc(work)
    made.callback(invoke_without_command=True, help=text, epilog=example)(
        with_common_options(call, _own_parameters(work))
    )
    return made


def _own_parameters(work: Work) -> tuple[inspect.Parameter, ...]:
    return tuple(inspect.signature(work, eval_str=True).parameters.values())[1:]


def _done(invocation: Invocation, work: Work, given: dict[str, Any]) -> int:
    """Do the work and tell what came of it. Gives the exit code."""
    try:
        return _finish(invocation, work(invocation, **given))
    except BaseException as error:  # noqa: BLE001 # whatever it is, its text must not reach the terminal
        return failures.report(error, command=invocation.command, json=invocation.json)


def with_common_options(call: Callable[..., Any], own: Sequence[inspect.Parameter]) -> Callable[..., Any]:
    """Give a function that takes ``(ctx, **given)`` the signature from which typer reads its options."""
    context = inspect.Parameter("ctx", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context)
    parameters = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in (*own, *_COMMON)]

    @functools.wraps(call)
    def signed(ctx: typer.Context, **given: Any) -> Any:
        return call(ctx, **given)

    signed.__signature__ = inspect.Signature([context, *parameters])  # type: ignore[attr-defined] # set as PEP 362 says
    return signed


def keep(ctx: typer.Context, **given: Any) -> None:
    """Remember the common options that stood before the command's name."""
    ctx.obj = merge(ctx, given)


def merge(ctx: typer.Context, given: dict[str, Any]) -> Invocation:
    """Take the common options out of ``given`` and lay them over those that stood further left."""
    said: Invocation = ctx.obj
    found = {parameter.name: given.pop(parameter.name) for parameter in _COMMON}
    return replace(
        said,
        command=ctx.command_path.partition(" ")[2],
        **{name: value for name, value in found.items() if value is not None},
    )


def read_passphrase(path: Path) -> bytes:
    """The passphrase in a file: its bytes, one final line end dropped. Warns if others can read the file.

    Raises:
        LockedError: there is no such file, it is empty, or it is too long to be one.
        StorageError: it cannot be read.
    """
    from anpr_share.site import passphrase

    text, exposed = passphrase.read_passphrase(path)
    if exposed:
        terminal.warn("other users of this machine can read the passphrase file: chmod 600 would stop that")
    return text


def type_twice() -> bytes:
    """A new passphrase, typed twice. Raises :class:`LockedError`, and :class:`UsageError` if the two differ."""
    first = _prompt("new passphrase: ")
    if first != _prompt("the same again: "):
        raise UsageError("the two passphrases differ", hint="run the command again")
    return first


def _prompt(question: str) -> bytes:
    if not sys.stdin.isatty():
        raise LockedError(
            "a passphrase is needed, and nobody can be asked here",
            hint=f"name a file that holds it with --passphrase-file or ${PASSPHRASE_VARIABLE}",
        )
    typed = getpass.getpass(question, stream=sys.stderr)
    if not typed:
        raise LockedError("no passphrase was typed", hint="run the command again")
    return typed.encode("utf-8")


def _finish(invocation: Invocation, outcome: Outcome) -> int:
    code = 0 if outcome.answer else 1
    if not invocation.json:
        terminal.show(line for line in outcome.lines if not (invocation.quiet and _is_advice(line)))
    elif outcome.result is not None:
        terminal.show([terminal.Verbatim(terminal.result_json(invocation.command, code, outcome.result))])
    return code


def _is_advice(line: object) -> bool:
    return isinstance(line, str) and line.startswith("next:")


def _option(name: str, annotation: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


# None means "not given here", so that an option to the left is not undone by one that was left out to the right.
_COMMON = (
    _option(
        "site",
        Annotated[
            Path | None,
            typer.Option("--site", metavar="DIR", help="The site; else $ANPR_SHARE_SITE, else here or above."),
        ],
    ),
    _option("json", Annotated[bool | None, typer.Option("--json", help="Print one JSON object, for programs.")]),
    _option(
        "passphrase_file",
        Annotated[
            Path | None,
            typer.Option(
                "--passphrase-file",
                metavar="FILE",
                help=f"Else ${PASSPHRASE_VARIABLE}, else you type it.",
            ),
        ],
    ),
    _option(
        "actor",
        Annotated[
            str | None,
            typer.Option("--actor", metavar="NAME", help="Who is logged, besides the computer's user."),
        ],
    ),
    _option("quiet", Annotated[bool | None, typer.Option("--quiet", help="Print results and errors only.")]),
)
_COMMON_NAMES = frozenset({*(parameter.name for parameter in _COMMON), "help"})

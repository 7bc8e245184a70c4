"""What the user sees when a command fails, and the exit code.

Never the text of an exception that is not ours: a library may quote a cell in it. Never what was typed, where it could
be a plate or a secret: a wrong value is named by its option.

===== ==========================================================
code  meaning
===== ==========================================================
0, 1  done; done, and the answer is no
2-6   see `anpr_share.errors`; 6 is also the system's own refusal
70    a fault of this program
130   interrupted with Ctrl-C
141   whoever read the output has left, as ``head`` does
===== ==========================================================
"""

from __future__ import annotations

import os
import re
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from typer._click import exceptions as click  # typer exports only some; pyproject.toml pins the range tested
from typer.core import TyperGroup

from anpr_share.errors import AnprShareError, StorageError, VerificationError
from anpr_share.files import next_step
from anpr_share.memory import ran_out_of_memory
from anpr_share.reports import terminal
from anpr_share.wording import spoken_name

INTERRUPTED = 130
PIPE_CLOSED = 141
"""What a shell makes of SIGPIPE, which ends other programs whose reader has left."""
INTERNAL = 70
"""EX_SOFTWARE of sysexits.h."""

_OWN_FILES = Path(__file__).resolve().parents[1]
_FRAMES_SHOWN = 8
_OPTION = re.compile(r"--[a-z]+(-[a-z]+)*")
"""A typed option that is shown again: nothing with a digit or a capital, so no plate and no key."""


@dataclass(frozen=True, slots=True)
class Failure:
    """What is told about a failure."""

    exit_code: int
    code: str
    message: str
    hint: str | None = None
    step: int | None = None


def report(error: BaseException, *, command: str, json: bool) -> int:
    """Tell the user what went wrong, and return the exit code.

    Args:
        error: whatever was raised; `SystemExit` is raised again.
        command: the command's name, for the JSON envelope.
        json: whether standard output takes a JSON envelope; standard error says the same to people.
    """
    if isinstance(error, SystemExit):
        raise error
    if isinstance(error, BrokenPipeError):
        # Whoever read our output has left (`| head`); Python would complain about it once more at exit.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
        return PIPE_CLOSED
    if isinstance(error, click.NoArgsIsHelpError) and not json:
        terminal.say(error.format_message())
        return error.exit_code
    failure = explain(error)
    message = failure.message if failure.step is None else f"step {failure.step} of 8: {failure.message}"
    terminal.error(message, failure.hint)
    if json:
        envelope = terminal.error_json(
            command, code=failure.code, message=failure.message, hint=failure.hint, step=failure.step
        )
        terminal.show([terminal.Verbatim(envelope)])
    return failure.exit_code


def explain(error: BaseException) -> Failure:
    """What may be told about an error."""
    if isinstance(error, AnprShareError):
        hint = error.hint or _next_step(error)
        return Failure(error.exit_code, error.code, error.message, hint, error.step)
    if isinstance(error, click.ClickException):
        message, hint = _usage(error)
        return Failure(2, "usage", message, hint)
    if isinstance(error, KeyboardInterrupt):
        return Failure(INTERRUPTED, "interrupted", "interrupted", "run the command again: it begins where it must")
    if ran_out_of_memory(error):
        hint = "use a smaller extract or fewer columns, or a machine with more memory"
        return Failure(StorageError.exit_code, StorageError.code, "the work does not fit into memory", hint)
    if isinstance(error, OSError):
        return Failure(StorageError.exit_code, StorageError.code, _system_refusal(error), next_step(error))
    where = ", ".join(_own_frames(error)) or "outside of anpr_share"
    hint = "send us this line: it holds nothing of your data"
    return Failure(INTERNAL, "internal", f"internal error ({type(error).__name__}) at {where}", hint)


def _next_step(error: AnprShareError) -> str | None:
    """What to do about bytes that are not what they should be, wherever in them that was found."""
    if error.step is not None:
        return "nothing was loaded; tell the sender which step failed, and ask for the bundle anew"
    if isinstance(error, VerificationError):
        return "nothing was changed; get the file anew from where it came, or from a backup"
    return None


def _usage(error: click.ClickException) -> tuple[str, str]:
    context = getattr(error, "ctx", None)
    hint = "run the command with --help" if context is None else f"run: {context.command_path} --help"
    parameter = getattr(error, "param", None)
    if isinstance(error, click.BadParameter) and parameter is not None:
        name = parameter.opts[0] if parameter.param_type_name == "option" else parameter.display_name_raw.upper()
        if isinstance(error, click.MissingParameter):
            return f"{name} is missing", hint
        # A list of words, such as police|university, is our own text.
        words = (parameter.metavar or "").split("|")
        return f"the value of {name} does not fit", f"it is one of {', '.join(words)}" if len(words) > 1 else hint
    if isinstance(error, click.NoSuchOption):
        near = sorted(error.possibilities or ())
        return f"there is no option {_typed(error.option_name)}", _perhaps(near) or hint
    if isinstance(error, click.BadOptionUsage):
        takes = "takes no value" if "does not take" in error.message else "needs a value"
        return f"the option {_typed(error.option_name)} {takes}", hint
    if isinstance(error, click.NoArgsIsHelpError) and context is not None:
        return f"{context.command_path} needs a command", hint
    if context is None:
        return "the command was put wrongly", hint
    if isinstance(context.command, TyperGroup):
        near = [name for name in context.command.commands if f"'{name}'" in error.message.partition("Did you mean")[2]]
        return f"{context.command_path} has no such command", _perhaps(near) or hint
    return f"{context.command_path} takes fewer arguments", _several(context.command.params) or hint


def _several(parameters: list[Any]) -> str | None:
    """How to give several files, where a shell may have made them of a pattern."""
    repeated = [item for item in parameters if getattr(item, "multiple", False)]
    if not repeated:
        return None
    # An IDENTITY is one file; only where it says FILE may it be a pattern.
    quoted = "put a pattern in quotes, or " if any(item.metavar == "FILE" for item in repeated) else ""
    *names, last = (item.opts[0] for item in repeated)
    return f"{quoted}repeat {' or '.join([', '.join(names), last] if names else [last])}"


def _perhaps(near: list[str]) -> str | None:
    return f"perhaps you mean {' or '.join(near)}" if near else None


def _typed(option: str) -> str:
    return option if _OPTION.fullmatch(option) else "of that name"


def _system_refusal(error: OSError) -> str:
    refusal = (error.strerror or "the system refused to read or write").lower()
    if not isinstance(error.filename, str | bytes):
        return refusal
    # A plate typed in place of a file's name is not repeated.
    return f"{refusal}: {spoken_name(Path(os.fsdecode(error.filename)))}"


def _own_frames(error: BaseException) -> list[str]:
    frames = []
    for summary in traceback.extract_tb(error.__traceback__):
        path = Path(summary.filename)
        if path.is_relative_to(_OWN_FILES):
            frames.append(f"{path.relative_to(_OWN_FILES.parent).as_posix()}:{summary.lineno}")
    return frames[-_FRAMES_SHOWN:]

"""The one place that writes to the terminal.

- What a command was asked for goes to standard output, all talk (progress, warnings, questions) to standard error.
- Nothing is interpreted: markup and highlighting are off, so a bracket in a name is a bracket; control characters of a
  name are shown as escapes, so that a partner's name cannot move the cursor or colour a verdict.
- Nothing needs colour. A table fits the terminal, and 80 columns elsewhere. A line of text is folded between words on a
  terminal only: in a pipe or a file it stays one line; and what is meant to be copied is never folded.
- For machines the same result is one JSON object: ``{"format": 1, "command": …, "status": …, "result": …}``.
"""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
import sys
import textwrap
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from enum import Enum
from fractions import Fraction
from pathlib import Path, PurePath
from typing import IO, Any

from anpr_share.errors import UsageError

FORMAT = 1
"""The version of the JSON envelope; a reader refuses one that it does not know."""

PATIENCE, REDRAW_EVERY, LOG_EVERY = 2.0, 0.2, 10.0
"""Seconds: before progress shows, between two states of its line, between two lines of a log."""

_LABEL = re.compile(r"\s*\S+(?: \S+)*?\s{2,}|\s+")
"""What begins a line, with text in a column of its own after it."""

STATUS = {0: "success", 1: "no"}
"""The envelope's ``status`` by exit code; every other code is an ``error``."""


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under headings; numbers (``int``) stand to the right."""

    headings: Sequence[str]
    rows: Sequence[Sequence[str | int]]


@dataclass(frozen=True, slots=True)
class Verbatim:
    """Text that is never folded: a document, a command to copy, JSON."""

    text: str


Line = str | Table | Verbatim
"""One piece of what is shown: text that may be folded, rows, or text as it is."""


def near(path: PurePath) -> str:
    """A path as a person finds it: from here if it lies below the current directory, else whole."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)


def plain(text: str) -> str:
    """The text with every character that does not print written as an escape, line ends excepted."""
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode("ascii") for c in text)


def show(content: Iterable[Line]) -> None:
    """Write lines and tables to standard output."""
    for item in content:
        if isinstance(item, Table):
            table(item)
        elif isinstance(item, Verbatim):
            _write(item.text, sys.stdout)
        else:
            _write(_fitted(item, sys.stdout), sys.stdout)


def table(content: Table) -> None:
    """Write a table to standard output, at most as wide as the terminal, cells folded and never cut."""
    from rich.console import Console
    from rich.table import Table as RichTable
    from rich.text import Text

    numbers = [all(isinstance(cell, int) for cell in column) for column in zip(*content.rows, strict=True)]
    drawn = RichTable(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="")
    for index, heading in enumerate(content.headings):
        justify = "right" if numbers and numbers[index] else "left"
        drawn.add_column(Text(plain(heading)), overflow="fold", justify=justify)  # type: ignore[arg-type] # a Literal
    for row in content.rows:
        drawn.add_row(*(Text(f"{cell:,}" if isinstance(cell, int) else plain(cell)) for cell in row))
    console = Console(file=sys.stdout, markup=False, highlight=False, emoji=False, color_system=None)
    with console.capture() as capture:
        console.print(drawn)
    # A table is padded to its width: the blanks at the ends of lines help nobody.
    _write("\n".join(line.rstrip() for line in capture.get().splitlines()), sys.stdout)


def say(text: str) -> None:
    """Tell the person at the terminal something that is not the result."""
    _write(_fitted(text, sys.stderr), sys.stderr)


def warn(text: str) -> None:
    """Tell the person at the terminal about something that may be wrong."""
    say(f"warning: {text}")


def error(message: str, hint: str | None = None) -> None:
    """Say what is wrong, and what to do next."""
    say(f"error: {message}")
    if hint is not None:
        say(f"hint: {hint}")


def ask(question: str, *, instead: str) -> bool:
    """Ask a question that only "yes" or "y" answers with yes.

    Args:
        question: what is asked, without its question mark.
        instead: how to give the answer where nobody can be asked, for the hint of the error.

    Raises:
        UsageError: standard input is not a terminal.
    """
    if not sys.stdin.isatty():
        raise UsageError("this needs an answer, and nobody can be asked here", hint=instead)
    sys.stderr.write(plain(_fitted(f"{question}? [yes/no] ", sys.stderr)))
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in {"yes", "y"}


@contextmanager
def progress(*, quiet: bool = False) -> Iterator[Callable[[str], None]]:
    """What work calls with one short line whenever it has come further.

    On a terminal each line takes the place of the one before, and the last is wiped; elsewhere, in a log, one line in
    `LOG_EVERY` seconds stays. Nothing shows of work that is done within `PATIENCE`, or under ``quiet``.
    """
    begun = shown = time.monotonic()
    terminal = sys.stderr.isatty()
    width = 0  # of what stands on the terminal's line

    def tell(text: str) -> None:
        nonlocal shown, width
        now = time.monotonic()
        if quiet or now - begun < PATIENCE or now - shown < (REDRAW_EVERY if terminal else LOG_EVERY):
            return
        shown = now
        if not terminal:
            say(text)
            return
        line = plain(text).replace("\n", " ")[: shutil.get_terminal_size().columns - 1]
        sys.stderr.write("\r" + line.ljust(width))
        sys.stderr.flush()
        width = len(line)

    try:
        yield tell
    finally:
        if width:
            sys.stderr.write("\r" + " " * width + "\r")
            sys.stderr.flush()


def result_json(command: str, code: int, result: object) -> str:
    """The envelope of a command that came to an end.

    Args:
        command: its name as typed, such as ``profile show``.
        code: its exit code: 0 or 1.
        result: a frozen dataclass, or anything else that `as_json` takes.
    """
    return _dumps({"format": FORMAT, "command": command, "status": STATUS[code], "result": as_json(result)})


def error_json(command: str, *, code: str, message: str, hint: str | None, step: int | None) -> str:
    """The envelope of a command that failed; ``step`` is the step of the verification that did."""
    told = {"code": code, "message": message, "hint": hint, "step": step}
    return _dumps({"format": FORMAT, "command": command, "status": "error", "error": told})


def as_json(value: object) -> Any:
    """A result as the json module takes it: dataclasses as objects, dates in ISO form, paths as text.

    Times must be aware, and are written in UTC with a ``Z``. A fraction becomes the nearest float.

    Raises:
        TypeError: a value of another type, bytes above all: a secret has no JSON form.
    """
    if value is None or (isinstance(value, str | int | float) and not isinstance(value, Enum)):
        return value
    if isinstance(value, Enum):
        return as_json(value.value)
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise TypeError("a time without a zone has no JSON form")
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, Fraction):
        return float(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: as_json(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if callable(fields := getattr(value, "model_dump", None)):
        return as_json(fields())  # a part of a document, such as the quality record
    if isinstance(value, Mapping):
        return {_key(key): as_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [as_json(item) for item in value]
    raise TypeError(f"a {type(value).__name__} has no JSON form")


def _key(key: object) -> str:
    text = as_json(key)
    if not isinstance(text, str):
        raise TypeError(f"a {type(key).__name__} has no JSON form as a name")
    return text


def _dumps(value: object) -> str:
    # ASCII, because the reader's encoding is unknown; no NaN, because it is not JSON.
    return json.dumps(value, ensure_ascii=True, allow_nan=False)


def _fitted(text: str, stream: IO[str]) -> str:
    """On a terminal, the text with lines that are too long folded between words, under their beginning."""
    if not stream.isatty():
        return text
    width = shutil.get_terminal_size().columns
    return "\n".join(line if len(line) < width else _folded(line, width - 1) for line in text.split("\n"))


def _folded(line: str, width: int) -> str:
    label = _LABEL.match(line)
    kept = len(line) - len(line.lstrip())
    indent = len(label[0]) if label and len(label[0]) <= width // 2 else kept + 2
    # The question's last blank keeps the answer away from it.
    end = line[len(line.rstrip()) :]
    folded = textwrap.wrap(
        line.strip(),
        max(width, 20),
        initial_indent=line[:kept],
        subsequent_indent=" " * indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return "\n".join(folded) + end


def _write(text: str, stream: IO[str]) -> None:
    stream.write(plain(text) + "\n")
    stream.flush()

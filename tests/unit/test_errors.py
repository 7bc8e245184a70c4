"""Every refusal that a person can reach says what to do next."""

from __future__ import annotations

import ast
import traceback
from pathlib import Path

import pytest

from anpr_share.errors import UsageError

PACKAGE = Path(__file__).resolve().parents[2] / "anpr_share"
KINDS = {"InputError", "UsageError", "PolicyError", "LockedError", "StorageError"}
ROOMS = ("cli", "work", "site", "tables", "documents", "synthetic", "api.py", "files.py", "toml.py")
"""What commands call. The other rooms raise UsageError for wrong calls of the library."""

# Faults of this program, which no typing reaches; and one place that hands on a text, whose step has a hint of its own.
WITHOUT = {("cli/common.py", "there is no program to run a command with"), ("work/verifying.py", "message")}

MODULES = sorted(
    path for name in ROOMS for path in ([PACKAGE / name] if name.endswith(".py") else (PACKAGE / name).rglob("*.py"))
)


def unhelpful(path: Path) -> set[tuple[str, str]]:
    calls = [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]
    return {
        (path.relative_to(PACKAGE).as_posix(), ast.unparse(call.args[0]).strip("'"))
        for call in calls
        if isinstance(call.func, ast.Name)
        and call.func.id in KINDS
        and not any(keyword.arg == "hint" for keyword in call.keywords)
    }


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_a_refusal_has_a_hint(path: Path) -> None:
    assert unhelpful(path) <= WITHOUT


def test_a_traceback_shows_the_hint_and_the_message_is_still_itself() -> None:
    error = UsageError("it was put wrongly", hint="put it otherwise")

    told = traceback.format_exception(error)
    assert told[-2:] == ["anpr_share.errors.UsageError: it was put wrongly\n", "hint: put it otherwise\n"]
    assert str(error) == "it was put wrongly"
    assert traceback.format_exception(UsageError("x"))[-1].endswith(": x\n")


def test_the_exceptions_are_still_there() -> None:
    assert set().union(*(unhelpful(path) for path in MODULES)) == WITHOUT

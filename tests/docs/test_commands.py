"""The page on commands has every command with every option, no others, and the exit codes of the errors."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from anpr_share import errors
from anpr_share.cli import main
from anpr_share.cli.failures import INTERNAL, INTERRUPTED, PIPE_CLOSED
from tests.support import tree

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "commands.md").read_text(encoding="utf-8")
COMMON = {"--site", "--json", "--passphrase-file", "--actor", "--quiet", "--help"}
ROW = re.compile(r"^\| `([^`]+)` \|", re.MULTILINE)


def sections() -> dict[str, str]:
    parts = re.split(r"^#{2,3} `?([^`\n]+)`?$", PAGE, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


COMMANDS = tree.commands()


def test_every_command_has_its_section_and_nothing_else_has() -> None:
    headings = re.findall(r"^### `(.+)`$", PAGE, re.MULTILINE)

    assert sorted(headings) == sorted(COMMANDS)


def test_commands_stand_under_the_heading_that_help_lists_them_under(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["--help"]) == 0

    told = re.findall(r"^(\w+):$", capsys.readouterr().out, re.MULTILINE)
    written = re.findall(r"^## (\w+)$", PAGE, re.MULTILINE)

    assert written == [name for name in told if name != "Options"]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_of_a_command_is_explained_and_no_other(name: str) -> None:
    told = {cell.split(" ")[0].strip("[]") for cell in ROW.findall(sections()[name])}

    taken = set()
    for parameter in COMMANDS[name].params:
        if parameter.param_type_name == "argument":
            taken.add((parameter.metavar or parameter.name.upper()).strip("[]{}."))
        else:
            taken.update(set(parameter.opts) - COMMON)

    assert told == taken


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_an_example(name: str) -> None:
    assert f"`anpr-share {name}" in sections()[name].replace("\n", " ")


def test_the_common_options_are_those_of_every_command() -> None:
    explained = {cell.split(" ")[0] for cell in ROW.findall(sections()["Options of every command"])}

    assert explained == COMMON
    for command in COMMANDS.values():
        assert {option for parameter in command.params for option in parameter.opts} >= COMMON - {"--help"}


def test_the_exit_codes_are_those_of_the_errors() -> None:
    rows = re.findall(r"^\| (\d+) \| .+? \|(.*)\|$", sections()["Exit codes"], re.MULTILINE)
    told = {int(code): set(re.findall(r"`(\w+)`", names)) for code, names in rows}

    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and kind is not errors.AnprShareError]
    raised: dict[int, set[str]] = {0: set(), INTERNAL: set(), INTERRUPTED: set(), PIPE_CLOSED: set()}
    for kind in kinds:
        if issubclass(kind, errors.AnprShareError):
            raised.setdefault(kind.exit_code, set()).add(kind.__name__)

    assert told == raised

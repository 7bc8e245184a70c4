"""Help as a person reads it in a terminal of 80 columns: nothing cut, everything named, an example for each command."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from anpr_share.cli import main
from tests.support import tree

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "commands.md").read_text(encoding="utf-8")
LINES = 54
"""What a terminal shows at once."""


EVERYTHING, COMMANDS, GROUPS = tree.everything(), tree.commands(), tree.groups()


@pytest.fixture
def helped(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    def read(name: str, columns: int = 80) -> list[str]:
        monkeypatch.setenv("COLUMNS", str(columns))
        assert main.run([*name.split(), "--help"]) == 0
        return capsys.readouterr().out.splitlines()

    return read


@pytest.mark.parametrize("name", EVERYTHING)
def test_help_fits_the_terminal_and_cuts_nothing(name: str, helped: Any) -> None:
    lines = helped(name)

    assert max(map(len, lines)) <= 80
    assert len(lines) < LINES
    assert [line for line in lines if line.endswith(("...", "\u2026")) and not line.startswith("Usage:")] == []
    assert not any("None" in line for line in lines)


@pytest.mark.parametrize("name", GROUPS)
def test_each_command_of_a_list_has_one_whole_line(name: str, helped: Any) -> None:
    lines = helped(name)

    for command, found in GROUPS[name].commands.items():
        [line] = [line for line in lines if re.match(rf"  {command}  ", line)]
        assert line.split(None, 1)[1] == " ".join(found.help.partition("\n\n")[0].split())


@pytest.mark.parametrize("name", EVERYTHING)
def test_everything_that_can_be_typed_is_explained(name: str) -> None:
    for parameter in EVERYTHING[name].params:
        assert parameter.help, parameter.name
        flag = parameter.param_type_name == "option" and parameter.is_flag
        assert flag or parameter.metavar, parameter.name


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_an_example_that_the_page_has_too(name: str, helped: Any) -> None:
    example = COMMANDS[name].epilog

    assert example.startswith(f"anpr-share {name}")
    assert all(f"  {line}" in helped(name) for line in example.splitlines())
    typed = " ".join(example.replace("\\\n", " ").split())
    assert f"`{typed}" in " ".join(PAGE.split())


@pytest.mark.parametrize("name", ["", "export"])
def test_a_narrow_terminal_folds_and_does_not_fail(name: str, helped: Any) -> None:
    assert helped(name, columns=40)

"""The walk-through does what it says: every block of it is run, in order, in an empty folder.

Shell lines are run in this process, because starting the program forty times would take a minute. They may use only
what `Shell` knows, which any POSIX shell does alike.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from anpr_share.cli import main

PAGE = Path(__file__).resolve().parents[2] / "docs" / "walkthrough.md"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
EXPECTED = re.compile(r"\s+# exit code (\d+)$")


def blocks() -> list[tuple[str, str]]:
    return BLOCK.findall(PAGE.read_text(encoding="utf-8"))


class Shell:
    """``export A=B``, ``. FILE``, and ``anpr-share …`` with ``$A``, ``> FILE`` and ``# exit code N``."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch = monkeypatch
        self._capfd = capfd

    def run(self, text: str) -> None:
        for line in text.splitlines():
            if line:
                self._line(line)

    def _line(self, line: str) -> None:
        expected = EXPECTED.search(line)
        plain = re.sub(r"\$([A-Z]+)", lambda match: os.environ[match[1]], EXPECTED.sub("", line))
        words = shlex.split(plain)
        match words:
            case ["export", setting]:
                name, _, value = setting.partition("=")
                self._monkeypatch.setenv(name, value)
            case [".", file]:
                self.run(Path(file).read_text(encoding="utf-8"))
            case ["anpr-share", *arguments, ">", file]:
                self._command(line, arguments, 0)
                Path(file).write_text(self._capfd.readouterr().out, encoding="utf-8")
            case ["anpr-share", *arguments]:
                self._command(line, arguments, int(expected[1]) if expected else 0)
            case _:
                pytest.fail(f"the walk-through uses more of a shell than its test knows: {line}")

    def _command(self, line: str, arguments: list[str], expected: int) -> None:
        self._capfd.readouterr()
        code = main.run(arguments)
        if code != expected:
            pytest.fail(f"{line}\nexit code {code}: {self._capfd.readouterr().err}")


def test_every_block_runs_and_the_counts_add_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    shell = Shell(monkeypatch, capfd)
    names: dict[str, object] = {"__name__": "walkthrough"}

    for language, text in blocks():
        match language:
            case "sh":
                shell.run(text)
            case "python":
                exec(compile(text, str(PAGE), "exec"), names)
            case "toml":
                name = text.splitlines()[0].removeprefix("# ")
                (tmp_path / name).write_text(text, encoding="utf-8")

    linked = names["linked"]
    assert getattr(linked, "height", 0) > 0
    assert not list(tmp_path.rglob(".anpr-share-*"))


def test_every_block_is_of_a_kind_that_is_run() -> None:
    assert {language for language, _ in blocks()} == {"sh", "python", "toml"}
    assert all(text.startswith("# ") for language, text in blocks() if language == "toml")


@pytest.mark.parametrize("page", [PAGE, PAGE.parents[1] / "README.md"], ids=lambda page: page.name)
def test_how_the_program_comes_onto_the_path_is_said_before_it_is_used(page: Path) -> None:
    before = re.split(r"^(?:anpr-share|with Site)", page.read_text(encoding="utf-8"), flags=re.MULTILINE)[0]

    assert "`. .venv/bin/activate`" in before
    assert r"`.venv\Scripts\Activate.ps1`" in before


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
def test_a_real_shell_reads_the_shell_blocks() -> None:
    script = "\n".join(text for language, text in blocks() if language == "sh")

    done = subprocess.run(["bash", "-n"], input=script, text=True, capture_output=True, check=False)

    assert (done.returncode, done.stderr) == (0, "")

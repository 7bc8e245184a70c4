"""Pages of the documentation whose blocks are run, in order, in one folder.

Shell lines are run in this process, because starting the program forty times would take a minute. They may use only
what `Shell` knows, which any POSIX shell does alike.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from anpr_share.cli import main
from tests.support.sites import quick_opening

DOCS = Path(__file__).resolve().parents[2] / "docs"
WALKTHROUGH, BACKUP, FEASIBILITY = (DOCS / f"{name}.md" for name in ("walkthrough", "backup", "feasibility"))
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
EXPECTED = re.compile(r"\s+# exit code (\d+)$")
TOOLS = {"mkdir", "cp", "mv", "rm", "chmod"}


def blocks(page: Path, before: str | None = None) -> list[tuple[str, str]]:
    """The language and the text of each block, up to the heading ``before``."""
    text = page.read_text(encoding="utf-8")
    return BLOCK.findall(text if before is None else text[: text.index(f"\n## {before}\n")])


class Shell:
    """``export A=B``, ``. FILE``, and ``anpr-share …`` with ``$A``, ``> FILE`` and ``# exit code N``; file tools."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch = monkeypatch
        self._capfd = capfd

    def run(self, text: str) -> None:
        """Run each line."""
        for line in text.splitlines():
            if line:
                self._line(line)

    def _line(self, line: str) -> None:
        expected = EXPECTED.search(line)
        plain = re.sub(r"\$([A-Z]+)", lambda match: os.environ[match[1]], EXPECTED.sub("", line))
        words = shlex.split(plain, comments=True)
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
            case [tool, *_] if tool in TOOLS:
                subprocess.run(words, check=True)
            case _:
                pytest.fail(f"a page uses more of a shell than its test knows: {line}")

    def _command(self, line: str, arguments: list[str], expected: int) -> None:
        self._capfd.readouterr()
        code = main.run(arguments)
        if code != expected:
            pytest.fail(f"{line}\nexit code {code}: {self._capfd.readouterr().err}")


def run(page: Path, folder: Path, shell: Shell, names: dict[str, object], before: str | None = None) -> None:
    """Run every block of a page in ``folder``, which is where the process stands; Python blocks share ``names``.

    ``before`` is the heading to stop at.
    """
    with quick_opening():
        for language, text in blocks(page, before):
            match language:
                case "sh":
                    shell.run(text)
                case "python":
                    exec(compile(text, str(page), "exec"), names)
                case "toml":
                    name = text.splitlines()[0].removeprefix("# ")
                    (folder / name).write_text(text, encoding="utf-8")

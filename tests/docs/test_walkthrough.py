"""The walk-through does what it says: every block of it is run, in order, in an empty folder."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.pages import BACKUP, DOCS, FEASIBILITY, WALKTHROUGH, Shell, blocks, run


def test_every_block_runs_and_the_counts_add_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "walkthrough"}

    run(WALKTHROUGH, tmp_path, Shell(monkeypatch, capfd), names)

    linked = names["linked"]
    assert getattr(linked, "height", 0) > 0
    assert not list(tmp_path.rglob(".anpr-share-*"))


def test_every_block_is_of_a_kind_that_is_run() -> None:
    assert {language for language, _ in blocks(WALKTHROUGH)} == {"sh", "python", "toml"}
    assert all(text.startswith("# ") for language, text in blocks(WALKTHROUGH) if language == "toml")


@pytest.mark.parametrize("page", [WALKTHROUGH, DOCS.parent / "README.md"], ids=lambda page: page.name)
def test_how_the_program_comes_onto_the_path_is_said_before_it_is_used(page: Path) -> None:
    before = re.split(r"^(?:anpr-share|with Site)", page.read_text(encoding="utf-8"), flags=re.MULTILINE)[0]

    assert "`. .venv/bin/activate`" in before
    assert r"`.venv\Scripts\Activate.ps1`" in before


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
@pytest.mark.parametrize(
    "page",
    [WALKTHROUGH, BACKUP, FEASIBILITY, DOCS / "feasibility-sharing.md", DOCS / "risk.md"],
    ids=lambda page: page.name,
)
def test_a_real_shell_reads_the_shell_blocks(page: Path) -> None:
    script = "\n".join(text for language, text in blocks(page) if language == "sh")

    done = subprocess.run(["bash", "-n"], input=script, text=True, capture_output=True, check=False)

    assert (done.returncode, done.stderr) == (0, "")

"""The page on backups does what it says: every block of it is run, in order, before the walk-through ends."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.pages import BACKUP, WALKTHROUGH, Shell, blocks, run


def test_every_block_runs_before_the_walk_through_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    shell, names = Shell(monkeypatch, capfd), dict[str, object](__name__="backup")
    run(WALKTHROUGH, tmp_path, shell, names, before="11. The end")

    run(BACKUP, tmp_path, shell, names)

    assert Path("moved.csv").read_text(encoding="utf-8") == Path("restored.csv").read_text(encoding="utf-8")
    backed_up = {path.relative_to("backup").as_posix() for path in Path("backup").rglob("*") if path.is_file()}
    kept = ("site.toml", "identity.json", "vault.db", "site.db")
    assert backed_up == {f"{site}/{name}" for site in ("university", "north") for name in kept}
    assert {path.name for path in Path().iterdir() if (path / "site.toml").exists()} == {"north", "south", "university"}
    assert not list(tmp_path.rglob(".anpr-share-*"))


def test_every_block_is_of_a_kind_that_is_run_and_none_backs_up_the_keys() -> None:
    assert {language for language, _ in blocks(BACKUP)} == {"sh", "python"}
    assert not any("keys.db" in text for _, text in blocks(BACKUP))

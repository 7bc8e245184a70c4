"""The pages on sharing a feasibility check and on disclosure risk do what they say: every block of them is run."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.pages import DOCS, Shell, blocks, run

LEFT = {
    "feasibility-sharing": {
        *("north", "south", "passphrase.txt", "north-targets.csv", "south-targets.csv"),
        *("northshire.json", "southshire.json"),
    },
    "risk": {
        *("reads.csv", "my-reads.toml", "draft.toml", "strict.toml", "risk.html"),
    },
}


@pytest.mark.parametrize("name", LEFT)
def test_every_block_runs(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)

    run(DOCS / f"{name}.md", tmp_path, Shell(monkeypatch, capfd), {"__name__": name})

    assert {path.name for path in tmp_path.iterdir()} == LEFT[name]


@pytest.mark.parametrize("name", LEFT)
def test_every_block_is_of_a_kind_that_is_run(name: str) -> None:
    page = DOCS / f"{name}.md"

    assert {language for language, _ in blocks(page)} == {"sh", "python"}
    assert page.read_text(encoding="utf-8").count("```") == 2 * len(blocks(page))

"""The page on feasibility does what it says, and explains every step, reason and condition in the report's words."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from anpr_share.feasibility.funnel import REASONS
from anpr_share.reports.feasibility_words import CONDITIONS, STEPS, VERDICTS
from anpr_share.tables import profile
from tests.support.pages import DOCS, FEASIBILITY, Shell, run

PAGE = FEASIBILITY.read_text(encoding="utf-8")
ROWS = re.compile(r"^\| `([\w-]+)` \| (.+?) \| (.+?) \|$", re.MULTILINE)


def test_every_block_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)

    run(FEASIBILITY, tmp_path, Shell(monkeypatch, capfd), {"__name__": "feasibility"})

    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *("my-reads.toml", "my-targets.toml", "reads.csv", "targets.csv")
    ]


def test_every_verdict_condition_and_step_has_its_row_in_the_words_of_the_report() -> None:
    rows = {name: words for name, words, _ in ROWS.findall(PAGE)}

    assert rows == {str(name): words for each in (CONDITIONS, STEPS) for name, words in each.items()}
    assert all(f"| {words} |" in PAGE for words in VERDICTS.values())


def test_every_reason_stands_in_the_row_of_its_step() -> None:
    told = {name: re.findall(r"`([a-z]+(?:-[a-z]+)*|victim)`", why) for name, _, why in ROWS.findall(PAGE)}

    for step, reasons in REASONS.items():
        assert [code for code in told[step] if code in reasons] == list(reasons), step


def test_the_defaults_of_the_settings_are_told() -> None:
    text = (DOCS / "profiles.md").read_text(encoding="utf-8")
    section = text[text.index("\n## What feasibility goes by") : text.index("\n## Times and dates")]
    told = {key: default.strip("`") for key, default, _ in ROWS.findall(section)}

    for name, field in profile.FeasibilitySettings.model_fields.items():
        default = {"steps": "all nine", "offences": "all"}.get(name, field.default)
        assert told.pop(name) == (f'"{default}"' if name in {"retention", "timezone"} else str(default))
    assert told == {}

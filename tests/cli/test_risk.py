"""``risk`` as a data protection officer runs it: a sentence first, figures behind it, and never a name."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from anpr_share.documents.draft import draft_toml
from anpr_share.errors import AnprShareError
from anpr_share.periods import RESOLUTIONS
from anpr_share.synthetic import PLAIN_PROFILE, Scenario, write_reads_csv
from tests.support import documents, sites, week
from tests.support.sites import AGREEMENT, NOW, Done, call

WEEK = Scenario(first=NOW.date().replace(day=1), days=7, reads_per_day=3_000, cameras=20, repeated_hour=False)


@pytest.fixture(scope="module")
def made_up(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A made-up week, its profile and a draft."""
    folder = tmp_path_factory.mktemp("made-up")
    write_reads_csv(folder / "week.csv", WEEK)
    (folder / "week.toml").write_text(PLAIN_PROFILE, encoding="utf-8")
    write_draft(folder / "draft.toml")
    return folder


def write_draft(path: Path) -> None:
    parties = [documents.FORCE.identity, documents.UNIVERSITY.identity]
    path.write_text(sites.filled_in(draft_toml(parties, NOW.date(), None)), encoding="utf-8")


def risk(folder: Path, *more: object) -> Done:
    given = ("--reads", folder / "week.csv", "--profile", folder / "week.toml", "--agreement", folder / "draft.toml")
    return call([str(word) for word in ("risk", *given, *more)])


def test_a_sentence_comes_first_and_every_line_fits(made_up: Path, temporary: Path) -> None:
    done = risk(made_up)

    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    assert lines[0].startswith("4 reads are enough to single out ")
    assert lines[0].endswith(")")
    assert f"  {WEEK.rows - WEEK.unreadable:,} reads of {WEEK.plates:,} vehicles at 20 cameras" in lines
    assert any(line.startswith("* the minute") for line in lines)
    assert "anonym" not in done.out
    assert all(len(line) <= 80 for line in lines if not line.startswith(("- ", "note: ")))


def test_the_same_in_json_for_programs(made_up: Path, temporary: Path) -> None:
    result = risk(made_up, "--json").result

    assert result["agreement"] == AGREEMENT
    assert [curve["resolution"] for curve in result["release"]["curves"]] == list(RESOLUTIONS)[1:]
    assert [item["points"] for item in result["release"]["curves"][0]["curve"]] == [1, 2, 3, 4, 5, 6]
    assert sum(choice["agreed"] for choice in result["choices"]) == 1
    assert result["released"] is None
    assert result["key"]["per_second"] > 10_000


def test_several_extracts_are_one_release(made_up: Path, temporary: Path, tmp_path: Path) -> None:
    lines = (made_up / "week.csv").read_text(encoding="utf-8").splitlines(keepends=True)
    for number, some in enumerate((lines[1:9_000], lines[9_000:])):
        (tmp_path / f"part-{number}.csv").write_text("".join([lines[0], *some]), encoding="utf-8")
    given = ("--profile", made_up / "week.toml", "--agreement", made_up / "draft.toml", "--json")

    done = call([str(word) for word in ("risk", "--reads", tmp_path / "part-*.csv", *given)])

    one, several = risk(made_up, "--json").result["release"], done.result["release"]
    for name in ("reads", "vehicles", "cameras", "by_camera", "by_vehicle", "scarce", "rejoined"):
        assert several[name] == one[name], name


def test_by_its_id_what_was_exported_counts_too(tmp_path: Path, temporary: Path) -> None:
    made = sites.world("exported", tmp_path / "world")
    given = ("--reads", made.root / "reads.csv", "--profile", "plain-reads", "--agreement", AGREEMENT)

    done = made.ok("risk", *given, site="lancs")

    assert "released    1 bundle before, of 3 days" in done.out
    assert made.ok("--json", "risk", *given, site="lancs").result["so_far"] is None
    assert made.events("lancs")[-1] != "consultation"


def test_a_file_wins_over_an_id_and_needs_no_site(
    tmp_path: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = sites.world("drafted", tmp_path / "world")
    monkeypatch.chdir(made.root)
    (made.root / "draft.toml").rename(made.root / "draft")

    done = made.run(
        "risk", "--reads", "reads.csv", "--profile", "plain-reads", "--agreement", "draft", passphrase=False
    )

    assert done.code == 0, done.err
    assert f"agreement   {AGREEMENT}, version 1, not signed by all" in done.out


HOSTILE = {
    "nothing": b"",
    "no text": b"\xff\xfe\x00\x01" * 100,
    "a header alone": b"vrm,camera,captured_at,confidence\n",
    "no columns": b"a,b\n1,2\n",
    "a NUL": b"vrm,camera,captured_at,confidence\nAB12CDE\x00,C,2026-10-01T10:00:00Z,1\n",
    "one cell of a megabyte": b"vrm,camera,captured_at,confidence\n"
    + b"A" * 1_000_000
    + b",C,2026-10-01T10:00:00Z,1\n",
    "the future": b"vrm,camera,captured_at,confidence\nAB12CDE,C,2099-10-01T10:00:00Z,1\n",
    "a damaged Parquet file": b"PAR1" + bytes(100) + b"PAR1",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_extract_is_refused_in_our_words(name: str, tmp_path: Path, temporary: Path) -> None:
    write_draft(tmp_path / "draft.toml")
    (tmp_path / "reads.csv").write_bytes(HOSTILE[name])
    given = ("--profile", "plain-reads", "--agreement", tmp_path / "draft.toml")

    done = call([str(word) for word in ("risk", "--reads", tmp_path / "reads.csv", *given)])

    assert done.code in {AnprShareError.exit_code, 3}, done
    assert done.err.startswith("error: ")
    assert "internal error" not in done.err
    assert "AB12CDE" not in done.err + done.out


KILLED = """
import os, signal, sys
from datetime import datetime
from anpr_share.cli import main
from anpr_share.work import minimising
minimising.ReadsPipeline.__init__.__kwdefaults__["buffered_rows"] = 1000
now = datetime.fromisoformat(sys.argv.pop(1))
def killed(self):
    self._spill()
    os.kill(os.getpid(), signal.SIGKILL)
minimising.ReadsPipeline.released = killed
main.run(sys.argv[1:], clock=lambda: now)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows kills otherwise")
def test_what_a_killed_run_leaves_nobody_can_read(made_up: Path, tmp_path: Path) -> None:
    given = ("--reads", made_up / "week.csv", "--profile", made_up / "week.toml", "--agreement", made_up / "draft.toml")
    done = subprocess.run(
        [sys.executable, "-c", KILLED, NOW.isoformat(), "risk", *map(str, given)],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        capture_output=True,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr

    left = [path for path in tmp_path.rglob("*") if path.is_file()]
    plates = {line.partition(",")[0] for line in (made_up / "week.csv").read_text("utf-8").splitlines()[1:]}
    assert left
    assert [path.parent.stat().st_mode & 0o077 for path in left] == [0] * len(left)
    for path in left:
        data = path.read_bytes()
        assert data[:4] == data[-4:] == b"PARE"
        assert not any(plate.encode() in data for plate in plates if len(plate) >= 7)
        with pytest.raises(pl.exceptions.PolarsError):
            pl.read_parquet(path)


@week.needed
def test_a_real_week_is_looked_at_without_a_value(tmp_path: Path, temporary: Path) -> None:
    write_draft(tmp_path / "draft.toml")
    (tmp_path / "week.toml").write_text(week.READS_PROFILE, encoding="utf-8")
    given = ("--reads", week.READS, "--profile", tmp_path / "week.toml", "--agreement", tmp_path / "draft.toml")
    argv = [str(word) for word in ("risk", *given)]

    done = call(argv)
    result = call([*argv, "--json"]).result

    assert done.code == 0, done.err
    assert result["release"]["reads"] > 10_000
    assert result["release"]["curves"][0]["curve"][3]["known"]["share"] > 0.9
    assert done.out.splitlines()[0].startswith("4 reads are enough to single out ")


def test_the_page_is_a_new_file(made_up: Path, tmp_path: Path, temporary: Path) -> None:
    page = tmp_path / "risk.html"
    done = risk(made_up, "--html", page)

    assert done.code == 0
    assert done.out.endswith("risk.html: open it in a browser, or print it\n")
    text = page.read_text(encoding="utf-8")
    assert text.startswith("<!DOCTYPE html>")
    assert f"{WEEK.plates:,}" in text
    again = risk(made_up, "--html", page)
    assert (again.code, page.read_text(encoding="utf-8")) == (6, text)


def test_the_context_of_cameras_is_told_as_the_k_rule_leaves_it(made_up: Path, tmp_path: Path, temporary: Path) -> None:
    cameras = tmp_path / "cameras.csv"
    rows = [f"SITE-{n},fixed,{'a-road' if n < 14 else 'motorway'}," for n in range(15)]
    cameras.write_text("camera,kind,road_class,area_type\n" + "".join(f"{row}\n" for row in rows), encoding="utf-8")
    given = ("--cameras", cameras, "--cameras-profile", "plain-cameras")

    done = risk(made_up, *given)

    assert done.code == 0
    assert "context of 15 cameras, so that 2 or more are alike:" in done.out
    assert "  2 combinations in the extract; 1 camera in rare ones" in done.out
    assert risk(made_up, *given, "--json").result["context"]["rare"] == 1
    alone = risk(made_up, "--cameras", cameras)
    assert alone.code == 2
    assert "go together" in alone.err


def test_a_name_that_is_neither_file_nor_site_is_asked_about(
    made_up: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    given = ("--reads", made_up / "week.csv", "--profile", made_up / "week.toml", "--agreement", "draft")
    done = call([str(word) for word in ("risk", *given)])

    assert done.code == 6
    assert "there is no file of that name here, and no site" in done.err
    assert "such as draft.toml" in done.err

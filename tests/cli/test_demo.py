"""The demonstration tells the whole story on made-up data, and leaves a directory to go on with."""

from __future__ import annotations

import functools
import os
import re
import shlex
import sys
import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from anpr_share.api import Site
from anpr_share.cli.common import Invocation
from anpr_share.cli.demo import DAYS, RECENT, _make_extracts, _program, _python, _Show, _window
from anpr_share.cli.main import run
from anpr_share.documents.manifest import LIMITS
from anpr_share.site.opened import OpenSite

NOW = datetime(2026, 11, 23, 10, tzinfo=UTC)
SITES = ("lancashire", "yorkshire", "university")


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, float]:
    """The demonstration's directory, what it said, and the processor time that it took."""
    from contextlib import redirect_stdout
    from io import StringIO

    root, said = tmp_path_factory.mktemp("demo") / "made", StringIO()
    before, started = dict(os.environ), time.process_time()
    with redirect_stdout(said):
        assert run(["demo", str(root)], clock=lambda: NOW) == 0
    assert dict(os.environ) == before
    return root, said.getvalue(), time.process_time() - started


def test_every_command_of_the_story_is_shown_and_every_count_adds_up(told: tuple[Path, str, float]) -> None:
    _, said, _ = told
    shown = re.findall(r"^\$ anpr-share (?:--site \S+ )?(?:--quiet )?(\S+)", said, re.MULTILINE)
    assert shown == (
        ["feasibility", *["init"] * 3, "agreement", "risk"]
        + ["agreement"] * 6
        + ["key", "request", "request", "check", "export", "export", "inspect", "load"]
        + ["load", "receipt"] * 2
        + ["link", "status", "receipt", "ledger", "ledger", "purge", "ledger", "audit"]
    )
    assert "\nclean: " in said
    for block in re.findall(r"^reads .*?rows in the extract\n(?:.*\n)*?next:", said, re.MULTILINE):
        counted = re.findall(r"([\d,]+)  (\S[^\n]*)", block.split("targets")[0])
        numbers = [(int(count.replace(",", "")), what) for count, what in counted]
        total = next(count for count, what in numbers if what.startswith("rows in"))
        parts = [count for count, what in numbers if what.startswith(("released", "rejected", "withheld"))]
        assert sum(parts) == total > 0


def test_it_takes_well_under_a_minute_of_the_processor(told: tuple[Path, str, float]) -> None:
    assert told[2] < 45


def test_it_leaves_three_sites_to_go_on_with(told: tuple[Path, str, float]) -> None:
    root, _, _ = told
    passphrase = (root / "passphrase.txt").read_bytes().removesuffix(b"\n")
    for name in SITES:
        with OpenSite.open(root / name, passphrase=passphrase, clock=lambda: NOW + timedelta(minutes=5)) as site:
            assert site.ledger.verify(site.identity.signing, site.identity.site).ok
    assert LIMITS.parts > len(list((root / "university" / "store").rglob("*.parquet"))) > DAYS
    assert (root / "linked.csv").read_text(encoding="utf-8").count("\n") > 100
    assert (root / "feasibility.txt").read_text(encoding="utf-8").startswith("verdict: ")
    assert (root / "risk.txt").read_text(encoding="utf-8").startswith("4 reads are enough to single out ")
    assert all((root / name).is_file() for name in ("feasibility.html", "risk.html"))


def test_the_readmes_python_runs_where_it_ended(told: tuple[Path, str, float], monkeypatch: pytest.MonkeyPatch) -> None:
    readme = (Path(__file__).resolve().parents[2] / "README.md").read_text(encoding="utf-8")
    names: dict[str, Any] = {}
    monkeypatch.chdir(told[0])
    monkeypatch.setattr(Site, "open", functools.partial(Site.open, clock=lambda: NOW + timedelta(minutes=5)))
    exec(readme.split("```python\n")[1].split("```")[0], names)
    assert names["linked"].height > 100


@pytest.mark.parametrize("started", [".venv/bin/anpr-share", ".venv/lib/anpr_share/__main__.py"])
def test_what_is_to_be_typed_next_works_in_any_directory(
    started: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / started
    program.parent.mkdir(parents=True)
    program.touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", os.fspath(tmp_path))
    monkeypatch.setattr(sys, "argv", [started])
    module = [sys.executable, "-m", "anpr_share"]
    assert shlex.split(_program()) == (module if program.name == "__main__.py" else [str(program)])
    assert shlex.split(_python()) == [sys.executable]


def test_what_is_to_be_typed_next_is_short_where_it_is_on_the_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("anpr-share", "python"):
        (tmp_path / name).touch(mode=0o700)
    monkeypatch.setenv("PATH", os.fspath(tmp_path))
    assert (_program(), shlex.split(_python())) == ("anpr-share", [sys.executable])
    monkeypatch.setattr(sys, "executable", os.fspath(tmp_path / "python3"))
    assert _python() == "python"


def test_the_story_is_folded_once(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    _Show(Invocation(clock=lambda: NOW)).story(1, "word four " * 40)
    told = capsys.readouterr().out.strip().splitlines()
    assert len(told) > 5
    assert min(map(len, told[:-1])) > 70


def test_a_directory_in_use_is_refused_and_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / "mine").write_text("mine", encoding="utf-8")
    assert run(["demo", str(tmp_path / "demo")], clock=lambda: NOW) == 2
    assert "demo is in use\nhint: name another directory" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "demo").iterdir()] == ["mine"]


@pytest.mark.parametrize("today", [date(2026, 10, 8), date(2027, 1, 19), date(2027, 3, 31), date(2027, 9, 2)])
def test_whatever_the_day_there_is_something_to_find(
    today: date, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    _make_extracts(_window(today)[0])
    given = ["--targets", "lancashire-targets.csv", "--targets-profile", "plain-targets", "--quiet"]
    given += ["--reads", "lancashire-reads.csv", "--reads-profile", "lancashire-reads.toml"]
    assert run(["feasibility", *given], clock=lambda: datetime(today.year, today.month, today.day, 9, tzinfo=UTC)) == 0


def test_on_every_day_of_ten_years_the_week_has_ended_and_may_be_shared() -> None:
    for number in range(3653):
        today = date(2026, 1, 1) + timedelta(days=number)
        first, last = _window(today)
        assert (last - first).days == DAYS - 1
        assert last < today
        assert (today - first).days < RECENT

"""A disk that is full or read-only: exit code 6, words, nothing half-done, and the next run works.

The faults are put in at the writes themselves, from the n-th on (see `tests.support.faults`), because a small disk can
be mounted neither in a container nor by a user who is not root, and root may write where the modes forbid it. What
SQLite and polars write out of our sight is met by real limits: of a file's size, and of a database's pages.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from anpr_share.synthetic import PLAIN_PROFILE, Scenario, write_reads_csv
from tests.support import crashes, jobs, sites
from tests.support.sites import Done, World

posix = pytest.mark.skipif(os.name == "nt", reason="Windows has neither fork nor limits of a process")

Record = Callable[[str, object], None]


@posix
@pytest.mark.parametrize(
    ("commands", "every", "least"),
    [
        (("load",), 4, 15),
        (("export",), 3, 12),
        (("request",), 2, 8),
        (("accept",), 2, 12),
        (("agreement sign", "key accept", "receipt create", "receipt accept", "load again", "pseudonymise"), 6, 16),
        (("notice recall", "notice apply"), 4, 8),
        (("close", "key destroy"), 4, 12),
        (("init", "partner add", "partner replace", "partner revoke", "passphrase change", "restore"), 6, 12),
    ],
)
def test_full_from_any_write_on_it_is_told_and_one_more_run_works(
    commands: tuple[str, ...], every: int, least: int, record_property: Record
) -> None:
    told = crashes.start(*commands, kind="full", every=every)

    assert told.wrongs == []
    assert told.points >= least
    record_property("points", told.points)


@posix
@pytest.mark.parametrize(
    ("command", "below"),
    [("export", "lancs/outbox"), ("load", "uni/store"), ("accept", "lancs/outbox"), ("close", "uni/store")],
)
def test_read_only_folders_are_told_and_one_more_run_works(command: str, below: str) -> None:
    told = crashes.start(command, kind="read-only", every=3, below=below)

    assert told.wrongs == []
    assert told.points > 1


# --- places that cannot be written to


@pytest.mark.skipif(sys.platform != "linux", reason="no other system has such a place")
def test_a_place_that_takes_no_files_is_refused_and_blocks_nothing(tmp_path: Path) -> None:
    made = sites.world("agreed", tmp_path / "w")
    failed = made.ask(out=Path("/proc/request.json"))
    assert failed.code == 6, failed.err
    assert made.ok("--json", "status", site="uni").result["warnings"] == []
    assert made.ask().code == 0


def test_a_directory_that_is_not_there_is_told_and_not_made(tmp_path: Path) -> None:
    made = sites.world("requested", tmp_path / "w")
    failed = made.export(out=made.root / "answers" / "lancs.anpr.zip")
    assert failed.code == 6
    assert "the directory of the output does not exist" in failed.err
    assert "hint: make it, or name another" in failed.err
    assert not (made.root / "answers").exists()


# --- real limits


def limited(made: World, argv: list[str | Path], site: str, limit: int) -> Done:
    """Run a command as a process that may write no file beyond ``limit`` bytes."""

    def limit_files() -> None:
        import resource

        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    start = (
        "import sys; from datetime import datetime; from anpr_share.cli import main;"
        f"sys.exit(main.run(sys.argv[1:], clock=lambda: datetime.fromisoformat({made.now.isoformat()!r})))"
    )
    common = ["--site", made.root / site, "--passphrase-file", made.passphrase_file]
    done = subprocess.run(
        [sys.executable, "-c", start, *map(str, [*common, *argv])],
        preexec_fn=limit_files,
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    return Done(done.returncode, done.stdout, done.stderr)


@pytest.fixture
def large(tmp_path: Path) -> World:
    """A world whose extract makes parts much larger than its databases."""
    made = sites.world("requested", tmp_path / "world")
    scenario = Scenario(first=sites.DAYS[0], days=len(sites.DAYS), reads_per_day=30_000, distinct=1.0)
    write_reads_csv(tmp_path / "large.csv", scenario)
    (tmp_path / "large.toml").write_text(PLAIN_PROFILE, encoding="utf-8")
    return made


def answer(made: World) -> list[str | Path]:
    folder = made.root.parent
    reads = ("--reads", folder / "large.csv", "--profile", folder / "large.toml")
    return ["export", "--request", made.request, *reads, "-o", made.bundle]


@posix
def test_parts_and_bundles_that_find_no_room(large: World) -> None:
    room = 2 * max(path.stat().st_size for path in large.root.glob("*/*.db"))
    before = sites.listing(large.root)

    done = limited(large, answer(large), "lancs", room)

    assert (done.code, done.out) == (6, "")
    assert "internal" not in done.err
    assert sites.listing(large.root) == before
    assert large.events("lancs").count("disclosure") == 0
    assert large.run(*answer(large), site="lancs").code == 0

    loading: list[str | Path] = ["load", large.bundle, "--receipt", large.receipt]
    before = sites.listing(large.root)

    done = limited(large, loading, "uni", room)

    assert (done.code, done.out) == (6, "")
    assert "internal" not in done.err
    assert sites.listing(large.root) == before
    assert large.run(*loading, site="uni").code == 0
    assert large.strays() == []


@posix
@pytest.mark.parametrize("command", ["export", "load"])
def test_databases_that_find_no_room(command: str, tmp_path: Path) -> None:
    made = sites.world(jobs.JOBS[command].stage, tmp_path / "world")
    exporting: list[str | Path] = ["export", "--request", made.request, "--reads", made.root / "reads.csv"]
    loading: list[str | Path] = ["load", made.bundle, "--receipt", made.receipt]
    argv = [*exporting, "--profile", "plain-reads", "-o", made.bundle] if command == "export" else loading

    done = limited(made, argv, "lancs" if command == "export" else "uni", 4096)

    assert done.code == 6
    assert "internal" not in done.err
    again = jobs.JOBS[command].command(made)
    assert again.code == 0, again.err
    jobs.JOBS[command].truth(made, again)


def test_a_place_that_is_no_folder_is_told(tmp_path: Path) -> None:
    made = sites.world("requested", tmp_path / "world")
    (made.root / "file").write_bytes(b"")

    done = made.export(out=made.root / "file" / "bundle.anpr.zip")

    assert done.code == 6
    assert json.loads(made.run("--json", "status", site="lancs").out)["result"]["warnings"] == []
    assert made.export().code == 0

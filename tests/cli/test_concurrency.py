"""Two commands at once: one truth, and the ledgers of all sites hold together.

Each command is a process of its own that waits, with everything loaded, for a word from the test.
"""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from anpr_share import Site
from anpr_share.errors import LockedError
from tests.support import jobs, sites, truths
from tests.support.sites import DAYS, Done, World

START = """
import sys
from datetime import datetime
from anpr_share.cli import main
from anpr_share.work import exporting, loading
print("ready", flush=True)
sys.stdin.readline()
now = datetime.fromisoformat(sys.argv[1])
sys.exit(main.run(sys.argv[2:], clock=lambda: now))
"""


class Waiting:
    """A command in a process of its own that begins at `go`."""

    def __init__(self, made: World, site: str, *argv: object) -> None:
        common = ["--json", "--site", str(made.root / site), "--passphrase-file", str(made.passphrase_file)]
        words = [made.now.isoformat(), *common, *(str(word) for word in argv)]
        self._process = subprocess.Popen(
            [sys.executable, "-c", START, *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n"

    def go(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def end(self) -> tuple[int, dict[str, Any], str]:
        """Exit code, JSON envelope and standard error, when it has ended."""
        out, err = self._process.communicate()
        return self._process.returncode, json.loads(out), err


def both(*commands: Waiting) -> list[tuple[int, dict[str, Any], str]]:
    for command in commands:
        command.go()
    return [command.end() for command in commands]


def intact(made: World) -> None:
    for site in sites.SITES:
        made.ok("ledger", "verify", site=site)
    assert made.strays() == []


def export(made: World, out: Path) -> Waiting:
    reads = ("--reads", made.root / "reads.csv", "--profile", "plain-reads")
    return Waiting(made, "lancs", "export", "--request", made.request, *reads, "-o", out)


def test_of_two_exports_of_a_window_one_answers_it(tmp_path: Path) -> None:
    made = sites.world("requested", tmp_path / "world")
    outs = [made.root / "a.anpr.zip", made.root / "b.anpr.zip"]

    ended = both(*(export(made, out) for out in outs))

    assert sorted(code for code, _, _ in ended) == [0, 4], ended
    assert [out.exists() for out in outs] == [code == 0 for code, _, _ in ended]
    (refused,) = [told["error"] for code, told, _ in ended if code == 4]
    assert "answered already" in refused["message"]
    events = made.events("lancs")
    assert (events.count("disclosure"), events.count("alteration")) == (1, 1)
    assert [state for (state,) in truths.table(made, "lancs", "SELECT state FROM request_window")] == ["used"]
    intact(made)


def test_of_two_exports_to_one_file_one_writes_it(tmp_path: Path) -> None:
    made = sites.world("requested", tmp_path / "world")

    ended = both(export(made, made.bundle), export(made, made.bundle))

    assert sorted(code for code, _, _ in ended) in ([0, 4], [0, 6]), ended
    made.bundle.rename(made.root / "moved.zip")
    assert made.run("verify", made.root / "moved.zip", site="uni").code == 0
    intact(made)


def test_of_two_loads_of_a_bundle_one_takes_it_and_both_say_so(tmp_path: Path) -> None:
    made = sites.world("exported", tmp_path / "world")
    receipts = [made.root / "a.json", made.root / "b.json"]

    ended = both(*(Waiting(made, "uni", "load", made.bundle, "--receipt", receipt) for receipt in receipts))

    assert [code for code, _, _ in ended] == [0, 0], ended
    assert sorted(told["result"]["again"] for _, told, _ in ended) == [False, True]
    assert receipts[0].read_bytes() == receipts[1].read_bytes()
    assert made.events("uni").count("collection") == 1
    linked = made.ok("--json", "link", "--purpose", "checking", site="uni")
    assert linked.result["rows"] == sites.LINKED
    intact(made)


def test_a_scan_sees_a_bundle_whole_or_not_at_all_while_it_is_loaded(tmp_path: Path) -> None:
    made = sites.world("loaded", tmp_path / "world")
    days = ("--from", DAYS[0], "--until", DAYS[-1])
    request, bundle = made.root / "second.json", made.root / "second.anpr.zip"
    made.ok("request", sites.AGREEMENT, "--to", "west-yorkshire-police", *days, "-o", request, site="uni")
    reads = ("--reads", made.root / "reads.csv", "--profile", "plain-reads")
    made.ok("export", "--request", request, *reads, "-o", bundle, site="wyp")
    load = Waiting(made, "uni", "load", bundle)

    seen = []
    with Site.open(made.root / "uni", passphrase_file=made.passphrase_file, clock=lambda: made.now) as site:
        load.go()
        while load.running:
            seen.append(site.scan("reads", purpose="counting").collect().height)
        code, told, err = load.end()
        seen.append(site.scan("reads", purpose="counting").collect().height)

    assert code == 0, (told, err)
    assert seen == sorted(seen)
    assert set(seen) <= {sites.READS, 2 * sites.READS}
    assert seen[-1] == 2 * sites.READS
    assert made.events("uni").count("consultation") == len(seen)
    intact(made)


class Asked(World):
    """A world in which a command is not run, but kept."""

    words: tuple[object, ...] = ()

    def run(self, *argv: object, site: str | None = None, passphrase: bool = True) -> Done:  # noqa: ARG002 # as World has it
        self.words = (site, *argv)
        return Done(0, "", "")


@pytest.mark.parametrize("name", ["accept", "agreement sign", "receipt accept"])
def test_the_same_command_twice_at_once_happens_once(name: str, tmp_path: Path) -> None:
    job = jobs.JOBS[name]
    made = sites.world(job.stage, tmp_path / "world")
    asked = Asked(made.root)
    job.command(asked)
    before = jobs.logged(made, job)

    ended = both(*(Waiting(made, job.site, *asked.words[1:]) for _ in range(2)))

    assert sorted(code for code, _, _ in ended) in [[0, code] for code in job.again], ended
    again = job.command(made)
    assert again.code in job.again, again.err
    job.truth(made, again)
    assert jobs.logged(made, job) == before + 1
    intact(made)


def test_of_two_new_passphrases_at_once_one_opens_the_site(tmp_path: Path) -> None:
    made = sites.world("agreed", tmp_path / "world")
    files = [made.root / "first-new", made.root / "second-new"]
    for file in files:
        file.write_text(f"{file.name} battery staple\n", encoding="ascii")
        file.chmod(0o600)

    ended = both(*(Waiting(made, "uni", "passphrase", "change", "--new-passphrase-file", file) for file in files))

    assert sorted(code for code, _, _ in ended) in ([0, 0], [0, 5]), ended
    opening = []
    for file in (*files, made.passphrase_file):
        with suppress(LockedError):
            Site.open(made.root / "uni", passphrase_file=file, clock=lambda: made.now).close()
            opening.append(file)
    assert len(opening) == 1
    assert opening[0] in [file for file, (code, _, _) in zip(files, ended, strict=True) if code == 0]
    assert made.events("uni").count("passphrase-changed") == [code for code, _, _ in ended].count(0)


def test_many_commands_at_once_leave_one_chain(tmp_path: Path) -> None:
    made = sites.world("agreed", tmp_path / "world")
    days = ("--from", DAYS[0], "--until", DAYS[-1])
    asking = [
        Waiting(made, "uni", "request", sites.AGREEMENT, "--to", force, *days, "-o", made.root / f"{force}-{n}.json")
        for force in ("lancashire-police", "west-yorkshire-police")
        for n in range(2)
    ]

    ended = both(*asking)

    assert [code for code, _, _ in ended] == [0] * 4, ended
    assert made.events("uni").count("request-made") == 4
    assert len(truths.table(made, "uni", "SELECT request FROM keys.onetime_key")) == 4
    intact(made)

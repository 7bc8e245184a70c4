"""A program that the crash and disk tests start: one command, a fault at every one of its writes, one more run each.

    python -m tests.support.crashes JOB KIND TEMPLATE FIRST EVERY [BELOW]

prints a JSON object: how many faults there were, how often each outcome came about, and the first thing that was wrong.
"""

from __future__ import annotations

import functools
import importlib
import json
import os
import pkgutil
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, cast

import anpr_share
from anpr_share.cli import main as main_module
from tests.support import faults, sites
from tests.support.faults import Fault, Kind
from tests.support.sites import Done, World

_LIMIT: Final = 2000


class WrongError(Exception):
    """What is not as it must be, in words."""


@dataclass(frozen=True)
class Job:
    """A command, and what must be true after one more run of it.

    ``truth`` is called in the process of that run, with what the run said.
    """

    command: Callable[[World], Done]
    truth: Callable[[World, Done], str]
    stage: sites.Stage


def require(condition: object, what: str) -> None:
    """Raise `WrongError` unless the condition holds."""
    if not condition:
        raise WrongError(what)


def table(made: World, site: str, sql: str) -> list[tuple[Any, ...]]:
    """Rows of a site's databases, read beside the program."""
    connection = sqlite3.connect(made.root / site / "site.db")
    try:
        connection.execute("ATTACH ? AS keys", (str(made.root / site / "keys.db"),))
        return connection.execute(sql).fetchall()
    finally:
        connection.close()


def settled(made: World, site: str) -> None:
    """Nothing is under way, nothing lies about, and the ledger holds together."""
    require(not made.strays(), f"left behind: {made.strays()}")
    require(not table(made, site, "SELECT * FROM publication"), "a file is still recorded as under way")
    checked = made.run("--json", "ledger", "verify", site=site)
    # Lines of a command that was killed before it signed are a finding until the next command that writes signs them.
    unsigned = checked.code == 1 and checked.result["out_of_place"] and checked.result["clock_resets"] == 0
    require(checked.code == 0 or unsigned, f"the ledger: {checked.code} {checked.err}")


def exported(made: World, again: Done) -> str:
    """The window was answered once: one bundle, in its place, disclosed once."""
    require(again.code in {0, 4}, f"the second run: {again.code} {again.err}")
    require(again.code == 0 or "answered already" in again.err, f"the second run was refused: {again.err}")
    settled(made, "lancs")
    events = made.events("lancs")
    require([events.count("disclosure"), events.count("alteration")] == [1, 1], f"ledger: {events}")
    ((bundle, manifest),) = table(made, "lancs", "SELECT id, manifest FROM bundle")
    windows = table(made, "lancs", "SELECT state, bundle FROM request_window")
    require(windows == [("used", bundle)], f"windows: {windows}")
    verified = made.run("--json", "verify", made.bundle, "--sender", made.root / "lancs" / "identity.json")
    require(verified.code == 0, f"the bundle: {verified.err}")
    require(verified.result["bundle"] == bundle, "the file is another bundle than the record's")
    outputs = table(made, "lancs", "SELECT path FROM registered WHERE kind = 'output'")
    require(outputs == [(str(made.bundle),)], "the bundle is not registered under retention")
    require(len(manifest) == 64, "the record has no digest")
    return "had happened" if again.code == 4 else "happened the second time"


def loaded(made: World, again: Done) -> str:
    """The bundle was taken once: every row once, the one-time key gone, one receipt, and no file but the parts."""
    require(again.code == 0, f"the second run: {again.code} {again.err}")
    settled(made, "uni")
    events = made.events("uni")
    require(events.count("collection") == 1, f"ledger: {events}")
    require(events.count("load-refused") <= made.refusals, "a killed load is in the ledger as a refusal")
    require(table(made, "uni", "SELECT * FROM keys.onetime_key") == [], "the one-time key is still here")
    parts = {path for (path,) in table(made, "uni", "SELECT path FROM part")}
    root = made.root / "uni"
    files = {path.relative_to(root).as_posix() for path in (root / "store").rglob("*") if path.is_file()}
    require(files == parts, f"store and records differ: {sorted(files ^ parts)}")
    require(made.receipt.is_file(), "there is no receipt")
    (receipt,) = table(made, "uni", "SELECT receipt FROM bundle")
    require(made.receipt.read_bytes() == receipt[0], "the receipt is another than the record's")
    linked = made.run("--json", "link", "--purpose", "checking", site="uni")
    require(linked.code == 0, f"link: {linked.err}")
    require(linked.result["rows"] == sites.LINKED, f"link: {linked.result['rows']} rows")
    status = made.ok("--json", "status", site="uni").result
    (held,) = status["agreements"]
    require(held["rows"] == sites.READS + len(sites.TARGET_PLATES), f"rows held: {held['rows']}")
    return "had happened" if "again" in again.out else "happened the second time"


def requested(made: World, again: Done) -> str:
    """One request, with one key for its window."""
    require(again.code in {0, 6}, f"the second run: {again.code} {again.err}")
    require(again.code == 0 or "a file is already where" in again.err, f"the second run: {again.err}")
    settled(made, "uni")
    require(made.events("uni").count("request-made") == 1, "it is not in the ledger once")
    ((digest, envelope),) = table(made, "uni", "SELECT digest, envelope FROM request")
    require(made.request.read_bytes() == envelope, "the file is another request than the record's")
    keys = table(made, "uni", "SELECT request FROM keys.onetime_key")
    require(keys == [(digest,)], f"one-time keys: {len(keys)}")
    return "had happened" if again.code == 6 else "happened the second time"


def accepted(made: World, again: Done) -> str:
    """The agreement is in force once, with one linkage key, and the other force has its share."""
    require(again.code in {0, 4}, f"the second run: {again.code} {again.err}")
    require(again.code == 0 or "accepted already" in again.err, f"the second run: {again.err}")
    settled(made, "lancs")
    events = made.events("lancs")
    require(events.count("agreement-accepted") == 1, f"ledger: {events}")
    require(events.count("linkage-key-made") == 1, f"ledger: {events}")
    shares = list((made.root / "lancs" / "outbox").iterdir())
    require(len(shares) == 1, f"{len(shares)} key shares for one other force")
    for name in ("wyp", "uni"):
        made.ok("agreement", "accept", made.agreement, site=name)
    made.ok("key", "accept", shares[0], site="wyp")
    return "had happened" if again.code == 4 else "happened the second time"


JOBS: Final = {
    "export": Job(World.export, exported, "requested"),
    "load": Job(World.load, loaded, "exported"),
    "request": Job(World.ask, requested, "agreed"),
    "accept": Job(lambda made: made.run("agreement", "accept", made.agreement, site="lancs"), accepted, "signed"),
}


def one_more_run(job: Job, made: World) -> str:
    """Run the command again without a fault, in a fork, and look at what is true; raises `WrongError`."""

    def run() -> Done:
        again = job.command(made)
        try:
            return replace(again, out=job.truth(made, again), err="")
        except WrongError as wrong:
            return replace(again, out="", err=str(wrong))

    done = faults.in_a_fork(run).done
    assert done is not None
    require(not done.err, done.err)
    return done.out


def refused(made: World, done: Done, kind: Kind) -> None:
    """A command that met a full or read-only disk said so, in words, and left nothing that nobody knows of."""
    require(done.code == 6, f"exit code {done.code}: {done.err}")
    require(done.err.startswith("error: "), f"told: {done.err}")
    require("internal" not in done.err and "Errno" not in done.err, f"told: {done.err}")
    require(not sites.secrets_in(done.out + done.err), "a plate is shown")


def prepare(made: World) -> None:
    """Do once, before the forks, what each of them would do again: imports, stretching passphrases, the parser."""
    for module in pkgutil.walk_packages(anpr_share.__path__, "anpr_share."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    main_module._program = functools.cache(main_module._program)
    for site in ("lancs", "uni"):
        made.run("key", "list", site=site)


def drive(
    name: str, kind: Kind, folder: Path, template: Path, *, first: int, every: int, below: str | None
) -> dict[str, Any]:
    """Let the fault happen at the ``first`` write and each ``every``-th one after it, in turn."""
    job = JOBS[name]
    prepare(World(template))
    outcomes: Counter[str] = Counter()
    wrongs: list[str] = []
    at, reached = first - every, True
    while reached:
        at += every
        assert at < _LIMIT, "the command never comes to its end"
        made = World(folder / "world", refusals=0 if kind == "kill" else 1)
        shutil.copytree(template, made.root)
        inside = () if below is None else (str(made.root / below),)
        ended = faults.in_a_fork(lambda made=made: job.command(made), Fault(kind, at, inside))  # type: ignore[misc]
        reached = ended.reached
        try:
            if ended.done is not None and reached:
                refused(made, ended.done, kind)
            if reached:
                outcomes[one_more_run(job, made)] += 1
            else:
                require(ended.done is not None and ended.done.code == 0, f"without a fault: {ended.done}")
        except WrongError as wrong:
            wrongs.append(f"{kind} at write {at}: {wrong}")
        shutil.rmtree(made.root)
    return {"points": outcomes.total() + len(wrongs), "outcomes": outcomes, "wrongs": wrongs}


def orphan(folder: Path, template: Path) -> dict[str, Any]:
    """A load is killed when its child has been told of a part and not begun it; the child begins after the next load.

    What it writes then is nobody's, and must not stay.
    """
    made = World(folder / "world")
    shutil.copytree(template, made.root)
    prepare(made)
    gate_read, gate_write = os.pipe()
    ended_read, ended_write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(gate_write)
        os.close(ended_read)
        faults.load_and_die(made.load, lambda: os.read(gate_read, 1))
    os.close(ended_write)
    assert os.WIFSIGNALED(os.waitpid(pid, 0)[1])
    wrongs = []
    try:
        outcome = one_more_run(JOBS["load"], made)
        os.write(gate_write, b"x")
        os.read(ended_read, 1)  # returns when nobody holds the other end any more
        require(not made.strays(), f"left behind by the child: {made.strays()}")
    except WrongError as wrong:
        wrongs.append(str(wrong))
        outcome = "wrong"
    return {"points": 1, "outcomes": {outcome: 1}, "wrongs": wrongs}


def start(name: str, kind: str, *, first: int = 1, every: int = 1, below: str | None = None) -> dict[str, Any]:
    """Run this module as a program of its own, and hand back what it printed. For tests."""
    stage = JOBS[name].stage
    words = ["-m", "tests.support.crashes", name, kind, str(sites.template(stage)), str(first), str(every)]
    environment = os.environ | {"PYTHONDONTWRITEBYTECODE": "1", "POLARS_MAX_THREADS": "1"}
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, *words, *([below] if below else [])],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
        cwd=root,
    )
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def main(name: str, kind: str, template: str, first: str, every: str, below: str | None = None) -> None:
    """Print what there is to say about one command and one kind of fault."""
    with tempfile.TemporaryDirectory(dir=faults.memory()) as temporary:
        folder = Path(temporary).resolve()
        if kind == "orphan":
            told = orphan(folder, Path(template))
        else:
            told = drive(
                name, cast("Kind", kind), folder, Path(template), first=int(first), every=int(every), below=below
            )
    sys.stdout.write(json.dumps(told) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])

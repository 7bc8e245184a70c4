"""A program that the crash and disk tests start: commands, a fault at every one of their writes, one more run each.

    python -m tests.support.crashes KIND EVERY BELOW JOB=TEMPLATE…

prints a JSON object: of each command, how many faults there were and how often each outcome came about; and everything
that was wrong. What the commands are and what must be true after them: `tests.support.jobs`.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import pkgutil
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, cast

import anpr_share
from anpr_share.cli import main as main_module
from tests.support import faults, sites
from tests.support.faults import Fault, Kind
from tests.support.jobs import JOBS, Job, logged
from tests.support.sites import Done, World
from tests.support.truths import WrongError, require

_LIMIT: Final = 2000
HAPPENED: Final = "had happened"
SECOND_TIME: Final = "happened the second time"


@dataclass
class Told:
    """What a program found: for each command, how often it met each outcome; and what was wrong, in words."""

    outcomes: dict[str, dict[str, int]] = field(default_factory=dict)
    wrongs: list[str] = field(default_factory=list)

    @property
    def points(self) -> int:
        """At how many writes there was a fault."""
        return sum(sum(counts.values()) for counts in self.outcomes.values())


def one_more_run(job: Job, made: World, lines: int) -> str:
    """Run the command again without a fault, in a fork, and look at what is true; raises `WrongError`.

    ``lines`` is how often the ledger has the command's event when it has not happened yet.
    """

    def run() -> Done:
        had = logged(made, job) > lines
        again = job.command(made)
        try:
            expected = job.again if had or job.event is None else (0,)
            require(again.code in expected, f"the second run: {again.code} {again.err}")
            job.truth(made, again)
            require(job.event is None or logged(made, job) == lines + 1, "the ledger does not tell of it once")
        except WrongError as wrong:
            return replace(again, out="", err=str(wrong))
        return replace(again, out=HAPPENED if had else SECOND_TIME, err="")

    done = faults.in_a_fork(run).done
    assert done is not None
    require(not done.err, done.err)
    return done.out


def refused(done: Done) -> None:
    """A command that met a full or read-only disk said so, in words."""
    require(done.code == 6, f"exit code {done.code}: {done.err}")
    require(f"\n{done.err}".count("\nerror: ") == 1, f"told: {done.err}")
    require("internal" not in done.err and "Errno" not in done.err, f"told: {done.err}")
    require(not sites.secrets_in(done.out + done.err), "a plate is shown")


def prepare(made: World) -> None:
    """Do once, before the forks, what each of them would do again: imports, stretching passphrases, the parser."""
    for module in pkgutil.walk_packages(anpr_share.__path__, "anpr_share."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    main_module.parser()
    known: dict[tuple[Any, ...], bytes] = {}
    stretch = sites._stretch

    def learn(*arguments: Any) -> bytes:
        return known.setdefault(arguments, stretch(*arguments))

    sites._stretch = learn
    for site in sites.SITES:
        made.run("key", "list", site=site)
    # Whatever is stretched from here on is a new passphrase or a new site's, and need not take its quarter of a second.
    sites._stretch = lambda *arguments: known.get(arguments) or hashlib.sha256(b"".join(arguments[:2])).digest()


def ready(job: Job, folder: Path, template: Path) -> World:
    """A world in which the command can be run: the template to copy from."""
    made = World(folder / "ready")
    shutil.copytree(template, made.root)

    for step in job.before:

        def before(step: Callable[[World], object] = step) -> Done:
            step(made)
            return Done(0, "", "")

        faults.in_a_fork(before)
    return made


def drive(
    name: str, kind: Kind, folder: Path, template: Path, *, every: int, below: str | None
) -> tuple[Counter[str], list[str]]:
    """Let the fault happen at the first write and each ``every``-th one after it, in turn."""
    job = JOBS[name]
    start_from = ready(job, folder, template)
    lines = logged(start_from, job)
    outcomes: Counter[str] = Counter()
    wrongs: list[str] = []
    at, reached = 1 - every, True
    while reached:
        at += every
        assert at < _LIMIT, "the command never comes to its end"
        made = World(folder / "world", refusals=0 if kind == "kill" else 1)
        shutil.copytree(start_from.root, made.root)
        inside = () if below is None else (str(made.root / below),)
        ended = faults.in_a_fork(lambda made=made: job.command(made), Fault(kind, at, inside))  # type: ignore[misc]
        reached = ended.reached
        try:
            if ended.done is not None and reached:
                refused(ended.done)
            if reached:
                outcomes[one_more_run(job, made, lines)] += 1
            else:
                require(ended.done is not None and ended.done.code == 0, f"without a fault: {ended.done}")
        except WrongError as wrong:
            wrongs.append(f"{name}, {kind} at write {at}: {wrong}")
        shutil.rmtree(made.root)
    shutil.rmtree(start_from.root)
    return outcomes, wrongs


def orphan(folder: Path, template: Path) -> tuple[Counter[str], list[str]]:
    """A load is killed when its child has been told of a part and not begun it; the child begins after the next load.

    What it writes then is nobody's, and must not stay.
    """
    made = World(folder / "world")
    shutil.copytree(template, made.root)
    gate_read, gate_write = os.pipe()
    ended_read, ended_write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(gate_write)
        os.close(ended_read)
        faults.load_and_die(made.load, lambda: os.read(gate_read, 1))
    os.close(ended_write)
    assert os.WIFSIGNALED(os.waitpid(pid, 0)[1])
    try:
        outcome = one_more_run(JOBS["load"], made, 0)
        os.write(gate_write, b"x")
        os.read(ended_read, 1)  # returns when nobody holds the other end any more
        require(not made.strays(), f"left behind by the child: {made.strays()}")
    except WrongError as wrong:
        return Counter(), [str(wrong)]
    return Counter({outcome: 1}), []


def start(*names: str, kind: str, every: int = 1, below: str | None = None) -> Told:
    """Run this module as a program of its own, and hand back what it printed. For tests.

    With ``ANPR_SHARE_EVERY_WRITE`` in the environment no write is passed over.
    """
    if "ANPR_SHARE_EVERY_WRITE" in os.environ:
        every = 1
    jobs = [f"{name}={sites.template(JOBS[name].stage)}" for name in names]
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.crashes", kind, str(every), below or "", *jobs],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1", "POLARS_MAX_THREADS": "1"},
        cwd=Path(__file__).resolve().parents[2],
    )
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return Told(**told)


def main(kind: str, every: str, below: str, *jobs: str) -> None:
    """Print what there is to say about some commands and one kind of fault."""
    told = Told()
    with tempfile.TemporaryDirectory(dir=faults.memory()) as temporary:
        folder = Path(temporary).resolve()
        for job in jobs:
            name, _, template = job.partition("=")
            if not told.outcomes:
                prepare(World(Path(template)))
            if kind == "orphan":
                outcomes, wrongs = orphan(folder, Path(template))
            else:
                outcomes, wrongs = drive(
                    name,
                    cast("Kind", kind),
                    folder,
                    Path(template),
                    every=int(every),
                    below=below or None,
                )
            told.outcomes[name] = outcomes
            told.wrongs += wrongs
    sys.stdout.write(json.dumps({"outcomes": told.outcomes, "wrongs": told.wrongs}) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])

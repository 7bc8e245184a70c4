"""Killed at any write, a command leaves one truth after one more run of it.

Each test starts a program that forks the command, kills the fork with SIGKILL before its n-th write, runs the command
once more, and looks at what there is; then the same for every n. What counts as a write: `tests.support.faults`.
"""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from tests.support import crashes, jobs

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has neither fork nor SIGKILL")

Record = Callable[[str, object], None]

# Commands, first write, step, and how many writes there must be at least: fewer, and the program no longer sees what
# the commands do. The longest is cut in two, so that two processors share it. Every write of all: see `crashes.start`.
RUNS = [
    (("load",), 1, 2, 30),
    (("load",), 2, 2, 30),
    (("export",), 1, 1, 40),
    (("accept", "init"), 1, 1, 65),
    (("agreement sign", "agreement sign, third", "key accept"), 1, 2, 25),
    (("request",), 1, 1, 20),
    (("receipt create", "receipt accept", "load again"), 1, 2, 20),
    (("partner add", "partner replace", "partner revoke", "passphrase change", "restore", "clock reset"), 1, 2, 18),
    (("pseudonymise",), 1, 2, 12),
    (("purge",), 1, 1, 10),
    (("notice recall", "notice apply"), 1, 1, 40),
    (("close", "close, force", "key destroy"), 1, 2, 40),
]


@pytest.mark.parametrize(("commands", "first", "every", "least"), RUNS)
def test_killed_at_any_write_one_more_run_leaves_one_truth(
    commands: tuple[str, ...], first: int, every: int, least: int, record_property: Record
) -> None:
    told = crashes.start(*commands, kind="kill", first=first, every=every)

    assert told.wrongs == []
    for command in commands:
        outcomes = {crashes.HAPPENED, crashes.SECOND_TIME} if jobs.JOBS[command].event else {crashes.SECOND_TIME}
        assert set(told.outcomes[command]) == outcomes, command
    assert told.points >= least
    record_property("points", told.points)


def test_what_a_dead_loads_child_writes_later_does_not_stay() -> None:
    assert crashes.start("load", kind="orphan").wrongs == []

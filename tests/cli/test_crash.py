"""Killed at any write, a command leaves one truth after one more run of it.

Each test starts a program that forks the command, kills the fork with SIGKILL before its n-th write, runs the command
once more, and looks at what there is, an audit included; then the same for every n. What counts as a write:
`tests.support.faults`; what must be true: `tests.support.truths`.
"""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from tests.support import crashes, jobs

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has neither fork nor SIGKILL")

Record = Callable[[str, object], None]

# Commands, step, and at how many writes they must be killed at least: fewer, and the program no longer sees what the
# commands do. Every write of all: see `crashes.start`.
RUNS = [
    (("load",), 2, 40),
    (("export",), 2, 25),
    (("purge", "purge, all", "purge, force", "audit", "ledger export", "init"), 1, 90),
    (("close", "close, force"), 1, 90),
    (("load, newer",), 4, 14),
    (("accept", "request", "pseudonymise", "notice recall", "notice apply"), 2, 60),
    (
        (
            *("agreement sign", "agreement sign, third", "key accept", "key destroy"),
            *("receipt create", "receipt accept", "load again", "feasibility, share"),
            *("partner add", "partner replace", "partner revoke", "passphrase change", "restore", "clock reset"),
        ),
        *(2, 70),
    ),
]


@pytest.mark.parametrize(("commands", "every", "least"), RUNS)
def test_killed_at_any_write_one_more_run_leaves_one_truth(
    commands: tuple[str, ...], every: int, least: int, record_property: Record
) -> None:
    told = crashes.start(*commands, kind="kill", every=every)

    assert told.wrongs == []
    for command in commands:
        outcomes = {crashes.HAPPENED, crashes.SECOND_TIME} if jobs.JOBS[command].event else {crashes.SECOND_TIME}
        assert set(told.outcomes[command]) == outcomes, command
    assert told.points >= least
    record_property("points", told.points)


def test_what_a_dead_loads_child_writes_later_does_not_stay() -> None:
    assert crashes.start("load", kind="orphan").wrongs == []

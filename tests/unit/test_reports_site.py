"""What people are told about a ledger: everything that needs explaining."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from anpr_share.reports.site import check_lines
from anpr_share.site.ledger import LedgerCheck

SOUND = LedgerCheck(lines=9, checkpoints=2, signed_to=6, unsigned_tail=0, out_of_place=(), clock_resets=0)


def told(**found: Any) -> str:
    check = replace(SOUND, **found)
    assert check.ok == (not found.keys() & {"out_of_place", "clock_resets"})
    return "\n".join(map(str, check_lines(check)))


def test_a_sound_ledger_is_said_to_be_so_with_what_cannot_be_seen() -> None:
    assert told().splitlines() == [
        "9 lines in an unbroken chain, signed up to line 6",
        "what this cannot see: an end that was cut off. Partners' records of this site's documents show that",
    ]


def test_each_finding_has_its_line() -> None:
    assert "3 lines after that not signed yet" in told(unsigned_tail=3)
    assert "1 line of these out of place (8)" in told(unsigned_tail=3, out_of_place=(8,))
    assert "2 lines signed as out of place (2, 5)" in told(unsigned_tail=3, out_of_place=(2, 5))
    assert "(1, 2, 3, 4, 5, 6, 7, 8, 9, 10 and 2 more)" in told(signed_to=20, out_of_place=tuple(range(1, 13)))
    assert "2 lines in all put the clock back" in told(clock_resets=2)

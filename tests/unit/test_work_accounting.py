"""Where no row is left, the refusal says what would leave some of those that were asked for."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime

import pytest

from anpr_share.work.accounting import Tally, none_left
from tests.support.documents import signed_agreement, terms

AGREEMENT = signed_agreement(terms())
NOW = datetime(2026, 10, 8, 16, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("rejected", "withheld", "code", "hints"),
    [
        ({}, {}, 1, ["right file"]),
        ({}, {"outside-window": 2}, 1, ["other days"]),
        ({}, {"outside-window": 2, "needs-authority": 1}, 1, ["--authority REF"]),
        ({}, {"outside-window": 2, "expired": 1}, 1, ["keeps reads for 12 months"]),
        ({}, {"outside-window": 9, "handling": 2, "needs-authority": 1}, 1, ["lists the codes"]),
        ({}, {"outside-window": 9, "needs-authority": 0}, 1, ["other days"]),
        ({"vrm-missing": 5}, {"needs-authority": 1}, 4, ["--authority REF"]),
        ({"vrm-missing": 5}, {"outside-window": 1}, 1, ["there is no plate"]),
        ({}, {"expired": 1}, 4, ["keeps reads for 12 months"]),
        ({}, {"expired": 1, "needs-authority": 2}, 4, ["keeps reads for 12 months", "--authority REF"]),
        ({}, {"not-sampled": 3, "expired": 1}, 1, ["share of the vehicles"]),
    ],
    ids=str,
)
def test_the_hint_is_about_the_rows_that_were_asked_for(
    rejected: dict[str, int], withheld: dict[str, int], code: int, hints: list[str]
) -> None:
    error = none_left(Tally(rejected=Counter(rejected), withheld=Counter(withheld)), AGREEMENT, "reads", NOW)

    assert error.exit_code == code
    assert [hint for hint in hints if hint not in str(error.hint)] == []
    assert len(str(error.hint).split("; ")) <= len(hints) + (code == 1)

"""A feasibility summary holds no small count, adds up, and is signed by the force that it holds."""

from __future__ import annotations

from typing import get_args

import pytest

from anpr_share.documents import envelope as dsse
from anpr_share.documents import summary
from anpr_share.errors import FormatError, VerificationError
from anpr_share.feasibility import figures
from anpr_share.tables.profile import STEPS
from tests.support.documents import FORCE, STRANGER, UNIVERSITY, changed, envelope, summary_fields


def test_a_summary_says_who_made_it() -> None:
    document, identity, signed = summary.parse(envelope(summary.KIND, summary_fields(), FORCE).encode())

    assert identity == FORCE.identity
    assert (document.rows, signed.kind) == (300, "feasibility-summary")


def test_a_summary_under_another_key_than_its_identitys_is_refused() -> None:
    with pytest.raises(VerificationError, match="signed by another key"):
        summary.parse(envelope(summary.KIND, summary_fields(), STRANGER).encode())


def test_a_summary_of_a_university_is_refused() -> None:
    fields = summary_fields() | {"identity": dsse.to_base64(UNIVERSITY.identity.envelope)}
    with pytest.raises(FormatError, match="not made by a force"):
        summary.parse(envelope(summary.KIND, fields, UNIVERSITY).encode())


@pytest.mark.parametrize(
    ("path", "value"),
    [
        pytest.param("rows", 9, id="a small total"),
        pytest.param("reads", 3, id="few reads"),
        pytest.param("reads", 499, id="reads that bound how many vehicles are seen twice"),
        pytest.param("vehicles_in_reads", 22, id="fewer vehicles seen than are left"),
        pytest.param("vehicles_in_reads", 10**9, id="more vehicles than reads"),
        pytest.param("steps.1.reasons.0.rows", 9, id="a small reason"),
        pytest.param("points.5.vehicles", 5, id="a small point"),
        pytest.param("steps.0.rows", 295, id="a small difference of totals"),
        pytest.param("points.1.vehicles", 118, id="a small difference of points"),
        pytest.param("points.0.vehicles", 115, id="a small difference of today and what is left"),
        pytest.param("steps.0.rows", 280, id="more than the reasons say"),
        pytest.param("steps.1.reasons.0.rows", 145, id="a small rest for what is suppressed"),
        pytest.param("steps.1.reasons.0.vehicles", 131, id="less than the reasons say"),
        pytest.param("steps.2.vehicles", 260, id="more left than there were"),
        pytest.param("points.4.vehicles", 100, id="a race that gains"),
        pytest.param("steps.2.vehicles", 0, id="none left, and no stop"),
        pytest.param("code", "stop", id="stop, and some left"),
        pytest.param("rows", None, id="vehicles without rows"),
        pytest.param("basis", "offence-dates", id="reads that were not looked at"),
        pytest.param("steps.0.name", "seen", id="a step twice"),
        pytest.param("settings.steps", ["readable", "seen", "window"], id="another order"),
        pytest.param("steps.1.reasons.1.code", "dates-missing", id="a reason twice"),
        pytest.param("steps.1.judged", False, id="something falls out unjudged"),
        pytest.param("points.0.days", 30, id="a milestone twice"),
        pytest.param("at", "2026-09-10T09:00:00Z", id="made before the check"),
        pytest.param("first", "2026-09-11", id="ends before it begins"),
        pytest.param("conditions", ["sooner", "sooner"], id="a condition twice"),
        pytest.param("settings.offences", ["seen AB12 CDE"], id="a plate among the offences"),
        pytest.param("settings.small_below", 4, id="next to no suppression"),
        pytest.param("rows", 300.0, id="a float"),
    ],
)
def test_what_does_not_hold_together_is_refused_whoever_signed_it(path: str, value: object) -> None:
    fields = changed(summary_fields(), path, value)
    payload = fields if not isinstance(value, float) else fields | {"rows": "300.0"}
    with pytest.raises(FormatError) as refused:
        summary.parse(envelope(summary.KIND, payload, FORCE).encode())
    assert "AB12" not in str(refused.value)


def test_of_a_check_that_is_too_small_nothing_but_stop_is_taken() -> None:
    fields = summary_fields() | {"rows": None, "vehicles": None, "points": [], "code": "stop"}
    for step in fields["steps"]:
        step |= {"rows": None, "vehicles": None, "reasons": []}
    fields["steps"][-1]["vehicles"] = 0
    summary.parse(envelope(summary.KIND, fields, FORCE).encode())
    for path, value in (("steps.0.rows", 0), ("steps.2.rows", 12), ("steps.1.vehicles", 0)):
        with pytest.raises(FormatError):
            summary.parse(envelope(summary.KIND, changed(fields, path, value), FORCE).encode())


def test_its_words_are_those_of_the_check() -> None:
    assert get_args(summary.StepName) == STEPS
    assert get_args(summary.Condition) == get_args(figures.Condition)
    assert get_args(summary.Milestone) == summary.MILESTONES == (0, *figures.MILESTONES)

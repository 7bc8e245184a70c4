"""What an alert is worth, against fractions that were worked out by hand."""

from __future__ import annotations

from fractions import Fraction

import pytest

from anpr_share.feasibility.base_rate import base_rate, predictive_value, specificity_needed
from anpr_share.feasibility.figures import Alert

F = Fraction
VANS, CASES = F(1, 400), F(3, 80_000)


@pytest.mark.parametrize(
    ("prevalence", "sensitivity", "specificity", "right"),
    [
        # Of 4,000 vans 10 are sought: 9 are found, and of 3,990 others 399 are taken for them.
        (VANS, "0.9", "0.9", F(9, 9 + 399)),
        # Of 40,000 vans 100: 90 found, of 39,900 others 399.
        (VANS, "0.9", "0.99", F(90, 90 + 399)),
        (VANS, "0.9", "0.999", F(900, 900 + 399)),
        (VANS, "0.9", "0.9999", F(9000, 9000 + 399)),
        (VANS, "0.999", "0.999", F(999, 999 + 399)),
        # Of 800,000 vehicles 30 are sought: 27 are found, and of 799,970 others 79,997 are taken for them.
        (CASES, "0.9", "0.9", F(27, 27 + 79_997)),
        (CASES, "0.9", "0.99", F(270, 270 + 79_997)),
        (CASES, "0.9", "0.999", F(2_700, 2_700 + 79_997)),
        (CASES, "0.9", "0.9999", F(27_000, 27_000 + 79_997)),
        (CASES, "0.999", "0.999", F(2_997, 2_997 + 79_997)),
        # Of 100,000 vehicles 10 are sought: 9 are found, and of 99,990 others 999.9 are taken for them.
        (F(1, 10_000), "0.9", "0.99", F(90, 90 + 9_999)),
        (F(1, 2), "0.9", "0.9", F(9, 10)),
        (F(1), "0.9", "0.9", F(1)),
    ],
)
def test_the_predictive_value_is_what_counting_heads_gives(
    prevalence: Fraction, sensitivity: str, specificity: str, right: Fraction
) -> None:
    assert predictive_value(prevalence, F(sensitivity), F(specificity)) == right


def test_the_published_roundings_come_out() -> None:
    alerts = {
        (alert.prevalence, str(float(alert.sensitivity)), str(float(alert.specificity))): alert
        for alert in base_rate(0, None).alerts
    }
    per_cent = {
        ("vans-2019", "0.9", "0.9"): ("2.21", "44.3"),
        ("vans-2019", "0.9", "0.99"): ("18.40", "4.4"),
        ("vans-2019", "0.9", "0.999"): ("69.28", "0.4"),
        ("vans-2019", "0.9", "0.9999"): ("95.75", "0.0"),
        ("vans-2019", "0.999", "0.999"): ("71.46", "0.4"),
        ("live-cases", "0.9", "0.9"): ("0.03", "2962.9"),
        ("live-cases", "0.9", "0.99"): ("0.34", "296.3"),
        ("live-cases", "0.9", "0.999"): ("3.26", "29.6"),
        ("live-cases", "0.9", "0.9999"): ("25.23", "3.0"),
        ("live-cases", "0.999", "0.999"): ("3.61", "26.7"),
    }

    for key, told in per_cent.items():
        false = alerts[key].false_per_true
        assert false is not None
        assert (f"{float(alerts[key].ppv) * 100:.2f}", f"{float(false):.1f}") == told, key


@pytest.mark.parametrize(
    ("prevalence", "sensitivity", "needed"),
    [
        (VANS, F(9, 10), 1 - F(9, 3_990)),
        (CASES, F(9, 10), 1 - F(27, 799_970)),
        (F(1, 2), F(9, 10), F(1, 10)),
        (F(2, 3), F(9, 10), F(0)),
        (F(1), F(9, 10), F(0)),
    ],
)
def test_at_the_specificity_needed_every_second_alert_is_right(
    prevalence: Fraction, sensitivity: Fraction, needed: Fraction
) -> None:
    assert specificity_needed(prevalence, sensitivity) == needed
    if needed:
        assert predictive_value(prevalence, sensitivity, needed) == F(1, 2)


def test_the_grid_has_every_pair_for_the_prevalence_found_and_for_the_two_lines() -> None:
    found = base_rate(6, 67_915)

    assert [(line.name, line.share) for line in found.prevalences] == [
        ("found", F(6, 67_915)),
        ("vans-2019", VANS),
        ("live-cases", CASES),
    ]
    assert len(found.alerts) == len({(item.prevalence, item.sensitivity, item.specificity) for item in found.alerts})
    assert len(found.alerts) == 3 * 3 * 4
    assert len(found.needed) == 3 * 3
    # Of 6,791,500 vehicles 600 are sought: 540 found, of 6,790,900 others 679,090.
    assert found.alerts[0] == Alert("found", F("0.9"), F("0.9"), F(540, 540 + 679_090), F(679_090, 540))


@pytest.mark.parametrize(("sought", "vehicles"), [(0, 100), (0, 0), (0, None)])
def test_where_nothing_was_found_only_the_lines_are_told(sought: int, vehicles: int | None) -> None:
    found = base_rate(sought, vehicles)

    assert [line.name for line in found.prevalences] == ["vans-2019", "live-cases"]
    assert found.vehicles == vehicles

"""What an alert is worth where few of many are sought: Bayes' rule in fractions, so that no figure is rounded here.

Of vehicles of which the share ``p`` is sought, a method finds the share ``Se`` of those (sensitivity) and leaves the
share ``Sp`` of the others alone (specificity). Then the share ``p Se / (p Se + (1 - p) (1 - Sp))`` of its alerts is
right: the positive predictive value.

The lines to compare with: one van in 400, the illustration of the study of 2019 by the N8 Policing Research Partnership
(Mapping and identifying modern slavery vehicular activity); and its 1,500 live investigations of March 2019 among some
40 million vehicles.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Final

from anpr_share.feasibility.figures import Alert, BaseRate, Needed, Prevalence

LINES: Final[tuple[Prevalence, ...]] = (
    Prevalence("vans-2019", Fraction(1, 400), "1 of 400 vans: the illustration of the 2019 study"),
    Prevalence("live-cases", Fraction(1_500, 40_000_000), "1,500 live cases among 40 million vehicles"),
)
SENSITIVITY: Final = Fraction(9, 10)
"""What a detector is taken to find where one figure must do: nine in ten, as in the study of 2019."""
SENSITIVITIES: Final = (SENSITIVITY, Fraction(99, 100), Fraction(999, 1000))
SPECIFICITIES: Final = tuple(Fraction(text) for text in ("0.9", "0.99", "0.999", "0.9999"))


def base_rate(sought: int, vehicles: int | None) -> BaseRate:
    """The grid for the prevalence found, if there is one, and for the lines.

    Args:
        sought: the eligible vehicles that are in the reads.
        vehicles: all vehicles in the reads, None if none were looked at.
    """
    prevalences = LINES
    if vehicles and sought:
        text = f"{sought:,} of {vehicles:,} vehicles in the reads"
        prevalences = (Prevalence("found", Fraction(sought, vehicles), text), *LINES)
    return BaseRate(
        vehicles,
        prevalences,
        tuple(
            _alert(line, sensitivity, specificity)
            for line in prevalences
            for sensitivity in SENSITIVITIES
            for specificity in SPECIFICITIES
        ),
        tuple(
            Needed(line.name, sensitivity, specificity_needed(line.share, sensitivity))
            for line in prevalences
            for sensitivity in SENSITIVITIES
        ),
    )


def predictive_value(prevalence: Fraction, sensitivity: Fraction, specificity: Fraction) -> Fraction:
    """The share of alerts that are right. The prevalence and the sensitivity are above 0."""
    right = prevalence * sensitivity
    return right / (right + (1 - prevalence) * (1 - specificity))


def specificity_needed(prevalence: Fraction, sensitivity: Fraction) -> Fraction:
    """The least specificity at which at least every second alert is right; 0 if every one will do."""
    if prevalence == 1:
        return Fraction(0)
    return max(Fraction(0), 1 - sensitivity * prevalence / (1 - prevalence))


def _alert(line: Prevalence, sensitivity: Fraction, specificity: Fraction) -> Alert:
    value = predictive_value(line.share, sensitivity, specificity)
    return Alert(line.name, sensitivity, specificity, value, (1 - value) / value)

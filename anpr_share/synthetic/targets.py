"""A made-up targets log: vehicles of intelligence logs, some of which are in the made-up reads.

The free text is there because real logs have it; it must never leave a force, and a test can look for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from random import Random

import polars as pl

from anpr_share.errors import UsageError
from anpr_share.synthetic.draws import seed_of
from anpr_share.synthetic.plates import plates
from anpr_share.synthetic.scenario import STRIDE, UNSEEN, Scenario, is_shared, vehicle_numbers
from anpr_share.synthetic.traffic import CYCLE

OFFENCES = (
    "sexual exploitation", "labour exploitation", "forced labour", "domestic servitude", "human trafficking",
    "criminal exploitation", "child criminal exploitation", "debt bondage",
)  # fmt: skip
FREE_TEXT = (
    "Vehicle seen at address, occupants appear controlled.",
    "Source states driver collects workers at 05:00, no breaks.",
    "Neighbour reports frequent visitors; see also earlier log.",
    "Stopped by patrol, passengers without documents.",
)
SEPARATORS = ("; ", ", ", "/", "\n")
SHARE_OF_PERSONS = {"suspect": 50, "convicted": 30, "witness": 5}  # victims are a parameter
PRECEDING_DAYS = 900  # offences begin up to so long before the first read


@dataclass(frozen=True)
class TargetPlan:
    """What a made-up targets log is like.

    Attributes:
        rows: how many rows it has.
        found: how many of its vehicles are among the scenario's reads, each in a row of its own.
        found_by_both: how many of these are vehicles that the other forces of the world see too.
        missing: the share of the other rows without a plate.
        several: the share of all rows with plates that name a second, unseen vehicle in the same cell.
        victims: the share of rows about a victim.
        handling_c: the share of rows with handling code C, which few agreements let out; the others have P.
    """

    rows: int = 60
    found: int = 30
    found_by_both: int = 10
    missing: float = 0.15
    several: float = 0.1
    victims: float = 0.1
    handling_c: float = 0.2

    def __post_init__(self) -> None:
        """Refuse what contradicts itself (UsageError)."""
        if not 0 <= self.found_by_both <= self.found <= self.rows:
            raise UsageError(
                "targets found by both are some of those found, and these some of the rows",
                hint="change found_by_both, found or rows in the plan",
            )
        for name in ("missing", "several", "victims", "handling_c"):
            if not 0 <= getattr(self, name) <= 1:
                raise UsageError(f"{name} must be from 0 to 1", hint="change it in the plan")


def targets(scenario: Scenario, plan: TargetPlan | None = None) -> pl.DataFrame:
    """Return a targets log, all columns String, null where empty, under the names of the profile ``plain-targets``.

    Columns: log, offence, vrm, offence_from, offence_to, convicted_on (ISO dates), person_category, grading_scheme,
    source_grade, information_grade, handling, free_text. The logs of two forces name the same shared vehicles first.

    Raises:
        UsageError: the reads have fewer (shared) vehicles than are to be found.
    """
    plan = plan or TargetPlan()
    random = Random(seed_of(scenario.seed, scenario.force, "targets"))
    found = _plates(scenario, _found(scenario, plan))
    unseen = iter(_unseen(scenario, 2 * plan.rows))
    rows = []
    for number in range(plan.rows):
        vrm: str | None = found[number] if number < len(found) else next(unseen)
        if number >= len(found) and random.random() < plan.missing:
            vrm = None
        elif random.random() < plan.several:
            vrm = random.choice(SEPARATORS).join((vrm or "", next(unseen)))
        rows.append({"vrm": vrm, **_log(scenario, plan, random)})
    random.shuffle(rows)
    return pl.DataFrame(rows, schema=dict.fromkeys(COLUMNS, pl.String))


COLUMNS = (
    "log", "offence", "vrm", "offence_from", "offence_to", "convicted_on", "person_category", "grading_scheme",
    "source_grade", "information_grade", "handling", "free_text",
)  # fmt: skip


def _found(scenario: Scenario, plan: TargetPlan) -> pl.Series:
    """Return the vehicles to be found, no buses: first the shared ones, the same for every force of the world."""
    everybody = pl.select(vehicle=pl.int_range(scenario.vehicles, dtype=pl.UInt32)).filter(
        pl.col("vehicle") % CYCLE > 0
    )
    everybody = everybody.with_columns(shared=is_shared(scenario, pl.col("vehicle")))
    both = everybody.filter("shared")["vehicle"].head(plan.found_by_both)
    chosen = seed_of(scenario.seed, scenario.force, "found") % (1 << 32)
    own = everybody.filter(~pl.col("shared"))["vehicle"]
    wanted = plan.found - plan.found_by_both
    if both.len() < plan.found_by_both or own.len() < wanted:
        raise UsageError(
            "the scenario has too few vehicles for so many targets to be found",
            hint="take fewer targets, or more reads a day",
        )
    step = max(1, own.len() // max(1, wanted))
    return pl.concat([both, own.gather_every(step, offset=chosen % step).head(wanted)])


def _plates(scenario: Scenario, vehicles: pl.Series) -> list[str]:
    return plates(vehicle_numbers(scenario, vehicles), scenario.world_seed).to_list()


def _unseen(scenario: Scenario, count: int) -> list[str]:
    """Return plates of vehicles that no camera of this world reads correctly."""
    first = seed_of(scenario.seed, scenario.force, "unseen") % 1_000_000
    numbers = pl.int_range(first, first + count, dtype=pl.UInt64, eager=True) * STRIDE + UNSEEN
    return plates(numbers, scenario.world_seed).to_list()


def _log(scenario: Scenario, plan: TargetPlan, random: Random) -> dict[str, str | None]:
    last = scenario.first + timedelta(days=scenario.days - 1)
    begin = last - timedelta(days=random.randrange(PRECEDING_DAYS))
    end = min(last, begin + timedelta(days=random.randrange(120)))
    person = "victim"
    if random.random() >= plan.victims:
        person = random.choices(list(SHARE_OF_PERSONS), list(SHARE_OF_PERSONS.values()))[0]
    convicted: date | None = None
    if person == "convicted":
        convicted = min(last, end + timedelta(days=random.randrange(30, 500)))
    return {
        "log": f"INT{random.randrange(10_000_000, 100_000_000)}",
        "offence": random.choice(OFFENCES),
        "offence_from": begin.isoformat() if random.random() < 0.95 else None,
        "offence_to": end.isoformat() if random.random() < 0.8 else None,
        "convicted_on": convicted.isoformat() if convicted else None,
        "person_category": person,
        "grading_scheme": "3x5x2",
        "source_grade": random.choice("123"),
        "information_grade": random.choice("ABCDE"),
        "handling": "C" if random.random() < plan.handling_c else "P",
        "free_text": random.choice(FREE_TEXT),
    }

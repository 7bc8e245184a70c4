"""An attacker on what is shared of a feasibility check: who knows the rules, and looks for every table that fits.

Two ways, both written beside the product. :func:`tables` is a complete search: every table of small counts with the
same published figures. :func:`witnesses` looks for two tables that differ in a count: found, they are a proof that the
count is open, as :func:`fits` asks the rules themselves whether each would have been published alike.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime

from hypothesis import strategies as st

from anpr_share.feasibility.figures import (
    MILESTONES,
    BaseRate,
    FeasibilityResult,
    Funnel,
    Race,
    Reason,
    Settings,
    Shared,
    Step,
    Verdict,
)
from anpr_share.feasibility.suppression import suppress
from anpr_share.tables.profile import STEPS, StepName

NO_VEHICLE = {"has-vrm", "whole-vrm"}
Cell = tuple[int, int]
"""Rows and vehicles."""


@dataclass(frozen=True)
class Table:
    """All cells of a check: the fall-outs, named, of each step, and last what is left; ``several`` cells hold two."""

    names: tuple[tuple[StepName, int], ...]
    cells: tuple[Cell, ...]
    steps: tuple[StepName, ...]
    small: int
    several: int = 0
    left: tuple[int, ...] = ()
    needed: int = 30
    paperwork: int = 90
    unjudged: frozenset[StepName] = frozenset()

    @classmethod
    def of(cls, found: FeasibilityResult) -> Table:
        """The table of a check."""
        steps, rules = found.funnel.steps, found.settings
        last = steps[-1]
        return cls(
            tuple((step.name, n) for step in steps for n, _ in enumerate(step.reasons)),
            (*((item.rows, item.vehicles) for step in steps for item in step.reasons), (last.rows, last.vehicles)),
            rules.steps,
            rules.small_below,
            found.funnel.several,
            found.race.left,
            rules.vehicles_needed,
            rules.paperwork_days,
            frozenset(step.name for step in steps if not step.judged),
        )

    def possible(self) -> bool:
        """Whether such a check can be, as an attacker knows them."""
        plain = self.several > 0 or all(rows >= vehicles for rows, vehicles in self.cells)
        named = all(
            not vehicles or step not in NO_VEHICLE
            for (step, _), (_, vehicles) in zip(self.names, self.cells, strict=False)
        )
        return plain and named and all(min(cell) >= 0 for cell in self.cells)

    def result(self) -> FeasibilityResult:
        """The check that it is the table of."""
        rows, vehicles = (sum(cell[k] for cell in self.cells) for k in (0, 1))
        total = (rows, vehicles)
        steps = []
        for step in self.steps:
            own = [
                (f"reason-{n}", *cell) for (name, n), cell in zip(self.names, self.cells, strict=False) if name == step
            ]
            own = [item for item in own if item[1] or item[2]]  # as the funnel does
            rows -= sum(item[1] for item in own)
            vehicles -= sum(item[2] for item in own)
            steps.append(Step(step, step not in self.unjudged, rows, vehicles, tuple(Reason(*item) for item in own)))
        return result(
            Funnel(*total, self.several, 2 * self.several, tuple(steps)),
            self.left or (vehicles, 0),
            settings(self.steps, self.small, self.needed, self.paperwork),
        )

    def shared(self) -> Shared:
        return suppress(self.result())


def settings(steps: tuple[StepName, ...], small: int, needed: int = 30, paperwork: int = 90) -> Settings:
    return Settings(steps, None, 2, "P12M", "Europe/London", needed, paperwork, small)


def result(funnel: Funnel, left: tuple[int, ...], rules: Settings, reads: int | None = None) -> FeasibilityResult:
    return FeasibilityResult(
        at=datetime(2026, 11, 1, 9, tzinfo=UTC),
        first=date(2025, 11, 2),
        last=date(2026, 11, 1),
        settings=rules,
        reads=reads,
        during=None,
        funnel=funnel,
        race=Race("offence-dates" if reads is None else "reads", left, reads, None, None),
        base_rate=BaseRate(None if reads is None else reads // 2, (), (), ()),
        verdict=Verdict("stop" if funnel.eligible == 0 else "go-if", (), (), ()),
    )


def race(losses: Sequence[int]) -> tuple[int, ...]:
    """What is left day by day: a loss before each milestone in turn, and last what is left after all of them."""
    left = [sum(losses)]
    for loss, (before, day) in zip(losses, itertools.pairwise((0, *MILESTONES)), strict=False):
        left += [left[-1]] * (day - before - 1) + [left[-1] - loss]
    return tuple(left)


def _shares(total: int, places: int) -> Iterator[tuple[int, ...]]:
    if places == 1:
        yield (total,)
        return
    for first in range(total + 1):
        for rest in _shares(total - first, places - 1):
            yield (first, *rest)


def fits(table: Table, shared: Shared) -> bool:
    """Whether this table is possible and would have been published so."""
    return table.possible() and table.shared() == shared


def tables(truth: Table, most: int) -> Iterator[Table]:
    """Every table of the same totals, or of totals up to ``most`` if none are published, that would be published so."""
    shared = truth.shared()
    totals = [(shared.rows, shared.vehicles)]
    if shared.rows is None or shared.vehicles is None:
        totals = [(r, v) for r in range(most + 1) for v in range(most + 1)]
    for rows, vehicles in totals:
        assert rows is not None
        assert vehicles is not None
        for some in _shares(vehicles, len(truth.cells)):
            for counts in _shares(rows, len(truth.cells)):
                table = replace(truth, cells=tuple(zip(counts, some, strict=True)), left=())
                if fits(table, shared):
                    yield table


Key = tuple[str, str]
"""What a count is of, and of which step and reason."""


def counts(table: Table) -> dict[Key, int]:
    """Every count of a check: cells, and running totals. Those that cannot be anything but 0 are left out."""
    found: dict[Key, int] = {}
    for (step, number), cell in zip(table.names, table.cells, strict=False):
        for what, count in zip(("rows", "vehicles"), cell, strict=True):
            if what == "rows" or step not in NO_VEHICLE:
                found[what, f"{step} reason-{number}"] = count
    funnel = table.result().funnel
    found["rows", "total"], found["vehicles", "total"] = funnel.rows, funnel.vehicles
    for item in funnel.steps:
        found["rows", f"after {item.name}"], found["vehicles", f"after {item.name}"] = item.rows, item.vehicles
    return found


def told(table: Table, shared: Shared) -> dict[Key, int | None]:
    """What is published of each of those counts; None where it is suppressed. A reason that is not named has none."""
    found: dict[Key, int | None] = dict.fromkeys(counts(table), 0 if shared.rows is not None else None)
    found["rows", "total"], found["vehicles", "total"] = shared.rows, shared.vehicles
    for step in shared.steps:
        found["rows", f"after {step.name}"], found["vehicles", f"after {step.name}"] = step.rows, step.vehicles
        for reason in step.reasons:
            for what, count in (("rows", reason.rows), ("vehicles", reason.vehicles)):
                if (key := (what, f"{step.name} {reason.code}")) in found:
                    found[key] = count
    return found


def witnesses(truth: Table) -> list[Table]:
    """Tables that would be published as the truth is, enough to open every suppressed count, as far as they are found.

    Tried are, for ever longer rows of neighbouring cells, tables in which most of the row lies in one or two of them.
    """
    shared = truth.shared()
    said = told(truth, shared)
    full = [i for i, cell in enumerate(truth.cells) if cell != (0, 0)]
    found = [truth]
    for length in range(2, len(full) + 1):
        for start in range(len(full) - length + 1):
            some = full[start : start + length]
            if any(_shut(key, said, found, truth.small) for i in some for key in _keys(truth, i)):
                found += [table for table in _moved(truth, some) if fits(table, shared)]
        if not any(_shut(key, said, found, truth.small) for key in said):
            break
    return found


def is_open(key: Key, low: int, high: int, small: int, last: str) -> bool:
    """What is guaranteed of a suppressed count: of a running total but the last, only its width."""
    return high - low >= small and (low < small or (key[1].startswith("after") and key[1] != last))


def _shut(key: Key, said: dict[Key, int | None], found: Sequence[Table], small: int) -> bool:
    values = [counts(table).get(key, 0) for table in found]
    last = f"after {found[0].steps[-1]}"
    return key in said and said[key] is None and not is_open(key, min(values), max(values), small, last)


def _keys(truth: Table, place: int) -> tuple[Key, Key]:
    last = place == len(truth.names)
    name = f"after {truth.steps[-1]}" if last else f"{truth.names[place][0]} reason-{truth.names[place][1]}"
    return ("rows", name), ("vehicles", name)


def _moved(truth: Table, some: Sequence[int]) -> Iterator[Table]:
    rows, vehicles = (sum(truth.cells[i][k] for i in some) for k in (0, 1))
    last, none_left = len(truth.names), truth.cells[-1][1] == 0
    barren = {i for i in some if (none_left if i == last else truth.names[i][0] in NO_VEHICLE)}
    bearing = [i for i in some if vehicles and i not in barren]
    for bearer, taker in itertools.product(bearing or some[:1], some):
        carried = {i: int(i in bearing) for i in some}
        carried[bearer] += vehicles - len(bearing)
        held = {i: max(1, carried[i]) if rows >= vehicles else 1 for i in some} if rows else dict.fromkeys(some, 0)
        held[taker] += rows - sum(held.values())
        cells = list(truth.cells)
        for i in some:
            cells[i] = (held[i], carried[i])
        yield replace(truth, cells=tuple(cells))


def spread(found: Sequence[Table]) -> dict[Key, tuple[int, int]]:
    """The least and the greatest value of each count in these tables."""
    every = [counts(table) for table in found]
    return {key: (min(each[key] for each in every), max(each[key] for each in every)) for key in every[0]}


def real(small: int = 10, **cells: tuple[int, int]) -> Table:
    """A check of the size of a force's log; ``window_2=(3, 2)`` is the third reason of that step."""
    usual = {
        "readable_0": (12, 10),
        "offence_0": (40, 36),
        "convicted_0": (80, 71),
        "has-vrm_0": (31, 0),
        "whole-vrm_0": (14, 0),
        "whole-vrm_1": (11, 0),
        "victim_0": (15, 13),
        "window_2": (30, 27),
        "seen_0": (25, 22),
        "often_0": (14, 12),
        "left_0": (48, 40),
    }
    found = usual | {name.replace("_vrm", "-vrm"): cell for name, cell in cells.items()}
    order = [*STEPS, "left"]
    listed = sorted(found, key=lambda name: (order.index(name[:-2]), name))
    names = tuple((name[:-2], int(name[-1])) for name in listed[:-1])
    return Table(names, tuple(found[name] for name in listed), STEPS, small)  # type: ignore[arg-type]


def losing(*losses: int, needed: int = 30, paperwork: int = 90) -> Table:
    """A check of that size that loses so many vehicles before each milestone, and the last number after all."""
    return replace(real(left_0=(400, sum(losses))), left=race(losses), needed=needed, paperwork=paperwork)


@st.composite
def any_tables(draw: st.DrawFn) -> Table:
    names = [(step, number) for step in STEPS for number in range(3) if draw(st.booleans())]
    size = st.sampled_from([0, 1, 2, 4, 5, 6, 9, 10, 11, 25, 300])
    cells = []
    for step, _ in [*names, ("left", 0)]:
        vehicles = 0 if step in NO_VEHICLE else draw(size)
        cells.append((vehicles + draw(size), vehicles))
    left = race(draw(st.lists(size, min_size=6, max_size=6)))
    unjudged = frozenset(set(STEPS) - {step for step, _ in names} - {"readable"})
    table = Table(tuple(names), tuple(cells), STEPS, draw(st.sampled_from([5, 10])), 0, left, unjudged=unjudged)
    return replace(table, cells=(*table.cells[:-1], (left[0] + draw(size), left[0])))

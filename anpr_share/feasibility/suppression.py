"""What may be shared of a feasibility check: no small count, and none from which one could be worked out.

T is ``small_below``. What falls out at each step for each reason, and what is left in the end, are *cells* of rows and
vehicles; every running total is a sum of them. Empty cells are said. The others stand in a tree that the list of them
fixes and no count does: stretches of steps about one thing (`_ABOUT`) are halved, and each half again, then the steps
of a stretch, then the reasons of a step. A cell *can be told* if its rows and vehicles are each 0 or at least T. A
group of the tree can be told if both of its halves can, or else, as one sum, if it withstands an attacker. Both halves
are told where both can be; otherwise one sum, and nothing within it.

Guarantee: take an attacker who knows all that is published, these rules, that vehicles never fall out for want of a
plate, that something is left unless the verdict is ``stop``, and, where no cell of the extract holds several plates,
that a cell has no fewer rows than vehicles. For every count of a cell that is suppressed there is a possible table with
a value below T, and another with one at least T more; and a running total that is suppressed may be off by T. A group
is only formed if such tables are at hand: they are built (`_tables`), and kept if the rules would make of them just
what is published. As the tree does not depend on counts, and whether a group withstands on its sums alone, what stands
outside of a group gives nothing away about what is in it. If not even the whole can be told, nothing is, but ``stop``.

The race is a row of such cells, of one count: what today's number loses up to each milestone, and what is left then.
Verdict and conditions are worked out anew from what is published, so ``vehicles_needed`` measures nothing that is not:
``go`` where the published figures prove it, ``go-if`` where they do not, ``stop`` only and always where none is left.

Not covered: two summaries, of two days or under two sets of rules, from which the attacker takes the difference.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final

from anpr_share.feasibility.combining import verdict_on
from anpr_share.feasibility.figures import (
    MILESTONES,
    FeasibilityResult,
    Funnel,
    Race,
    Shared,
    SharedPoint,
    SharedReason,
    SharedStep,
)
from anpr_share.tables.profile import StepName

WITHOUT_VEHICLES: Final[frozenset[StepName]] = frozenset({"has-vrm", "whole-vrm"})
"""The steps at which rows fall out that name no vehicle."""

_ABOUT: Final[Mapping[StepName, str]] = {
    **dict.fromkeys(("readable", "offence", "convicted"), "case"),
    **dict.fromkeys(WITHOUT_VEHICLES, "plate"),
    **dict.fromkeys(("victim", "window"), "use"),
    **dict.fromkeys(("seen", "often"), "reads"),
}
"""Neighbours that are better told as one sum than with others; what is left at the end goes with the reads."""

Counts = Mapping[int, int]
"""A count for each cell, by its place."""


def suppress(result: FeasibilityResult) -> Shared:
    """What may be shared of a check."""
    funnel, small = result.funnel, result.settings.small_below
    cells = _cells(funnel)
    told = _tell(funnel, cells, small) or _nothing(funnel)
    eligible = told.steps[-1].vehicles
    points = () if eligible is None else _points(result.race, eligible, small)
    # Fewer reads, or vehicles in them, would bound how many vehicles can be left, or be in the extract.
    most = max(funnel.vehicles, 2 * small)
    shared = Shared(
        at=result.at,
        first=result.first,
        last=result.last,
        settings=result.settings,
        reads=_unbinding(result.reads, most * result.settings.min_reads),
        vehicles_in_reads=_unbinding(result.base_rate.vehicles, most),
        rows=told.rows,
        vehicles=told.vehicles,
        steps=told.steps,
        basis=result.race.basis,
        points=points,
        code="stop" if funnel.eligible == 0 else "go-if",
        conditions=(),
    )
    code, conditions = verdict_on(shared)
    return replace(shared, code=code, conditions=conditions)


def _unbinding(count: int | None, least: int) -> int | None:
    return count if count is None or count == 0 or count >= least else None


@dataclass(frozen=True, slots=True)
class _Cell:
    """``step`` is its place among the steps, one past the last for what is left; ``carries``: it can have vehicles."""

    step: int
    reason: int
    rows: int
    vehicles: int
    carries: bool


def _cells(funnel: Funnel) -> tuple[_Cell, ...]:
    found = [
        _Cell(place, number, reason.rows, reason.vehicles, step.name not in WITHOUT_VEHICLES or reason.vehicles > 0)
        for place, step in enumerate(funnel.steps)
        for number, reason in enumerate(step.reasons)
    ]
    found.append(_Cell(len(funnel.steps), 0, funnel.steps[-1].rows, funnel.eligible, funnel.eligible > 0))
    return tuple(cell for cell in found if cell.rows or cell.vehicles)


@dataclass(frozen=True, slots=True)
class _Told:
    rows: int | None
    vehicles: int | None
    steps: tuple[SharedStep, ...]


def _tell(funnel: Funnel, cells: Sequence[_Cell], small: int) -> _Told | None:
    about = [_ABOUT[step.name] for step in funnel.steps] + ["reads"]
    stretch = [sum(before != after for before, after in pairwise(about[: place + 1])) for place in range(len(about))]
    places = [(stretch[cell.step], cell.step, cell.reason) for cell in cells]
    tree = _Tree(places, [cell.carries for cell in cells], small)
    rows = {i: cell.rows for i, cell in enumerate(cells)}
    vehicles = {i: cell.vehicles for i, cell in enumerate(cells)}
    groups = tree.groups(rows, vehicles)
    if groups is None:
        return None
    # Of each group the cells whose rows, and those whose vehicles, are suppressed.
    hidden_rows, hidden_vehicles = [], []
    for group in groups:
        joined = len(group) > 1
        hidden_rows.append([i for i in group if joined and any(rows[i] for i in group)])
        hidden_vehicles.append([i for i in group if joined and cells[i].carries and any(vehicles[i] for i in group)])
    steps = []
    for place, step in enumerate(funnel.steps):
        after = sum(cell.step <= place for cell in cells)
        own = {cell.reason: i for i, cell in enumerate(cells) if cell.step == place}
        steps.append(
            SharedStep(
                step.name,
                step.judged,
                None if _cut(hidden_rows, after) else step.rows,
                None if _cut(hidden_vehicles, after) else step.vehicles,
                tuple(
                    SharedReason(
                        reason.code,
                        None if any(own.get(number) in some for some in hidden_rows) else reason.rows,
                        None if any(own.get(number) in some for some in hidden_vehicles) else reason.vehicles,
                    )
                    for number, reason in enumerate(step.reasons)
                ),
            )
        )
    return _Told(funnel.rows, funnel.vehicles, tuple(steps))


def _nothing(funnel: Funnel) -> _Told:
    """What is told of a check of which not even the whole may be: its steps, and that nothing is left, if so."""
    *steps, last = (SharedStep(step.name, step.judged, None, None, ()) for step in funnel.steps)
    return _Told(None, None, (*steps, last if funnel.eligible else replace(last, vehicles=0)))


def _cut(hidden: Sequence[Sequence[int]], after: int) -> bool:
    """Whether the total at this place divides what is suppressed of a group: else it follows from what is told."""
    return any(some[0] < after <= some[-1] for some in hidden if some)


def _points(race: Race, eligible: int, small: int) -> tuple[SharedPoint, ...]:
    days = (0, *MILESTONES)
    left = [race.after(day) for day in days]
    # First those of which there are no data today: with what is left, they would give it away.
    losses = [before - after for before, after in pairwise([eligible, *left])]
    cells = [*losses, left[-1]]
    if min(cells) < 0 or 0 < eligible < small + len(cells):
        return ()
    some = [i for i, count in enumerate(cells) if count]
    tree = _Tree([(place,) for place in some], [False] * len(some), small)
    groups = tree.groups({i: cells[place] for i, place in enumerate(some)}, dict.fromkeys(range(len(some)), 0))
    if groups is None:
        return ()
    hidden = [[some[i] for i in group] for group in groups if len(group) > 1]
    return tuple(
        SharedPoint(day, None if _cut(hidden, place + 1) else count)
        for place, (day, count) in enumerate(zip(days, left, strict=True))
    )


class _Tree:
    """The groups that cells can be told in, none of them empty.

    ``places`` says where each is, in order, what is halved first standing first; ``carries`` which can have vehicles;
    ``small`` is T.
    """

    def __init__(self, places: Sequence[tuple[int, ...]], carries: Sequence[bool], small: int) -> None:
        self._places, self._carries, self._small = places, carries, small
        self._known: dict[tuple[int, int, int, int], bool] = {}

    def groups(self, rows: Counts, vehicles: Counts) -> list[range] | None:
        """The groups whose sums are told, in order; None if not even the whole may be."""
        whole = range(len(self._places))
        if not whole:
            return []
        return list(self._divide(whole, rows, vehicles)) if self._can_be_told(whole, rows, vehicles) else None

    def _divide(self, group: range, rows: Counts, vehicles: Counts) -> Iterator[range]:
        halves = self._halves(group)
        if halves and all(self._can_be_told(half, rows, vehicles) for half in halves):
            for half in halves:
                yield from self._divide(half, rows, vehicles)
        else:
            yield group

    def _halves(self, group: range) -> tuple[range, ...]:
        if len(group) == 1:
            return ()
        first, last = self._places[group.start], self._places[group.stop - 1]
        level = next(level for level, (a, b) in enumerate(zip(first, last, strict=True)) if a != b)
        begins = [i for i in group[1:] if self._places[i][level] != self._places[i - 1][level]]
        middle = begins[len(begins) // 2]
        return range(group.start, middle), range(middle, group.stop)

    def _can_be_told(self, group: range, rows: Counts, vehicles: Counts) -> bool:
        halves = self._halves(group)
        if not halves:
            return all(count == 0 or count >= self._small for count in (rows[group.start], vehicles[group.start]))
        if all(self._can_be_told(half, rows, vehicles) for half in halves):
            return True
        return self._withstands(group, sum(rows[i] for i in group), sum(vehicles[i] for i in group))

    def _withstands(self, group: range, rows: int, vehicles: int) -> bool:
        """Whether these sums alone leave every count in the group open, for one who knows that it was not divided."""
        key = (group.start, group.stop, rows, vehicles)
        if key not in self._known:
            kept = [
                table
                for table in self._tables(group, rows, vehicles)
                if not all(self._can_be_told(half, *table) for half in self._halves(group))
            ]
            self._known[key] = all(self._open([table[0][i] for table in kept]) for i in group if rows) and all(
                self._open([table[1][i] for table in kept]) for i in group if vehicles and self._carries[i]
            )
        return self._known[key]

    def _open(self, values: Sequence[int]) -> bool:
        return bool(values) and min(values) < self._small <= max(values) - min(values)

    def _tables(self, group: range, rows: int, vehicles: int) -> Iterator[tuple[Counts, Counts]]:
        """Tables with these sums: 1 everywhere, the rest of the vehicles in one cell, that of the rows in one.

        As many rows as vehicles are in every cell, unless the sums say that cells hold several plates: then not more.
        """
        carrying = [i for i in group if vehicles and self._carries[i]]
        if vehicles < len(carrying):
            return
        for bearer in carrying or group[:1]:
            some = {i: int(i in carrying) for i in group}
            some[bearer] += vehicles - len(carrying)
            least = {i: max(1, some[i]) if rows >= vehicles else 1 for i in group}
            for taker in group if rows else ():
                table = least | {taker: least[taker] + rows - sum(least.values())}
                ordered = (table[i] >= some[i] if rows >= vehicles else table[i] <= some[i] for i in group)
                if table[taker] > 0 and all(ordered):
                    yield table, some
            if not rows:
                yield dict.fromkeys(group, 0), some

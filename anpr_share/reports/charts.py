"""Where the lines, marks and words of a chart go, in the units of its SVG.

Guarantees: lines of one chart differ in dash pattern, in marker and by the name at their end (a line alone may have
none), so that they are told apart without colour; names at the ends do not lie on each other; what is not told has a
column with a question mark and no point; a line has a gap there.

``charts.html.jinja`` draws it, ``charts.css`` colours it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

LEFT, RIGHT, TOP, BOTTOM = 46, 336, 14, 206
"""The field that lines are drawn in; names stand to its right, and below it the axis."""
_APART: Final = 15.0
"""Between the middles of two names."""
_DODGE: Final = 3.5
"""Between the marks of two lines at one place, lest their bars lie on each other."""
_COLUMN: Final = 22.0


@dataclass(frozen=True, slots=True)
class Look:
    """What a line is told apart by: its dashes, as SVG has them, and its marker, as an SVG path around 0, 0."""

    dash: str
    marker: str
    filled: bool


LOOKS: Final = (
    Look("none", "M-4 0A4 4 0 1 1 4 0A4 4 0 1 1 -4 0Z", filled=True),
    Look("8 4", "M-4 -4H4V4H-4Z", filled=False),
    Look("2 3", "M0 -5L5 4H-5Z", filled=True),
    Look("10 3 2 3", "M0 -5.5L5.5 0L0 5.5L-5.5 0Z", filled=False),
    Look("4 2", "M-4 -4L4 4M-4 4L4 -4", filled=False),
    Look("14 3 2 3 2 3", "M-5 -4H5L0 5Z", filled=False),
)


@dataclass(frozen=True, slots=True)
class Point:
    """One value: None if it is not told. ``low`` and ``high`` are the ends of its confidence bar."""

    x: float
    y: float | None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Line:
    """Points in order of x, under the name that stands at the end."""

    name: str
    points: tuple[Point, ...]


@dataclass(frozen=True, slots=True)
class Axis:
    """What is shown along one side, from ``low`` to ``high``, with a text at each tick."""

    title: str
    low: float
    high: float
    ticks: tuple[tuple[float, str], ...]


@dataclass(frozen=True, slots=True)
class Text:
    """Words, or a tick's line, at a place."""

    x: float
    y: float
    text: str


@dataclass(frozen=True, slots=True)
class Bar:
    """A confidence bar, upright."""

    x: float
    top: float
    bottom: float


@dataclass(frozen=True, slots=True)
class Drawn:
    """One line as it is drawn: its path, the places of its marks, its bars, and its name with where it points from."""

    look: Look
    path: str
    marks: tuple[tuple[float, float], ...]
    bars: tuple[Bar, ...]
    name: Text
    end: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Chart:
    """All that is drawn. ``untold`` are columns, by their left side; ``across`` a level to compare with."""

    lines: tuple[Drawn, ...]
    x_title: str
    y_title: str
    x_ticks: tuple[Text, ...]
    y_ticks: tuple[Text, ...]
    untold: tuple[float, ...]
    across: Text | None


def chart(lines: Sequence[Line], x: Axis, y: Axis, across: tuple[float, str] | None = None) -> Chart:
    """Lines in a field with two axes, and a level to compare them with.

    Raises:
        ValueError: there are more lines than looks that tell them apart.
    """
    if len(lines) > len(LOOKS):
        raise ValueError(f"a chart tells {len(LOOKS)} lines apart, and no more")
    found = [
        (line, look) for line, look in zip(lines, LOOKS, strict=False) if any(p.y is not None for p in line.points)
    ]
    drawn = [_drawn(line, look, (i - (len(found) - 1) / 2) * _DODGE, x, y) for i, (line, look) in enumerate(found)]
    heights = _spread([item.end[1] for item in drawn])
    named = [
        Drawn(item.look, item.path, item.marks, item.bars, Text(RIGHT + 24, height, item.name.text), item.end)
        for item, height in zip(drawn, heights, strict=True)
    ]
    missing = sorted({point.x for line in lines for point in line.points if point.y is None})
    return Chart(
        lines=tuple(named),
        x_title=x.title,
        y_title=y.title,
        x_ticks=tuple(Text(_across(value, x), BOTTOM, text) for value, text in x.ticks),
        y_ticks=tuple(Text(LEFT, _up(value, y), text) for value, text in y.ticks),
        untold=tuple(round(_across(value, x) - _COLUMN / 2, 1) for value in missing),
        across=None if across is None else Text(RIGHT, _up(across[0], y), across[1]),
    )


def share_axis(title: str) -> Axis:
    """From none to all, in per cent."""
    return Axis(title, 0, 1, tuple((tenth / 10, f"{tenth * 10}%") for tenth in range(0, 11, 2)))


def whole_ticks(most: int) -> tuple[int, ...]:
    """From 0 to at least ``most``, in steps of 1, 2 or 5 times a power of ten: at most seven of them."""
    power = 10 ** max(0, math.floor(math.log10(max(most, 1))) - 1)
    step = next(times * power for times in (1, 2, 5, 10, 20, 50, 100) if times * power * 5 >= most)
    return tuple(range(0, most + step, step)) if most else (0, 1)


def short(number: int) -> str:
    """A round number as it fits beside an axis: ``500``, ``20k``, ``40M``."""
    for size, letter in ((1_000_000_000, "bn"), (1_000_000, "M"), (1_000, "k")):
        if number >= 10 * size or (number >= size and number % (size // 10) == 0 and size > 1_000):
            return f"{number / size:g}{letter}"
    return f"{number:,}"


def _across(value: float, axis: Axis) -> float:
    return round(LEFT + 14 + (RIGHT - LEFT - 28) * (value - axis.low) / (axis.high - axis.low), 1)


def _up(value: float, axis: Axis) -> float:
    return round(BOTTOM - (BOTTOM - TOP) * (value - axis.low) / (axis.high - axis.low), 1)


def _drawn(line: Line, look: Look, aside: float, x: Axis, y: Axis) -> Drawn:
    places = [
        (round(_across(point.x, x) + aside, 1), None if point.y is None else _up(point.y, y)) for point in line.points
    ]
    pieces = [list(piece) for known, piece in groupby(places, key=lambda place: place[1] is not None) if known]
    marks = tuple((across, up) for across, up in places if up is not None)
    bars = tuple(
        Bar(place[0], _up(point.high, y), _up(point.low, y))
        for place, point in zip(places, line.points, strict=True)
        if point.low is not None and point.high is not None
    )
    path = "".join("M" + "L".join(f"{across} {up}" for across, up in piece) for piece in pieces)
    return Drawn(look, path, marks, bars, Text(0, 0, line.name), marks[-1])


def _spread(wanted: Iterable[float]) -> list[float]:
    """The heights nearest to those wanted at which names do not lie on each other, all within the field."""
    ordered = sorted(enumerate(wanted), key=lambda item: item[1])
    heights: list[float] = []
    for _, height in ordered:
        heights.append(max(height, heights[-1] + _APART) if heights else max(height, float(TOP)))
    limit = float(BOTTOM)
    for index in range(len(heights) - 1, -1, -1):
        heights[index] = min(heights[index], limit)
        limit = heights[index] - _APART
    placed = {index: round(height, 1) for (index, _), height in zip(ordered, heights, strict=True)}
    return [placed[index] for index in range(len(placed))]

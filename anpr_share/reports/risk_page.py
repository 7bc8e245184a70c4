"""How identifying a release would be, as one page for a data protection officer and whoever signs.

Guarantees: every figure of the result is on the page, in a table if it is in a chart; nothing is called safe, and
nothing anonymous. The page is as `anpr_share.reports.html` says.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Final

from anpr_share import __version__
from anpr_share.reports.charts import Axis, Chart, Line, Point, chart
from anpr_share.reports.html import brief_percent, environment, percent
from anpr_share.risk.figures import (
    MOST_POINTS,
    Choice,
    Context,
    Estimate,
    Identified,
    RiskResult,
    Scope,
    Unicity,
    Volume,
)
from anpr_share.words import count

if TYPE_CHECKING:
    from jinja2 import Environment

_RESOLUTIONS: Final = {"1s": "1 second", "1m": "1 minute", "15m": "15 minutes", "1h": "1 hour", "1d": "1 day"}
_ABOVE, _WITHIN, _NONE = "above the ceiling", "within the ceiling", "no ceiling is agreed"


@dataclass(frozen=True, slots=True)
class _Measured:
    """The curves of one body of reads: drawn, told in a sentence, and as the rows of a table."""

    id: str
    title: str
    chart: Chart | None
    told: str
    rows: tuple[_Curve, ...]


@dataclass(frozen=True, slots=True)
class _Curve:
    """One row of a table of unicity: a cell is the share, its interval, and of how many, for each number of points."""

    name: str
    cells: tuple[tuple[str, str, str], ...]


@dataclass(frozen=True, slots=True)
class _Figures:
    """A table of figures: a name and cells in each row."""

    id: str
    title: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, tuple[str, ...]], ...]


@dataclass(frozen=True, slots=True)
class _Choice:
    """One way to release, in words."""

    agreed: bool
    resolution: str
    columns: str
    sample: str
    vehicles: str
    identified: str
    interval: str
    exposed: str


def page(result: RiskResult) -> str:
    """How identifying a release would be, as one HTML document."""
    scopes = _scopes(result)
    ceiling = _ceiling(result)
    return (
        _environment()
        .get_template("risk.html.jinja")
        .render(
            result=result,
            version=__version__,
            headline=_headline(result),
            interval=_interval_told(result.release),
            ceiling=ceiling,
            look={_ABOVE: "bad", _WITHIN: "doubtful", _NONE: "doubtful"}[ceiling],
            ceiling_told=_ceiling_told(result, ceiling),
            resolution=_resolution(result.resolution),
            sample=_sample(result.sample),
            what=_what(result),
            measured=[_measured(f"unicity-{number}", title, scope) for number, (title, scope) in enumerate(scopes, 1)],
            points=range(1, MOST_POINTS + 1),
            sizes=_sizes(scopes),
            volumes=_volumes(scopes),
            scarce=_scarce(scopes),
            rejoined=_rejoined(scopes),
            context=None if result.context is None else _context(result.context),
            minutes=_minutes(result.key.minutes),
            choices=[_choice(item) for item in result.choices],
        )
    )


@cache
def _environment() -> Environment:
    return environment()


def _scopes(result: RiskResult) -> list[tuple[str, Scope]]:
    so_far = [] if result.so_far is None else [("together with what was released before", result.so_far)]
    return [("in this release", result.release), *so_far]


def _what(result: RiskResult) -> str:
    """What points are, as the columns tell them."""
    return "places and times" if "camera" in result.columns else "moments"


def _resolution(code: str) -> str:
    return _RESOLUTIONS.get(code, code)


def _sample(sample: str) -> str:
    return "every vehicle" if sample in {"", "1"} else f"{sample} of vehicles"


def _four(scope: Scope) -> Identified | None:
    """What four points give away at the agreed resolution; None if there is nothing to measure."""
    found = next((item for unicity in scope.curves[:1] for item in unicity.curve if item.points == 4), None)
    return found if found is not None and found.vehicles.of else None


def _shares(scope: Scope) -> str:
    """The share of all vehicles, and of those that are known so well, if that is greater."""
    found = _four(scope)
    if found is None:
        return "not measured"
    more = found.known is not None and found.known.share > found.vehicles.share
    told = f"{percent(found.vehicles.share)} of vehicles"
    return f"{told}, and {percent(found.known.share)} of those seen so often" if more and found.known else told


def _headline(result: RiskResult) -> str:
    if _four(result.release) is None:
        return "there is no vehicle to release, so nothing was measured"
    return f"four {_what(result)} that somebody knows of a vehicle identify {_shares(result.release)}"


def _interval_told(scope: Scope) -> str:
    found = _four(scope)
    if found is None:
        return ""
    shares = [
        ("of all", found.vehicles),
        *([("of those with four points or more", found.known)] if found.known else []),
    ]
    told = "; ".join(
        f"{which}, {percent(item.low)} to {percent(item.high)}, from {count(item.of, 'vehicle')} looked at"
        for which, item in shares
    )
    return (
        f"With 95% confidence: {told}. Whoever knows so much of a vehicle finds it among the tokens, and with it "
        "everywhere else that it was seen."
    )


def _ceiling(result: RiskResult) -> str:
    if result.ceiling is None:
        return _NONE
    return _ABOVE if result.over_ceiling else _WITHIN


def _ceiling_told(result: RiskResult, ceiling: str) -> str:
    shares = "; ".join(f"{title}, four points identify {_shares(scope)}" for title, scope in _scopes(result))
    if result.ceiling is None:
        return f"The agreement sets no ceiling above which export would refuse: {shares}."
    refused = " Above the ceiling, export refuses." if ceiling == _ABOVE else ""
    return f"The agreement's ceiling is {result.ceiling}: {shares}.{refused}"


def _measured(own: str, title: str, scope: Scope) -> _Measured:
    told = "; ".join(
        f"{_resolution(item.resolution)} "
        + ", ".join(f"{one.points}: {brief_percent(one.vehicles.share)}" for one in item.curve)
        for item in scope.curves
    )
    return _Measured(
        id=own,
        title=title,
        chart=_drawn(scope.curves) if any(item.curve for item in scope.curves) else None,
        told=f"Lines of the share of all vehicles identified, by points known, one for each resolution: {told}",
        rows=tuple(row for item in scope.curves for row in _rows(item)),
    )


def _drawn(curves: Sequence[Unicity]) -> Chart:
    lines = [
        Line(
            _resolution(item.resolution).replace("minutes", "min"),
            tuple(
                Point(one.points, one.vehicles.share, one.vehicles.low, one.vehicles.high)
                for one in sorted(item.curve, key=lambda one: one.points)
            ),
        )
        for item in curves
    ]
    return chart(
        lines,
        Axis("points known of a vehicle", 1, MOST_POINTS, tuple((n, f"{n}") for n in range(1, MOST_POINTS + 1))),
        Axis("of all vehicles", 0, 1, tuple((tenth / 10, f"{tenth * 10}%") for tenth in range(0, 11, 2))),
    )


def _rows(item: Unicity) -> tuple[_Curve, _Curve]:
    found = {one.points: one for one in item.curve}
    every = range(1, MOST_POINTS + 1)
    name = _resolution(item.resolution)
    return (
        _Curve(
            f"{name}: all vehicles ({item.measured:,} of {item.vehicles:,} looked at)",
            tuple(_cell(found[number].vehicles) if number in found else ("none", "", "") for number in every),
        ),
        _Curve(
            f"{name}: those with so many points",
            tuple(_cell(found[number].known if number in found else None) for number in every),
        ),
    )


def _cell(estimate: Estimate | None) -> tuple[str, str, str]:
    if estimate is None:
        return ("none", "", "")
    interval = f"{brief_percent(estimate.low)} to {brief_percent(estimate.high)}"
    return (brief_percent(estimate.share), interval, f"of {estimate.of:,}")


def _sizes(scopes: Sequence[tuple[str, Scope]]) -> _Figures:
    return _table(
        "sizes",
        "What is looked at",
        [title for title, _ in scopes],
        [
            ("Reads", [f"{scope.reads:,}" for _, scope in scopes]),
            ("Vehicles", [f"{scope.vehicles:,}" for _, scope in scopes]),
            ("Cameras", ["not released" if scope.cameras is None else f"{scope.cameras:,}" for _, scope in scopes]),
            ("Days", [f"{scope.days:,}" for _, scope in scopes]),
            ("First and last day", [f"{scope.first} to {scope.last}" for _, scope in scopes]),
        ],
    )


def _volumes(scopes: Sequence[tuple[str, Scope]]) -> _Figures:
    found = [
        (f"{kind} {title}", volume)
        for title, scope in scopes
        for kind, volume in (("cameras", scope.by_camera), ("vehicles", scope.by_vehicle))
        if volume is not None
    ]
    volumes = [volume for _, volume in found]
    return _table(
        "volumes",
        "Cameras and vehicles by the number of their reads",
        [heading for heading, _ in found],
        [
            ("How many there are", [f"{item.count:,}" for item in volumes]),
            ("Reads of the busiest", [f"{item.most:,}" for item in volumes]),
            ("Median of reads", [_plain(item) for item in volumes]),
            ("Share of all reads, the busiest", [brief_percent(item.busiest_share) for item in volumes]),
            (
                "Share of all reads, the busiest hundredth",
                [brief_percent(item.top_hundredth_share) for item in volumes],
            ),
            ("With a number of reads that no other has", [f"{item.alone:,}" for item in volumes]),
            ("With more than ten times the median", [f"{item.outstanding:,}" for item in volumes]),
        ],
    )


def _plain(item: Volume) -> str:
    return f"{item.median:,.1f}".removesuffix(".0")


def _scarce(scopes: Sequence[tuple[str, Scope]]) -> _Figures:
    found = [scope.scarce for _, scope in scopes]
    reads = [scope.reads for _, scope in scopes]
    fewest = " and ".join(dict.fromkeys(f"{item.k:,}" for item in found))
    return _table(
        "scarce",
        f"Reads with fewer than {fewest} vehicles around them",
        [title for title, _ in scopes],
        [
            ("Days with so few", [f"{item.days:,}" for item in found]),
            ("Reads on them", _parts([item.reads_on_days for item in found], reads)),
            ("Cameras with so few", [f"{item.cameras:,}" for item in found]),
            ("Reads at them", _parts([item.reads_at_cameras for item in found], reads)),
            ("Days of a camera with so few", [f"{item.camera_days:,}" for item in found]),
            ("Reads there and then", _parts([item.reads_on_camera_days for item in found], reads)),
        ],
    )


def _rejoined(scopes: Sequence[tuple[str, Scope]]) -> _Figures:
    found = [scope.rejoined for _, scope in scopes]
    reads = [scope.reads for _, scope in scopes]
    cameras = [None if scope.cameras is None else scope.cameras for _, scope in scopes]
    return _table(
        "rejoined",
        "Two releases of these same reads, with unrelated tokens",
        [f"{title}, times to {_resolution(scope.rejoined.resolution)}" for title, scope in scopes],
        [
            ("Reads with a time that no other has", _parts([item.by_time for item in found], reads)),
            (
                "Reads that are the only one of their camera at their time",
                _parts([item.by_place_and_time for item in found], reads),
            ),
            ("Cameras matched by their times alone", _parts([item.cameras for item in found], cameras)),
            (
                "Vehicles with such a read",
                _parts([item.vehicles for item in found], [scope.vehicles for _, scope in scopes]),
            ),
            ("Reads joined with them", _parts([item.reads for item in found], reads)),
        ],
    )


def _context(item: Context) -> _Figures:
    return _table(
        "context",
        f"Cameras’ context, at least {item.k:,} cameras alike",
        ["number"],
        [
            ("Cameras", [f"{item.cameras:,}"]),
            ("Combinations of context before the rule", [f"{item.before:,}"]),
            ("Cameras in combinations that are too rare", [f"{item.rare:,}"]),
            ("Combinations that are released", [f"{item.after:,}"]),
            ("Cameras in the smallest of them", [f"{item.smallest:,}"]),
            ("Cameras that lose a column or more", [f"{item.coarser:,}"]),
            ("Cameras that do not leave at all", [f"{item.left_out:,}"]),
        ],
    )


def _table(own: str, title: str, headings: Sequence[str], rows: Sequence[tuple[str, Sequence[str]]]) -> _Figures:
    return _Figures(own, title, tuple(headings), tuple((name, tuple(cells)) for name, cells in rows))


def _parts(numbers: Sequence[int], wholes: Sequence[int | None]) -> list[str]:
    """Each number, with its share of the whole where there is one."""
    return [
        f"{number:,} ({brief_percent(number / whole)})" if whole else f"{number:,}"
        for number, whole in zip(numbers, wholes, strict=True)
    ]


def _minutes(minutes: float) -> str:
    return "under a minute" if minutes < 1 else f"about {count(round(minutes), 'minute')}"


def _choice(item: Choice) -> _Choice:
    return _Choice(
        agreed=item.agreed,
        resolution=_resolution(item.resolution),
        columns=", ".join(item.columns),
        sample=_sample(item.sample),
        vehicles=f"{item.of:,}",
        identified=brief_percent(item.unicity4),
        interval=f"{brief_percent(item.low)} to {brief_percent(item.high)}",
        exposed=brief_percent(item.exposed),
    )

"""How identifying a release would be, as one page for a data protection officer and whoever signs.

Guarantees: every figure of the result is on the page, in a table if it is in a chart; nothing is called safe, and
nothing anonymous. The page is as `anpr_share.reports.html` says.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from anpr_share import __version__
from anpr_share.reports.charts import Axis, Chart, Line, Point, chart, share_axis
from anpr_share.reports.html import environment
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
from anpr_share.words import RESOLUTIONS, brief_percent, count, percent

if TYPE_CHECKING:
    from jinja2 import Environment

_ABOVE, _WITHIN, _NONE = "above the ceiling", "within the ceiling", "no ceiling is agreed"


@dataclass(frozen=True, slots=True)
class _Drawn:
    """Curves drawn, and told in a sentence."""

    id: str
    title: str
    chart: Chart
    told: str


@dataclass(frozen=True, slots=True)
class _Measured:
    """The curves of one body of reads: drawn, and as the rows of a table."""

    id: str
    title: str
    charts: tuple[_Drawn, ...]
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
            resolution=RESOLUTIONS[result.resolution],
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


def _sample(sample: str) -> str:
    return "every vehicle" if sample == "1" else f"{sample} of vehicles"


def _four(scope: Scope) -> Identified:
    """What four points give away at the agreed resolution."""
    return scope.curves[0].by_four


def _shares(scope: Scope) -> str:
    """The share of all vehicles, and of those that are known so well, if that is greater."""
    everybody, known = _four(scope).vehicles, _four(scope).known
    told = f"{percent(everybody.share)} of vehicles"
    more = known is not None and known.share > everybody.share
    return f"{told}, and {percent(known.share)} of those seen so often" if known and more else told


def _headline(result: RiskResult) -> str:
    return f"four {_what(result)} that somebody knows of a vehicle identify {_shares(result.release)}"


def _interval_told(scope: Scope) -> str:
    found = _four(scope)
    shares = [("of all", found.vehicles)]
    if found.known is not None:
        shares.append(("of those with four points or more", found.known))
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
    return _Measured(
        id=own,
        title=title,
        charts=(
            _drawn(f"{own}-all", f"{title}: all vehicles", scope, lambda one: one.vehicles),
            _drawn(f"{own}-known", f"{title}: vehicles that have so many points", scope, lambda one: one.known),
        ),
        rows=tuple(row for item in scope.curves for row in _rows(item)),
    )


def _drawn(own: str, title: str, scope: Scope, share: Callable[[Identified], Estimate | None]) -> _Drawn:
    curves = {
        RESOLUTIONS[item.resolution].removeprefix("the "): [
            (one.points, found) for one in item.curve if (found := share(one)) is not None
        ]
        for item in scope.curves
    }
    told = "; ".join(
        f"{name} " + ", ".join(f"{points}: {brief_percent(found.share)}" for points, found in curve)
        for name, curve in curves.items()
    )
    lines = [
        Line(
            name.replace("minutes", "min"),
            tuple(Point(points, found.share, found.low, found.high) for points, found in curve),
        )
        for name, curve in curves.items()
        if curve
    ]
    points = Axis("points known of a vehicle", 1, MOST_POINTS, tuple((n, f"{n}") for n in range(1, MOST_POINTS + 1)))
    return _Drawn(
        own,
        title,
        chart(lines, points, share_axis("identified")),
        f"{title}. Lines of the share identified, by points known, one for each resolution: {told}",
    )


def _rows(item: Unicity) -> tuple[_Curve, _Curve]:
    name = RESOLUTIONS[item.resolution]
    return (
        _Curve(
            f"{name}: all vehicles ({item.measured:,} of {item.vehicles:,} looked at)",
            tuple(_cell(one.vehicles) for one in item.curve),
        ),
        _Curve(f"{name}: those with so many points", tuple(_cell(one.known) for one in item.curve)),
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
    rows = [
        ("Days with so few", [f"{item.days:,}" for item in found]),
        ("Reads on them", _parts([item.reads_on_days for item in found], reads)),
    ]
    if _have_cameras(scopes):
        rows += [
            ("Cameras with so few", [f"{item.cameras:,}" for item in found]),
            ("Reads at them", _parts([item.reads_at_cameras for item in found], reads)),
            ("Days of a camera with so few", [f"{item.camera_days:,}" for item in found]),
            ("Reads there and then", _parts([item.reads_on_camera_days for item in found], reads)),
        ]
    title = f"Reads with fewer than {found[0].k:,} vehicles around them"
    return _table("scarce", title, [title for title, _ in scopes], rows)


def _have_cameras(scopes: Sequence[tuple[str, Scope]]) -> bool:
    """Whether cameras are released; without them there is nothing to say of any."""
    return all(scope.cameras is not None for _, scope in scopes)


def _rejoined(scopes: Sequence[tuple[str, Scope]]) -> _Figures:
    found = [scope.rejoined for _, scope in scopes]
    reads = [scope.reads for _, scope in scopes]
    alone = _parts([item.by_place_and_time for item in found], reads)
    matched = _parts([item.cameras for item in found], [scope.cameras for _, scope in scopes])
    with_one = _parts([item.vehicles for item in found], [scope.vehicles for _, scope in scopes])
    rows = [("Reads with a time that no other has", _parts([item.by_time for item in found], reads))]
    if _have_cameras(scopes):
        rows += [
            ("Reads that are the only one of their camera at their time", alone),
            ("Cameras matched by their times alone", matched),
        ]
    rows += [
        ("Vehicles with such a read", with_one),
        ("Reads joined with them", _parts([item.reads for item in found], reads)),
    ]
    return _table(
        "rejoined",
        "Two releases of these same reads, with unrelated tokens",
        [f"{title}, times to {RESOLUTIONS[scope.rejoined.resolution]}" for title, scope in scopes],
        rows,
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
        resolution=RESOLUTIONS[item.resolution],
        columns=", ".join(item.columns),
        sample=_sample(item.sample),
        vehicles=f"{item.of:,}",
        identified=brief_percent(item.unicity4),
        interval=f"{brief_percent(item.low)} to {brief_percent(item.high)}",
        exposed=brief_percent(item.exposed),
    )

"""The disclosure risk of a release for a person: counts and shares, and no name of anything."""

from __future__ import annotations

from typing import TYPE_CHECKING

from anpr_share.reports.terminal import Table
from anpr_share.words import RESOLUTIONS, brief_percent, count, of_100

if TYPE_CHECKING:
    from collections.abc import Iterator

    from anpr_share.reports.terminal import Line
    from anpr_share.risk.figures import (
        Choice,
        Context,
        Estimate,
        KeyLoss,
        Rejoined,
        RiskResult,
        Scarce,
        Scope,
        Unicity,
        Volume,
    )


def risk_lines(result: RiskResult) -> list[Line]:
    """First what a data protection officer needs, then the tables behind it."""
    return [*_lines(result)]


def _lines(result: RiskResult) -> Iterator[Line]:
    yield from headline(result.release.curves[0])
    if result.ceiling is not None and result.over_ceiling:
        yield f"that is above the agreement's ceiling, {_ceiling(result.ceiling)}: an export is refused"
    elif result.ceiling is not None:
        yield f"that keeps under the agreement's ceiling, {_ceiling(result.ceiling)}"
    else:
        yield "the agreement sets no ceiling, so no export is refused for this"
    yield ""
    signed = "signed" if result.signed else "not signed by all"
    yield f"agreement   {result.agreement}, version {result.version}, {signed}"
    yield f"            {', '.join(result.columns)}"
    sample = f"; a sample of {result.sample}" if result.sample != "1" else ""
    yield f"            times to {RESOLUTIONS[result.resolution]}{sample}"
    if result.released is not None:
        known = result.released
        yield f"released    {count(known.bundles, 'bundle')} before, of {count(known.days, 'day')}"
    yield from _scope("this release", result.release)
    if result.so_far is not None:
        yield from _scope("with what was released before", result.so_far)
    if result.context is not None:
        yield ""
        yield from _context(result.context)
    yield ""
    yield from _choices(result)
    yield ""
    yield from _key(result.key)
    for note in result.notes:
        yield f"note: {note}"
    yield ""
    yield "of 100 people, 4 points identify 93 to 95 by their telephones, studies found;"
    yield "docs/risk.md says what differs, and how to read each figure"
    yield "whatever the figures, these are personal data"


def _ceiling(share: str) -> str:
    return f"{of_100(float(share))} ({share})"


def headline(curve: Unicity) -> list[str]:
    """How many vehicles four reads single out, in a sentence or two."""
    four = curve.by_four
    said = [f"4 reads are enough to single out {of_100(four.vehicles.share)} vehicles ({_interval(four.vehicles)})"]
    if four.known is not None and four.known.share > four.vehicles.share:
        said.append(f"of those that were seen so often, {of_100(four.known.share)} ({_interval(four.known)})")
    return said


def _interval(share: Estimate) -> str:
    return f"95% interval {share.low * 100:.0f} to {share.high * 100:.0f}"


def _scope(title: str, scope: Scope) -> Iterator[Line]:
    yield ""
    cameras = "" if scope.cameras is None else f" at {count(scope.cameras, 'camera')}"
    yield f"{title}:"
    yield f"  {count(scope.reads, 'read')} of {count(scope.vehicles, 'vehicle')}{cameras}"
    yield f"  on {count(scope.days, 'day')}, {scope.first} to {scope.last}"
    yield ""
    yield from _unicity(scope)
    yield ""
    yield from _standing_out(scope)
    yield ""
    yield from _scarce(scope.scarce, cameras=scope.cameras is not None)
    yield ""
    yield from _rejoined(scope.rejoined, scope)


def _unicity(scope: Scope) -> Iterator[Line]:
    headings = ("of 100, singled out by so many points", *(f"{item.points}" for item in scope.curves[0].curve))
    rows = []
    for curve in scope.curves:
        rows.append((f"times to {RESOLUTIONS[curve.resolution]}", *(_cell(item.vehicles) for item in curve.curve)))
        rows.append(("  those with so many points", *(_cell(item.known) for item in curve.curve)))
    yield Table(headings, rows)
    measured = {curve.measured for curve in scope.curves}
    yield f"measured on {min(measured):,} vehicles, drawn at random, among all {scope.vehicles:,}"


def _cell(share: Estimate | None) -> str:
    return "-" if share is None else f"{share.share * 100:.0f}"


def _standing_out(scope: Scope) -> Iterator[Line]:
    rows = []
    for name, volume in (("cameras", scope.by_camera), ("vehicles", scope.by_vehicle)):
        if volume is not None:
            rows.append(
                (
                    name,
                    volume.count,
                    volume.most,
                    f"{volume.median:,.1f}".removesuffix(".0"),
                    *_shares(volume),
                    volume.alone,
                    volume.outstanding,
                )
            )
    yield Table(("by volume", "number", "most reads", "median", "busiest", "top 1%", "alone", "over 10x"), rows)
    yield "alone: no other has this number of reads; whoever knows it knows which it is"


def _shares(volume: Volume) -> tuple[str, str]:
    return brief_percent(volume.busiest_share), brief_percent(volume.top_hundredth_share)


def _scarce(scarce: Scarce, *, cameras: bool) -> Iterator[Line]:
    rows: list[tuple[str | int, ...]] = [("days", scarce.days, scarce.reads_on_days)]
    if cameras:
        rows.append(("cameras", scarce.cameras, scarce.reads_at_cameras))
        rows.append(("days at a camera", scarce.camera_days, scarce.reads_on_camera_days))
    yield Table((f"with fewer than {scarce.k} vehicles", "number", "reads on them"), rows)


def _rejoined(found: Rejoined, scope: Scope) -> Iterator[Line]:
    yield "two releases of these reads, with unrelated tokens, laid side by side:"
    yield f"  {count(found.by_time, 'read')} with a time of their own"
    if scope.cameras is not None:
        yield f"  {count(found.by_place_and_time, 'read')} that are the only one of their camera at their time"
        yield f"  {count(found.cameras, 'camera')} of {scope.cameras:,} known by the times of their reads"
    share = of_100(found.reads / scope.reads)
    yield f"  that joins {found.vehicles:,} of {count(scope.vehicles, 'vehicle')}, and {share} reads"


def _context(context: Context) -> Iterator[Line]:
    yield f"context of {count(context.cameras, 'camera')}, so that {context.k} or more are alike:"
    yield f"  {count(context.before, 'combination')} in the extract; {count(context.rare, 'camera')} in rare ones"
    if context.after:
        yield f"  {count(context.after, 'combination')} released, the smallest of {count(context.smallest, 'camera')}"
    else:
        yield "  nothing released: there are fewer cameras than must be alike"
    yield f"  {count(context.coarser, 'camera')} made coarser, {count(context.left_out, 'camera')} left out"


def _choices(result: RiskResult) -> Iterator[Line]:
    yield Table(
        ("ways to release", "sample", "vehicles", "by 4 reads", "interval", "exposed"),
        [_choice(item, result.columns) for item in result.choices],
    )
    yield "* as agreed; by 4 reads: of 100 that are released, or of those seen so often"
    yield "exposed: of 100 in the extract"
    for sentence in result.recommendation:
        yield f"- {sentence}"


def _choice(choice: Choice, agreed: tuple[str, ...]) -> tuple[str | int, ...]:
    without = "".join(f", no {name}" for name in agreed if name not in choice.columns)
    return (
        f"{'* ' if choice.agreed else ''}{RESOLUTIONS[choice.resolution]}{without}",
        choice.sample,
        choice.of,
        f"{choice.unicity4 * 100:.0f}",
        f"{choice.low * 100:.0f}-{choice.high * 100:.0f}",
        f"{choice.exposed * 100:.1f}",
    )


def _key(key: KeyLoss) -> Iterator[Line]:
    yield f"a leaked linkage key names every vehicle: {key.plates / 1e9:.1f} billion plates, tried in"
    yield f"{key.minutes:.0f} minutes by one core of this machine ({key.per_second / 1e6:.1f} million a second)"

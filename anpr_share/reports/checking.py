"""The report of ``check`` for a person."""

from __future__ import annotations

from typing import TYPE_CHECKING

from anpr_share.reports.terminal import Table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from anpr_share.tables.report import CheckReport, Place


def check_lines(report: CheckReport) -> list[str | Table]:
    """What was read, what was rejected and why: counts and row numbers, never a value."""
    return [*_lines(report)]


def _lines(report: CheckReport) -> Iterator[str | Table]:
    rejected = sum(report.rejected.values())
    yield f"{report.table}: {_counted(report.rows, 'row')} in {_counted(len(report.files), 'file')}"
    if report.split:
        yield f"{_counted(report.split, 'row')} more, from cells that hold several plates"
    yield f"{report.accepted:,} accepted, {rejected:,} rejected"
    if report.earliest is not None and report.latest is not None:
        yield f"accepted times run from {report.earliest:%Y-%m-%d %H:%M:%S} to {report.latest:%Y-%m-%d %H:%M:%S} UTC"
    if report.failures:
        yield ""
        several = len(report.files) > 1
        yield Table(
            ("rule", "rows failing it", "rejected by it", "first rows (file:row)" if several else "first rows"),
            [
                (rule, found.count, report.rejected.get(rule, 0), _places(found.first_rows, several=several))
                for rule, found in report.failures.items()
            ],
        )
        yield "a row is rejected by the first rule that it fails; rows are numbered from 1 after the header"
    if report.families:
        yield ""
        yield Table(("accepted plates", "rows"), [*report.families.items()])
    if report.ambiguous:
        yield f"{_counted(report.ambiguous, 'plate')} can be read in more than one way, and stay as they are written"
    for rule, count in report.resolved.items():
        yield f"{rule}: {_counted(count, 'local time')} resolved as the profile says"
    yield from report.notes


def _places(places: tuple[Place, ...], *, several: bool) -> str:
    # Files are numbered from 1 in the order in which they were given and found.
    return ", ".join(f"{place.file + 1}:{place.row}" if several else str(place.row) for place in places)


def _counted(number: int, name: str) -> str:
    return f"{number:,} {name}" if number == 1 else f"{number:,} {name}s"

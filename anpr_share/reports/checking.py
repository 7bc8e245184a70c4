"""The report of ``check`` for a person."""

from __future__ import annotations

from typing import TYPE_CHECKING

from anpr_share.reports.terminal import Table
from anpr_share.tables.phrases import PHRASES
from anpr_share.words import count

if TYPE_CHECKING:
    from collections.abc import Iterator

    from anpr_share.reports.terminal import Line
    from anpr_share.tables.report import CheckReport, Place


def check_lines(report: CheckReport) -> list[Line]:
    """What was read, what was rejected and why: counts and row numbers, never a value."""
    return [*_lines(report)]


def _lines(report: CheckReport) -> Iterator[Line]:
    rejected = sum(report.rejected.values())
    yield f"{report.table}: {count(report.rows, 'row')} in {count(len(report.files), 'file')}"
    if report.split:
        yield f"{count(report.split, 'row')} more, from cells that hold several plates"
    yield f"{report.accepted:,} accepted, {rejected:,} rejected"
    if report.earliest is not None and report.latest is not None:
        yield f"accepted times run from {report.earliest:%Y-%m-%d %H:%M:%S} to {report.latest:%Y-%m-%d %H:%M:%S} UTC"
    if report.failures:
        yield ""
        yield Table(("rule", "rows", "what it means, and what to do"), [*_rules(report)])
        yield ""
        yield "rejected rows do not leave, and count under the first rule that they fail"
        yield "rows are numbered from 1 after the header" + (
            ", behind the number of their file" if len(report.files) > 1 else ""
        )
    if report.families:
        yield ""
        yield Table(("accepted plates", "rows"), [*report.families.items()])
    if report.ambiguous:
        yield f"{count(report.ambiguous, 'plate')} can be read in more than one way, and stay as they are written"
    for rule, rows in report.resolved.items():
        yield f"{rule}: {count(rows, 'local time')} resolved as the profile says"
    for note in report.notes:
        yield f"note: {note}"


def _rules(report: CheckReport) -> Iterator[tuple[str | int, ...]]:
    several = len(report.files) > 1
    for rule, found in report.failures.items():
        phrase = PHRASES[rule]
        text = [phrase.meaning]
        if (wanted := report.expected.get(rule)) is not None:
            text.append(f"expected: {wanted}")
        text.append(f"to do: {phrase.advice}")
        if earlier := found.count - report.rejected.get(rule, 0):
            text.append(f"{earlier:,} of these are rejected by an earlier rule already")
        text.append(f"first rows: {_places(found.first_rows, several=several)}")
        yield rule, found.count, "\n".join(text)


def _places(places: tuple[Place, ...], *, several: bool) -> str:
    # Files are numbered from 1 in the order in which they were given and found.
    return ", ".join(f"{place.file + 1}:{place.row}" if several else str(place.row) for place in places)

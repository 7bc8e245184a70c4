"""What is said of a summary that was shared, and of several that were added up."""

from __future__ import annotations

from typing import TYPE_CHECKING

from anpr_share.documents.identity import spoken
from anpr_share.reports.feasibility_words import STEPS, verdict_lines
from anpr_share.reports.terminal import Table, near
from anpr_share.words import count

if TYPE_CHECKING:
    from collections.abc import Iterator

    from anpr_share.feasibility.combining import Combined, Span
    from anpr_share.feasibility.figures import Shared
    from anpr_share.reports.terminal import Line
    from anpr_share.work.feasibility_sharing import CombineResult, ShareResult

_KNOWN = {True: "yes", False: "no", None: "no site to ask"}


def share_lines(result: ShareResult, shared: Shared) -> list[Line]:
    """What was written, what it says, and what must be thought of before it is handed over."""
    least = shared.settings.small_below
    lines: list[Line] = [
        f"wrote {near(result.path)}: what may be shared of this check, signed",
        f"no count in it is from 1 to {least - 1}, and none such can be worked out from it",
        "it says",
        *(f"  {line}" for line in verdict_lines(shared.code, shared.conditions)),
    ]
    if shared.rows is None:
        lines.append("the extract is too small for more: no count of it is in the summary")
    if result.earlier:
        lines.append(
            f"note: not the first summary of this site, but number {result.earlier + 1}: whoever has two can take the "
            "difference, in which small counts show, so let nobody have more than one"
        )
    lines += [
        f"signed by   {spoken(result.fingerprint, indent=12)}",
        "next: hand it over, and read this fingerprint out by telephone to whoever adds it up",
        "next: with two or more forces' summaries: anpr-share feasibility combine FILE FILE",
    ]
    return lines


def combine_lines(result: CombineResult) -> list[Line]:
    """Who added what, the verdict, and the sums with how far they may be off."""
    combined = result.combined
    return [
        *_verdict(combined),
        "",
        *_forces(result),
        "",
        *_funnel(combined),
        "",
        *_race(combined),
        "",
        "a vehicle that several forces seek or see is counted once by each",
        'a sum such as "20 to 35" holds suppressed counts, and may be anything in between',
    ]


def span_text(span: Span) -> str:
    """A count and how far it may be off: ``120``, ``110 to 140``, ``at least 80``, ``unknown``."""
    if span.high is None:
        return f"at least {span.low:,}" if span.low else "unknown"
    return f"{span.low:,}" if span.exact else f"{span.low:,} to {span.high:,}"


def _verdict(combined: Combined) -> Iterator[Line]:
    yield from verdict_lines(combined.code, combined.conditions)
    yield (
        f"vehicles left after {count(combined.paperwork_days, 'day')} of paperwork: {span_text(combined.after)}; "
        f"needed: {combined.needed:,}"
    )


def _forces(result: CombineResult) -> Iterator[Line]:
    yield Table(
        ("force", "summary made", "known here"),
        [(item.site, f"{item.made:%Y-%m-%d %H:%M} UTC", _KNOWN[item.known]) for item in result.contributors],
    )
    unknown = [item for item in result.contributors if not item.known]
    for item in unknown:
        yield f"{item.site}: {item.name}"
        yield f"            {spoken(item.fingerprint, indent=12)}"
    if unknown:
        yield "nothing proves that these are the forces that they say: have each read its fingerprint out by telephone"
    combined = result.combined
    if combined.first_made.date() != combined.last_made.date():
        yield f"the checks are of {combined.first_made:%Y-%m-%d} to {combined.last_made:%Y-%m-%d}, each of its own day"


def _funnel(combined: Combined) -> Iterator[Line]:
    rows = [("targets", span_text(combined.rows), span_text(combined.vehicles), "")]
    rows += [
        (
            STEPS[step.name],
            span_text(step.rows),
            span_text(step.vehicles),
            "" if step.judged == combined.forces else f"judged by {step.judged} of {combined.forces}",
        )
        for step in combined.steps
    ]
    yield Table(("left after", "rows", "vehicles", ""), rows)
    if combined.reads is not None:
        yield f"reads looked at: {span_text(combined.reads)}"
    if combined.prevalence is not None:
        (low, of_more), (high, of_fewer) = combined.prevalence.low, combined.prevalence.high
        least = f"{low:,} in {of_more:,}"
        most = f"{high:,} in {of_fewer:,}"
        yield f"vehicles left, of those in the reads: {least if least == most else f'{least} to {most}'}"


def _race(combined: Combined) -> Iterator[Line]:
    yield Table(
        ("days of paperwork", "vehicles left"),
        [(str(point.days), span_text(point.vehicles)) for point in combined.curve],
    )

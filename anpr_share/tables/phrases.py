"""What each rule means in an analyst's words, what to do about it, and what the profile expects: never what was found.

The names of rules are for programs and stay; these phrases are for people and may get better.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

import polars as pl

from anpr_share.tables.profile import DateColumn
from anpr_share.tables.schema import load

if TYPE_CHECKING:
    from collections.abc import Mapping

    from anpr_share.tables.profile import Profile


class Phrase(NamedTuple):
    """What a row that fails a rule is like, and what to do about it."""

    meaning: str
    advice: str


PHRASES: Mapping[str, Phrase] = {
    "cells": Phrase(
        "the row has more or fewer cells than the header",
        "perhaps a text holds the delimiter: compare delimiter and quote in the profile with the file",
    ),
    "vrm-missing": Phrase(
        "there is no plate: an empty cell, or a word such as UNKNOWN",
        "nothing: without a plate there is nothing to link",
    ),
    "vrm-partial": Phrase(
        "part of the plate was not read: it holds ? * # _ or %",
        "nothing, unless your system can give the whole plate",
    ),
    "vrm-malformed": Phrase(
        "no plate: shorter than 2, longer than 10, or in letters other than A to Z",
        "if there are many, see whether the profile names the right column as vrm",
    ),
    "camera-missing": Phrase(
        "no camera is named",
        "if there are many, see whether the profile names the right columns as camera",
    ),
    "time-missing": Phrase(
        "there is no time",
        "if there are many, see whether the profile names the right columns as captured_at",
    ),
    "time-unreadable": Phrase(
        "the time is not written as the profile says, or is no time at all",
        "look at one of these rows, and at format under [columns.captured_at] in the profile",
    ),
    "time-ambiguous": Phrase(
        "the clocks showed this time twice, when summer time ended",
        'ambiguous = "earliest" or "latest" in the profile keeps such rows',
    ),
    "time-nonexistent": Phrase(
        "the clocks never showed this time, when summer time began",
        'nonexistent = "forward" in the profile keeps such rows',
    ),
    "time-future": Phrase(
        "the time is still to come",
        "see whether format and timezone in the profile fit, and whether this computer's clock is right",
    ),
    "confidence-unreadable": Phrase(
        "the confidence is no number, or out of range",
        "see whether the profile names the right column as confidence, or leave it out there",
    ),
    "log-missing": Phrase("no log is referred to", "complete these rows: a target needs the reference of its log"),
    "offence-missing": Phrase("no offence is named", "complete these rows: a target needs an offence"),
    "offence-form": Phrase(
        "the offence is free text, which never leaves, or is beyond the first 100 different ones",
        "name as offence a column with a short list: letters, spaces and hyphens, at most 64",
    ),
    "date-unreadable": Phrase(
        "a date is not written as the profile says, or is no date at all",
        "look at one of these rows, and at the formats in the profile; an empty date is allowed",
    ),
    "category-unknown": Phrase(
        "what the person is called is not in the list", "use the words of the list, in the system or in the extract"
    ),
    "grade-unknown": Phrase(
        "the grading scheme or a grade is not in the list",
        "use the grades of the list, in the system or in the extract",
    ),
    "kind-unknown": Phrase("the kind of camera is not in the list", "use the words of the list, or an empty cell"),
    "road-class-unknown": Phrase("the class of road is not in the list", "use the words of the list, or an empty cell"),
    "area-type-unknown": Phrase("the type of area is not in the list", "use the words of the list, or an empty cell"),
}

_EXAMPLE = datetime(2026, 11, 23, 17, 45, 9, tzinfo=UTC)
_DIRECTIVE = re.compile(r"%[-_0]?(?:[#:]z|\.?[369]?f|[A-Za-z%])")
_WORDS: Mapping[str, tuple[str, ...]] = {
    "category-unknown": ("person_category",),
    "grade-unknown": ("grading_scheme", "source_grade", "information_grade"),
    "kind-unknown": ("kind",),
    "road-class-unknown": ("road_class",),
    "area-type-unknown": ("area_type",),
}


def expected(rule: str, profile: Profile) -> str | None:
    """What a cell must be like to pass a rule, where the profile or the schema says so."""
    if rule in {"time-unreadable", "date-unreadable"}:
        columns = [value for value in profile.columns.__dict__.values() if isinstance(value, DateColumn)]
        return "; ".join(dict.fromkeys(_written(column) for column in columns)) or None
    schema = load("extract", profile.table)
    if rule == "confidence-unreadable":
        field = schema.field("confidence")
        return f"{field.minimum:g} to {field.maximum:g}"
    lists = [", ".join(schema.field(name).enum or ()) for name in _WORDS.get(rule, ()) if name in profile.fields]
    return "; ".join(lists) or None


def _written(column: DateColumn) -> str:
    """How a time is written, with a made-up one."""
    names = " and ".join(column.columns)
    joined = ", joined by a space" if len(column.columns) > 1 else ""
    # A format is the profile's text: with letters or digits of its own it is not repeated.
    if re.sub(r"[TZ]", "", _DIRECTIVE.sub("", column.format)).strip(" -/.,:") != "":
        return f"{names}{joined}: the format of the profile"
    made = pl.Series([_EXAMPLE]).dt.strftime(column.format.replace("%#z", "%z"))[0]
    return f"{names}{joined}: such as {made} (format {column.format})"

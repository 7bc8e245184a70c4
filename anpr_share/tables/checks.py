"""Which rows of a batch pass, and which rule each of the others fails: the same for checking and for exporting.

- A row passes or fails whole. Its ``rule`` is the first that it fails, in the order of `RULES`, so that accepted rows
  and rejections by ``rule`` add up to all rows; `Prepared.failures` tells all rules that it fails.
- A ragged row has no cells that could be judged: it fails ``cells`` and nothing else.
- Everything is an expression or a column: no Python runs for each row. What depends only on the distinct plates and
  cameras (`vrm_cells`, `camera_cells`) is worked out by the caller and handed in as columns.
- Patterns, vocabularies and ranges are those of ``schemas/extract``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC
from typing import TYPE_CHECKING

import polars as pl

from anpr_share.errors import InputError
from anpr_share.tables.extract import RAGGED, Batch
from anpr_share.tables.profile import CamerasColumns, ReadsColumns, TargetsColumns
from anpr_share.tables.schema import DATES, load
from anpr_share.tables.times import Times, parse_dates, parse_times
from anpr_share.vrm import PLATE_LIKE, canonicalise_series

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from anpr_share.tables.profile import Profile

_VRM_RULES = ("vrm-missing", "vrm-partial", "vrm-malformed")

RULES: Mapping[str, tuple[str, ...]] = {
    "reads": (
        "cells",
        *_VRM_RULES,
        "camera-missing",
        "time-missing",
        "time-unreadable",
        "time-ambiguous",
        "time-nonexistent",
        "time-future",
        "confidence-unreadable",
    ),
    "targets": (
        "cells",
        *_VRM_RULES,
        "log-missing",
        "offence-missing",
        "offence-form",
        "date-unreadable",
        "category-unknown",
        "grade-unknown",
    ),
    "cameras": ("cells", "camera-missing", "kind-unknown", "road-class-unknown", "area-type-unknown"),
}
"""The rules of each table, in the order in which they are tried."""

MAX_OFFENCES = 100
SWAPPED_SHARE = 0.1

_SEVERAL = r"[;,/\r\n]"
_CATEGORIES = ("person_category",)
_GRADES = ("grading_scheme", "source_grade", "information_grade")


@dataclass(frozen=True, slots=True)
class Prepared:
    """A batch judged.

    ``frame`` has, for every row of the batch in its order, ``row`` (UInt64), the parsed columns, and ``rule`` (String,
    null where the row passes). ``masks`` has a Boolean column for each rule that any row fails. ``resolved`` counts the
    local times that the profile's settings resolved.
    """

    frame: pl.DataFrame
    masks: pl.DataFrame
    resolved: dict[str, int]

    def failures(self) -> pl.DataFrame:
        """All rules that the rows fail: ``row`` (UInt64) and ``rule`` (String), by row, then in the order of rules."""
        found = [self.frame.select("row", rule=pl.lit(mask.name)).filter(mask) for mask in self.masks]
        if not found:
            return pl.DataFrame(schema={"row": pl.UInt64, "rule": pl.String})
        return pl.concat(found).sort("row", maintain_order=True)


def vrm_cells(batch: Batch, profile: Profile) -> pl.Series:
    """The plates as the extract writes them: String, named ``vrm``, null in ragged rows."""
    (column,) = profile.columns.sources("vrm")
    return batch.frame[column].alias("vrm")


def camera_cells(batch: Batch, profile: Profile) -> pl.DataFrame:
    """The parts of the cameras' identities, in the profile's order: String columns ``c0``, ``c1`` …"""
    columns = profile.columns.sources("camera")
    return batch.frame.select(pl.col(name).alias(f"c{part}") for part, name in enumerate(columns))


def cameras_missing(cells: pl.DataFrame) -> pl.Series:
    """Whether all parts of a camera's identity are empty, for each row of `camera_cells`."""
    return cells.select(pl.all_horizontal(_is_empty(pl.all()))).to_series().alias("missing")


def plate_like(cells: pl.Series) -> pl.Series:
    """Whether each cell is a plate of a family that other names hardly ever look like: Boolean, without nulls."""
    distinct = cells.unique()
    judged = canonicalise_series(distinct)
    plates = distinct.filter(judged["family"].cast(pl.String).is_in(PLATE_LIKE).fill_null(value=False)).drop_nulls()
    return cells.is_in(plates.implode()).fill_null(value=False)


class SwappedColumns:
    """Counts how many cells mapped to ``camera`` or ``log`` are plates, over a whole extract."""

    def __init__(self, profile: Profile, field: str) -> None:
        self._field = field
        self._allowed = field in profile.allow_plate_like
        self._cells = 0
        self._plates = 0

    def add_cells(self, cells: pl.Series) -> None:
        """Count a batch of text cells; one that is blank is not counted."""
        self.add(cells.str.strip_chars().fill_null("") != "", plate_like(cells))

    def add(self, present: pl.Series, plates: pl.Series) -> None:
        """Count a batch: which rows have anything in the field, and which have a plate in it (Boolean)."""
        self._cells += int(present.sum())
        self._plates += int(plates.sum())

    def refuse(self) -> None:
        """Stop if over a tenth of the cells are plates.

        Raises:
            InputError: the columns may be swapped, and the profile does not allow names of that shape.
        """
        if not self._allowed and self._plates > SWAPPED_SHARE * self._cells:
            raise InputError(
                f"columns may be swapped: of {self._cells:,} cells mapped to {self._field}, "
                f"{self._plates:,} are plates",
                hint="correct the profile; if they are right, add this line above [file] or [columns], "
                f'below table = ...: allow_plate_like = ["{self._field}"]',
            )


class Vocabulary:
    """The distinct values of a column over a whole extract, as far as there is room for them."""

    def __init__(self, limit: int = MAX_OFFENCES) -> None:
        self._limit = limit
        self._values: dict[str, None] = {}

    def admit(self, values: pl.Series) -> pl.Series:
        """Whether each value is among the first ``limit`` distinct ones, by first appearance: Boolean."""
        for value in values.drop_nulls().unique(maintain_order=True):
            if len(self._values) == self._limit:
                break
            self._values[value] = None
        return values.is_in(list(self._values)).fill_null(value=False)


def read_times(batch: Batch, profile: Profile) -> Times:
    """The times of a batch of reads. Raises :class:`InputError` if a typed column of them cannot be one."""
    assert isinstance(profile.columns, ReadsColumns)
    return parse_times(batch.frame, profile.columns.captured_at)


def prepare_reads(
    batch: Batch, profile: Profile, *, now: datetime, times: Times, plate_status: pl.Series, camera_missing: pl.Series
) -> Prepared:
    """Judge a batch of reads.

    Args:
        batch: what `Extract.batches` gives.
        profile: the profile that it was read with.
        now: later times are in the future.
        times: what `read_times` gives.
        plate_status: the vrm-1 status of each of `vrm_cells`.
        camera_missing: for each of `camera_cells`, whether all of its parts are empty.

    Returns:
        ``frame`` with ``row``, ``vrm`` (String), ``c0`` … (String), ``captured_at`` (UTC), ``confidence`` (Float64,
        only if the batch has that field) and ``rule``.
    """
    columns = profile.columns
    assert isinstance(columns, ReadsColumns)
    future = (times.values > now.astimezone(UTC)).fill_null(value=False)
    parsed = [vrm_cells(batch, profile), *camera_cells(batch, profile), times.values]
    masks = {**_plate_masks(plate_status), "camera-missing": camera_missing, **times.failures, "time-future": future}
    if "confidence" in batch.fields:
        assert columns.confidence is not None
        confidence, masks["confidence-unreadable"] = _confidence(batch.frame[columns.confidence])
        parsed.append(confidence)
    return _judge(batch, "reads", parsed, masks, times.resolved)


def split_plates(batch: Batch, profile: Profile) -> Batch:
    """A batch of targets with a row for each plate: cells with several (``;`` ``,`` ``/``, line break) make several.

    The rows of one cell keep its row's number. A cell without a plate keeps its one row.
    """
    (column,) = profile.columns.sources("vrm")
    if not batch.frame[column].str.contains(_SEVERAL).any():
        return batch
    parts = pl.col(column).str.replace_all(_SEVERAL, "\n").str.split("\n")
    kept = parts.list.eval(pl.element().filter(~_is_empty(pl.element())))
    lists = batch.frame.with_columns(batch.rows.alias("__row__"), kept.alias(column))
    frame = lists.explode(column, empty_as_null=True, keep_nulls=True)
    return replace(batch, frame=frame.drop("__row__"), numbers=frame["__row__"].alias("row"))


def prepare_targets(batch: Batch, profile: Profile, *, plate_status: pl.Series, offences: Vocabulary) -> Prepared:
    """Judge a batch of targets.

    Args:
        batch: what `split_plates` gives.
        profile: the profile that it was read with.
        plate_status: the vrm-1 status of each of `vrm_cells`.
        offences: the extract's offences so far; one for all batches.

    Returns:
        ``frame`` with ``row``, ``vrm``, ``log`` and ``offence`` (String, trimmed), the batch's date fields (Date) and
        its other fields (String, trimmed and in the vocabulary's case), and ``rule``.
    """
    columns = profile.columns
    assert isinstance(columns, TargetsColumns)
    log, offence = _text(batch, profile, "log"), _text(batch, profile, "offence")
    formed = offence.str.contains(_offence_pattern())
    admitted = offences.admit(offence.to_frame().select(pl.when(formed).then(pl.col("offence"))).to_series())
    masks = {
        **_plate_masks(plate_status),
        "log-missing": log.is_null(),
        "offence-missing": offence.is_null(),
        "offence-form": ~admitted & offence.is_not_null(),
    }
    parsed = [vrm_cells(batch, profile), log, offence]
    for field in (field for field in DATES if field in batch.fields):
        days, unreadable = parse_dates(batch.frame, getattr(columns, field))
        parsed.append(days.alias(field))
        masks["date-unreadable"] = masks.get("date-unreadable", unreadable) | unreadable
    for fields, rule in ((_CATEGORIES, "category-unknown"), (_GRADES, "grade-unknown")):
        for field in (field for field in fields if field in batch.fields):
            values, unknown = _word(batch, profile, field)
            parsed.append(values)
            masks[rule] = masks.get(rule, unknown) | unknown
    if "handling" in batch.fields:
        parsed.append(_text(batch, profile, "handling"))
    return _judge(batch, "targets", parsed, masks, {})


def prepare_cameras(batch: Batch, profile: Profile, *, camera_missing: pl.Series) -> Prepared:
    """Judge a batch of cameras.

    Args:
        batch: what `Extract.batches` gives.
        profile: the profile that it was read with.
        camera_missing: for each of `camera_cells`, whether all of its parts are empty.

    Returns:
        ``frame`` with ``row``, ``c0`` … and the batch's other fields (String, as the vocabulary writes them), and
        ``rule``.
    """
    assert isinstance(profile.columns, CamerasColumns)
    parsed = list(camera_cells(batch, profile))
    masks = {"camera-missing": camera_missing}
    for field in ("kind", "road_class", "area_type"):
        if field in batch.fields:
            values, masks[f"{field.replace('_', '-')}-unknown"] = _word(batch, profile, field)
            parsed.append(values)
    return _judge(batch, "cameras", parsed, masks, {})


def _judge(
    batch: Batch, table: str, parsed: list[pl.Series], masks: Mapping[str, pl.Series], resolved: dict[str, int]
) -> Prepared:
    ragged = batch.frame[RAGGED]
    if ragged.any():
        masks = {rule: mask & ~ragged for rule, mask in masks.items()} | {"cells": ragged}
    failing = pl.DataFrame([masks[rule].alias(rule) for rule in RULES[table] if rule in masks and masks[rule].any()])
    rule = pl.repeat(None, batch.frame.height, dtype=pl.String, eager=True)
    if failing.width:
        rule = failing.select(pl.coalesce(pl.when(name).then(pl.lit(name)) for name in failing.columns)).to_series()
    return Prepared(pl.DataFrame([batch.rows, *parsed, rule.alias("rule")]), failing, resolved)


def _plate_masks(status: pl.Series) -> dict[str, pl.Series]:
    return {rule: status == rule.removeprefix("vrm-") for rule in _VRM_RULES}


def _confidence(cells: pl.Series) -> tuple[pl.Series, pl.Series]:
    field = load("extract", "reads").field("confidence")
    text = cells.str.strip_chars()
    number = text.cast(pl.Float64, strict=False)
    readable = number.is_between(field.minimum, field.maximum).fill_null(value=False)  # not-a-number is not between
    return number.alias("confidence"), ~readable & (text.fill_null("") != "")


def _text(batch: Batch, profile: Profile, field: str) -> pl.Series:
    (column,) = profile.columns.sources(field)
    text = pl.col(column).str.strip_chars()
    return batch.frame.select(pl.when(text != "").then(text).alias(field)).to_series()


def _word(batch: Batch, profile: Profile, field: str) -> tuple[pl.Series, pl.Series]:
    """Words as the vocabulary writes them, and which are not in it: in any case, with hyphens or spaces."""
    vocabulary = load("extract", profile.table).field(field).enum
    assert vocabulary is not None
    plain = {word.lower(): word for word in vocabulary}
    text = _text(batch, profile, field)
    words = text.str.to_lowercase().str.replace_all(r"[\s_-]+", "-").replace_strict(plain, default=None)
    return words.alias(field), words.is_null() & text.is_not_null()


def _offence_pattern() -> str:
    pattern = load("extract", "targets").field("offence").pattern
    assert pattern is not None
    return pattern


def _is_empty(cell: pl.Expr) -> pl.Expr:
    return cell.str.strip_chars().fill_null("") == ""

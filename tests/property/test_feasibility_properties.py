"""The funnel on any input: it adds up in any order, finds what was hidden in it, and no cell, however odd, stops it."""

from __future__ import annotations

import csv
import io
import tempfile
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from pathlib import Path

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from anpr_share.feasibility.base_rate import predictive_value, specificity_needed
from anpr_share.feasibility.figures import FeasibilityResult, Funnel
from anpr_share.feasibility.funnel import REASONS, Rules, pass_through
from anpr_share.periods import Window
from anpr_share.tables.extract import Input
from anpr_share.tables.profile import STEPS, Profile, StepName, load_profile, parse_profile
from anpr_share.work.feasibility import check
from examples.second_implementation import vrm_1
from tests.support.exchange import silent

NOW = datetime(2026, 10, 20, 9, tzinfo=UTC)
WINDOW = Window(date(2025, 10, 21), date(2026, 10, 20))
VEHICLES = ("AB12CDE", "FG34HJK", "LM56NOP")
DAYS = st.none() | st.sampled_from([date(2020, 1, 1), date(2025, 10, 20), date(2026, 1, 1), date(2027, 1, 1)])
PLATES = st.sampled_from([("ok", vehicle) for vehicle in VEHICLES]) | st.sampled_from(
    [("missing", None), ("partial", None), ("malformed", None)]
)
ORDERS = st.permutations(STEPS[1:]).flatmap(
    lambda steps: st.integers(0, len(steps)).map(lambda kept: ("readable", *steps[:kept]))
)
OPTIONAL = ("offence_from", "offence_to", "convicted_on", "person_category")
COLUMNS = st.sets(st.sampled_from(OPTIONAL))
SCHEMA = {
    "row": pl.UInt64,
    "status": pl.String,
    "vehicle": pl.String,
    "unread": pl.String,
    "offence": pl.String,
    **dict.fromkeys(("offence_from", "offence_to", "convicted_on"), pl.Date),
    "person_category": pl.String,
    "live": pl.Int64,
    "expired": pl.Int64,
}


@st.composite
def entries(draw: st.DrawFn) -> pl.DataFrame:
    """Rows with one plate or several; a vehicle has the same reads wherever it is named."""
    reads = {vehicle: draw(st.tuples(st.integers(0, 3), st.integers(0, 2))) for vehicle in VEHICLES}
    found = []
    for row in range(draw(st.integers(0, 6))):
        said = (
            draw(st.none() | st.sampled_from(REASONS["readable"])),
            draw(st.sampled_from([None, "trafficking", "theft"])),
            *draw(st.tuples(DAYS, DAYS, DAYS)),
            draw(st.sampled_from([None, "victim", "convicted", "suspect"])),
        )
        for status, vehicle in draw(st.lists(PLATES, min_size=1, max_size=3)):
            found.append((row, status, vehicle, *said, *reads.get(vehicle or "", (0, 0))))
    frame = pl.DataFrame(found, schema=SCHEMA, orient="row")
    left_out = [name for name in OPTIONAL if name in draw(COLUMNS)]
    return frame.drop(left_out if draw(st.booleans()) else [*left_out, "live", "expired"])


def adds_up(funnel: Funnel) -> bool:
    left = (funnel.rows, funnel.vehicles)
    for step in funnel.steps:
        for reason in step.reasons:
            assert reason.rows >= 0 <= reason.vehicles
            assert reason.code in REASONS[step.name]
            left = (left[0] - reason.rows, left[1] - reason.vehicles)
        if left != (step.rows, step.vehicles) or (not step.judged and step.reasons):
            return False
    return min(left) >= 0


@settings(max_examples=60)
@given(entries(), ORDERS, st.data())
def test_the_counts_add_up_and_no_order_changes_what_is_left(
    frame: pl.DataFrame, steps: tuple[StepName, ...], data: st.DataObject
) -> None:
    other = ("readable", *data.draw(st.permutations(steps[1:])))

    passages = [pass_through(frame, Rules(order, ("trafficking",), 2, WINDOW)) for order in (steps, other)]

    for passage in passages:
        assert adds_up(passage.funnel)
        assert passage.funnel.rows == frame["row"].n_unique()
        assert passage.funnel.steps[-1].rows == passage.eligible["row"].n_unique()
        assert passage.funnel.eligible == passage.eligible["vehicle"].drop_nulls().n_unique()
        assert all(passage.funnel.eligible <= number for number in passage.without.values())
    assert passages[0].eligible.equals(passages[1].eligible)
    assert passages[0].without == passages[1].without
    assert passages[0].nameless == passages[1].nameless


@settings(max_examples=30)
@given(entries(), st.integers(1, 3))
def test_asking_for_more_leaves_no_more(frame: pl.DataFrame, kept: int) -> None:
    fewer = pass_through(frame, Rules(STEPS, ("trafficking",), kept + 1, WINDOW)).funnel.eligible

    assert fewer <= pass_through(frame, Rules(STEPS, ("trafficking",), kept, WINDOW)).funnel.eligible
    assert fewer <= pass_through(frame, Rules(STEPS[: 2 * kept], None, kept, WINDOW)).funnel.eligible


TARGETS = parse_profile(
    'table = "targets"\nallow_plate_like = ["log"]\n[columns]\n'
    'vrm = "vrm"\nlog = "log"\noffence = "offence"\nperson_category = "person"\n'
    + "".join(
        f'[columns.{name}]\ncolumns = ["{name}"]\nformat = "%Y-%m-%d"\n'
        for name in ("offence_from", "offence_to", "convicted_on")
    )
)
READS = load_profile("plain-reads").model_copy(update={"allow_plate_like": ("camera",)})
SPELT = {
    "AB12CDE": ("AB12CDE", "ab I2 cde", "AB-12-CDE", "\uff21\uff22\uff11\uff12\uff23\uff24\uff25", "AB12\tCDE"),
    "FG34HJK": ("FG34HJK", " fg34hjk ", "FG.34.HJK"),
    "1ABC": ("1ABC", "1 abc", "I abc"),
    "OIA9496": ("OIA9496", "oia 9496"),
    "A10": ("A10", "aio"),
}
ODD = st.sampled_from(["", "?", "NULL", "UNKNOWN", "\u00c4B12CDE", "AB12CD?", "000", "'; DROP", "\ufeff", "A" * 40])


ANY_CELL = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12) | ODD
"""What a file may hold: its other readers have tests of their own for what it may not."""


def written(header: str, rows: Sequence[tuple[str, ...]]) -> str:
    text = io.StringIO()
    csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows([header.split(","), *rows])
    return text.getvalue()


def looked_at(targets: Sequence[tuple[str, ...]], reads: Sequence[tuple[str, ...]]) -> FeasibilityResult:
    with tempfile.TemporaryDirectory() as folder:
        given_files: list[Input] = []
        for name, header, rows, profile in (
            ("targets", "vrm,log,offence,person,offence_from,offence_to,convicted_on", targets, TARGETS),
            ("reads", "vrm,camera,captured_at,confidence", reads, READS),
        ):
            path = Path(folder) / f"{name}.csv"
            path.write_bytes(written(header, rows).encode())
            given_files.append(source(path, profile))
        return check(given_files[0], given_files[1], now=NOW, progress=silent)


def source(path: Path, profile: Profile) -> Input:
    return Input((str(path),), profile)


@settings(max_examples=30)
@given(
    st.lists(st.tuples(st.sampled_from(sorted(SPELT)), st.integers(0, 4), st.integers(0, 500)), max_size=25),
    st.lists(ODD, max_size=5),
)
def test_each_read_of_a_target_is_found_however_it_is_spelt(seen: list[tuple[str, int, int]], odd: list[str]) -> None:
    rows = [
        (SPELT[plate][spelling % len(SPELT[plate])], "CAM-1", f"{WINDOW.last - timedelta(days=ago)}T08:00:00Z", "")
        for plate, spelling, ago in seen
    ]
    rows += [(cell, "CAM-1", "2026-10-01T08:00:00Z", "") for cell in odd]
    rows.append(("XY99ZZZ", "CAM-1", "2026-10-01T08:00:00Z", ""))
    targets = [
        (SPELT[plate][0], f"L-{number}", "trafficking", "convicted", "2026-05-01", "2026-06-01", "")
        for number, plate in enumerate(sorted(SPELT))
    ]

    result = looked_at(targets, rows)

    live: dict[str, int] = {}
    for cell, _, time, _ in rows:
        status, vrm, _, _ = vrm_1(cell)
        if status == "ok" and vrm is not None and WINDOW.contains(date.fromisoformat(time[:10])):
            live[vrm] = live.get(vrm, 0) + 1
    assert result.base_rate.vehicles == len(live)
    wanted = {vrm_1(SPELT[plate][0])[1]: 0 for plate in SPELT}
    enough = [vrm for vrm in wanted if vrm is not None and live.get(vrm, 0) >= 2]
    assert result.funnel.eligible == len(enough)
    assert result.race.reads == sum(live[vrm] for vrm in enough)


@settings(max_examples=25)
@given(
    st.lists(st.tuples(*[ANY_CELL for _ in range(7)]), min_size=1, max_size=8),
    st.lists(st.tuples(*[ANY_CELL for _ in range(4)]), max_size=8),
)
def test_an_extract_of_odd_cells_adds_up_too(targets: list[tuple[str, ...]], reads: list[tuple[str, ...]]) -> None:
    result = looked_at(targets, [*reads, ("AB12CDE", "CAM-1", "2026-10-01T08:00:00Z", "")])

    assert adds_up(result.funnel)
    assert result.funnel.rows == len(targets)
    assert result.verdict.code == "stop"
    assert result.reads is not None
    assert result.reads + result.rejected == len(reads) + 1


@given(*[st.fractions(Fraction(1, 10**9), 1) for _ in range(2)], st.fractions(0, 1))
def test_an_alert_is_worth_more_the_more_specific_the_method(
    prevalence: Fraction, sensitivity: Fraction, specificity: Fraction
) -> None:
    value = predictive_value(prevalence, sensitivity, specificity)
    needed = specificity_needed(prevalence, sensitivity)

    assert 0 < value <= 1
    assert (value >= Fraction(1, 2)) == (specificity >= needed)

"""Reading parts: what a question rules out, and whose turn it is when days have passed."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.io.plugins import register_io_source

from anpr_share.errors import VerificationError
from anpr_share.parquet import write_part
from anpr_share.site import store
from anpr_share.site.store import LivePart

KEY = bytes(32)
FIRST = date(2026, 3, 27)  # in London the clocks change two days later
captured = pl.col("captured_at")
COLUMNS = {"vehicle": pl.String(), "captured_at": pl.Datetime("us", "UTC"), "source": pl.String(), "day": pl.Date()}


def part(day: date, source: str = "north") -> LivePart:
    return LivePart(Path("nowhere"), bytes, source, day, 1, 1, "")


def pushed_down(question: pl.Expr) -> pl.Expr | None:
    """The predicate as a source is given it."""
    seen: list[pl.Expr | None] = []

    def source(
        _columns: list[str] | None, predicate: pl.Expr | None, _n_rows: int | None, _batch: int | None
    ) -> Iterator[pl.DataFrame]:
        seen.append(predicate)
        yield pl.DataFrame(schema=COLUMNS)

    register_io_source(source, schema=COLUMNS).filter(question).collect()
    return seen[0]


@given(
    zone=st.sampled_from(["Europe/London", "Pacific/Kiritimati", "Etc/GMT+12", "Asia/Kathmandu"]),
    at=st.integers(0, 24 * 60 - 1),
    start=st.integers(-60, 240),
    hours=st.integers(0, 60),
    closed=st.sampled_from(["both", "left", "right", "none"]),
    form=st.sampled_from(["between", "ordered", "turned", "neither", "either", "same", "day and time"]),
)
def test_no_part_with_a_row_that_is_asked_for_is_ruled_out(
    zone: str, at: int, start: int, hours: int, closed: str, form: str
) -> None:
    days = [FIRST + timedelta(days=n) for n in range(8)]
    times = [(datetime.combine(day, time.min, ZoneInfo(zone)) + timedelta(minutes=at)).astimezone(UTC) for day in days]
    low = datetime.combine(FIRST, time.min, UTC) + timedelta(hours=start)
    high = low + timedelta(hours=hours)
    question = {
        "between": captured.is_between(low, high, closed=closed),  # type: ignore[arg-type]
        "ordered": (captured >= low) & (captured < high),
        "turned": (pl.lit(high) >= captured) & (pl.lit(low) < captured),
        "neither": ~captured.is_between(low, high),
        "either": (captured < low) | (captured > high),
        "same": captured == times[3],
        "day and time": (pl.col("day") >= FIRST) & (captured >= low) & (pl.col("vehicle") == "x"),
    }[form]
    rows = pl.DataFrame({"vehicle": "x", "captured_at": times, "source": "north", "day": days}, schema=COLUMNS)
    kept = {item.day for item in store.prune([part(day) for day in days], pushed_down(question))}
    assert set(rows.filter(question)["day"]) <= kept


@pytest.mark.parametrize(
    "question",
    [
        captured.is_between(datetime(2026, 4, 10, tzinfo=UTC), datetime(2026, 4, 11, tzinfo=UTC)),
        (captured >= datetime(2026, 4, 10, tzinfo=UTC)) & (datetime(2026, 4, 11, tzinfo=UTC) > captured),
    ],
)
def test_a_time_rules_out_the_days_that_no_zone_brings_near_it(question: pl.Expr) -> None:
    days = [FIRST + timedelta(days=n) for n in range(30)]
    kept = [item.day.isoformat() for item in store.prune([part(day) for day in days], pushed_down(question))]
    assert kept[0] >= "2026-04-08"
    assert kept[-1] <= "2026-04-12"
    assert {"2026-04-09", "2026-04-10", "2026-04-11"} <= set(kept)


def test_times_that_are_compared_row_by_row_rule_nothing_out() -> None:
    parts = [part(FIRST), part(FIRST + timedelta(days=9))]
    late = pl.Series([datetime(2026, 4, 5, 12, tzinfo=UTC), datetime(2026, 3, 1, tzinfo=UTC)]).cast(
        COLUMNS["captured_at"]
    )
    assert store.prune(parts, captured >= pl.lit(late)) == parts


@pytest.fixture
def three(tmp_path: Path) -> list[LivePart]:
    """A part for each of three days, with as many rows as the day's number."""
    found = []
    for n in (1, 2, 3):
        day = FIRST + timedelta(days=n)
        times = [datetime.combine(day, time(12), UTC)] * n
        frame = pl.DataFrame({"vehicle": ["x"] * n, "captured_at": times}).cast({"captured_at": COLUMNS["captured_at"]})
        written = write_part(frame, tmp_path / f"{n}.parquet", KEY)
        found.append(LivePart(tmp_path / f"{n}.parquet", KEY.__bytes__, "north", day, n, written.bytes, written.sha256))
    return found


def read(parts: list[LivePart], live: store.StillLive = list, n_rows: int | None = None) -> Iterator[pl.DataFrame]:
    return store.read_parts(parts, COLUMNS, None, None, n_rows, live)


def all_but(day: date) -> store.StillLive:
    def still_live(parts: Sequence[LivePart]) -> list[LivePart]:
        return [item for item in parts if item.day != day]

    return still_live


def test_what_expired_after_it_was_read_ahead_is_not_handed_on(three: list[LivePart]) -> None:
    assert [frame.height for frame in read(three, all_but(three[1].day))] == [4]


def test_what_expired_is_dropped_though_its_file_is_gone(
    three: list[LivePart], monkeypatch: pytest.MonkeyPatch
) -> None:
    three[1].path.unlink()
    for parts in (1, 64):
        monkeypatch.setattr(store, "GROUP_PARTS", parts)
        assert sum(frame.height for frame in read(three, all_but(three[1].day))) == 4


def test_a_part_that_fails_while_it_is_read_ahead_fails_in_its_turn(
    three: list[LivePart], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "GROUP_PARTS", 1)
    three[1].path.write_bytes(bytes(three[1].bytes))
    frames = read(three)
    assert next(frames).height == 1
    with pytest.raises(VerificationError, match=three[1].day.isoformat()):
        next(frames)


def test_a_reader_who_has_enough_leaves_no_thread_behind(
    three: list[LivePart], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "GROUP_PARTS", 1)
    before = set(threading.enumerate())
    frames = read(three)
    next(frames)
    assert isinstance(frames, Iterator)
    frames.close()  # type: ignore[attr-defined]
    assert set(threading.enumerate()) <= before


@pytest.mark.parametrize("parts", [1, 64])
@pytest.mark.parametrize("wanted", [0, 1, 2, 5, 6, 9])
def test_no_more_rows_come_than_are_asked_for(
    three: list[LivePart], monkeypatch: pytest.MonkeyPatch, parts: int, wanted: int
) -> None:
    monkeypatch.setattr(store, "GROUP_PARTS", parts)
    assert sum(frame.height for frame in read(three, n_rows=wanted)) == min(wanted, 6)


@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_batches_are_the_frame_in_its_order(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "BATCH_ROWS", size)
    frame = pl.concat([pl.DataFrame({"n": [n] * n}) for n in (1, 2, 1, 3)], rechunk=False)
    pieces = list(store._batches(frame))
    assert pl.concat(pieces).equals(frame)
    assert all(piece.height >= size for piece in pieces[:-1])
    assert list(store._batches(frame.clear())) == []

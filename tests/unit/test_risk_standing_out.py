"""Volumes and lonely reads against counts with Python's own containers."""

from __future__ import annotations

from collections import Counter, defaultdict
from statistics import median

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anpr_share.risk.standing_out import scarce, volume
from tests.support.releases import Row, release, rows_of_reads


@given(rows_of_reads, st.sampled_from([("vehicle", 0), ("camera", 1)]))
def test_volumes_are_those_that_counters_count(rows: list[Row], which: tuple[str, int]) -> None:
    name, place = which
    each = Counter(row[place] for row in rows)
    sizes = sorted(each.values(), reverse=True)

    found = volume(release(rows), name)

    assert (found.count, found.most, found.median) == (len(each), sizes[0], median(sizes))
    assert found.busiest_share == pytest.approx(sizes[0] / len(rows))
    assert found.top_hundredth_share == pytest.approx(sum(sizes[: -(-len(sizes) // 100)]) / len(rows))
    assert found.alone == sum(1 for times in Counter(sizes).values() if times == 1)
    assert found.outstanding == sum(1 for size in sizes if size > 10 * median(sizes))


def test_one_in_a_hundred_and_far_out_are_planted() -> None:
    rows = [(vehicle, 0, 0, 0, 0) for vehicle in range(199)] + [(199, 0, 0, 0, 0)] * 101

    found = volume(release(rows), "vehicle")

    assert (found.count, found.most, found.median, found.alone, found.outstanding) == (200, 101, 1.0, 1, 1)
    assert found.top_hundredth_share == pytest.approx(102 / 300)  # two vehicles: the 101 reads of one, and 1 of another


def lonely(rows: list[Row], k: int, *places: int) -> tuple[int, int]:
    vehicles: dict[tuple[int, ...], set[int]] = defaultdict(set)
    reads: Counter[tuple[int, ...]] = Counter()
    for row in rows:
        group = tuple(row[place] for place in places)
        vehicles[group].add(row[0])
        reads[group] += 1
    few = [group for group, found in vehicles.items() if len(found) < k]
    return len(few), sum(reads[group] for group in few)


@given(rows_of_reads, st.integers(1, 9))
def test_lonely_reads_are_those_that_sets_find(rows: list[Row], k: int) -> None:
    found = scarce(release(rows), k)

    assert found.k == k
    assert (found.days, found.reads_on_days) == lonely(rows, k, 2)
    assert (found.cameras, found.reads_at_cameras) == lonely(rows, k, 1)
    assert (found.camera_days, found.reads_on_camera_days) == lonely(rows, k, 1, 2)


def test_what_is_crowded_is_told_from_what_is_lonely_among_thousands() -> None:
    # 5,000 reads of nine vehicles at one camera are few; 700 of ten, which come late, are enough.
    rows = [(number % 9, 0, 0, 0, 0) for number in range(5_000)]
    rows += [(0, 1, 0, 0, 0)] * 690 + [(vehicle, 1, 0, 0, 0) for vehicle in range(10)]

    found = scarce(release(rows), 10)

    assert (found.cameras, found.reads_at_cameras) == (1, 5_000)
    assert (found.days, found.reads_on_days) == (0, 0)


def test_of_cameras_that_are_not_released_nothing_is_said() -> None:
    found = scarce(release([(1, 1, 1, 1, 0)], "camera"), 2)

    assert (found.days, found.reads_on_days) == (1, 1)
    assert (found.cameras, found.reads_at_cameras, found.camera_days, found.reads_on_camera_days) == (0, 0, 0, 0)

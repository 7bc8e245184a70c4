"""Joining by time, against the attack itself: two releases under other names, and an attacker who has both."""

from __future__ import annotations

from collections import Counter, defaultdict
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from anpr_share.risk.rejoining import rejoined
from tests.support.releases import Row, release, rows_of_reads

Seen = tuple[str, str, tuple[int, ...]]
"""The tokens of a vehicle and a camera, and what a release tells of the time."""


def renamed(rows: list[Row], seed: int, *, kinds: bool) -> tuple[list[Seen], dict[str, int]]:
    """The rows as they are released, in the order of their own tokens; and whose the vehicles' tokens are."""
    random = Random(seed)
    tokens = [f"{random.getrandbits(64):016x}" for _ in range(32)]
    vehicles, cameras = tokens[:16], tokens[16:]
    seen = [
        (vehicles[vehicle], cameras[camera], (day, minute, *([kind] if kinds else [])))
        for vehicle, camera, day, minute, kind in rows
    ]
    return sorted(seen), {token: number for number, token in enumerate(vehicles)}


def attack(ours: list[Seen], theirs: list[Seen], *, cameras: bool) -> tuple[dict[str, str], int]:
    """Which vehicle of one release is which of the other, from the times alone; and how many cameras were matched."""
    pairs = {}
    times = [Counter(time for _, _, time in release) for release in (ours, theirs)]
    alone = [{row[2]: row for row in release if times[n][row[2]] == 1} for n, release in enumerate((ours, theirs))]
    for time, (vehicle, _, _) in alone[0].items():
        pairs[vehicle] = alone[1][time][0]
    if not cameras:
        return pairs, 0
    signatures = []
    for found in (ours, theirs):
        each: dict[str, list[tuple[int, ...]]] = defaultdict(list)
        for _, camera, time in found:
            each[camera].append(time)
        by_signature: dict[tuple[tuple[int, ...], ...], list[str]] = defaultdict(list)
        for camera, seen in each.items():
            by_signature[tuple(sorted(seen))].append(camera)
        signatures.append({key: who[0] for key, who in by_signature.items() if len(who) == 1})
    known = {camera: signatures[1][key] for key, camera in signatures[0].items()}
    places = [Counter((camera, time) for _, camera, time in found) for found in (ours, theirs)]
    there = {(camera, time): vehicle for vehicle, camera, time in theirs if places[1][camera, time] == 1}
    for vehicle, camera, time in ours:
        if places[0][camera, time] == 1 and camera in known:
            pairs[vehicle] = there[known[camera], time]
    return pairs, len(known)


@given(rows_of_reads, st.booleans(), st.booleans())
def test_what_is_counted_is_what_an_attacker_joins_and_never_wrongly(
    rows: list[Row], kinds: bool, cameras: bool
) -> None:
    ours, mine = renamed(rows, 1, kinds=kinds)
    theirs, other = renamed(rows, 2, kinds=kinds)
    pairs, matched = attack(ours, theirs, cameras=cameras)
    assert all(mine[one] == other[two] for one, two in pairs.items())

    left_out = [*([] if kinds else ["kind"]), *([] if cameras else ["camera"])]
    found = rejoined(release(rows, *left_out), "1m")

    assert (found.vehicles, found.cameras) == (len(pairs), matched)
    assert found.reads == sum(1 for vehicle, _, _ in ours if vehicle in pairs)
    times = Counter(time for _, _, time in ours)
    places = Counter((camera, time) for _, camera, time in ours)
    assert found.by_time == list(times.values()).count(1)
    assert found.by_place_and_time == (list(places.values()).count(1) if cameras else 0)


def test_a_week_at_one_moment_joins_nobody() -> None:
    rows = [(vehicle, camera, 0, 0, 0) for vehicle in range(5) for camera in range(2)]

    found = rejoined(release(rows), "1d")

    assert (found.by_time, found.by_place_and_time, found.cameras, found.vehicles, found.reads) == (0, 0, 0, 0, 0)


def test_one_read_at_a_time_of_its_own_joins_all_of_its_vehicle() -> None:
    rows = [(1, 0, 0, 0, 0), (2, 0, 0, 0, 0), (1, 0, 0, 5, 0), (1, 0, 1, 0, 0), (2, 0, 1, 0, 0)]

    found = rejoined(release(rows, "camera"), "1m")

    assert (found.by_time, found.vehicles, found.reads) == (1, 1, 3)

"""Made-up traffic: the reads of one force, a day at a time, in the order in which they were captured.

What is guaranteed, and tested:

* a scenario gives the same rows on every machine, and any day of it can be made alone;
* it has ``days * reads_per_day`` rows, more of them on weekdays, and the share of distinct plates that was asked for,
  counted over the reads that carry a whole plate;
* every vehicle is read correctly at least once, so a target chosen from them is there to be found;
* memory is bounded by one day.

Vehicles are of three kinds. *Fleets* (buses, taxis) pass the same cameras all day. *Commuters* pass theirs in the
morning and, the other way, in the afternoon of a weekday. The rest come by now and then, many of them once: through
traffic. Some vehicles have a habitual misreading (a screw, dirt), which looks like one more vehicle.

A day is a date in the scenario's time zone, so the October day with its repeated hour has 25 hours, and its local times
are ambiguous.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import polars as pl

from anpr_share.synthetic.draws import below, chance, mixed
from anpr_share.synthetic.plates import misread, plates, respelt, unreadable
from anpr_share.synthetic.scenario import Day, Scenario, days, vehicle_numbers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# Of each 400 vehicles: 1 of a fleet, then 100 commuters.
CYCLE, COMMUTERS = 400, 100
FLEET_READS = 90  # of one vehicle in a day, at most
STEPS = 3  # cameras passed on one trip
CORRIDOR = 6  # cameras along one road
QUARTER = 900  # seconds

# Relative traffic by hour, local time.
WEEKDAY = (6, 4, 3, 3, 6, 18, 42, 75, 80, 56, 50, 52, 54, 55, 60, 70, 82, 84, 62, 42, 30, 24, 17, 10)
WEEKEND = (12, 9, 6, 5, 5, 9, 16, 26, 40, 55, 68, 74, 75, 72, 69, 66, 64, 58, 48, 38, 30, 25, 20, 15)

# Spellings (see plates.respelt) that any system falls into now and then.
CARELESS = (2, 3, 4, 5)
CARELESS_SHARE = 0.004


def reads(scenario: Scenario) -> Iterator[pl.DataFrame]:
    """Yield one frame for each capture day, in order, its rows in order of time.

    Columns: ``plate`` String or null as the system wrote it; ``site`` String, the camera's name; ``feed``, ``source``,
    ``camera`` UInt32, the same camera as the national service numbers it; ``captured_at`` Datetime("us"), local time
    without a zone; ``captured_utc`` Datetime("us", "UTC"); ``confidence`` UInt8, 0 to 100. And the truth, which no
    writer writes: ``vehicle`` UInt32, null where no plate was read, and ``misread`` Boolean.
    """
    cameras = camera_table(scenario)
    for day in days(scenario):
        if day.rows:
            yield _frame(scenario, day, cameras)


@cache
def camera_table(scenario: Scenario) -> pl.DataFrame:
    """Return the cameras in the order of their index: site String, feed, source, camera UInt32, style UInt8.

    A feed is one back-office system. In a messy scenario feed 1 writes plates as they are, feed 2 with the space and
    feed 3 in lower case. Numbers of cameras repeat from source to source, as in real systems.
    """
    index = pl.int_range(scenario.cameras, dtype=pl.UInt64)
    lot = below(mixed(index, scenario.seed, scenario.force, "cameras"), 100)
    feed = pl.when(lot < 84).then(1).when(lot < 95).then(2).otherwise(3)
    return pl.select(
        site=pl.concat_str(pl.lit(f"SITE-{scenario.force + 1}-"), (index + 1).cast(pl.String).str.zfill(4)),
        feed=feed.cast(pl.UInt32),
        source=(index // 40 + 1).cast(pl.UInt32),
        camera=(index % 40 + 1).cast(pl.UInt32),
        style=(feed - 1 if scenario.messy else pl.lit(0)).cast(pl.UInt8),
    )


def _frame(scenario: Scenario, day: Day, cameras: pl.DataFrame) -> pl.DataFrame:
    stream = (scenario.seed, scenario.force, "day", day.number)
    frame = _placed(scenario, day, _moves(scenario, day)).sort("elapsed", maintain_order=True)
    frame = _timed(scenario, day, frame)
    frame = frame.with_columns(
        number=vehicle_numbers(scenario, frame["vehicle"]), draw=mixed(pl.int_range(pl.len()), *stream, "spelling")
    )
    draw, unread = pl.col("draw"), pl.col("unread")
    frame = frame.with_columns(plate=plates(frame["number"], scenario.world_seed))
    frame = _patched(frame, frame["misread"], lambda rows: misread(rows["plate"], rows["number"]))
    if scenario.messy:
        careless = pl.lit(pl.Series(CARELESS, dtype=pl.UInt8)).gather(below(draw, len(CARELESS), skip=32))
        style = pl.lit(cameras["style"]).gather(pl.col("at"))
        frame = frame.with_columns(spelling=pl.when(chance(draw, CARELESS_SHARE)).then(careless).otherwise(style))
        frame = _patched(frame, frame["spelling"] > 0, lambda rows: respelt(rows, scenario.world_seed))
        frame = _patched(frame, frame["unread"], lambda rows: unreadable(rows["draw"]))
    unsure, sure = 35 + below(draw, 60, skip=16), 84 + below(draw, 16, skip=16)
    return frame.select(
        "plate",
        *(pl.lit(cameras[name]).gather(pl.col("at")).alias(name) for name in ("site", "feed", "source", "camera")),
        "captured_at",
        "captured_utc",
        pl.when(pl.col("misread") | unread).then(unsure).otherwise(sure).cast(pl.UInt8).alias("confidence"),
        pl.when(~unread).then("vehicle").alias("vehicle"),
        "misread",
    )


def _patched(frame: pl.DataFrame, where: pl.Series, plate: Callable[[pl.DataFrame], pl.Series]) -> pl.DataFrame:
    """Replace the plates of some rows: only those are worked out."""
    if not where.any():
        return frame
    return frame.with_columns(frame["plate"].scatter(where.arg_true(), plate(frame.filter(where))))


def _moves(scenario: Scenario, day: Day) -> pl.DataFrame:
    """Return who passes on a day, a row for each read: vehicle UInt32, unread and misread Boolean, trip, step, kind.

    ``trip`` decides the road, the camera where it begins and when; ``step`` counts cameras from there. ``kind`` is 0
    for any time, 1 for a commuter's morning and 2 for the way back.
    """
    firsts, left = len(day.vehicles), day.repeats
    stream = (scenario.seed, scenario.force, "day", day.number)
    i, none, never = pl.col("i"), pl.lit(0), pl.lit(value=False)

    def part(
        rows: int,
        *,
        vehicle: pl.Expr,
        trip: pl.Expr,
        step: pl.Expr = none,
        kind: pl.Expr = none,
        bad: pl.Expr = never,
        unread: bool = False,
    ) -> pl.DataFrame:
        return pl.select(i=pl.int_range(rows, dtype=pl.UInt64)).select(
            vehicle=vehicle.cast(pl.UInt32),
            unread=pl.lit(unread),
            misread=bad & _has_habit(scenario, vehicle),
            trip=trip.cast(pl.UInt64),
            step=step.cast(pl.UInt8),
            kind=kind.cast(pl.UInt8),
        )

    def sometimes(name: str) -> pl.Expr:
        return chance(mixed(i, *stream, name), _habit(scenario))

    # Everyone's first read, and every habitual misreading's; then newcomers pass the next cameras of their road.
    new = i + day.vehicles.start
    bad = ((i + day.misreadings.start + 1) * scenario.vehicles - 1) // max(1, scenario.misreadings)
    later = i // (STEPS - 1) + day.vehicles.start
    through = min(left // 4, firsts * (STEPS - 1))
    left -= through
    parts = [
        part(firsts, vehicle=new, trip=mixed(new, *stream, "through")),
        part(len(day.misreadings), vehicle=bad, trip=mixed(bad, *stream, "bad"), bad=~never),
        part(
            through,
            vehicle=later,
            trip=mixed(later, *stream, "through"),
            step=1 + i % (STEPS - 1),
            bad=sometimes("later"),
        ),
    ]
    # Commuters: the same ones on the same roads each day, but for one in twenty who gives way to another.
    everybody, passes = scenario.vehicles, 2 * STEPS
    commuters = everybody // CYCLE * COMMUTERS + min(max(everybody % CYCLE - 1, 0), COMMUTERS)
    active = min(commuters, left * (8 if day.weekend else 50) // 100 // passes)
    left -= active * passes
    if active:
        rank = (i // passes + day.number * active // 20) % commuters
        commuter = rank // COMMUTERS * CYCLE + 1 + rank % COMMUTERS
        back, passed = i // STEPS % 2, i % STEPS
        step = pl.when(back == 0).then(passed).otherwise(STEPS - 1 - passed)
        road = mixed(commuter, scenario.seed, scenario.force, "commute")
        often = sometimes("commuter")
        parts.append(part(active * passes, vehicle=commuter, trip=road, step=step, kind=1 + back, bad=often))
    # Fleets go round and round.
    fleet = -(-everybody // CYCLE)
    rounds = min(left // 4, fleet * FLEET_READS)
    left -= rounds
    bus, line = i % fleet * CYCLE, i // fleet // STEPS
    trip = mixed(bus * 65536 + line, *stream, "fleet")
    parts.append(part(rounds, vehicle=bus, trip=trip, step=i // fleet % STEPS, bad=sometimes("fleet")))
    # The others: those from nearby come more often than those from far away, hence the square.
    outing = mixed(i // 2, *stream, "outing")
    nearness = below(outing, 1 << 16) * below(outing, 1 << 16, skip=32)
    anybody = nearness * everybody // (1 << 32)
    parts.append(part(left, vehicle=anybody, trip=outing, step=i % 2, bad=sometimes("outing")))
    # Whoever was not read.
    parts.append(part(day.unreadable, vehicle=none, trip=mixed(i, *stream, "unreadable"), unread=True))
    return pl.concat(parts)


def _has_habit(scenario: Scenario, vehicle: pl.Expr) -> pl.Expr:
    """Whether a vehicle has a habitual misreading: every n-th one."""
    before, after = (vehicle.cast(pl.UInt64) + n for n in (0, 1))
    up_to_it, with_it = (count * scenario.misreadings // scenario.vehicles for count in (before, after))
    return with_it > up_to_it


def _habit(scenario: Scenario) -> float:
    """How often a repeated read of a vehicle with a habitual misreading is misread, to meet the misread rate."""
    if not scenario.misreadings:
        return 0.0
    readable = scenario.rows - scenario.unreadable
    still_wanted = readable * scenario.misread_rate - scenario.misreadings
    of_such_vehicles = max(1, readable - scenario.plates) * scenario.misreadings / scenario.vehicles
    return min(0.5, max(0.0, still_wanted / of_such_vehicles))


def _placed(scenario: Scenario, day: Day, moves: pl.DataFrame) -> pl.DataFrame:
    """Add ``at``, the index of the camera, and ``elapsed``, seconds since the day began, both UInt32.

    Roads are used unevenly, again by a square. From one camera to the next are two to eight minutes.
    """
    stream = (scenario.seed, scenario.force, "day", day.number)
    roads = -(-scenario.cameras // CORRIDOR)
    trip, kind, step = pl.col("trip"), pl.col("kind"), pl.col("step")
    moves = moves.with_columns(
        road=mixed(trip, scenario.seed, scenario.force, "road"),
        today=mixed(trip ^ kind.cast(pl.UInt64), *stream, "time"),
    )
    road, today = pl.col("road"), pl.col("today")
    busy = below(road, 1 << 16) * below(road, 1 << 16, skip=32) * roads // (1 << 32)
    camera = (busy * CORRIDOR + (road % CORRIDOR + step) % CORRIDOR) % scenario.cameras
    any_time = _times(scenario, day, today)
    # A commuter leaves home at an hour of their own between 06:15 and 09:15, and work eight to ten hours later, give
    # or take six minutes each day.
    morning = 22_500 + below(road, 5_400) + below(road, 5_400, skip=32)
    evening = morning + 28_800 + below(trip, 7_200)
    start = pl.when(kind == 0).then(any_time).when(kind == 1).then(morning).otherwise(evening)
    jitter = pl.when(kind == 0).then(0).otherwise(below(today, 720))
    passed = pl.when(kind == 2).then(STEPS - 1 - step).otherwise(step).cast(pl.UInt64)
    gap = 120 + below(trip, 360, skip=16)
    return moves.select(
        "vehicle", "unread", "misread",
        at=camera.cast(pl.UInt32),
        elapsed=_within(scenario, day, (start + jitter + passed * gap).cast(pl.Int64)).cast(pl.UInt32),
    )  # fmt: skip


def _times(scenario: Scenario, day: Day, draw: pl.Expr) -> pl.Expr:
    """Return a second of the day for each draw, more of them when there is more traffic.

    With ``repeated_hour`` false there is none in the hour that comes twice.
    """
    hours = WEEKEND if day.weekend else WEEKDAY
    quarters = _quarters(scenario.zone, day.date)
    table: list[int] = []
    for number, quarter in enumerate(quarters):
        if scenario.repeated_hour or not quarter.twice:
            hour, part = int(quarter.hour), quarter.hour % 1
            weight = hours[hour] * (1 - part) + hours[(hour + 1) % 24] * part
            table += [number] * round(weight * 10)
    chosen = pl.lit(pl.Series(table, dtype=pl.UInt64)).gather(below(draw, len(table)))
    return chosen * QUARTER + below(draw, QUARTER, skip=32)


def _within(scenario: Scenario, day: Day, elapsed: pl.Expr) -> pl.Expr:
    """Keep seconds inside the day, and out of the hour that comes twice where the scenario has no reads in it.

    A trip that would run past midnight is turned round: the same gaps, before midnight.
    """
    quarters = _quarters(scenario.zone, day.date)
    length = len(quarters) * QUARTER
    inside = pl.when(elapsed < length).then(elapsed).otherwise(2 * length - 1 - elapsed)
    twice = [number for number, quarter in enumerate(quarters) if quarter.twice]
    if scenario.repeated_hour or not twice:
        return inside
    first, after = twice[0] * QUARTER, (twice[-1] + 1) * QUARTER
    return pl.when(inside.is_between(first, after, closed="left")).then(inside + (after - first)).otherwise(inside)


def _timed(scenario: Scenario, day: Day, frame: pl.DataFrame) -> pl.DataFrame:
    """Add ``captured_utc`` and ``captured_at`` (local) to seconds since the day began."""
    start = datetime.combine(day.date, time(), ZoneInfo(scenario.zone)).astimezone(UTC)
    offsets = pl.Series([quarter.offset for quarter in _quarters(scenario.zone, day.date)], dtype=pl.Int64)
    utc = pl.col("elapsed").cast(pl.Int64) + int(start.timestamp())
    local = utc + pl.lit(offsets).gather(pl.col("elapsed") // QUARTER)
    return frame.with_columns(
        captured_at=(local * 1_000_000).cast(pl.Datetime("us")),
        captured_utc=(utc * 1_000_000).cast(pl.Datetime("us", "UTC")),
    )


@dataclass(frozen=True)
class _Quarter:
    """A quarter of an hour: local hour and fraction, seconds ahead of UTC, whether its local time comes twice."""

    hour: float
    offset: int
    twice: bool


@cache
def _quarters(zone_name: str, day: date) -> tuple[_Quarter, ...]:
    zone = ZoneInfo(zone_name)
    instant, end = (datetime.combine(day + timedelta(days=n), time(), zone).astimezone(UTC) for n in (0, 1))
    quarters = []
    while instant < end:
        local = instant.astimezone(zone)
        earlier, later = (local.replace(fold=fold).utcoffset() for fold in (0, 1))
        offset = local.utcoffset() or timedelta()
        quarters.append(_Quarter(local.hour + local.minute / 60, int(offset.total_seconds()), earlier != later))
        instant += timedelta(seconds=QUARTER)
    return tuple(quarters)

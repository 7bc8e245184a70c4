"""Made-up extracts as files.

* ``plain``: ``vrm,camera,captured_at`` with a header, local time without a zone (``PLAIN_PROFILE`` reads it).
* ``nas-compact``: the pipe-delimited compact capture of the national service, without a header, all fifteen fields,
  times in UTC (the bundled profile ``nas-compact`` reads it). Its coordinates, user name and camera positions are there
  to be left behind.

A file is written a day at a time, in the order of capture.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from anpr_share.errors import UsageError
from anpr_share.files import storage_errors
from anpr_share.synthetic.draws import below, mixed
from anpr_share.synthetic.places import cameras
from anpr_share.synthetic.targets import TargetPlan, targets
from anpr_share.synthetic.traffic import reads

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from anpr_share.synthetic.scenario import Scenario

PLAIN_TIME = "%Y-%m-%dT%H:%M:%S"
UTC_TIME = "%Y-%m-%dT%H:%M:%S%.3f"


# A profile for the layout ``plain`` in the default zone, for those who write extracts to try things out on.
PLAIN_PROFILE = """\
table = "reads"

[columns]
vrm = "vrm"
camera = "camera"

[columns.captured_at]
columns = ["captured_at"]
format = "%Y-%m-%dT%H:%M:%S"
timezone = "Europe/London"
ambiguous = "earliest"
"""


def _plain(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.select(vrm="plate", camera="site", captured_at="captured_at")


def _nas_compact(frame: pl.DataFrame) -> pl.DataFrame:
    place = mixed(pl.col("source") * 1000 + pl.col("camera"), "coordinates")
    north, east = 53_700_000 + below(place, 200_000), 2_100_000 + below(place, 900_000, skip=32)
    return frame.select(
        signature=pl.lit("0" * 8),
        username=pl.lit("anpr-feed"),
        vrm="plate",
        feed="feed",
        source="source",
        camera="camera",
        captured_at="captured_utc",
        latitude=(north / 1_000_000).round(5),
        longitude=(-east.cast(pl.Int64) / 1_000_000).round(5),
        preset=pl.lit(0),
        pan=pl.lit(0),
        tilt=pl.lit(0),
        zoom=pl.lit(1),
        confidence="confidence",
        towards=pl.lit(1),
    )


# name → its columns, delimiter, whether it has a header, and how it writes times
LAYOUTS: dict[str, tuple[Callable[[pl.DataFrame], pl.DataFrame], str, bool, str]] = {
    "plain": (_plain, ",", True, PLAIN_TIME),
    "nas-compact": (_nas_compact, "|", False, UTC_TIME),
}


def write_reads_csv(path: Path, scenario: Scenario, layout: str = "plain") -> int:
    """Write all reads of the scenario to a new file, and return how many they are.

    Raises:
        UsageError: the layout is not one of ``LAYOUTS``.
        StorageError: the file exists, or cannot be written.
    """
    if layout not in LAYOUTS:
        raise UsageError("no such layout", hint=f"layouts are {', '.join(LAYOUTS)}")
    columns, delimiter, header, time_format = LAYOUTS[layout]
    rows = 0
    with storage_errors("the extract cannot be written"), path.open("xb") as file:
        for frame in reads(scenario):
            columns(frame).write_csv(
                file, separator=delimiter, include_header=header and rows == 0, datetime_format=time_format
            )
            rows += frame.height
    return rows


def write_targets_csv(path: Path, scenario: Scenario, plan: TargetPlan | None = None) -> int:
    """Write a targets log for the scenario's reads to a new CSV file with a header, and return its rows.

    Raises:
        StorageError: the file exists, or cannot be written.
    """
    frame = targets(scenario, plan)
    with storage_errors("the targets cannot be written"), path.open("xb") as file:
        frame.write_csv(file)
    return frame.height


def write_cameras_csv(path: Path, scenario: Scenario) -> int:
    """Write the register of the scenario's cameras to a new CSV file with a header, and return its rows.

    The profile ``plain-cameras`` reads it beside reads in the layout ``plain``.

    Raises:
        StorageError: the file exists, or cannot be written.
    """
    frame = cameras(scenario).select("kind", "road_class", "area_type", "location", camera="site")
    with storage_errors("the cameras cannot be written"), path.open("xb") as file:
        frame.write_csv(file)
    return frame.height

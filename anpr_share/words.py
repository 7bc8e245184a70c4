"""How numbers, sizes and moments are written for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo

if TYPE_CHECKING:
    from datetime import datetime

RESOLUTIONS: Final = {"1s": "the second", "1m": "the minute", "15m": "15 minutes", "1h": "the hour", "1d": "the day"}
"""How exact times are, in words."""


def count(number: int, noun: str) -> str:
    """``1 day``, ``2 days``."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def percent(share: float, under: str = "under ", over: str = "over ") -> str:
    """A share in per cent, rounded, but never to none or to all: those two are said only where they hold."""
    if share in {0, 1}:
        return f"{float(share):.0%}"
    if share < 0.001:
        return f"{under}0.1%"
    return f"{over}99.9%" if share > 0.999 else f"{float(share):.1%}"


def brief_percent(share: float) -> str:
    """A share in per cent as it fits a table: ``<0.1%``."""
    return percent(share, "<", ">")


def others(total: int, shown: int, what: str = "more") -> list[str]:
    """How many there are beyond those shown, as a line; no line if there are none."""
    return [f"and {total - shown} {what}; --json lists them all"] if total > shown else []


def moment(instant: datetime, timezone: str) -> str:
    """A moment in an agreement's time zone: ``2026-12-25 00:00 (Europe/London)``."""
    return f"{instant.astimezone(ZoneInfo(timezone)):%Y-%m-%d %H:%M} ({timezone})"


def of_100(share: float) -> str:
    """A share as people count it: ``93 of 100``; none and all only where it is so."""
    if 0 < share < 0.005:  # what is rounded to 0
        return "fewer than 1 of 100"
    if 0.995 <= share < 1:  # what is rounded to 100
        return "more than 99 of 100"
    return f"{share * 100:.0f} of 100"


def size(number: int) -> str:
    """A number of bytes as people read it."""
    amount = float(number)
    for unit in ("bytes", "kB", "MB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}" if unit == "bytes" else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} GB"

"""How numbers, sizes and moments are written for people."""

from __future__ import annotations

from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

if TYPE_CHECKING:
    from datetime import datetime


def count(number: int, noun: str) -> str:
    """``1 day``, ``2 days``."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def percent(share: float) -> str:
    """A share in per cent: ``95.4 %``."""
    return f"{100 * share:.1f} %"


def others(total: int, shown: int, what: str = "more") -> list[str]:
    """How many there are beyond those shown, as a line; no line if there are none."""
    return [f"and {total - shown} {what}; --json lists them all"] if total > shown else []


def moment(instant: datetime, timezone: str) -> str:
    """A moment in an agreement's time zone: ``2026-12-25 00:00 (Europe/London)``."""
    return f"{instant.astimezone(ZoneInfo(timezone)):%Y-%m-%d %H:%M} ({timezone})"


def size(number: int) -> str:
    """A number of bytes as people read it."""
    amount = float(number)
    for unit in ("bytes", "kB", "MB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}" if unit == "bytes" else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} GB"

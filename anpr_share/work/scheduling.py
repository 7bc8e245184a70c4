"""The nightly purge as the system's own scheduler takes it: cron, systemd or the Windows task scheduler.

Guarantees: what is given runs as it stands, whatever blanks, quotes and percent signs the paths hold; nothing is
installed.
"""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

HOUR, MINUTE = 2, 17
"""Local time. An expired day is invisible from midnight on; its key goes now."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """What to hand to each: a line of a crontab, two units of systemd, a command of Windows."""

    cron: str
    service: str
    timer: str
    windows: str


def schedule(program: Sequence[str], root: Path, site: str, account: str) -> Schedule:
    """Every night at 02:17, for the site ``site`` in the directory ``root``; ``program`` is how this program is run.

    ``account`` is the operating system's, and who the site's files belong to: what another wrote, it could not change.
    """
    words = [*program, "--site", str(root), "--quiet", "purge"]
    told = f"anpr-share purge of {site}"
    # In a crontab a percent sign ends the command, in a unit it begins a specifier.
    cron = f"{MINUTE} {HOUR} * * * {shlex.join(words)}".replace("%", r"\%")
    start = " ".join(_unit_word(word) for word in words)
    task = ("schtasks", "/Create", "/SC", "DAILY", "/ST", f"{HOUR:02}:{MINUTE:02}", "/TN", told)
    return Schedule(
        cron=cron,
        service=f"[Unit]\nDescription={told}\n\n[Service]\nType=oneshot\nUser={account}\nExecStart={start}\n",
        timer=(
            f"[Unit]\nDescription={told}, every night\n\n[Timer]\n"
            f"OnCalendar=*-*-* {HOUR:02}:{MINUTE:02}:00\nPersistent=true\n\n[Install]\nWantedBy=timers.target\n"
        ),
        windows=subprocess.list2cmdline((*task, "/TR", subprocess.list2cmdline(words))),
    )


def _unit_word(word: str) -> str:
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{escaped}"'

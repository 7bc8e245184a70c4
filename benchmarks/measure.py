"""Runs one command in a child process and measures it: wall time, processor time, peak memory.

The parent must stay small, and so imports nothing heavy: Linux counts the parent's memory at the moment of the fork as
the child's.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

RSS_UNIT = 1 if sys.platform == "darwin" else 1024  # getrusage counts bytes there, kilobytes elsewhere


@dataclass(frozen=True)
class Cost:
    """What one command took, all its own children included (memory: the largest of them)."""

    wall_s: float
    cpu_s: float
    peak_mb: float

    def as_dict(self) -> dict[str, float]:
        """Return the three numbers by name, rounded for a table."""
        return {name: round(value, 2) for name, value in asdict(self).items()}


def run(*command: str | Path, answers: tuple[int, ...] = (0,), quiet: bool = True) -> tuple[Cost, str]:
    """Run a command to its end, and return its cost and its stdout.

    Stops the benchmark if the exit code is not one of ``answers``.
    """
    environment = {key: value for key, value in os.environ.items() if not key.startswith("ANPR_SHARE_")}
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        began = time.perf_counter()
        child = subprocess.Popen(
            [str(word) for word in command], stdout=out, stderr=err, stdin=subprocess.DEVNULL, env=environment
        )
        _, status, usage = os.wait4(child.pid, 0)
        wall = time.perf_counter() - began
        child.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        err.seek(0)
        talk = err.read().decode(errors="replace")
        if child.returncode not in answers:
            sys.exit(f"{' '.join(map(str, command[:6]))} … ended with {child.returncode}:\n{talk[-2000:]}")
        if not quiet and talk:
            print(talk, file=sys.stderr)
        cost = Cost(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * RSS_UNIT / 1e6)
        return cost, out.read().decode()


def python(module: str, *arguments: str | Path) -> tuple[Cost, str]:
    """Run one of our modules as a child, as ``python -m module``."""
    return run(sys.executable, "-m", module, *arguments)


def best(costs: list[Cost]) -> Cost:
    """Return the run with the least wall time, with the largest memory of all runs."""
    fastest = min(costs, key=lambda cost: cost.wall_s)
    return Cost(fastest.wall_s, fastest.cpu_s, max(cost.peak_mb for cost in costs))


def show(title: str, rows: list[dict[str, Any]]) -> None:
    """Print a Markdown table of the rows, whose keys are the columns."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    print(f"\n### {title}\n")
    print("| " + " | ".join(columns) + " |")
    print("|" + " --- |" * len(columns))
    for row in rows:
        print("| " + " | ".join(str(row.get(column, "")) for column in columns) + " |")


def save(path: Path, results: dict[str, Any]) -> None:
    """Write the results as JSON."""
    path.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")

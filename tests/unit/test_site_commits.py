"""One COMMIT over three databases, killed inside it or without power: all of it or nothing, whatever is on the disk."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets a process be traced like this")


def run(kind: str) -> dict[str, Any]:
    """Start `tests.support.commits`, which says what is tried and how."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.commits", kind],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"},
        cwd=Path(__file__).resolve().parents[2],
    )
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    if "cannot" in told:
        pytest.skip(f"no process can be traced here: {told['cannot']}")
    return told


@pytest.mark.parametrize(("kind", "least"), [("kill", 50), ("power", 200)])
def test_whatever_one_commit_leaves_on_the_disk_is_all_of_it_or_nothing(kind: str, least: int) -> None:
    told = run(kind)

    assert told["wrongs"] == []
    assert set(told["outcomes"]) == {"before", "after"}
    assert told["states"] >= least

"""Polars writes nothing to disk when memory runs short, whoever loaded it first and whatever the environment says."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from anpr_share import memory
from anpr_share.errors import StorageError

# 40 MB of text to sort with 8 MB to do it in. What is printed tells how the query ended.
SORT = """
frame = pl.LazyFrame({"n": pl.int_range(1_000_000, eager=True)})
frame = frame.select(plate=pl.lit("AB12CDE ") + pl.col.n.hash(1).cast(pl.String)).sort("plate")
try:
    rows = frame.collect(engine="streaming").height
except pl.exceptions.ComputeError as error:
    print("refused", memory.ran_out_of_memory(error) if "memory" in globals() else "")
else:
    print("sorted", rows)
"""

# Counts the files of the watched folder all the while: polars removes what it spilled as soon as it has read it again.
WATCH = """
import os, sys, threading
folder, seen, done = os.environ["POLARS_OOC_SPILL_DIR"], set(), threading.Event()
def watch():
    while not done.wait(0.001):
        for _, _, names in os.walk(folder):
            seen.update(names)
watcher = threading.Thread(target=watch)
watcher.start()
"""
COUNT = """
done.set()
watcher.join()
print("files", len(seen))
"""

# The system itself refuses every byte written to a file, so that even a file that lives for a moment shows.
NO_FILES = """
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
"""


def run(program: str, folder: Path, **environment: str) -> str:
    settings = {"POLARS_OOC_SPILL_DIR": str(folder), "POLARS_OOC_MEMORY_BUDGET_MB": "8"}
    known = {name: value for name, value in os.environ.items() if not name.startswith("POLARS_")}
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=known | settings | environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_polars_left_alone_spills_so_that_the_tests_below_can_fail(tmp_path: Path) -> None:
    printed = run(WATCH + "import polars as pl\n" + SORT + COUNT, tmp_path)

    assert "sorted 1000000" in printed
    assert int(printed.split("files ")[1]) > 0


@pytest.mark.parametrize(
    "imports",
    [
        "from anpr_share import memory\nimport polars as pl\n",
        "import polars as pl\nfrom anpr_share import memory\n",
        "import polars as pl\npl.select(1)\nfrom anpr_share import memory\nmemory.require_no_spill()\n",
    ],
    ids=["ours-first", "polars-first", "polars-used-first"],
)
def test_nothing_is_written_and_the_query_fails_instead(imports: str, tmp_path: Path) -> None:
    printed = run(WATCH + imports + SORT + COUNT, tmp_path)

    assert "refused True" in printed
    assert "files 0" in printed


def test_the_environment_cannot_allow_it(tmp_path: Path) -> None:
    program = WATCH + "from anpr_share import memory\nimport polars as pl\n" + SORT + COUNT

    printed = run(program, tmp_path, POLARS_OOC_DISK_BUDGET_MB="1000")

    assert "refused True" in printed
    assert "files 0" in printed


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit on the size of files")
def test_not_even_for_a_moment(tmp_path: Path) -> None:
    printed = run(NO_FILES + "from anpr_share import memory\nimport polars as pl\n" + SORT, tmp_path)

    assert "refused True" in printed  # and not the system's refusal, which is another error


def test_a_site_does_not_open_once_the_setting_was_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(memory.SETTING, "1000")

    with pytest.raises(StorageError, match="allowed to write temporary files"):
        memory.require_no_spill()


def test_a_site_does_not_open_once_the_setting_was_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(memory.SETTING)

    with pytest.raises(StorageError, match="allowed to write temporary files"):
        memory.require_no_spill()


def test_a_site_that_opens_has_undone_a_change_that_polars_alone_had_read(tmp_path: Path) -> None:
    changed = """
import os
import polars as pl
from polars import _plr
from anpr_share import memory
os.environ[memory.SETTING] = "1000"
_plr.config_reload_env_vars()
os.environ[memory.SETTING] = "0"
memory.require_no_spill()
"""
    printed = run(WATCH + changed + SORT + COUNT, tmp_path)

    assert "refused True" in printed
    assert "files 0" in printed


def test_a_child_inherits_the_setting() -> None:
    program = f"import os; print(os.environ[{memory.SETTING!r}])"

    child = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert child.stdout.strip() == "0"


def test_other_errors_are_not_taken_for_a_lack_of_memory() -> None:
    assert not memory.ran_out_of_memory(ValueError(memory.SETTING))
    assert memory.ran_out_of_memory(MemoryError())

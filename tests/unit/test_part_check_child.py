"""Step 8, in its child: whatever a part or the child does, the part is refused and nothing is left."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

from anpr_share.errors import StorageError, VerificationError
from anpr_share.part_check import Rewrite, check_parts

if TYPE_CHECKING:
    from collections.abc import Sequence
from tests.support.parts import CAMERA, FIRST, LOCAL, check, job, refuse


@pytest.mark.skipif(sys.platform != "linux", reason="memory is limited on Linux")
def test_a_part_that_needs_more_memory_than_allowed_is_refused(tmp_path: Path) -> None:
    rows = 1_000_000
    frame = pl.select(
        pl.int_range(rows).hash().cast(pl.String).str.pad_start(32, "0").alias("vehicle"),
        pl.lit(CAMERA).alias("camera"),
        (pl.lit(FIRST).dt.cast_time_unit("us") + pl.duration(microseconds=pl.int_range(rows))).alias("captured_at"),
    )
    part = job(tmp_path / "p", frame)
    refuse("crashed or needed more memory|cannot be opened", part, memory=8 * 1024**2)
    check(part)


def test_a_part_that_takes_too_long_is_refused(tmp_path: Path) -> None:
    began = time.monotonic()
    refuse("took too long", job(tmp_path / "p"), seconds=0.01)
    assert time.monotonic() - began < 30


def child(monkeypatch: pytest.MonkeyPatch, program: str) -> None:
    """Let another program stand where the child stands."""
    start = subprocess.Popen

    def other(arguments: Sequence[str], **options: Any) -> subprocess.Popen[bytes]:
        assert list(arguments) == [sys.executable, "-m", "anpr_share.part_check"]
        return start([sys.executable, "-c", program], **options)

    monkeypatch.setattr(subprocess, "Popen", other)


READ = "import sys, time, os; sys.stdin.readline(); sys.stdin.readline();"
ANSWER = {"reason": None, "storage": False, "rows": 2, "size": None, "sha256": None}

CHILDREN = {
    "dead at once": ("crashed", "raise SystemExit(1)"),
    "dead at the part": ("crashed", READ + "os._exit(0)"),
    "killed": ("crashed", READ + "os.kill(os.getpid(), 9)"),
    "silent": ("too long", READ + "time.sleep(600)"),
    "half an answer": ("crashed", READ + f"print({json.dumps(ANSWER)!r}, end='', flush=True)"),
    "endless answer": ("crashed", READ + "print('[' * 10**6, flush=True); time.sleep(600)"),
    "not json": ("no answer", READ + "print('AB12CDE', flush=True)"),
    "deep json": ("no answer", READ + "print('[' * 3000, flush=True)"),
    "no object": ("no answer", READ + "print('[]', flush=True)"),
    "other rows": ("no answer", READ + f"print({json.dumps(ANSWER | {'rows': 3})!r}, flush=True)"),
    "rows as text": ("no answer", READ + f"print({json.dumps(ANSWER | {'rows': '2'})!r}, flush=True)"),
    "reason with a plate": ("no answer", READ + f"print({json.dumps(ANSWER | {'reason': 'AB12CDE'})!r}, flush=True)"),
    "reason with escapes": (
        "no answer",
        READ + f"print({json.dumps(ANSWER | {'reason': 'a' + chr(27)})!r}, flush=True)",
    ),
    "reason that is no text": ("no answer", READ + f"print({json.dumps(ANSWER | {'reason': 1})!r}, flush=True)"),
}


@pytest.mark.parametrize("fault", CHILDREN)
def test_whatever_the_child_does_the_part_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    reason, program = CHILDREN[fault]
    part = job(tmp_path / "p")
    child(monkeypatch, program)
    error = refuse(reason, part, seconds=2.0)
    assert "AB12CDE" not in str(error)


def test_an_answer_without_the_file_asked_for_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    part = job(tmp_path / "p", rewrite=Rewrite(tmp_path / "local", LOCAL))
    child(monkeypatch, READ + f"print({json.dumps(ANSWER)!r}, flush=True)")
    refuse("no answer", part, seconds=60)


def test_what_the_child_says_on_standard_error_is_not_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    part = job(tmp_path / "p")
    child(monkeypatch, "import sys; sys.stderr.write('AB12CDE'); sys.exit(1)")
    refuse("crashed", part, seconds=60)
    assert capfd.readouterr() == ("", "")


def test_a_refused_part_leaves_no_file(tmp_path: Path) -> None:
    target = tmp_path / "local"
    rewrite = Rewrite(target, LOCAL)
    refuse("times outside", job(tmp_path / "a", day=date(2026, 6, 9), rewrite=rewrite), seconds=60)
    refuse("does not open", job(tmp_path / "b", key=LOCAL, rewrite=rewrite), seconds=60)
    refuse("too long", job(tmp_path / "c", rewrite=rewrite), seconds=0.01)
    assert not target.exists()


def test_a_killed_rewrite_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "local"
    part = job(tmp_path / "p", rewrite=Rewrite(target, LOCAL))
    child(monkeypatch, READ + f"open({str(target)!r}, 'w').write('half'); os._exit(1)")
    refuse("crashed", part, seconds=60)
    assert not target.exists()


def test_a_target_that_exists_stays(tmp_path: Path) -> None:
    target = tmp_path / "local"
    target.write_text("mine")
    with pytest.raises(StorageError):
        check(job(tmp_path / "p", rewrite=Rewrite(target, LOCAL)))
    assert target.read_text() == "mine"


def test_a_folder_that_is_missing_is_a_storage_error(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="cannot be created: it does not exist"):
        check(job(tmp_path / "p", rewrite=Rewrite(tmp_path / "absent" / "local", LOCAL)))
    with pytest.raises(StorageError, match="cannot be read: it does not exist"):
        check(replace(job(tmp_path / "q"), path=tmp_path / "absent"))


@pytest.mark.skipif(sys.platform == "win32", reason="such names are refused in another way")
def test_a_refusal_that_has_no_words_of_its_own_is_still_a_storage_error(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="cannot be read: system error enametoolong"):
        check(replace(job(tmp_path / "p"), path=tmp_path / ("a" * 300)))


def test_earlier_results_come_before_a_fault(tmp_path: Path) -> None:
    results = check_parts([job(tmp_path / "a"), job(tmp_path / "b", rows=3)])
    assert next(results).rows == 2
    with pytest.raises(VerificationError):
        next(results)
    assert list(results) == []


def test_closing_early_ends_the_child(tmp_path: Path) -> None:
    results = check_parts([job(tmp_path / "a"), job(tmp_path / "b")])
    next(results)
    results.close()  # type: ignore[attr-defined]
    children = Path(f"/proc/self/task/{os.getpid()}/children")
    assert not children.exists() or children.read_text() == ""


def test_a_module_beside_the_caller_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    part = job(tmp_path / "p")
    (tmp_path / "polars.py").write_text("raise SystemExit(1)")
    monkeypatch.chdir(tmp_path)
    assert check(replace(part, path=Path("p")))[0].rows == 2

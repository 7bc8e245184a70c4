"""The published cases of plates, tokens and delete-by dates: current, kept, and confirmed a second time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl
import pytest

from anpr_share.periods import Duration, delete_by, utc_text
from anpr_share.pseudonyms import LinkageKey, sample_threshold
from anpr_share.vrm import FAMILIES, canonicalise, canonicalise_series

ROOT = Path(__file__).resolve().parents[2]
VECTORS = ROOT / "docs" / "spec" / "vectors"
NAMES = ("vrm-1", "tokens-1", "delete-by")


def published(name: str) -> Any:
    return json.loads((VECTORS / f"{name}.json").read_text(encoding="ascii"))


@pytest.mark.parametrize("case", published("vrm-1")["cases"], ids=lambda case: case["why"])
def test_a_plate(case: dict[str, Any]) -> None:
    found = canonicalise(case["raw"])
    assert (found.status, found.vrm, found.family, found.ambiguous) == (
        case["status"], case["vrm"], case["family"], case["ambiguous"]
    )  # fmt: skip


def test_the_plates_as_a_column() -> None:
    cases = published("vrm-1")["cases"]
    frame = canonicalise_series(pl.Series([case["raw"] for case in cases]))
    assert frame.rows() == [(case["status"], case["vrm"], case["family"], case["ambiguous"]) for case in cases]


def test_every_family_has_a_plate() -> None:
    assert {case["family"] for case in published("vrm-1")["cases"]} == {*FAMILIES, None}


def test_every_reason_is_given_once() -> None:
    for name in ("vrm-1", "delete-by"):
        reasons = [case["why"] for case in published(name)["cases"]]
        assert len(set(reasons)) == len(reasons)


def test_the_tokens() -> None:
    given = published("tokens-1")
    key = LinkageKey(bytes.fromhex(given["secret_hex"]), given["agreement"])
    assert key.check == given["check"]
    for case in given["vrm"]:
        assert key.vrm(case["raw"]) == case["token"]
    for case in given["vrm_alike"]:
        assert key.vrm_alike(case["raw"]) == case["token"]
    for case in given["camera"]:
        assert key.camera(case["site"], case["camera"]) == case["token"]
    for case in given["log"]:
        assert key.log(case["site"], case["log"]) == case["token"]
    for case in given["sample"]:
        assert str(key.sample(case["raw"])) == case["sample"]
    for case in given["threshold"]:
        assert str(sample_threshold(case["rate"])) == case["threshold"]


@pytest.mark.parametrize("case", published("delete-by")["cases"], ids=lambda case: case["why"])
def test_a_delete_by(case: dict[str, Any]) -> None:
    ends = date.fromisoformat(case["ends"]) if case["ends"] else None
    due = delete_by(date.fromisoformat(case["day"]), Duration.parse(case["limit"]), ZoneInfo(case["timezone"]), ends)
    assert utc_text(due) == case["delete_by"]


def test_the_published_cases_are_what_the_script_writes(tmp_path: Path) -> None:
    subprocess.run([sys.executable, ROOT / "scripts" / "make_vectors.py", tmp_path], check=True, cwd=ROOT, env=child())
    for name in NAMES:
        assert (tmp_path / f"{name}.json").read_bytes() == (VECTORS / f"{name}.json").read_bytes()


def test_the_second_implementation_agrees() -> None:
    run = second_implementation(VECTORS)
    assert (run.returncode, run.stdout) == (0, "every published case agrees\n")


def test_the_second_implementation_sees_a_wrong_case(tmp_path: Path) -> None:
    for name in NAMES:
        (tmp_path / f"{name}.json").write_bytes((VECTORS / f"{name}.json").read_bytes())
    plates = published("vrm-1")
    plates["cases"][0]["family"] = "prefix"
    (tmp_path / "vrm-1.json").write_text(json.dumps(plates), encoding="ascii")
    run = second_implementation(tmp_path)
    assert (run.returncode, run.stdout) == (1, "vrm-1: current, as printed\n")


def test_the_second_implementation_shares_no_code() -> None:
    source = (ROOT / "examples" / "second_implementation.py").read_text(encoding="utf-8")
    assert "import anpr_share" not in source
    assert "from anpr_share" not in source
    assert len(source.splitlines()) <= 150


def second_implementation(directory: Path) -> subprocess.CompletedProcess[str]:
    script = ROOT / "examples" / "second_implementation.py"
    return subprocess.run([sys.executable, script, directory], check=False, capture_output=True, text=True)


def child() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT)}

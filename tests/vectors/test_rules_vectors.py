"""The published cases of plates, tokens and delete-by dates: current, kept, and confirmed a second time."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl
import pytest

from anpr_share.periods import Duration, delete_by, is_expired, parse_utc, undated_day, utc_text
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
    for cases in (published("vrm-1")["cases"], *published("delete-by").values()):
        reasons = [case["why"] for case in cases]
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


def due(case: dict[str, Any], limit: str, ends: str | None) -> str:
    last = date.fromisoformat(ends) if ends else None
    day, zone = date.fromisoformat(case["day"]), ZoneInfo(case["timezone"])
    return utc_text(delete_by(day, Duration.parse(limit), zone, last))


@pytest.mark.parametrize("case", published("delete-by")["cases"], ids=lambda case: case["why"])
def test_a_delete_by(case: dict[str, Any]) -> None:
    assert due(case, case["limit"], case["ends"]) == case["delete_by"]


@pytest.mark.parametrize("case", published("delete-by")["expired"], ids=lambda case: case["why"])
def test_a_day_that_arrives_expired_or_just_in_time(case: dict[str, Any]) -> None:
    last = date.fromisoformat(case["ends"]) if case["ends"] else None
    day, limit, zone = date.fromisoformat(case["day"]), Duration.parse(case["limit"]), ZoneInfo(case["timezone"])
    assert is_expired(day, parse_utc(case["now"]), limit, zone, last) == case["expired"]


@pytest.mark.parametrize("case", published("delete-by")["versions"], ids=lambda case: case["why"])
def test_a_version_that_shortens_counts_and_one_that_lengthens_does_not(case: dict[str, Any]) -> None:
    old, new = case["old"], case["new"]
    for terms in (old, new):
        assert due(case, terms["limit"], terms["ends"]) == terms["delete_by"]
    longer = Duration.parse(new["limit"]).lengthens(Duration.parse(old["limit"])) or new["ends"] > old["ends"]
    assert case["accepted"] == (not longer)
    assert case["delete_by"] == (new if case["accepted"] else old)["delete_by"] <= old["delete_by"]


@pytest.mark.parametrize("case", published("delete-by")["undated"], ids=lambda case: case["why"])
def test_what_has_no_day_counts_from_the_earlier_of_making_and_loading(case: dict[str, Any]) -> None:
    made, loaded = parse_utc(case["created"]), parse_utc(case["loaded"])
    assert undated_day(made, loaded, ZoneInfo(case["timezone"])).isoformat() == case["day"]
    assert due(case, case["limit"], None) == case["delete_by"]


def test_the_tables_of_the_page_are_the_published_cases() -> None:
    """What is printed here after a change of the cases is what belongs into the page."""
    text = (ROOT / "docs" / "spec" / "rules-v1.md").read_text(encoding="utf-8")
    section = text[text.index("\n## 3.") : text.index("\n## 4.")]
    rows = [line for line in section.splitlines() if re.match(r"\| (?!example |---)", line)]
    assert rows == list(table_rows(published("delete-by")))


def table_rows(given: dict[str, list[dict[str, Any]]]) -> Iterator[str]:
    for case in given["cases"]:
        zone = "" if case["timezone"] == "Europe/London" else case["timezone"]
        yield row(case["why"], case["day"], case["limit"], case["ends"] or "", zone, case["delete_by"])
    for case in given["expired"]:
        expired = "yes" if case["expired"] else "no"
        yield row(case["why"], case["day"], case["limit"], case["ends"] or "", case["now"], expired)
    for case in given["versions"]:
        terms = [f"{item['limit']}, {item['ends']}" for item in (case["old"], case["new"])]
        due_by = [item["delete_by"] for item in (case["old"], case["new"])]
        yield row(case["why"], case["day"], terms[0], due_by[0], terms[1], due_by[1] if case["accepted"] else "refused")
    for case in given["undated"]:
        yield row(case["why"], case["created"], case["loaded"], case["day"], case["limit"], case["delete_by"])


def row(*cells: str) -> str:
    return "|" + "".join(f" {cell} |" if cell else " |" for cell in cells)


def test_the_published_cases_are_what_the_script_writes(tmp_path: Path) -> None:
    subprocess.run([sys.executable, ROOT / "scripts" / "make_vectors.py", tmp_path], check=True, cwd=ROOT, env=child())
    for name in NAMES:
        assert (tmp_path / f"{name}.json").read_bytes() == (VECTORS / f"{name}.json").read_bytes()


def test_the_second_implementation_agrees() -> None:
    run = second_implementation(VECTORS)
    assert (run.returncode, run.stdout) == (0, "every published case agrees\n")


@pytest.mark.parametrize(
    ("name", "cases", "field", "wrong"),
    [
        ("vrm-1", "cases", "family", "prefix"),
        ("delete-by", "cases", "delete_by", "2027-03-01T00:00:01Z"),
        ("delete-by", "expired", "expired", True),
        ("delete-by", "versions", "accepted", False),
        ("delete-by", "versions", "delete_by", "2027-03-01T00:00:00Z"),
        ("delete-by", "undated", "day", "2026-10-20"),
    ],
)
def test_the_second_implementation_sees_a_wrong_case(
    tmp_path: Path, name: str, cases: str, field: str, wrong: object
) -> None:
    for each in NAMES:
        (tmp_path / f"{each}.json").write_bytes((VECTORS / f"{each}.json").read_bytes())
    changed = published(name)
    changed[cases][0][field] = wrong
    (tmp_path / f"{name}.json").write_text(json.dumps(changed), encoding="ascii")
    run = second_implementation(tmp_path)
    assert (run.returncode, run.stdout) == (1, f"{name}: {changed[cases][0]['why']}\n")


def test_the_second_implementation_shares_no_code() -> None:
    source = (ROOT / "examples" / "second_implementation.py").read_text(encoding="utf-8")
    assert "import anpr_share" not in source
    assert "from anpr_share" not in source
    assert len(source.splitlines()) <= 170


def second_implementation(directory: Path) -> subprocess.CompletedProcess[str]:
    script = ROOT / "examples" / "second_implementation.py"
    return subprocess.run([sys.executable, script, directory], check=False, capture_output=True, text=True)


def child() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT)}

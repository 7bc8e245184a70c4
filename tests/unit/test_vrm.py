"""vrm-1, one cell and one column at a time; the published cases are in tests/vectors."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from anpr_share.vrm import FAMILIES, PLATE_LIKE, RULES, STATUSES, canonicalise, canonicalise_series, squeeze

SHARED = Path(__file__).resolve().parents[2].parent / "shared"


def assert_column_is_cells(raw: list[str | None]) -> None:
    frame = canonicalise_series(pl.Series(raw, dtype=pl.String))
    expected = [canonicalise(cell) for cell in raw]
    assert frame.rows() == [(c.status, c.vrm, c.family, c.ambiguous) for c in expected]


def test_the_rules_are_named() -> None:
    assert RULES == "vrm-1"
    assert FAMILIES[-1] == "other"
    assert set(PLATE_LIKE) < set(FAMILIES)


def test_the_column_has_the_promised_types() -> None:
    frame = canonicalise_series(pl.Series(["AB12CDE", None]))
    expected = {"status": pl.Enum(STATUSES), "vrm": pl.String, "family": pl.Enum(FAMILIES), "ambiguous": pl.Boolean}
    assert frame.schema == expected


def test_the_cases_that_were_handed_to_us() -> None:
    path = SHARED / "vectors" / "vrm-1.json"
    if not path.exists():
        pytest.skip("only where the shared folder is")
    cases = json.loads(path.read_text(encoding="utf-8"))["cases"]
    for case in cases:
        found = canonicalise(case["raw"])
        assert (found.status, found.vrm, found.family, found.ambiguous) == (
            case["status"], case["vrm"], case["family"], case["ambiguous"]
        )  # fmt: skip
    assert_column_is_cells([case["raw"] for case in cases])


@pytest.mark.parametrize(
    "raw",
    [
        [],
        [None],
        [""],
        ["", "", ""],
        [None, None, "AB12CDE"],
        ["\n"],
        ["AB12\nCDE", "\n\nA1\n", None, "B2"],
        ["AB12CDE\r", "\r\nAB12CDE"],
        ["AB12\x00CDE", "\x00", "AB12CDE\x00"],
        ["x" * 500, "1" * 30, "12345678901234567890", "A1" * 12],
        ["?", "A?", "\uff1f", "%", "_A"],
        ["\u00c4B12CDE", "\uff21\uff22\uff11\uff12CDE", "AB12CD\u017f"],
        ["+12", "-12", "1e10", "1.2", "0x12", "1_2", " 12 "],
        ["J12345", "K12345", "J1", "K1", "JI1", "KI1", "J123456", "K123456", "J1234567"],
        ["101D123", "101X123", "101C123", "IOID123"],
        ["AAA", "AAB", "NULL", "BULL", "MISSING", "NISSING", "000", "001", "OO", "O0"],
    ],
)
def test_a_column_gives_what_its_cells_give(raw: list[str | None]) -> None:
    assert_column_is_cells(raw)


def test_a_column_of_every_two_faced_plate_gives_what_its_cells_give() -> None:
    faces = ["O", "0", "I", "1", "J", "Z", "2", "B"]
    assert_column_is_cells([a + b + c + d for a in faces for b in faces for c in faces for d in faces])


def test_a_column_longer_than_a_block_keeps_its_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("anpr_share.vrm._BLOCK_ROWS", 3)
    assert_column_is_cells(["AB12CDE", None, "ABI2CDE", "n/a", "12 OAB", "A?", "\u00c4", "J1"])


def test_a_column_of_several_chunks_and_an_offset_keeps_its_order() -> None:
    chunks = pl.concat(
        [pl.Series(["x", "ABI2CDE"]), pl.Series([None, "A?", "AB12CDE"], dtype=pl.String)], rechunk=False
    )
    frame = canonicalise_series(chunks.slice(1))
    assert frame["vrm"].to_list() == ["AB12CDE", None, None, "AB12CDE"]


def test_squeezing_keeps_what_the_rules_look_at() -> None:
    assert squeeze(pl.Series([" ab-12?cd\u00e9\n", None, ""])).to_list() == ["AB12?CD\u00e9", "", ""]


def test_the_module_does_not_load_polars() -> None:
    code = "import sys, anpr_share.vrm, anpr_share.pseudonyms, anpr_share.periods; sys.exit('polars' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_every_family_of_the_shapes_has_a_class_for_each_character() -> None:
    from anpr_share import vrm

    assert sorted("".join(vrm._CLASSES.values())) == sorted("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ")
    # A class may only be looked into by a rule that _TOLD_APART or the placeholders set aside.
    for family, pattern in vrm._PATTERNS.items():
        for group in re.findall(r"\[([^\]]+)\]", pattern):
            allowed = {c for c in "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ" if re.fullmatch(f"[{group}]", c)}
            torn = [m for m in vrm._CLASSES.values() if set(m) & allowed and set(m) - allowed]
            assert torn == [] or (family, group) == ("diplomatic", "DX")

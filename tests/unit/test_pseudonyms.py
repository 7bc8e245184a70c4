"""Tokens of one cell, of a column, and of batches through the tables; the published cases are in tests/vectors."""

from __future__ import annotations

import copy
import hashlib
import hmac
import json
import pickle
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from anpr_share.errors import UsageError
from anpr_share.pseudonyms import (
    LinkageKey,
    camera_message,
    is_identifier,
    netstring,
    sample_threshold,
    site_id_of,
    validate_identifier,
)
from anpr_share.token_tables import CameraTable

SHARED = Path(__file__).resolve().parents[2].parent / "shared"
SECRET = bytes(range(32))
KEY = LinkageKey(SECRET, "msv-2026")


def expected_token(field: str, message: bytes) -> str:
    info = f"anpr-share/1/msv-2026/{field}".encode()
    key = HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=info).derive(SECRET)
    return hmac.new(key, message, hashlib.sha256).digest()[:16].hex()


@pytest.mark.parametrize("text", ["a", "msv-2026", "0", "a" * 64, "con-2026", "com10", "com0", "lpt"])
def test_an_identifier(text: str) -> None:
    assert is_identifier(text)
    validate_identifier(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "A",
        "a--b",
        "-a",
        "a-",
        "a_b",
        "a b",
        "a.b",
        "é",
        "a\n",
        "a" * 65,
        "con",
        "prn",
        "aux",
        "nul",
        "com1",
        "lpt9",
        "../a",
    ],
)
def test_not_an_identifier(text: str) -> None:
    assert not is_identifier(text)
    with pytest.raises(UsageError):
        validate_identifier(text)


def test_netstrings_tell_parts_apart() -> None:
    assert netstring(b"CAM-1", b"") == b"5:CAM-1,0:,"
    assert netstring(b"1", b"23") != netstring(b"12", b"3")
    assert netstring() == b""


def test_a_camera_is_its_trimmed_parts_in_nfc() -> None:
    assert camera_message([" 1\u2003", None, "e\u0301"]) == "1:1,0:,2:é,".encode()
    assert camera_message([None, " ", ""]) is None
    assert camera_message(["\x1c"]) == b"1:\x1c,"


@pytest.mark.parametrize(("rate", "threshold"), [("1", 2**64), ("1.0", 2**64), ("0.5", 2**63), ("0.1", 2**64 // 10)])
def test_a_threshold_is_exact(rate: str, threshold: int) -> None:
    assert sample_threshold(rate) == threshold


@pytest.mark.parametrize("rate", ["", "0", "0.0", "1.1", "-0.5", "5e-2", "1/20", " 0.5", "nan", ".5", "0,5", "\u0661"])
def test_another_text_is_no_rate(rate: str) -> None:
    with pytest.raises(UsageError):
        sample_threshold(rate)


@pytest.mark.parametrize("secret", [b"", bytes(31), bytes(33)])
def test_a_linkage_key_is_32_bytes(secret: bytes) -> None:
    with pytest.raises(UsageError):
        LinkageKey(secret, "msv-2026")


@pytest.mark.parametrize(
    ("name", "site_id"),
    [
        ("Northshire Police", "northshire-police"),
        ("  The University of X (2nd) ", "the-university-of-x-2nd"),
        ("Dyfed-Powys", "dyfed-powys"),
        ("Université de Élan", "universite-de-elan"),
        ("Universite\u0301 I\u0307", "universite-i"),
        ("ÄÖÜ", "aou"),
        ("Ørsted ½", "rsted-1-2"),
        ("Ø", ""),
    ],
)
def test_a_site_id_is_the_name_in_lower_case_without_accents_joined_by_hyphens(name: str, site_id: str) -> None:
    assert site_id_of(name) == site_id


def test_an_agreement_is_named_by_an_identifier() -> None:
    with pytest.raises(UsageError):
        LinkageKey(SECRET, "MSV 2026")


def test_a_key_does_not_show_and_is_not_copied() -> None:
    assert repr(KEY) == "LinkageKey(<secret>, 'msv-2026')"
    assert not hasattr(KEY, "__dict__")
    escapes: list[Callable[[object], object]] = [pickle.dumps, copy.copy, copy.deepcopy]
    for escape in escapes:
        with pytest.raises(TypeError):
            escape(KEY)
    assert LinkageKey(SECRET, "msv-2026") != KEY


def test_tokens_are_hmac_under_a_derived_key() -> None:
    assert KEY.vrm("ab12 cde") == expected_token("vrm", b"AB12CDE")
    assert KEY.vrm_alike("ab12 cde") == expected_token("vrm-alike", b"A812C0E")
    assert KEY.camera("lancashire", ["1", None, "4"]) == expected_token("camera/lancashire", b"1:1,0:,1:4,")
    assert KEY.log("lancashire", " INT-1\u00a0") == expected_token("log/lancashire", b"INT-1")
    assert KEY.check == expected_token("check", b"")[:16]
    assert KEY.sample("ab12 cde") == int(expected_token("sample", b"AB12CDE")[:16], 16)


def test_alike_merges_the_letters_that_cameras_confuse() -> None:
    assert KEY.vrm_alike("BD51SMR") == KEY.vrm_alike("8D5ISMR") == KEY.vrm_alike("BOSISMR")
    assert KEY.vrm("BD51SMR") != KEY.vrm("8D51SMR")


def test_another_agreements_tokens_say_nothing_of_ours() -> None:
    other = LinkageKey(SECRET, "msv-2027")
    assert other.vrm("AB12CDE") != KEY.vrm("AB12CDE")
    assert other.check != KEY.check


@pytest.mark.parametrize("raw", ["", "n/a", "AB12?", "\u00c4B12CDE", "ABCDEFGHIJK"])
def test_what_is_not_ok_has_no_token_and_is_not_told(raw: str) -> None:
    for token in (KEY.vrm, KEY.vrm_alike, KEY.sample):
        with pytest.raises(UsageError) as caught:
            token(raw)
        assert not raw or raw not in str(caught.value)


def test_an_empty_camera_or_log_has_no_token() -> None:
    with pytest.raises(UsageError):
        KEY.camera("lancashire", ["", None])
    with pytest.raises(UsageError):
        KEY.log("lancashire", "\u3000")


def test_a_site_is_named_by_an_identifier() -> None:
    calls: list[Callable[[], object]] = [
        lambda: KEY.camera("a/b", ["1"]),
        lambda: KEY.log("", "1"),
        lambda: CameraTable(KEY, "Lancashire"),
    ]
    for call in calls:
        with pytest.raises(UsageError):
            call()


def test_text_beyond_utf_8_is_refused_without_being_told() -> None:
    calls: list[Callable[[], str]] = [
        lambda: KEY.camera("lancashire", ["CAM\ud800"]),
        lambda: KEY.log("lancashire", "CAM\ud800"),
    ]
    for call in calls:
        with pytest.raises(UsageError) as caught:
            call()
        assert "CAM" not in str(caught.value)
        assert caught.value.__suppress_context__


@pytest.mark.parametrize("dtype", [pl.Categorical, pl.Enum(["AB12CDE", "ab12 cde"])])
def test_columns_of_categories_are_text(dtype: pl.DataType) -> None:
    column = pl.Series("x", ["AB12CDE", None, "ab12 cde"], dtype=dtype)
    token = KEY.vrm("AB12CDE")
    assert KEY.vrms(column).to_list() == [token, None, token]
    assert KEY.cameras("lancashire", column.to_frame())[0] == KEY.camera("lancashire", ["AB12CDE"])


def test_columns_of_nulls_alone_have_no_tokens() -> None:
    column = pl.Series("x", [None, None])
    assert KEY.vrms(column).to_list() == [None, None]
    assert KEY.cameras("lancashire", column.to_frame()).to_list() == [None, None]
    named = pl.DataFrame({"feed": [None], "camera": ["4"]})
    assert KEY.cameras("lancashire", named).to_list() == [KEY.camera("lancashire", [None, "4"])]


@pytest.mark.parametrize("column", [pl.Series([7]), pl.Series([7.0]), pl.Series([b"7"]), pl.Series([["7"]])])
def test_columns_that_are_not_text_are_refused(column: pl.Series) -> None:
    calls: list[Callable[[], pl.Series]] = [
        lambda: KEY.vrms(column),
        lambda: KEY.logs("lancashire", column),
        lambda: KEY.cameras("lancashire", pl.DataFrame({"feed": ["7"]}).with_columns(column.head(1).alias("camera"))),
    ]
    for call in calls:
        with pytest.raises(UsageError, match="not text"):
            call()


@pytest.mark.parametrize("parts", ["abc", "", [7], ["7", 1.0]])
def test_a_camera_that_is_no_list_of_texts_is_refused(parts: list[str | None]) -> None:
    with pytest.raises(UsageError, match="not a list of texts"):
        KEY.camera("lancashire", parts)


def test_columns_of_cameras() -> None:
    frame = pl.DataFrame(
        {"feed": ["1", "12", None, " "], "source": ["23", "3", None, ""], "camera": ["4", "4", None, None]}
    )
    assert KEY.cameras("lancashire", frame).to_list() == [
        KEY.camera("lancashire", ["1", "23", "4"]), KEY.camera("lancashire", ["12", "3", "4"]), None, None
    ]  # fmt: skip
    assert KEY.cameras("lancashire", frame.clear()).to_list() == []


def test_a_column_of_logs() -> None:
    found = KEY.logs("lancashire", pl.Series(["INT-1", None, " INT-1 ", "\u2003", "INT-2"]))
    token = KEY.log("lancashire", "INT-1")
    assert found.to_list() == [token, None, token, None, KEY.log("lancashire", "INT-2")]


def test_the_cases_that_were_handed_to_us() -> None:
    path = SHARED / "vectors" / "tokens-1.json"
    if not path.exists():
        pytest.skip("only where the shared folder is")
    given = json.loads(path.read_text(encoding="utf-8"))
    key = LinkageKey(bytes.fromhex(given["secret_hex"]), given["agreement"])
    assert [key.vrm(case["raw"]) for case in given["vrm"]] == [case["token"] for case in given["vrm"]]
    assert [key.vrm_alike(case["raw"]) for case in given["vrm_alike"]] == [case["token"] for case in given["vrm_alike"]]
    for case in given["camera"]:
        assert key.camera(case["site"], case["camera"]) == case["token"]

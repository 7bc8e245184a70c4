"""The tables that number plates and cameras, batch after batch, and hash each once: always the tokens of one cell."""

from __future__ import annotations

import hashlib
import hmac

import polars as pl
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from anpr_share.errors import UsageError
from anpr_share.pseudonyms import LinkageKey
from anpr_share.token_tables import CameraTable, PlateTable
from anpr_share.vrm import canonicalise

SECRET = bytes(range(32))
KEY = LinkageKey(SECRET, "msv-2026")
ALIKE = str.maketrans("ODQIZSGB", "00012568")
MIXED = [
    "AB12CDE", "ab12 cde", "  AB12-CDE  ", "ABI2CDE", None, "", "n/a", "AB12?", "?", "\u00c4B12", "12OAB", "120AB",
    "AIZ 1234", "A\x00", "A", "A1", "A1\x00", "A1\x00\x00\x00\x00\x00\x00", "46HVR9-NLD", "AB12\nCDE",
    "\uff21\uff22\uff11\uff12CDE", "a plate longer than eight bytes", "ABCDEFGHIJ", "é1234567", "AB12CDEFGé",
]  # fmt: skip


def expected_token(field: str, message: bytes) -> str:
    info = f"anpr-share/1/msv-2026/{field}".encode()
    key = HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=info).derive(SECRET)
    return hmac.new(key, message, hashlib.sha256).digest()[:16].hex()


def expected_row(raw: str | None, threshold: int | None = None) -> tuple[object, ...]:
    found = canonicalise(raw)
    if found.vrm is None:
        return found.status, None, False, None, None, threshold is None
    sampled = threshold is None or int(expected_token("sample", found.vrm.encode())[:16], 16) < threshold
    token = expected_token("vrm", found.vrm.encode())
    alike = expected_token("vrm-alike", found.vrm.translate(ALIKE).encode())
    return found.status, found.family, found.ambiguous, token, alike, sampled


def plates(count: int, offset: int = 0) -> list[str | None]:
    return [
        f"AB{n % 100:02}{n // 100:03}".replace("0", "X") + ("" if n % 3 else " é"[n % 2])
        for n in range(offset, offset + count)
    ]


def described(table: PlateTable) -> pl.DataFrame:
    """What a table says of each number, in the order of `expected_row`."""
    whole = pl.concat([table.facts, table.tokens], how="horizontal")
    return whole.select("status", "family", "ambiguous", "vehicle", "vehicle_alike", "sampled")


def test_a_column_of_vehicles() -> None:
    found = KEY.vrms(pl.Series(MIXED))
    assert found.to_list() == [expected_row(raw)[3] for raw in MIXED]
    assert KEY.vrms(pl.Series([], dtype=pl.String)).dtype == pl.String


def test_tables_do_not_show_what_they_hold() -> None:
    table = PlateTable(KEY, alike=True, sample=None)
    table.ids(pl.Series(["AB12CDE"]))
    cameras = CameraTable(KEY, "lancashire")
    cameras.ids(pl.DataFrame({"a": ["CAM-1"]}))
    assert (repr(table), repr(cameras)) == ("PlateTable(1 rows)", "CameraTable(1 rows)")


def test_a_sample_keeps_the_vehicles_that_it_must() -> None:
    kept = expected_token("vrm", b"AB12CDE")
    table = PlateTable(KEY, alike=False, sample=1, always=frozenset([kept]))
    ids = table.ids(pl.Series(["XY34ZAB", "ab12 cde", None, "AB12CDE"]))
    assert table.facts["sampled"].gather(ids).to_list() == [False, True, False, True]


def test_the_order_of_vehicles_is_that_of_their_tokens() -> None:
    table = PlateTable(KEY, alike=False, sample=None)
    table.ids(pl.Series(plates(300)))
    tokens = table.tokens.drop_nulls()
    assert tokens.sort("order")["vehicle"].to_list() == sorted(tokens["vehicle"].to_list())


@pytest.mark.parametrize("times", [1, 40])
def test_few_and_many_distinct_cells_are_numbered_alike(times: int) -> None:
    table = PlateTable(KEY, alike=False, sample=None)
    batch = [*plates(30), None] * times
    for _ in range(2):
        ids = table.ids(pl.Series(batch))
        assert table.tokens["vehicle"].gather(ids).to_list() == [expected_row(raw)[3] for raw in batch]


@pytest.mark.parametrize("sample", [None, 2**63, 2**64, 1])
def test_every_row_of_a_table_is_what_its_cell_says(sample: int | None) -> None:
    table = PlateTable(KEY, alike=True, sample=sample)
    ids = table.ids(pl.Series(MIXED))
    expected = [expected_row(raw, sample) for raw in MIXED]
    assert ids.dtype == pl.UInt32
    assert described(table)[ids].rows() == expected


def test_tokens_stay_right_over_batches_and_after_a_clear(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("anpr_share.token_tables._HASH_ROWS", 7)
    table = PlateTable(KEY, alike=True, sample=None, capacity=150)
    batches: list[list[str | None]] = [
        plates(100),
        [*MIXED, *plates(60, 80)],
        plates(30, 500),
        MIXED,
        plates(200),
        [None, None],
        [],
        plates(50, 150),
    ]
    cleared = 0
    for batch in batches * 2:
        ids = table.ids(pl.Series(batch, dtype=pl.String))
        assert described(table)[ids].rows() == [expected_row(raw) for raw in batch]
        assert len(table) == len(table.facts)
        if table.full:
            table.clear()
            cleared += 1
            assert (len(table), len(table.facts), table.full) == (0, 0, False)
    assert cleared > 1


def test_numbers_of_earlier_batches_keep_their_rows() -> None:
    table = PlateTable(KEY, alike=False, sample=None)
    first = table.ids(pl.Series(MIXED))
    second = table.ids(pl.Series(plates(100)))
    assert table.tokens["vehicle"].gather(first).to_list() == [expected_row(raw)[3] for raw in MIXED]
    assert table.tokens["vehicle"].gather(second).to_list() == [expected_row(raw)[3] for raw in plates(100)]


def test_a_cell_is_hashed_once() -> None:
    table = PlateTable(KEY, alike=False, sample=None)
    table.ids(pl.Series(MIXED * 3))
    rows = len(table)
    assert rows <= len(MIXED)
    table.ids(pl.Series(MIXED[::-1]))
    assert len(table) == rows


def test_a_table_without_cells_has_its_columns() -> None:
    table = PlateTable(KEY, alike=False, sample=None)
    assert table.facts.columns == ["status", "family", "ambiguous", "sampled"]
    assert table.tokens.schema == {"vehicle": pl.String, "order": pl.UInt128}
    assert (table.facts.height, table.tokens.height) == (0, 0)
    assert table.ids(pl.Series([], dtype=pl.String)).to_list() == []
    assert CameraTable(KEY, "lancashire").frame.schema == {"camera": pl.String, "plate_like": pl.Boolean}


def test_cameras_stay_right_over_batches_and_after_a_clear() -> None:
    table = CameraTable(KEY, "lancashire", capacity=40)
    for start in (0, 5, 100, 0, 130):
        cells = [(str(n % 7), None if n % 5 else f" CAM-{n}\u2003") for n in range(start, start + 30)]
        frame = pl.DataFrame(cells, schema={"feed": pl.String, "camera": pl.String}, orient="row")
        ids = table.ids(frame)
        assert ids.dtype == pl.UInt32
        assert table.frame["camera"].gather(ids).to_list() == [KEY.camera("lancashire", parts) for parts in cells]
        if table.full:
            table.clear()
    assert len(table) < 80


def test_long_cells_and_long_names_have_a_bound_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("anpr_share.token_tables._LONG_BYTES", 1000)
    plates, cameras = PlateTable(KEY, alike=False, sample=None), CameraTable(KEY, "lancashire")
    for start in range(0, 500, 100):
        assert not plates.full
        plates.ids(pl.Series([f"{start:0>100}", f"{start + 1:0>100}"]))
    assert plates.full
    while not cameras.full:
        assert len(cameras) < 100
        cameras.ids(pl.DataFrame({"camera": [f"{len(cameras):0>100}"]}))
    for table in (plates, cameras):
        table.clear()
        assert not table.full


def test_the_number_of_parts_does_not_change() -> None:
    table = CameraTable(KEY, "lancashire")
    table.ids(pl.DataFrame({"a": ["1"], "b": ["2"]}))
    with pytest.raises(UsageError):
        table.ids(pl.DataFrame({"a": ["1"]}))


def test_a_camera_with_the_shape_of_a_plate_is_told() -> None:
    table = CameraTable(KEY, "lancashire")
    frame = pl.DataFrame({"a": ["CAM-1", "ab12 cde", None, "A1", None], "b": ["x", None, "AIZ 1234", "12345", None]})
    ids = table.ids(frame)
    assert table.frame["plate_like"].gather(ids).to_list() == [False, True, True, False, False]

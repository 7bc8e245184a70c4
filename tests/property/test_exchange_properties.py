"""What is loaded is what was accepted, row for row; and no bytes do more to a site than be refused."""

from __future__ import annotations

import hashlib
import hmac
import json
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anpr_share.cli.failures import INTERNAL
from anpr_share.documents import agreement as agreement_documents
from anpr_share.documents import canonical, keyshare, manifest, receipt, request
from anpr_share.documents import envelope as dsse
from anpr_share.documents.identity import Identity
from anpr_share.documents.keys import SigningKey
from anpr_share.errors import AnprShareError
from anpr_share.site import holdings
from anpr_share.work import agreements, exporting, inspecting, loading, reading, receipting
from anpr_share.work.progress import silent
from tests.support.exchange import LANCS, READS, TARGETS, UNI, WYP, World, reads_input, settled, swift
from tests.support.forgery import fields_of, members

# As written, and what vrm-1 makes of it; None is rejected.
PLATES = {
    "AB12CDE": "AB12CDE",
    "ab12 cde": "AB12CDE",
    "AB-I2-CDE": "AB12CDE",
    "FG34HJK": "FG34HJK",
    "A1": "A1",
    "X99999Y9": "X99999Y9",
    "AB12?DE": None,
    "": None,
    "UNKNOWN": None,
}
CAMERAS = {"CAM-1": "CAM-1", " CAM-1 ": "CAM-1", "7": "7", "007": "007", "Café": "Café", "": None, "  ": None}
WINDOW = (date(2026, 10, 24), date(2026, 10, 26))  # London's clocks go back on the 25th
NOON, NOW = datetime(2026, 10, 23, 12, tzinfo=UTC), datetime(2026, 11, 1, tzinfo=UTC)
STEPS = {"1s": 1, "1m": 60, "15m": 900, "1h": 3600}

ROWS = st.lists(
    st.tuples(
        st.sampled_from(sorted(PLATES)),
        st.sampled_from(sorted(CAMERAS)),
        st.integers(0, 4 * 86_400).map(lambda seconds: NOON + timedelta(seconds=seconds)),
    ),
    min_size=1,
    max_size=30,
)


def field_key(secret: bytes, field: str) -> bytes:
    """HKDF-SHA-256 by hand: no salt, one block."""
    extracted = hmac.digest(bytes(32), secret, "sha256")
    return hmac.digest(extracted, f"anpr-share/1/exact/{field}".encode() + b"\x01", "sha256")


def token(secret: bytes, field: str, message: bytes) -> str:
    return hmac.new(field_key(secret, field), message, hashlib.sha256).hexdigest()[:32]


def floored(instant: datetime, resolution: str, zone: ZoneInfo) -> datetime:
    """The time at this resolution on the clocks of the zone, and never before the day that it belongs to."""
    local = instant.astimezone(zone)
    midnight = datetime(local.year, local.month, local.day, tzinfo=zone).astimezone(UTC)
    if resolution == "1d":
        return midnight
    on_the_clock = local.hour * 3600 + local.minute * 60 + local.second
    return max(midnight, instant - timedelta(seconds=on_the_clock % STEPS[resolution]))


@settings(max_examples=12)
@given(
    rows=ROWS,
    resolution=st.sampled_from([*STEPS, "1d"]),
    zone=st.sampled_from(["Europe/London", "Asia/Kolkata", "UTC"]),
)
def test_what_is_loaded_is_what_was_accepted_row_for_row(
    rows: list[tuple[str, str, datetime]], resolution: str, zone: str
) -> None:
    with tempfile.TemporaryDirectory() as directory, swift(), settled(Path(directory) / "sites") as world:
        world.clock.now = NOW
        world.agree(id="exact", reads__resolution=resolution, timezone=zone, targets=None)
        secret = world.lancs.require_vault().get_secret(world.lancs.db, agreements.LINKAGE, "exact")
        assert secret is not None
        expected = list(accepted(rows, resolution, ZoneInfo(zone), secret))
        written = [(plate, camera, f"{time:%Y-%m-%dT%H:%M:%SZ}") for plate, camera, time in rows]
        asked = world.request(*WINDOW, agreement="exact")
        if not expected:
            with pytest.raises(AnprShareError, match="no row is left"):
                world.export(asked, written)
            return
        result = world.load(world.export(asked, written))
        found = reading.collect(reading.scan(world.uni, "reads", purpose="journey regularity", agreement="exact"))
        columns = ["vehicle", "camera", "captured_at", "day"]
        assert Counter(found.select(columns).iter_rows()) == Counter(expected)
        assert result.rows == {"reads": len(expected)}
        assert receipting.accept(world.lancs, result.receipt.read_bytes()).discrepancies == ()


def accepted(
    rows: list[tuple[str, str, datetime]], resolution: str, zone: ZoneInfo, secret: bytes
) -> Iterator[tuple[str, str, datetime, date]]:
    for plate, camera, instant in rows:
        vrm, name = PLATES[plate], CAMERAS[camera]
        day = instant.astimezone(zone).date()
        if vrm is None or name is None or not WINDOW[0] <= day <= WINDOW[1]:
            continue
        spelt = name.encode()
        yield (
            token(secret, "vrm", vrm.encode()),
            token(secret, f"camera/{LANCS}", b"%d:%b," % (len(spelt), spelt)),
            floored(instant, resolution, zone),
            day,
        )


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with swift(), settled(tmp_path / "sites") as made:
        yield made


def attempt(call: Callable[[], object]) -> None:
    """Anything but a value or an error of ours is a fault."""
    with suppress(AnprShareError):
        call()


def edits(genuine: bytes) -> st.SearchStrategy[bytes]:
    """Any bytes; and the genuine ones with a piece cut out, put in or changed."""
    places = st.integers(0, len(genuine))

    def edited(start: int, length: int, piece: bytes) -> bytes:
        return genuine[:start] + piece + genuine[start + length :]

    return st.one_of(
        st.binary(max_size=200),
        st.builds(edited, places, st.integers(0, 40), st.binary(max_size=40)),
        st.builds(lambda end: genuine[:end], places),
    )


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-1, 2**63 - 1),
    st.text(max_size=10),
    st.sampled_from(["2026-10-01", "undated", "9999-12-31", "0001-01-01", "2026-10-01T00:00:00Z", "ab" * 32, "AAAA"]),
    st.lists(st.integers(0, 3), max_size=2),
    st.dictionaries(st.sampled_from(["day", "rows", "AB12CDE"]), st.integers(0, 3), max_size=2),
)


def paths(value: Any, before: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, item in items:
        yield (*before, name)
        yield from paths(item, (*before, name))


def revised(payload: bytes) -> st.SearchStrategy[bytes]:
    """The payload with one value replaced by another, as its own author might sign it."""
    fields = fields_of(payload)

    def replaced(path: tuple[str | int, ...], value: object) -> bytes:
        copy = json.loads(json.dumps(fields))
        at = copy
        for step in path[:-1]:
            at = at[step]
        at[path[-1]] = value
        return canonical.encode(copy)

    return st.builds(replaced, st.sampled_from(list(paths(fields))), VALUES)


def test_any_bytes_as_a_bundle_are_refused_or_a_bundle(world: World) -> None:
    genuine = world.export(targets=TARGETS)
    target = world.free("bundle.anpr.zip")

    @given(data=edits(genuine.read_bytes()))
    def hold(data: bytes) -> None:
        target.write_bytes(data)
        attempt(lambda: inspecting.inspect(target))
        attempt(lambda: loading.verify_alone(target, world.lancs.identity))
        attempt(lambda: loading.verify(world.uni, target))
        if data != genuine.read_bytes():
            with pytest.raises(AnprShareError):
                loading.load(world.uni, target, None, silent)

    hold()
    assert world.stored() == []
    assert world.load(genuine).rows == {"reads": 6, "targets": 2}


def test_any_manifest_and_any_keys_that_a_partner_signs_are_refused_or_true(world: World) -> None:
    forged = world.forge(world.export(targets=TARGETS))
    contents = members(forged.source)
    payload = dsse.parse(contents[0][1], manifest.KIND).payload
    sealed = canonical.encode(forged.sealed)

    @given(data=revised(payload), inside=st.one_of(st.none(), revised(sealed), st.binary(max_size=50)))
    def hold(data: bytes, inside: bytes | None) -> None:
        if inside is None:
            envelope = dsse.sign(manifest.KIND, data, world.lancs.signing_key).encode()
            target = forged.pack([("manifest.json", envelope), *contents[1:]])
        else:
            target = forged.write(plaintext=inside)
        attempt(lambda: inspecting.inspect(target))
        attempt(lambda: loading.verify(world.uni, target))
        assert world.cli(UNI, "verify", target) != INTERNAL

    hold()


def documents(world: World) -> dict[str, tuple[bytes, str, SigningKey, Callable[[bytes], object], list[object]]]:
    """A genuine document of each kind, who signs it, and who reads it: in the library and by command."""
    asked = world.request()
    received = world.load(world.export(world.request(to=WYP), by=WYP)).receipt.read_bytes()
    [share] = world.lancs.paths.outbox.glob("*.keyshare.json")
    agreed = world.signed(id="new-2026").envelope.encode()
    reads = reads_input(world.free("reads.csv"), READS)
    file, out = world.root / "document", world.root / "out"
    uni, lancs, wyp = world.uni.signing_key, world.lancs.signing_key, world.wyp.signing_key

    def export(data: bytes) -> object:
        return exporting.export(world.lancs, data, reads, out, progress=silent)

    export_argv = ["export", "--request", file, "--reads", *reads.paths, "--profile", "plain-reads", "-o", out]
    return {
        LANCS: (asked, request.KIND, uni, export, export_argv),
        WYP: (
            received,
            receipt.KIND,
            uni,
            lambda data: receipting.accept(world.wyp, data),
            ["receipt", "accept", file],
        ),
        f"{WYP} share": (
            share.read_bytes(),
            keyshare.KIND,
            lancs,
            lambda data: agreements.accept_key(world.wyp, data),
            ["key", "accept", file],
        ),
        UNI: (
            agreed,
            agreement_documents.KIND,
            wyp,
            lambda data: agreements.accept(world.uni, data),
            ["agreement", "accept", file],
        ),
        f"{UNI} sign": (
            agreed,
            agreement_documents.KIND,
            wyp,
            lambda data: agreements.sign(world.uni, data, out, lambda _: True),
            ["agreement", "sign", file, "-o", out, "--yes"],
        ),
        f"{LANCS} partner": (
            world.uni.identity.envelope,
            "identity",
            uni,
            Identity.parse,
            ["partner", "add", file, "--fingerprint", "ab" * 32],
        ),
    }


@pytest.mark.parametrize("reader", [LANCS, WYP, f"{WYP} share", UNI, f"{UNI} sign", f"{LANCS} partner"])
def test_any_bytes_as_a_document_are_refused_or_a_document(world: World, reader: str) -> None:
    genuine, kind, key, read, argv = documents(world)[reader]
    payload = dsse.parse(genuine, kind).payload
    site = reader.split(maxsplit=1)[0]
    signed = revised(payload).map(lambda data: dsse.sign(kind, data, key).encode())

    @settings(max_examples=25)
    @given(data=st.one_of(edits(genuine), signed, st.text(max_size=60).map(str.encode)))
    def hold(data: bytes) -> None:
        attempt(lambda: read(data))
        (world.root / "document").write_bytes(data)
        (world.root / "out").unlink(missing_ok=True)
        assert world.cli(site, *argv) != INTERNAL
        (world.root / "out").unlink(missing_ok=True)

    hold()
    assert holdings.receipts(world.uni.db) == ()

"""No bytes do more to a site than be refused, whoever signed them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anpr_share.cli.failures import INTERNAL
from anpr_share.documents import agreement as agreement_documents
from anpr_share.documents import canonical, keyshare, manifest, receipt, request
from anpr_share.documents import envelope as dsse
from anpr_share.documents.identity import Identity
from anpr_share.documents.keys import SigningKey
from anpr_share.errors import AnprShareError
from anpr_share.site import holdings
from anpr_share.work import agreements, exporting, inspecting, loading, receipting
from tests.support.exchange import LANCS, READS, TARGETS, UNI, WYP, World, reads_input, settled, silent, swift
from tests.support.forgery import fields_of, members


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

    @given(data=st.one_of(edits(genuine), signed, st.text(max_size=60).map(str.encode)))
    def hold(data: bytes) -> None:
        attempt(lambda: read(data))
        (world.root / "document").write_bytes(data)
        (world.root / "out").unlink(missing_ok=True)
        assert world.cli(site, *argv) != INTERNAL
        (world.root / "out").unlink(missing_ok=True)

    hold()
    assert holdings.receipts(world.uni.db) == ()

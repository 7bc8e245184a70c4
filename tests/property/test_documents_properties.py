"""Whatever the bytes are, a reader gives a value or one of our errors, and no bit of a signed document can change."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from anpr_share.documents import agreement as agreements
from anpr_share.documents import canonical, draft, manifest
from anpr_share.documents import envelope as dsse
from anpr_share.documents import identity as identities
from anpr_share.errors import AnprShareError, VerificationError
from tests.support.documents import AGREEMENT, KINDS, Fields, envelope, sealed_fields

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
PLAIN = st.none() | st.booleans() | st.integers(-(2**63) + 1, 2**63 - 1) | TEXT
VALUES = st.recursive(
    PLAIN,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=20,
)
SIGNED = {kind: envelope(kind, fields(), *signers).encode() for kind, (fields, signers, _) in KINDS.items()}


def paths(value: Any, path: tuple[int | str, ...] = ()) -> list[tuple[int | str, ...]]:
    """Every place inside a document."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path] + [place for name, item in items for place in paths(item, (*path, name))]


def replaced(value: Any, path: tuple[int | str, ...], new: object) -> Any:
    if not path:
        return new
    result = value.copy()
    result[path[0]] = replaced(value[path[0]], path[1:], new)
    return result


def value_or_our_error(read: Any, *arguments: object) -> bool:
    """Whether a reader took it; anything but our errors fails the test."""
    try:
        read(*arguments)
    except AnprShareError:
        return False
    return True


@given(VALUES)
def test_what_is_written_is_read_back_and_written_alike(value: object) -> None:
    data = canonical.encode(value)
    assert canonical.decode(data) == value
    assert canonical.encode(canonical.decode(data)) == data


@given(VALUES)
def test_only_one_of_two_spellings_is_read(value: object) -> None:
    data = canonical.encode(value)
    for style in ({}, {"indent": 1, "ensure_ascii": False}, {"sort_keys": True}):
        spelt = json.dumps(value, **style).encode("utf-8")
        if spelt != data:
            assert not value_or_our_error(canonical.decode, spelt)


@given(st.binary() | st.text().map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_any_bytes_are_canonical_or_refused(data: bytes) -> None:
    if value_or_our_error(canonical.decode, data):
        assert canonical.encode(canonical.decode(data)) == data


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_any_bytes_in_place_of_a_document_give_our_error(kind: str, data: st.DataObject) -> None:
    parse, whole = KINDS[kind][2], SIGNED[kind]
    assert not value_or_our_error(parse, data.draw(st.binary(max_size=200)))
    start = data.draw(st.integers(0, len(whole)))
    end = data.draw(st.integers(start, min(len(whole), start + 20)))
    spliced = whole[:start] + data.draw(st.binary(max_size=20)) + whole[end:]
    if spliced != whole:
        value_or_our_error(parse, spliced)


@pytest.mark.parametrize("kind", [*KINDS, "sealed"])
@given(data=st.data())
def test_any_value_in_any_place_gives_a_value_or_our_error(kind: str, data: st.DataObject) -> None:
    """Past the signature, where only the sender's honesty stood."""
    fields: Fields = sealed_fields() if kind == "sealed" else KINDS[kind][0]()
    place = data.draw(st.sampled_from(paths(fields)))
    payload = canonical.encode(replaced(fields, place, data.draw(VALUES)))
    if kind == "sealed":
        value_or_our_error(lambda: manifest.read_sealed(payload).by_day())
    else:
        _, signers, parse = KINDS[kind]
        value_or_our_error(parse, dsse.sign(kind, payload, signers[0].signing).encode())


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_no_bit_of_a_signed_document_can_change(kind: str, data: st.DataObject) -> None:
    whole = SIGNED[kind]
    _, signers, parse = KINDS[kind]
    bit = data.draw(st.integers(0, len(whole) * 8 - 1))
    changed = bytearray(whole)
    changed[bit // 8] ^= 1 << bit % 8

    def accept() -> None:
        parse(bytes(changed))
        found = dsse.parse(bytes(changed), kind)
        if kind == "agreement":
            agreements.require_signed(agreements.from_envelope(found))
        else:
            dsse.verify(found, signers[0].signing.public)

    with pytest.raises(VerificationError):
        accept()


def test_no_bit_of_a_whole_receipt_can_change() -> None:
    """As above, each bit in turn."""
    whole = SIGNED["receipt"]
    public = KINDS["receipt"][1][0].signing.public
    taken = []
    for place in range(len(whole)):
        for bit in range(8):
            changed = whole[:place] + bytes([whole[place] ^ 1 << bit]) + whole[place + 1 :]
            if value_or_our_error(lambda data: dsse.verify(dsse.parse(data, "receipt"), public), changed):
                taken.append((place, bit))
    assert not taken


@given(st.text(), st.binary(max_size=40))
def test_base64_is_read_in_one_spelling(text: str, data: bytes) -> None:
    assert dsse.from_base64(dsse.to_base64(data)) == data
    if value_or_our_error(dsse.from_base64, text):
        assert base64.b64encode(base64.b64decode(text)).decode() == text


@given(st.text())
def test_any_typed_fingerprint_is_64_digits_or_refused(text: str) -> None:
    if value_or_our_error(identities.unspoken, text):
        assert len(identities.unspoken(text)) == 64


DRAFT = draft.draft_toml(AGREEMENT.identities, AGREEMENT.terms.starts, AGREEMENT)


@given(st.text(max_size=200), st.integers(0, DRAFT.index("[[parties]]")), st.integers(0, 40))
def test_any_text_in_a_draft_gives_terms_or_our_error(text: str, start: int, cut: int) -> None:
    value_or_our_error(draft.parse_draft, text)
    value_or_our_error(draft.parse_draft, DRAFT[:start] + text + DRAFT[start + cut :])


@given(st.text(st.sampled_from("ab=\"'[]{},.#\n0123-:TZ\\ "), max_size=60))
def test_text_that_looks_like_toml_gives_terms_or_our_error(text: str) -> None:
    assume(text.strip())
    value_or_our_error(draft.parse_draft, text)

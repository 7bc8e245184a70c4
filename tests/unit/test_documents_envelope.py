"""An envelope is read in one spelling, and its signature covers kind and payload."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import pytest

from anpr_share.documents import canonical
from anpr_share.documents import envelope as dsse
from anpr_share.documents.keys import SigningKey
from anpr_share.errors import FormatError, VerificationError
from tests.support.documents import FORCE, OTHER_FORCE, UNIVERSITY, secret

PAYLOAD = b'{"a":1}'
ENVELOPE = dsse.sign("request", PAYLOAD, UNIVERSITY.signing)
TWO = dsse.add_signature(ENVELOPE, FORCE.signing)

Change = Callable[[dict[str, Any]], object]


def altered(change: Change, envelope: dsse.Envelope = ENVELOPE) -> bytes:
    value: Any = canonical.decode(envelope.encode())
    change(value)
    return canonical.encode(value)


def test_an_envelope_survives_its_encoding() -> None:
    assert dsse.parse(ENVELOPE.encode(), "request") == ENVELOPE
    assert dsse.verify(ENVELOPE, UNIVERSITY.signing.public) == PAYLOAD


def test_kind_and_version_stand_in_the_signed_type() -> None:
    assert canonical.decode(ENVELOPE.encode()) == {
        "payload": "eyJhIjoxfQ==",
        "payloadType": "application/vnd.anpr-share.request.v1+json",
        "signatures": [
            {"keyid": dsse.key_id(UNIVERSITY.signing.public), "sig": dsse.to_base64(ENVELOPE.signatures[0].value)}
        ],
    }


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda v: v.update(extra=1), id="a field more"),
        pytest.param(lambda v: v.pop("payload"), id="no payload"),
        pytest.param(lambda v: v.pop("signatures"), id="no signatures"),
        pytest.param(lambda v: v.update(payload=None), id="payload is no text"),
        pytest.param(lambda v: v.update(payload="eyJhIjoxfQ"), id="base64 without padding"),
        pytest.param(lambda v: v.update(payload="eyJhIjoxfR=="), id="base64 with stray bits"),
        pytest.param(lambda v: v.update(payload="eyJhIjoxfQ==\n"), id="base64 with a newline"),
        pytest.param(lambda v: v.update(payload="eyJh IjoxfQ=="), id="base64 with a space"),
        pytest.param(lambda v: v.update(payload="eyJhIjoxfQ==eyJh"), id="base64 after its padding"),
        pytest.param(lambda v: v.update(payload="_-8="), id="base64 for addresses"),
        pytest.param(lambda v: v.update(payload="é==="), id="base64 beyond ASCII"),
        pytest.param(lambda v: v.update(payloadType="application/json"), id="another type"),
        pytest.param(lambda v: v.update(payloadType=7), id="type is no text"),
        pytest.param(
            lambda v: v.update(payloadType="application/vnd.anpr-share.request.v2+json"), id="a version to come"
        ),
        pytest.param(
            lambda v: v.update(payloadType="application/vnd.anpr-share.request.v1+json\n"), id="type and a newline"
        ),
        pytest.param(
            lambda v: v.update(payloadType="application/vnd.anpr-share.receipt.v1+json"), id="another kind of document"
        ),
        pytest.param(lambda v: v.update(signatures=[]), id="no signature"),
        pytest.param(lambda v: v.update(signatures={}), id="signatures are no list"),
        pytest.param(lambda v: v.update(signatures=["x"]), id="a signature is no object"),
        pytest.param(lambda v: v["signatures"].append(v["signatures"][0]), id="the same signature twice"),
        pytest.param(lambda v: v.update(signatures=v["signatures"] * 65), id="too many signatures"),
        pytest.param(lambda v: v["signatures"][0].update(extra=1), id="a field more in a signature"),
        pytest.param(lambda v: v["signatures"][0].pop("keyid"), id="no key id"),
        pytest.param(lambda v: v["signatures"][0].update(keyid="AB" * 32), id="key id in capitals"),
        pytest.param(lambda v: v["signatures"][0].update(keyid="ab" * 31), id="short key id"),
        pytest.param(lambda v: v["signatures"][0].update(keyid=None), id="key id is no text"),
        pytest.param(lambda v: v["signatures"][0].update(sig=dsse.to_base64(bytes(63))), id="short signature"),
        pytest.param(lambda v: v["signatures"][0].update(sig=dsse.to_base64(bytes(65))), id="long signature"),
        pytest.param(lambda v: v["signatures"][0].update(sig=""), id="empty signature"),
    ],
)
def test_a_malformed_envelope_is_refused(change: Change) -> None:
    with pytest.raises(FormatError):
        dsse.parse(altered(change), "request")


def test_signatures_stand_in_the_order_of_their_key_ids() -> None:
    with pytest.raises(FormatError, match="out of order"):
        dsse.parse(altered(lambda v: v["signatures"].reverse(), TWO), "request")


@pytest.mark.parametrize("value", [[], "text", 7, None])
def test_json_that_is_no_object_is_no_envelope(value: object) -> None:
    with pytest.raises(FormatError):
        dsse.parse(canonical.encode(value), "request")


def test_the_message_for_another_kind_names_both() -> None:
    with pytest.raises(FormatError, match="of the kind request, not key share"):
        dsse.parse(ENVELOPE.encode(), "key-share")


def test_a_signature_by_another_key_is_refused_even_if_it_names_the_right_one() -> None:
    impostor = dsse.sign("request", PAYLOAD, SigningKey(secret("impostor")))
    forged = dsse.Envelope(
        "request",
        PAYLOAD,
        (dsse.Signature(dsse.key_id(UNIVERSITY.signing.public), impostor.signatures[0].value),),
    )
    for envelope in (impostor, forged):
        with pytest.raises(VerificationError):
            dsse.verify(envelope, UNIVERSITY.signing.public)


def test_a_good_signature_with_the_wrong_key_id_is_refused() -> None:
    wrong = dsse.Envelope(
        "request", PAYLOAD, (dsse.Signature(dsse.key_id(FORCE.signing.public), ENVELOPE.signatures[0].value),)
    )
    with pytest.raises(VerificationError, match="another key"):
        dsse.verify(wrong, UNIVERSITY.signing.public)


def test_a_second_signature_is_refused_where_one_is_due() -> None:
    with pytest.raises(VerificationError, match="more than the one"):
        dsse.verify(TWO, UNIVERSITY.signing.public)


def test_a_signature_fits_no_other_kind() -> None:
    moved = dsse.Envelope("receipt", PAYLOAD, ENVELOPE.signatures)
    with pytest.raises(VerificationError):
        dsse.verify(moved, UNIVERSITY.signing.public)


def test_a_signature_fits_no_other_payload() -> None:
    moved = dsse.Envelope("request", b'{"a":2}', ENVELOPE.signatures)
    with pytest.raises(VerificationError):
        dsse.verify(moved, UNIVERSITY.signing.public)


def test_adding_a_signature_twice_changes_nothing() -> None:
    assert dsse.add_signature(TWO, FORCE.signing) == TWO
    assert dsse.add_signature(dsse.add_signature(ENVELOPE, OTHER_FORCE.signing), FORCE.signing) == dsse.add_signature(
        TWO, OTHER_FORCE.signing
    )


def test_base64_text_is_what_the_standard_library_makes() -> None:
    assert dsse.to_base64(bytes(range(256))) == base64.b64encode(bytes(range(256))).decode()

"""DSSE envelopes (Dead Simple Signing Envelope 1.0, secure-systems-lab/dsse) around canonical payloads.

Guarantees: the bytes that were signed are the bytes that are parsed; an envelope has one encoding; a payload of one
kind never passes for another, because the payload type is signed.
"""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass

from anpr_share.documents import canonical
from anpr_share.documents.keys import SIGNATURE_BYTES, SigningKey, verify_signature
from anpr_share.errors import FormatError, VerificationError

MAX_SIGNATURES = 64
_TYPE = re.compile(r"application/vnd\.anpr-share\.([a-z]{1,20}(?:-[a-z]{1,20}){0,3})\.v1\+json", re.ASCII)
_KEY_ID = re.compile(r"[0-9a-f]{64}", re.ASCII)


def payload_type(kind: str) -> str:
    """The media type of a kind of document, e.g. ``application/vnd.anpr-share.manifest.v1+json``."""
    return f"application/vnd.anpr-share.{kind}.v1+json"


def spoken_kind(kind: str) -> str:
    """A kind as a message names it: ``key share`` for ``key-share``."""
    return kind.replace("-", " ")


def pae(media_type: str, payload: bytes) -> bytes:
    """DSSE's pre-authentication encoding: the bytes that are signed."""
    media = media_type.encode("utf-8")
    return b"DSSEv1 %d %b %d %b" % (len(media), media, len(payload), payload)


def key_id(public: bytes) -> str:
    """The hint that says which key signed: SHA-256 of the raw public key, lower-case hex. Never trusted."""
    return hashlib.sha256(public).hexdigest()


@dataclass(frozen=True, slots=True)
class Signature:
    """One signature and the hint of its key."""

    key_id: str
    value: bytes


@dataclass(frozen=True, slots=True)
class Envelope:
    """A parsed envelope. Until :func:`verify` its payload is only bytes."""

    kind: str
    payload: bytes
    signatures: tuple[Signature, ...]

    @property
    def digest(self) -> str:
        """SHA-256 of the payload, lower-case hex: the name of the document."""
        return hashlib.sha256(self.payload).hexdigest()

    def encode(self) -> bytes:
        """The canonical bytes of the envelope."""
        return canonical.encode(
            {
                "payload": to_base64(self.payload),
                "payloadType": payload_type(self.kind),
                "signatures": [{"keyid": item.key_id, "sig": to_base64(item.value)} for item in self.signatures],
            }
        )


def sign(kind: str, payload: bytes, key: SigningKey) -> Envelope:
    """Sign a payload as a document of this kind."""
    return Envelope(kind, payload, (_signature(kind, payload, key),))


def add_signature(envelope: Envelope, key: SigningKey) -> Envelope:
    """The same envelope with one signature more; signatures are in the order of their key ids."""
    fresh = _signature(envelope.kind, envelope.payload, key)
    others = [item for item in envelope.signatures if item.key_id != fresh.key_id]
    return Envelope(envelope.kind, envelope.payload, tuple(sorted([*others, fresh], key=lambda item: item.key_id)))


def _signature(kind: str, payload: bytes, key: SigningKey) -> Signature:
    return Signature(key_id(key.public), key.sign(pae(payload_type(kind), payload)))


def parse(data: bytes, kind: str, *, limit: int = canonical.MAX_BYTES) -> Envelope:
    """Parse an envelope of one kind, strictly. Says nothing about who signed it. Raises :class:`FormatError`."""
    value = canonical.decode(data, limit=limit)
    if not isinstance(value, dict) or set(value) != {"payload", "payloadType", "signatures"}:
        raise FormatError(
            "this file is not a signed document of anpr-share",
            hint="was another file meant? documents end in .json, bundles in .anpr.zip, drafts in .toml",
        )
    media, signatures = value["payloadType"], value["signatures"]
    if not isinstance(media, str) or not (match := _TYPE.fullmatch(media)):
        raise FormatError(
            "this file is a signed document of a kind or version that this program does not know",
            hint="a newer anpr-share may know it: anpr-share --version",
        )
    if not isinstance(signatures, list) or not 1 <= len(signatures) <= MAX_SIGNATURES:
        raise FormatError(f"a signed document carries between 1 and {MAX_SIGNATURES} signatures")
    parsed = tuple(_parse_signature(item) for item in signatures)
    ids = [item.key_id for item in parsed]
    if ids != sorted(set(ids)):
        raise FormatError("a signed document holds signatures twice or out of order")
    envelope = Envelope(match[1], from_base64(value["payload"]), parsed)
    if envelope.kind != kind:
        raise FormatError(
            f"this is a signed document of the kind {spoken_kind(envelope.kind)}, not {spoken_kind(kind)}",
            hint="give the file that this command asks for: run it with --help",
        )
    return envelope


def _parse_signature(item: object) -> Signature:
    if not isinstance(item, dict) or set(item) != {"keyid", "sig"}:
        raise FormatError("a signature of a document is malformed")
    identifier = item["keyid"]
    if not isinstance(identifier, str) or not _KEY_ID.fullmatch(identifier):
        raise FormatError("a signature of a document has a malformed key id")
    value = from_base64(item["sig"])
    if len(value) != SIGNATURE_BYTES:
        raise FormatError(f"a signature of a document is not {SIGNATURE_BYTES} bytes long")
    return Signature(identifier, value)


def verify(envelope: Envelope, public: bytes) -> bytes:
    """Check that an envelope carries exactly one signature, by this key; return the payload that it covers.

    Raises :class:`VerificationError`.
    """
    if len(envelope.signatures) != 1:
        raise VerificationError(f"a {spoken_kind(envelope.kind)} carries more than the one signature that it should")
    verify_one(envelope, envelope.signatures[0], public)
    return envelope.payload


def verify_one(envelope: Envelope, signature: Signature, public: bytes) -> None:
    """Check one signature of an envelope against a key. Raises :class:`VerificationError`."""
    if signature.key_id != key_id(public):
        raise VerificationError(
            f"a {spoken_kind(envelope.kind)} is signed by another key than expected",
            hint="do not use it, and tell whoever it seems to come from",
        )
    verify_signature(public, signature.value, pae(payload_type(envelope.kind), envelope.payload))


def to_base64(data: bytes) -> str:
    """Standard base64 with padding: the one spelling that :func:`from_base64` accepts."""
    return base64.standard_b64encode(data).decode("ascii")


def from_base64(text: object) -> bytes:
    """Decode standard base64 that is in its one canonical spelling. Raises :class:`FormatError`."""
    if not isinstance(text, str):
        raise FormatError("a base64 field of a document is not text")
    try:
        data = base64.b64decode(text, validate=True)
    except ValueError:
        raise FormatError("a base64 field of a document is malformed") from None
    if to_base64(data) != text:
        raise FormatError("a base64 field of a document is not in canonical form")
    return data

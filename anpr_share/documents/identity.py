"""Who a site is: its two public keys under its own signature, named by a fingerprint that people compare aloud.

Guarantees: a parsed identity was signed by the key that it contains. That proves possession of the key and nothing
about the organisation: only comparing fingerprints over another channel does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from anpr_share.documents import envelope as dsse
from anpr_share.documents.model import (
    Document,
    EncryptionPublic,
    FormatVersion,
    Identifier,
    Role,
    ShortText,
    SigningPublic,
    build,
    read,
    write,
)
from anpr_share.errors import UsageError

if TYPE_CHECKING:
    from anpr_share.documents.keys import OpeningKey, SigningKey

KIND = "identity"
_MAX_BYTES = 64 * 1024


class IdentityPayload(Document):
    """The payload of an identity."""

    format: FormatVersion
    site: Identifier
    name: ShortText
    role: Role
    signing: SigningPublic
    encryption: EncryptionPublic


@dataclass(frozen=True, slots=True)
class Identity:
    """A site's identity.

    ``signing`` is a raw Ed25519 public key, ``encryption`` a raw X-Wing public key, ``fingerprint`` the SHA-256 of the
    payload in lower-case hex, ``envelope`` the bytes to hand on.
    """

    site: str
    name: str
    role: Role
    signing: bytes
    encryption: bytes
    fingerprint: str
    envelope: bytes

    @classmethod
    def make(cls, site: str, name: str, role: Role, signing: SigningKey, opening: OpeningKey) -> Identity:
        """Make and sign the identity of a new site. Raises :class:`UsageError` for an unusable id or name."""
        fields = {
            "format": 1,
            "site": site,
            "name": name,
            "role": role,
            "signing": dsse.to_base64(signing.public),
            "encryption": dsse.to_base64(opening.public),
        }
        return cls.parse(dsse.sign(KIND, write(build(IdentityPayload, KIND, fields)), signing).encode())

    @classmethod
    def parse(cls, data: bytes) -> Identity:
        """Parse an identity and check its own signature. Raises :class:`VerificationError`."""
        envelope = dsse.parse(data, KIND, limit=_MAX_BYTES)
        payload = read(IdentityPayload, envelope)
        signing, encryption = dsse.from_base64(payload.signing), dsse.from_base64(payload.encryption)
        dsse.verify(envelope, signing)
        return cls(payload.site, payload.name, payload.role, signing, encryption, envelope.digest, data)


def spoken(fingerprint: str, *, indent: int = 0) -> str:
    """A fingerprint as a person reads it out: groups of four, eight to a line; ``indent`` is of the second line."""
    groups = [fingerprint[start : start + 4] for start in range(0, len(fingerprint), 4)]
    return f"\n{'':{indent}}".join(" ".join(groups[start : start + 8]) for start in range(0, len(groups), 8))


def unspoken(text: str) -> str:
    """A typed fingerprint back in its one form. Raises :class:`UsageError` unless it is 64 hex digits."""
    compact = "".join(text.split()).replace("-", "").lower()
    if len(compact) != 64 or set(compact) - set("0123456789abcdef"):
        raise UsageError("a fingerprint is 64 hexadecimal digits", hint="copy it whole, with or without its spaces")
    return compact

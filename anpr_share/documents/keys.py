"""The two keys of a site, and sealing to a recipient.

Guarantees: secrets are awkward on purpose (redacted ``repr``, no pickling, copying or comparison; bytes leave only
through :meth:`secret`), and there is one suite with no fallback.

Signing is Ed25519 (RFC 8032). Sealing is HPKE base mode (RFC 9180) with the KEM X-Wing (MLKEM768_X25519, KEM id
0x647A, draft-connolly-cfrg-xwing-kem), HKDF-SHA-256 and AES-256-GCM: what is recorded today stays sealed if one of
ML-KEM and X25519 is broken later. A public key travels as 1,216 raw bytes, ML-KEM's 1,184 then X25519's 32; the secret
is X-Wing's 32-byte seed, expanded with SHAKE-256.
"""

from __future__ import annotations

import hashlib
import secrets
from typing import NoReturn

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from anpr_share.errors import FormatError, VerificationError
from anpr_share.pseudonyms import netstring

SIGNING_PUBLIC_BYTES = 32
SIGNATURE_BYTES = 64
ENCRYPTION_PUBLIC_BYTES = 1216
SECRET_BYTES = 32
_MLKEM_PUBLIC_BYTES = 1184
_MLKEM_SEED_BYTES = 64

_ED25519_PRIME = 2**255 - 19
_ORDER_8 = 0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD84D3D706A17C7
"""The y coordinate of half of the points of order 8; the other half have its negative."""
_SMALL_ORDER = frozenset({0, 1, _ED25519_PRIME - 1, _ORDER_8, _ED25519_PRIME - _ORDER_8})

_SUITE = hpke.Suite(hpke.KEM.MLKEM768_X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)


class _Secret:
    """A holder of 32 secret bytes that does not leak them by accident."""

    __slots__ = ("_secret",)

    def __init__(self, secret: bytes) -> None:
        if len(secret) != SECRET_BYTES:
            raise FormatError(f"a secret key is not {SECRET_BYTES} bytes long")
        self._secret = bytes(secret)

    def secret(self) -> bytes:
        """The 32 secret bytes, for the vault alone."""
        return self._secret

    def __repr__(self) -> str:
        return f"<{type(self).__name__} (secret)>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret key can be neither copied nor pickled")

    def __eq__(self, other: object) -> NoReturn:
        raise TypeError("secret keys are not compared")

    __hash__ = None  # type: ignore[assignment]  # a secret is no dictionary key


class SigningKey(_Secret):
    """An Ed25519 signing key."""

    __slots__ = ("_key", "public")

    def __init__(self, secret: bytes) -> None:
        super().__init__(secret)
        self._key = Ed25519PrivateKey.from_private_bytes(secret)
        self.public = self._key.public_key().public_bytes_raw()

    @classmethod
    def generate(cls) -> SigningKey:
        """A new random key."""
        return cls(secrets.token_bytes(SECRET_BYTES))

    def sign(self, message: bytes) -> bytes:
        """The 64-byte Ed25519 signature of ``message``."""
        return self._key.sign(message)


class OpeningKey(_Secret):
    """An X-Wing private key, which opens what was sealed to its public key."""

    __slots__ = ("_key", "public")

    def __init__(self, secret: bytes) -> None:
        super().__init__(secret)
        expanded = hashlib.shake_256(secret).digest(_MLKEM_SEED_BYTES + 32)
        mlkem = MLKEM768PrivateKey.from_seed_bytes(expanded[:_MLKEM_SEED_BYTES])
        x25519 = X25519PrivateKey.from_private_bytes(expanded[_MLKEM_SEED_BYTES:])
        self._key = hpke.MLKEM768X25519PrivateKey(mlkem, x25519)
        self.public = mlkem.public_key().public_bytes_raw() + x25519.public_key().public_bytes_raw()

    @classmethod
    def generate(cls) -> OpeningKey:
        """A new random key."""
        return cls(secrets.token_bytes(SECRET_BYTES))

    def open(self, sealed: bytes, info: bytes) -> bytes:
        """Open what :func:`seal` made for this key with the same ``info``. Raises :class:`VerificationError`."""
        try:
            return _SUITE.decrypt(sealed, self._key, info)
        except (InvalidTag, ValueError):
            # Which of the two it is depends on where the damage lies, and says nothing that a reader needs.
            raise VerificationError("sealed content does not open with this key") from None


def seal(public: bytes, info: bytes, plaintext: bytes) -> bytes:
    """Seal ``plaintext`` to a 1,216-byte public key, bound to ``info``. Raises :class:`FormatError` for a bad key."""
    return _SUITE.encrypt(plaintext, _encryption_key(public), info)


def require_signing_key(public: bytes) -> None:
    """Raise :class:`FormatError` unless ``public`` is 32 bytes that can stand for one signer.

    Under the few keys of small order one signature fits any message, so whoever lists such a key could let anybody sign
    for him and deny it later; and a key has one spelling.
    """
    if len(public) != SIGNING_PUBLIC_BYTES:
        raise FormatError(f"a signing key is not {SIGNING_PUBLIC_BYTES} bytes long")
    y = int.from_bytes(public, "little") % 2**255
    if y >= _ED25519_PRIME or y in _SMALL_ORDER:
        raise FormatError("a signing key is not valid")


def require_encryption_key(public: bytes) -> None:
    """Raise :class:`FormatError` unless ``public`` is a usable X-Wing public key."""
    _encryption_key(public)


def _encryption_key(public: bytes) -> hpke.MLKEM768X25519PublicKey:
    if len(public) != ENCRYPTION_PUBLIC_BYTES:
        raise FormatError(f"an encryption key is not {ENCRYPTION_PUBLIC_BYTES} bytes long")
    try:
        mlkem = MLKEM768PublicKey.from_public_bytes(public[:_MLKEM_PUBLIC_BYTES])
        x25519 = X25519PublicKey.from_public_bytes(public[_MLKEM_PUBLIC_BYTES:])
        # X25519 refuses points of small order only once it is used, which would be too late: tried here.
        X25519PrivateKey.generate().exchange(x25519)
        return hpke.MLKEM768X25519PublicKey(mlkem, x25519)
    except ValueError:
        raise FormatError("an encryption key is not valid") from None


def verify_signature(public: bytes, signature: bytes, message: bytes) -> None:
    """Raise :class:`VerificationError` unless ``signature`` is Ed25519 of ``message`` under ``public`` (32 bytes)."""
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError):
        raise VerificationError("a signature does not verify") from None


def sealing_info(kind: str, *parts: str) -> bytes:
    """HPKE ``info``: netstrings of ``anpr-share/1/<kind>`` and the parts, so that a sealed text fits one place only."""
    return netstring(f"anpr-share/1/{kind}".encode(), *(part.encode() for part in parts))

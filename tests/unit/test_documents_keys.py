"""Keys that are awkward to leak, signatures of one signer, and sealing that opens in one place."""

from __future__ import annotations

import copy
import hashlib
import hmac
import pickle
from collections.abc import Callable

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from anpr_share.documents import keys
from anpr_share.documents.keys import OpeningKey, SigningKey, seal
from anpr_share.errors import FormatError, VerificationError
from tests.support.documents import secret

PRIME = 2**255 - 19
# The points of order 1, 2, 4 and 8 of edwards25519, and the other spellings of the first ones.
SMALL_ORDER = [
    *(number.to_bytes(32, "little") for number in (0, 1, PRIME - 1, PRIME, PRIME + 1, 2**255 + 1, 2**255)),
    bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"),
    bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85"),
    bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"),
    bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa"),
]
OPENING = OpeningKey(secret("opening"))
INFO = b"19:anpr-share/1/test01,"


@pytest.mark.parametrize("key", [SigningKey(secret("a")), OpeningKey(secret("a"))])
@pytest.mark.parametrize(
    "leak",
    [
        pytest.param(pickle.dumps, id="pickle"),
        pytest.param(copy.copy, id="copy"),
        pytest.param(copy.deepcopy, id="deepcopy"),
        pytest.param(lambda key: key == key, id="compare"),  # noqa: PLR0124 - comparing is what is tested
        pytest.param(hash, id="hash"),
    ],
)
def test_a_secret_key_is_not_copied_or_compared(key: object, leak: Callable[[object], object]) -> None:
    with pytest.raises(TypeError):
        leak(key)


@pytest.mark.parametrize("kind", [SigningKey, OpeningKey])
def test_a_secret_key_shows_nothing(kind: type[SigningKey | OpeningKey]) -> None:
    key = kind(secret("a"))
    assert key.secret() == secret("a")
    assert repr(key) == str(key) == f"<{kind.__name__} (secret)>"


@pytest.mark.parametrize("kind", [SigningKey, OpeningKey])
@pytest.mark.parametrize("length", [0, 31, 33, 64])
def test_a_secret_key_is_32_bytes(kind: type[SigningKey | OpeningKey], length: int) -> None:
    with pytest.raises(FormatError, match="32 bytes"):
        kind(bytes(length))


@pytest.mark.parametrize("kind", [SigningKey, OpeningKey])
def test_fresh_keys_differ(kind: type[SigningKey | OpeningKey]) -> None:
    assert kind.generate().public != kind.generate().public


def test_under_a_key_of_small_order_anything_verifies() -> None:
    """Why they are refused: this signature is of no secret, and fits every message."""
    identity_point = (1).to_bytes(32, "little")
    key = Ed25519PublicKey.from_public_bytes(identity_point)
    key.verify(identity_point + bytes(32), b"pay the bearer")
    with pytest.raises(InvalidSignature):
        key.verify(identity_point + b"\1" + bytes(31), b"pay the bearer")


@pytest.mark.parametrize("public", SMALL_ORDER, ids=[key.hex()[:8] + key.hex()[-4:] for key in SMALL_ORDER])
def test_a_signing_key_of_small_order_is_refused(public: bytes) -> None:
    with pytest.raises(FormatError, match="not valid"):
        keys.require_signing_key(public)


def test_a_signing_key_has_one_spelling() -> None:
    with pytest.raises(FormatError, match="not valid"):
        keys.require_signing_key((PRIME + 9).to_bytes(32, "little"))


@pytest.mark.parametrize("length", [0, 31, 33])
def test_a_signing_key_of_another_length_is_refused(length: int) -> None:
    with pytest.raises(FormatError, match="32 bytes"):
        keys.require_signing_key(b"\7" * length)


def test_a_real_signing_key_is_accepted() -> None:
    keys.require_signing_key(SigningKey(secret("a")).public)


@pytest.mark.parametrize(
    "public",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(OPENING.public[:-1], id="a byte short"),
        pytest.param(OPENING.public + b"\0", id="a byte long"),
        pytest.param(b"\xff" * 1184 + OPENING.public[1184:], id="ML-KEM coefficients out of range"),
        pytest.param(OPENING.public[:1184] + bytes(32), id="X25519 point of small order"),
        pytest.param(OPENING.public[:1184] + b"\1" + bytes(31), id="X25519 point of order one"),
    ],
)
def test_an_encryption_key_that_cannot_be_sealed_to_is_refused(public: bytes) -> None:
    with pytest.raises(FormatError):
        keys.require_encryption_key(public)
    with pytest.raises(FormatError):
        seal(public, INFO, b"text")


def test_what_is_sealed_opens_with_the_key_and_the_info() -> None:
    assert OPENING.open(seal(OPENING.public, INFO, b"text"), INFO) == b"text"


def test_sealing_twice_gives_two_texts() -> None:
    assert seal(OPENING.public, INFO, b"text") != seal(OPENING.public, INFO, b"text")


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda _: b"", id="nothing"),
        pytest.param(lambda sealed: sealed[:100], id="cut inside the ML-KEM part"),
        pytest.param(lambda sealed: sealed[:-1], id="a byte short"),
        pytest.param(lambda sealed: sealed + b"\0", id="a byte long"),
        pytest.param(lambda sealed: bytes([sealed[0] ^ 1]) + sealed[1:], id="ML-KEM part"),
        pytest.param(lambda sealed: sealed[:1088] + bytes(32) + sealed[1120:], id="X25519 point of small order"),
        pytest.param(lambda sealed: sealed[:-1] + bytes([sealed[-1] ^ 128]), id="tag"),
    ],
)
def test_sealed_content_that_was_changed_does_not_open(change: Callable[[bytes], bytes]) -> None:
    with pytest.raises(VerificationError, match="does not open"):
        OPENING.open(change(seal(OPENING.public, INFO, b"text")), INFO)


def test_sealed_content_opens_nowhere_else() -> None:
    sealed = seal(OPENING.public, INFO, b"text")
    with pytest.raises(VerificationError):
        OPENING.open(sealed, INFO + b"1:x,")
    with pytest.raises(VerificationError):
        OpeningKey(secret("another")).open(sealed, INFO)


def test_the_info_of_a_sealing_is_netstrings() -> None:
    assert keys.sealing_info("keys", "ab", "", "é") == b"17:anpr-share/1/keys,2:ab,0:,2:\xc3\xa9,"


def xwing_shared_secret(seed: bytes, encapsulated: bytes) -> bytes:
    """X-Wing's decapsulation, as draft-connolly-cfrg-xwing-kem puts it."""
    expanded = hashlib.shake_256(seed).digest(96)
    mlkem = MLKEM768PrivateKey.from_seed_bytes(expanded[:64])
    x25519 = X25519PrivateKey.from_private_bytes(expanded[64:])
    ct_m, ct_x = encapsulated[:1088], encapsulated[1088:]
    ss_x = x25519.exchange(X25519PublicKey.from_public_bytes(ct_x))
    label = bytes.fromhex("5c2e2f2f5e5c")  # X-Wing as drawn in ASCII: \.//^\
    return hashlib.sha3_256(
        mlkem.decapsulate(ct_m) + ss_x + ct_x + x25519.public_key().public_bytes_raw() + label
    ).digest()


def test_sealing_is_rfc_9180_over_xwing() -> None:
    """A second reader, of hashes and the standard alone: KEM 0x647A, KDF 1, AEAD 2, base mode."""
    sealed = seal(OPENING.public, INFO, b"text")
    suite = b"HPKE" + bytes.fromhex("647a00010002")
    shared = xwing_shared_secret(OPENING.secret(), sealed[:1120])

    def extract(salt: bytes, label: bytes, material: bytes) -> bytes:
        return hmac.digest(salt or bytes(32), b"HPKE-v1" + suite + label + material, "sha256")

    def expand(key: bytes, label: bytes, info: bytes, length: int) -> bytes:
        message = length.to_bytes(2, "big") + b"HPKE-v1" + suite + label + info + b"\1"
        return hmac.digest(key, message, "sha256")[:length]

    context = b"\0" + extract(b"", b"psk_id_hash", b"") + extract(b"", b"info_hash", INFO)
    secret_ = extract(shared, b"secret", b"")
    key, nonce = expand(secret_, b"key", context, 32), expand(secret_, b"base_nonce", context, 12)
    assert AESGCM(key).decrypt(nonce, sealed[1120:], b"") == b"text"

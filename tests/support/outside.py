"""A bundle opened as any other program would: ZIP, JSON, HPKE and HKDF from the specification, and none of our code.

What the university alone has, the seed of the request's one-time key, is taken from its vault by the tests.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import zipfile
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from anpr_share.site import holdings

if TYPE_CHECKING:
    from tests.support.exchange import World

SUITE = hpke.Suite(hpke.KEM.MLKEM768_X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)


@dataclass(frozen=True)
class Part:
    """An encrypted Parquet file and the key that opens it."""

    table: str
    day: str
    n: int
    content: bytes
    key: bytes

    def write(self, folder: Path) -> Path:
        """Put it where other programs can open it."""
        path = folder / f"{self.table}-{self.day}-{self.n}.parquet"
        path.write_bytes(self.content)
        return path


@dataclass(frozen=True)
class Bundle:
    """What is in a bundle: the envelope and payload of its manifest, the sealed content and the parts in order."""

    envelope: Any
    manifest: Any
    sealed: Any
    parts: tuple[Part, ...]


def netstrings(*parts: str) -> bytes:
    return b"".join(b"%d:%b," % (len(part.encode()), part.encode()) for part in parts)


def hkdf(secret: bytes, info: bytes) -> bytes:
    """HKDF-SHA-256 (RFC 5869) without salt, one block."""
    return hmac.digest(hmac.digest(bytes(32), secret, "sha256"), info + b"\x01", "sha256")


def opened(path: Path, seed: bytes) -> Bundle:
    """Open a bundle with the 32 bytes of its one-time key."""
    with zipfile.ZipFile(path) as members:
        contents = {name: members.read(name) for name in members.namelist()}
    envelope = json.loads(contents.pop("manifest.json"))
    manifest = json.loads(base64.b64decode(envelope["payload"]))
    names = (manifest[name] for name in ("sender", "agreement", "request", "bundle"))
    info = netstrings("anpr-share/1/keys", *names)
    sealed = json.loads(SUITE.decrypt(contents.pop("keys.sealed"), _private(seed), info))
    day_keys = {(item["table"], item["day"]): base64.b64decode(item["key"]) for item in sealed["keys"]}
    parts = []
    for name, content in contents.items():
        _, table, file = name.split("/")
        day, _, number = file.removesuffix(".parquet").rpartition("-")
        key = hkdf(day_keys[table, day], netstrings(manifest["bundle"], table, day, number))
        parts.append(Part(table, day, int(number), content, key))
    return Bundle(envelope, manifest, sealed, tuple(parts))


def _private(seed: bytes) -> hpke.MLKEM768X25519PrivateKey:
    expanded = hashlib.shake_256(seed).digest(96)
    mlkem, x25519 = MLKEM768PrivateKey.from_seed_bytes(expanded[:64]), X25519PrivateKey
    return hpke.MLKEM768X25519PrivateKey(mlkem, x25519.from_private_bytes(expanded[64:]))


def manifest_of(path: Path) -> Any:
    """The payload of a bundle's manifest, which needs no key."""
    with zipfile.ZipFile(path) as members:
        return json.loads(base64.b64decode(json.loads(members.read("manifest.json"))["payload"]))


def exported(world: World, path: Path) -> Bundle:
    """Open a bundle that was not loaded yet, with the one-time key that its recipient still has."""
    manifest = manifest_of(path)
    vault, first = world.uni.require_vault(), date.fromisoformat(manifest["window"]["first"])
    key = holdings.onetime_key(world.uni.db, vault, manifest["request"], first)
    assert key is not None
    return opened(path, key.secret())

"""Signatures, digests and tokens that the ``openssl`` command checks without any of our code."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from anpr_share.documents import canonical
from anpr_share.pseudonyms import LinkageKey
from tests.support.documents import FORCE, secret
from tests.support.exchange import LANCS, World

OPENSSL = shutil.which("openssl")
pytestmark = pytest.mark.skipif(OPENSSL is None, reason="the openssl command is not installed")

# RFC 8410: what stands before the 32 bytes of an Ed25519 public key in a SubjectPublicKeyInfo.
ED25519_PREFIX = bytes.fromhex("302a300506032b6570032100")


def openssl(*arguments: str | Path, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    assert OPENSSL is not None
    return subprocess.run([OPENSSL, *arguments], input=stdin, capture_output=True, check=False, timeout=60)


def pem(public: bytes) -> str:
    body = base64.b64encode(ED25519_PREFIX + public).decode()
    return f"-----BEGIN PUBLIC KEY-----\n{body}\n-----END PUBLIC KEY-----\n"


def verified(folder: Path, public: bytes, signed: bytes, signature: bytes) -> bool:
    (folder / "key.pem").write_text(pem(public), encoding="ascii")
    (folder / "signed").write_bytes(signed)
    (folder / "signature").write_bytes(signature)
    done = openssl(
        "pkeyutl", "-verify", "-rawin", "-pubin", "-inkey", folder / "key.pem",
        "-in", folder / "signed", "-sigfile", folder / "signature",
    )  # fmt: skip
    return done.returncode == 0


def signed_document(kind: str, world: World) -> tuple[Any, bytes]:
    """A document as a site wrote it, and the public key out of its signer's identity, both read as JSON."""
    identity = json.loads((world.root / LANCS / "identity.json").read_bytes())
    if kind == "identity":
        document = identity
    else:
        with zipfile.ZipFile(world.export()) as members:
            document = json.loads(members.read("manifest.json"))
    return document, base64.b64decode(json.loads(base64.b64decode(identity["payload"]))["signing"])


@pytest.mark.parametrize("kind", ["identity", "manifest of an exported bundle"])
def test_openssl_verifies_a_signature_over_the_bytes_that_dsse_says(kind: str, world: World, tmp_path: Path) -> None:
    document, public = signed_document(kind, world)
    payload = base64.b64decode(document["payload"])
    media = document["payloadType"].encode()
    signed = b"DSSEv1 %d %s %d %s" % (len(media), media, len(payload), payload)
    (stated,) = document["signatures"]
    signature = base64.b64decode(stated["sig"])
    assert verified(tmp_path, public, signed, signature)
    assert not verified(tmp_path, public, signed + b" ", signature)
    assert stated["keyid"] == digest(public)


def digest(data: bytes) -> str:
    return openssl("dgst", "-sha256", "-r", stdin=data).stdout.split()[0].decode()


def test_openssl_computes_the_fingerprint_of_an_identity() -> None:
    document: Any = canonical.decode(FORCE.identity.envelope)
    assert digest(base64.b64decode(document["payload"])) == FORCE.identity.fingerprint


@pytest.mark.parametrize(
    ("field", "message", "token"),
    [
        pytest.param("vrm", b"AB12CDE", lambda key: key.vrm("ab12 cde"), id="vehicle"),
        pytest.param(
            "camera/lancashire-police",
            b"1:1,2:23,0:,",
            lambda key: key.camera("lancashire-police", ["1", "23", ""]),
            id="camera",
        ),
        pytest.param("log/lancashire-police", b"LOG 7", lambda key: key.log("lancashire-police", " LOG 7 "), id="log"),
    ],
)
def test_openssl_makes_the_same_token(field: str, message: bytes, token: Any) -> None:
    linkage = secret("linkage")
    kdf = openssl(
        "kdf", "-keylen", "32", "-kdfopt", "digest:SHA256", "-kdfopt", f"hexkey:{linkage.hex()}",
        "-kdfopt", f"info:anpr-share/1/msv-2026/{field}", "-binary", "HKDF",
    )  # fmt: skip
    if kdf.returncode == 0:  # OpenSSL 3; LibreSSL has no such command
        field_key = kdf.stdout
    else:
        info = f"anpr-share/1/msv-2026/{field}".encode()
        field_key = HKDF(hashes.SHA256(), length=32, salt=None, info=info).derive(linkage)
    mac = openssl("dgst", "-sha256", "-mac", "HMAC", "-macopt", f"hexkey:{field_key.hex()}", "-r", stdin=message)
    assert mac.stdout.split()[0].decode()[:32] == token(LinkageKey(linkage, "msv-2026"))

"""The test vector that DSSE publishes (secure-systems-lab/dsse, protocol.md, "Test Vectors")."""

from __future__ import annotations

import base64

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, EllipticCurvePublicNumbers
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from anpr_share.documents.envelope import pae

MEDIA_TYPE = "http://example.com/HelloWorld"
PAYLOAD = b"hello world"
X = 46950820868899156662930047687818585632848591499744589407958293238635476079160
Y = 5640078356564379163099075877009565129882514886557779369047442380624545832820
SIGNATURE = "A3JqsQGtVsJ2O2xqrI5IcnXip5GToJ3F+FnZ+O88SjtR6rDAajabZKciJTfUiHqJPcIAriEGAHTVeCUjW2JIZA=="


def test_the_bytes_to_be_signed_are_the_published_ones() -> None:
    assert pae(MEDIA_TYPE, PAYLOAD) == b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"


def test_the_published_signature_is_of_our_bytes() -> None:
    raw = base64.b64decode(SIGNATURE, validate=True)
    signature = encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))
    key = EllipticCurvePublicNumbers(X, Y, SECP256R1()).public_key()
    key.verify(signature, pae(MEDIA_TYPE, PAYLOAD), ECDSA(hashes.SHA256()))


def test_lengths_are_of_bytes_and_not_of_characters() -> None:
    assert pae("é", b"") == b"DSSEv1 2 \xc3\xa9 0 "

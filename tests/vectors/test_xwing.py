"""Vectors of X-Wing from draft-connolly-cfrg-xwing-kem-08, appendix C.

Of the public keys, 1,216 bytes each, the published beginning and end are given: the one is ML-KEM's, the other
X25519's, and each depends on the whole seed.
"""

from __future__ import annotations

import pytest

from anpr_share.documents.keys import ENCRYPTION_PUBLIC_BYTES, OpeningKey

CASES = [
    pytest.param(
        "7f9c2ba4e88f827d616045507605853ed73b8093f6efbc88eb1a6eacfa66ef26",
        "e2236b35a8c24b39b10aa1323a96a919a2ced88400633a7b07131713fc14b2b5b19cfc3d",
        "06cc03de5b69859edb06eff389b27dce59844570216223593d4ba32d9abac8cd049040ef6534",
        id="1",
    ),
    pytest.param(
        "badfd6dfaac359a5efbb7bcc4b59d538df9a04302e10c8bc1cbf1a0b3a5120ea",
        "0333285fa253661508c9fb444852caa4061636cb060e69943b431400134ae1fbc0228724",
        "b169050e6b91e1b69f7ed34bcbb48fd4c562a576549f85b528c953926d96ea8a160b8843f1c89c62",
        id="2",
    ),
    pytest.param(
        "ef58538b8d23f87732ea63b02b4fa0f4873360e2841928cd60dd4cee8cc0d4c9",
        "36244278824f77c621c660892c1c3886a9560caa52a97c461fd3958a598e749bbc8c7798",
        "c1c013747dfee80fb35b5299f555dcc2b787ea4f6f16ffdf66952461",
        id="3",
    ),
]


@pytest.mark.parametrize(("seed", "beginning", "end"), CASES)
def test_a_public_key_follows_from_its_seed_as_published(seed: str, beginning: str, end: str) -> None:
    public = OpeningKey(bytes.fromhex(seed)).public
    assert len(public) == ENCRYPTION_PUBLIC_BYTES
    assert public.hex().startswith(beginning)
    assert public.hex().endswith(end)

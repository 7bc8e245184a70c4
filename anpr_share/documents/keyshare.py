"""The linkage key on its way from the first force to another, sealed to that one recipient."""

from __future__ import annotations

from typing import Annotated

from pydantic import StringConstraints

from anpr_share.documents import envelope as dsse
from anpr_share.documents.keys import sealing_info
from anpr_share.documents.model import Addressed, Base64, LedgerHead, read

KIND = "key-share"
_MAX_BYTES = 64 * 1024

KeyCheck = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{16}$")]


class KeyShare(Addressed):
    """The payload of a key share."""

    key_check: KeyCheck
    sealed: Base64
    head: LedgerHead


def info(sender: str, recipient: str, agreement_digest: str) -> bytes:
    """What the sealing of a key share is bound to."""
    return sealing_info(KIND, sender, recipient, agreement_digest)


def parse(data: bytes) -> tuple[KeyShare, dsse.Envelope]:
    """Parse a key share; its signature is still to be checked against a police party of the agreement."""
    envelope = dsse.parse(data, KIND, limit=_MAX_BYTES)
    return read(KeyShare, envelope), envelope

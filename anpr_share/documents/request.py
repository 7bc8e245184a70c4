"""A university's signed ask to one force: windows of capture days, each with a one-time key of its own.

Guarantees: windows of a parsed request are in order, do not overlap, and their keys are pairwise distinct.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Self

from pydantic import Field, model_validator

from anpr_share.documents import canonical
from anpr_share.documents import envelope as dsse
from anpr_share.documents.model import (
    Addressed,
    EncryptionPublic,
    LedgerHead,
    WindowTerms,
    read,
)
from anpr_share.errors import FormatError
from anpr_share.periods import MAX_WINDOWS, window_key_dies

if TYPE_CHECKING:
    from datetime import date, datetime
    from zoneinfo import ZoneInfo

    from anpr_share.documents.agreement import Agreement

KIND = "request"
_MAX_BYTES = 1024 * 1024


class RequestedWindow(WindowTerms):
    """A window and the public half of its one-time key."""

    key: EncryptionPublic


class Request(Addressed):
    """The payload of a request."""

    windows: Annotated[tuple[RequestedWindow, ...], Field(min_length=1, max_length=MAX_WINDOWS)]
    head: LedgerHead

    @model_validator(mode="after")
    def _check(self) -> Self:
        if any(later.first <= earlier.last for earlier, later in zip(self.windows, self.windows[1:], strict=False)):
            raise ValueError("the windows overlap or are out of order")
        if len({window.key for window in self.windows}) != len(self.windows):
            raise ValueError("two windows share a one-time key")
        return self

    def dies(self, window: RequestedWindow, zone: ZoneInfo) -> datetime:
        """When the one-time key of a window is dead: 30 days after the later of its end and the request's creation."""
        return window_key_dies(window.last, self.created, zone)

    def closes(self, window: RequestedWindow, agreement: Agreement) -> datetime:
        """From when on nobody may answer a window: see :func:`window_closes`."""
        return window_closes(window.last, self.created, agreement)


def window_closes(last: date, created: datetime, agreement: Agreement) -> datetime:
    """From when on nobody may answer a window that ends on ``last``, of a request that was ``created`` then.

    Its one-time key is dead, or the agreement is over.
    """
    return min(window_key_dies(last, created, agreement.zone), agreement.ended)


def agreement_of(data: bytes) -> str:
    """The digest of the agreement that a request of ours names. Its keys, which take long to check, are not looked at.

    Raises :class:`FormatError` if it is no request.
    """
    named = canonical.decode(dsse.parse(data, KIND, limit=_MAX_BYTES).payload)
    if not isinstance(named, dict) or not isinstance(named.get("agreement"), str):
        raise FormatError("a request names no agreement")
    return str(named["agreement"])


def parse(data: bytes) -> tuple[Request, dsse.Envelope]:
    """Parse a request; its signature is still to be checked against the pinned sender."""
    envelope = dsse.parse(data, KIND, limit=_MAX_BYTES)
    return read(Request, envelope), envelope

"""A force's signed notice to a university about data that it had sent; what it says is sealed to that university.

Guarantees: a parsed notice recalls days of one table, each once and in order; tables without days have the one day
``undated``; its reason may be shown and logged.
"""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from anpr_share.documents import envelope as dsse
from anpr_share.documents.keys import sealing_info
from anpr_share.documents.manifest import DayName, TableName
from anpr_share.documents.model import (
    Addressed,
    Base64,
    Document,
    FormatVersion,
    LedgerHead,
    ShortText,
    read,
    read_payload,
)
from anpr_share.periods import MAX_WINDOW_DAYS, UNDATED
from anpr_share.wording import may_identify

KIND = "notice"
_MAX_BYTES = 1024 * 1024


def _sayable(value: str) -> str:
    if may_identify(value):
        raise ValueError("holds what may be a plate or a token")
    return value


class Recall(Document):
    """Days of one table that were found wrong: all that was sent of them before the notice is to be destroyed."""

    table: TableName
    days: Annotated[tuple[DayName, ...], Field(min_length=1, max_length=MAX_WINDOW_DAYS)]
    reason: Annotated[ShortText, AfterValidator(_sayable)]

    @model_validator(mode="after")
    def _check(self) -> Self:
        if any((day != UNDATED) != (self.table == "reads") for day in self.days):
            raise ValueError("reads are recalled by their days, other tables by the one day undated")
        if list(self.days) != sorted(set(self.days)):
            raise ValueError("days are listed twice or out of order")
        return self


class NoticeContent(Document):
    """What is sealed in a notice. ``erase`` is for vehicles, and null in this version."""

    format: FormatVersion
    recall: Recall
    erase: None


class Notice(Addressed):
    """The payload of a notice. ``sealed`` is its content, sealed to the recipient's identity."""

    sealed: Base64
    head: LedgerHead


def info(sender: str, recipient: str, agreement_digest: str) -> bytes:
    """What the sealing of a notice is bound to."""
    return sealing_info(KIND, sender, recipient, agreement_digest)


def parse(data: bytes) -> tuple[Notice, dsse.Envelope]:
    """Parse a notice; its signature is still to be checked against a police party of the agreement."""
    envelope = dsse.parse(data, KIND, limit=_MAX_BYTES)
    return read(Notice, envelope), envelope


def parse_content(data: bytes) -> NoticeContent:
    """Parse what was sealed in a notice. Raises :class:`FormatError`."""
    return read_payload(NoticeContent, data, "content of the notice")

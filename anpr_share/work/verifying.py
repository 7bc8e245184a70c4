"""The eight verification steps of a bundle, in order, with the numbers that the specification gives them.

1. container · 2. signature · 3. manifest · 4. members · 5. standing (agreement, parties, request, window, key check) ·
6. digests · 7. keys · 8. parts.

Guarantees: a step runs only after all before it have passed; each failure says its number; nothing is written.
Steps 5 and 7 are pure functions over parsed documents, so that each rule can be tested on any date.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from typing import BinaryIO

from anpr_share import container, periods
from anpr_share.documents import envelope as dsse
from anpr_share.documents import manifest as manifests
from anpr_share.documents.agreement import Agreement
from anpr_share.documents.envelope import Envelope
from anpr_share.documents.identity import Identity
from anpr_share.documents.keys import OpeningKey
from anpr_share.documents.manifest import Manifest, Sealed
from anpr_share.documents.request import Request, RequestedWindow
from anpr_share.errors import PolicyError, VerificationError
from anpr_share.periods import UNDATED
from anpr_share.vrm import RULES
from anpr_share.wording import may_identify


@dataclass(frozen=True, slots=True)
class Opened:
    """A bundle after steps 1 and 3: its members and what its manifest says, proved by nobody yet."""

    members: tuple[container.Member, ...]
    envelope: Envelope
    manifest: Manifest


@dataclass(frozen=True, slots=True)
class Standing:
    """What a recipient knows that step 5 compares a manifest with.

    ``held`` are the days of reads already held from the sender; ``key_checks`` the key checks under which data of the
    agreement are held, each with the forces that sent them; ``key_maker`` the force that made the linkage key;
    ``window_used`` the bundle that the window was answered with, if any.
    """

    agreement: Agreement
    recipient: Identity
    sender: Identity
    request: Request
    request_digest: str
    window_used: str | None
    held: frozenset[date]
    key_checks: Mapping[str, frozenset[str]]
    key_maker: str


def read_container(file: BinaryIO) -> tuple[tuple[container.Member, ...], Envelope]:
    """Step 1: the container is canonical, and its first member is a manifest's envelope."""
    with _step(1):
        members = container.read(file)
        data = container.read_member(file, members[0])
        return members, dsse.parse(data, manifests.KIND)


def check_signature(envelope: Envelope, sender: Identity) -> None:
    """Step 2: the manifest is signed by the pinned sender, and by nobody else."""
    with _step(2):
        dsse.verify(envelope, sender.signing)


def parse_manifest(envelope: Envelope) -> Manifest:
    """Step 3: the very bytes that were signed are a manifest."""
    with _step(3):
        return manifests.from_envelope(envelope)


def check_members(members: Sequence[container.Member], manifest: Manifest) -> None:
    """Step 4: the members are exactly those that the manifest lists, with those sizes, in that order."""
    listed = list(manifest.members().items())
    found = [(member.name, member.size) for member in members[1:]]
    if found != listed:
        missing, extra = dict(listed).keys() - dict(found).keys(), dict(found).keys() - dict(listed).keys()
        what = (
            f"{len(missing)} members are missing and {len(extra)} are not listed"
            if missing or extra
            else "a member has another size or place than the manifest says"
        )
        raise VerificationError(f"the bundle does not hold what its manifest lists: {what}", step=4)


def check_standing(manifest: Manifest, standing: Standing, now: datetime) -> RequestedWindow:
    """Step 5: agreement, sender, recipient, request, window, key check and normaliser match and are in force.

    Returns the request's window that the bundle answers. Raises :class:`PolicyError`.
    """
    agreement = standing.agreement
    _require(manifest.agreement == agreement.digest, "the bundle was made under another version of the agreement")
    require_in_force(agreement, now, step=5)
    sender = agreement.identity(manifest.sender, "police")
    _require(
        sender is not None and manifest.sender == standing.sender.fingerprint,
        "the sender of the bundle is not a police party of the agreement",
    )
    _require(manifest.recipient == standing.recipient.fingerprint, "the bundle is for another recipient")
    request = standing.request
    _require(manifest.request == standing.request_digest, "the bundle answers another request")
    _require(
        request.agreement == manifest.agreement
        and request.sender == manifest.recipient
        and request.recipient == manifest.sender,
        "the bundle answers a request that was put to another force or under another agreement",
    )
    window = next((item for item in request.windows if item.window == manifest.window.window), None)
    if window is None:
        raise PolicyError(
            "the bundle answers a window that was never asked for", step=5, hint="ask for the days with a new request"
        )
    _require(
        standing.window_used is None or standing.window_used == manifest.bundle,
        "this window of the request has been answered already",
    )
    _require(now < request.dies(window, agreement.zone), "the window of the request has expired")
    _require(
        manifest.created <= now + periods.CREATED_TOLERANCE,
        "the bundle says that it was made in the future: one of the two clocks is wrong",
    )
    ended = periods.day_end(window.last, agreement.zone)
    _require(
        now >= ended and manifest.created >= ended,
        "the bundle was made before its window had ended: days that were still to come would be kept too long",
    )
    _require(manifest.normaliser == RULES, "the bundle's plates were normalised by other rules than ours")
    _check_key(manifest, standing)
    _check_tables(manifest, agreement, standing.held)
    return window


def _check_key(manifest: Manifest, standing: Standing) -> None:
    """Nothing here says which of two keys is right: only forces know, so a person is told whom to ask."""
    others = set().union(*(forces for check, forces in standing.key_checks.items() if check != manifest.key_check))
    if others:
        raise PolicyError(
            f"the bundle was made with another linkage key than what is held from {', '.join(sorted(others))}: "
            "its tokens would not link",
            hint=f"let these forces and the sender compare anpr-share key list with {standing.key_maker}, who made the "
            "key; if what is held was made with a wrong one, go on under a new agreement",
            step=5,
        )


def _check_tables(manifest: Manifest, agreement: Agreement, held: frozenset[date]) -> None:
    window = manifest.window.window
    for table in manifest.tables:
        _require(
            table.columns == agreement.columns(table.name),
            f"the columns of {table.name} are not those of the agreement",
        )
        days = {date.fromisoformat(part.day) for part in table.parts if part.day != UNDATED}
        for day in sorted(days):
            _require(window.contains(day), f"the bundle holds {day}, which lies outside its window")
        if again := sorted(days & held):
            raise PolicyError(
                f"{len(again)} of the {len(days)} days of the bundle are held from this force already, "
                f"the first of them {again[0]}",
                step=5,
                hint="nothing is to be done" if len(again) == len(days) else "ask for the other days alone",
            )


def require_in_force(agreement: Agreement, now: datetime, *, step: int | None = None) -> None:
    """Raise :class:`PolicyError` unless today lies within the agreement's ``starts`` and ``ends``."""
    today = periods.day_of(now, agreement.zone)
    if today < agreement.terms.starts:
        raise PolicyError(
            f"the agreement {agreement.id} begins on {agreement.terms.starts}", step=step, hint="wait until then"
        )
    if today > agreement.terms.ends:
        raise PolicyError(
            f"the agreement {agreement.id} ended on {agreement.terms.ends}",
            step=step,
            hint="what goes on needs an agreement of its own; the data of this one are to be deleted",
        )


def require_open(agreement: Agreement, closed_at: datetime | None, *, step: int | None = None) -> None:
    """Raise :class:`PolicyError` if the agreement was closed at this site."""
    if closed_at is not None:
        raise PolicyError(
            f"this agreement was closed on {periods.day_of(closed_at, agreement.zone)}",
            step=step,
            hint="its data and keys were destroyed here; what goes on needs an agreement of its own, with another id",
        )


def check_digests(file: BinaryIO, members: Sequence[container.Member], manifest: Manifest) -> None:
    """Step 6: every member has the digest that the manifest says, and the CRC that the container says."""
    digests = manifest.digests()
    for member in members:
        digest, crc = container.digest_member(file, member)
        if crc != member.crc or (member.name in digests and digest != digests[member.name]):
            raise VerificationError(f"the content of {member.name} has been changed", step=6)


def open_keys(sealed: bytes, manifest: Manifest, key: OpeningKey) -> Sealed:
    """Step 7: the sealed keys open, are 32 bytes, pairwise distinct, and fit the manifest.

    Whether one was seen here before is for the caller to say, who has the records.
    """
    info = manifests.sealed_info(manifest.sender, manifest.agreement, manifest.request, manifest.bundle)
    with _step(7):
        content = manifests.read_sealed(key.open(sealed, info))
        keys = content.by_day()
    listed = {(table.name, part.day) for table in manifest.tables for part in table.parts}
    if set(keys) != listed:
        raise VerificationError("the sealed keys are not those of the days in the manifest", step=7)
    _check_quality(manifest, content)
    return content


def _check_quality(manifest: Manifest, content: Sealed) -> None:
    """What the sender says of its rows must agree with what it signed, or its receipts could never add up."""
    quality = {item.table: item for item in content.quality.tables}
    sent = {table.name: table for table in manifest.tables}
    # A table of which no row may leave is accounted for, and is not in the bundle.
    withheld = [item for name, item in quality.items() if name not in sent]
    if (
        len(quality) != len(content.quality.tables)
        or not set(sent) <= set(quality)
        or any(item.rows_out for item in withheld)
    ):
        raise VerificationError("the quality record is of other tables than the manifest", step=7)
    spoken = (*content.quality.notes, content.quality.authority or "")
    if any(may_identify(text) for text in spoken):
        raise VerificationError("a note of the quality record holds what may be a plate or a token", step=7)
    days = [day for item in quality.values() if item.table == "reads" for day in item.days]
    dates = [day.day for day in days]
    if dates != sorted(set(dates)) or not all(manifest.window.window.contains(day) for day in dates):
        raise VerificationError("the quality record lists days twice, out of order or outside the window", step=7)
    rows: Counter[str] = Counter()
    for part in sent["reads"].parts if "reads" in sent else ():
        rows[part.day] += part.rows or 0
    if +Counter({day.day.isoformat(): day.rows for day in days}) != +rows:
        raise VerificationError("the quality record counts other rows than the manifest", step=7)


def _require(holds: bool, message: str) -> None:  # noqa: FBT001  # reads as a sentence at each rule
    if not holds:
        raise PolicyError(message, step=5)


@contextmanager
def _step(number: int) -> Iterator[None]:
    """What is proved bad in here is so at this step."""
    try:
        yield
    except VerificationError as error:
        error.step = number
        raise

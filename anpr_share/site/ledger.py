r"""A site's log: append-only, chained by hashes, and signed at the end of each command that has the key.

Guarantees: a line that was altered, dropped, added or moved breaks the chain or contradicts a signed checkpoint, and
the sequence number where it does so is named; a checkpoint that was dropped contradicts the next one's count. An end
that was cut off with its checkpoints contradicts the seal, which takes the passphrase to see (see
:mod:`anpr_share.site.sealing`); an older copy that was put back contradicts the heads in this site's documents, which
its partners keep. Lines after the last checkpoint are not signed, and are shown as such. A line about an event that
only a command with the vault logs carries a MAC under the vault until it is signed: a checkpoint names for ever the
lines of that kind that it adopts without one, so signing them does not make good what a forger wrote.

A line is canonical JSON; its hash is SHA-256 of ``anpr-share/1/ledger\n`` and the exact stored bytes; the first line
holds the identity's fingerprint in place of a hash before it:

    {"account":"alice","actor":null,"details":{"bundle":"…"},"event":"collection","leapt":false,"previous":"…64 hex…",
     "seq":7,"subject":"msv-2026","time":"2026-10-08T16:30:51Z"}

``leapt`` marks lines written while the clock was suspiciously far ahead; they never count as the last time, from which
a leap is measured. ``clock-confirmed``, by which somebody says that its day is right, is never marked. Times never go
back from one line to the next, leapt or not, except at ``clock-reset``.
"""

from __future__ import annotations

import getpass
import hashlib
import hmac
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from anpr_share.documents import canonical, envelope
from anpr_share.errors import FormatError, UsageError, VerificationError
from anpr_share.periods import parse_utc, utc_text

if TYPE_CHECKING:
    from datetime import datetime

    from anpr_share.documents.keys import SigningKey
    from anpr_share.site.database import Connection
    from anpr_share.site.vault import Vault

TAMPERED = "change nothing here, keep a copy of this site, and tell whoever is in charge of security"
"""What to do about a ledger that was altered."""

CHECKPOINT_KIND = "ledger-checkpoint"
STATUTORY = frozenset({"collection", "alteration", "consultation", "disclosure", "combination", "erasure"})
"""The events that the Data Protection Act 2018 s.62 obliges a site to log."""
CLOCK_CONFIRMED = "clock-confirmed"
CLOCK_RESET = "clock-reset"
MAX_LINE_BYTES = 256 * 1024
_PREFIX = b"anpr-share/1/ledger\n"
_EVENT = re.compile(r"[a-z]+(?:-[a-z]+)*", re.ASCII)
_HASH = re.compile(r"[0-9a-f]{64}", re.ASCII)
_KEYS = frozenset({"account", "actor", "details", "event", "leapt", "previous", "seq", "subject", "time"})
_CHECKPOINT_KEYS = frozenset({"adopted", "format", "hash", "seq", "site", "time", "unproved"})
_PAGE = 1000

Scalar = str | int | bool | None
Details = Mapping[str, "Scalar | tuple[Scalar, ...] | list[Scalar] | Mapping[str, Scalar]"]


@dataclass(frozen=True, slots=True)
class Head:
    """Where a ledger stands: the last sequence number and the hash of that line (of none: 0 and the fingerprint)."""

    seq: int
    hash: str


@dataclass(frozen=True, slots=True)
class Entry:
    """One parsed line and its hash."""

    seq: int
    time: datetime
    account: str
    actor: str | None
    event: str
    subject: str
    details: Mapping[str, object]
    leapt: bool
    previous: str
    hash: str

    @property
    def head(self) -> Head:
        """The head of a ledger that ends with this line."""
        return Head(self.seq, self.hash)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """One signed checkpoint: ``adopted`` lines up to ``seq`` were checked and signed at ``time``.

    ``unproved`` are the numbers of those of them that only a command with the vault may log, and none had logged.
    """

    seq: int
    hash: str
    site: str
    time: datetime
    adopted: int
    unproved: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class LedgerCheck:
    """What verification found; had it found a broken chain it would have raised.

    ``out_of_place`` are the numbers of lines about events that only a command with the vault writes, and signs: in the
    unsigned tail each is from a killed command or a forger; of those before it, the checkpoint that adopted them says
    that no such command wrote them.
    """

    lines: int
    checkpoints: int
    signed_to: int
    unsigned_tail: int
    out_of_place: tuple[int, ...]
    clock_resets: int

    @property
    def ok(self) -> bool:
        """Whether nothing needs explaining."""
        return not self.out_of_place and self.clock_resets == 0


class Ledger:
    """The ledger in ``site.db``. ``origin`` is the fingerprint of the site's identity."""

    def __init__(self, connection: Connection, origin: str) -> None:
        self._connection = connection
        self._origin = origin

    def head(self) -> Head:
        """Where the ledger stands. Raises :class:`FormatError` if its last line is not one of ours."""
        row = self._connection.row("SELECT line FROM ledger ORDER BY seq DESC LIMIT 1")
        return Head(0, self._origin) if row is None else parse_line(row[0]).head

    def last_time(self) -> datetime | None:
        """The time of the last line that counts as such, or None: what a leap of the clock is measured from."""
        return next((entry.time for entry in self._backwards() if not entry.leapt), None)

    def latest_time(self) -> datetime | None:
        """The later of the times of the last line, leapt or not, and of the last checkpoint, or None: no instant to go
        by lies before it.

        A line that puts the clock back is signed in the transaction that writes it, so one that somebody without the
        passphrase wrote is behind the last checkpoint, and puts nothing back.
        """
        line = next((entry.time for entry in self._backwards()), None)
        row = self._connection.row("SELECT envelope FROM checkpoint ORDER BY seq DESC LIMIT 1")
        signed = None if row is None else _parse_checkpoint(envelope.parse(row[0], CHECKPOINT_KIND).payload).time
        return max((time for time in (line, signed) if time is not None), default=None)

    def last_of(self, *events: str) -> Entry | None:
        """The last line about one of these events, or None."""
        return next(self.about(*events), None)

    def about(self, *events: str) -> Iterator[Entry]:
        """The lines about these events, from the last to the first."""
        return (entry for entry in self._backwards(*events) if entry.event in events)

    def _backwards(self, *events: str) -> Iterator[Entry]:
        """The lines from the last to the first, a few at a time; with events only those that may be about one."""
        marks = [f'"event":"{event}"'.encode() for event in events]
        wanted = " OR ".join(["instr(line, ?)"] * len(marks)) or "1"
        query = f"SELECT seq, line FROM ledger WHERE seq BETWEEN 1 AND ? AND ({wanted}) ORDER BY seq DESC LIMIT 50"  # noqa: S608
        bound = 2**63 - 1
        while rows := self._connection.rows(query, bound, *marks):
            yield from (parse_line(line) for _, line in rows)
            bound = rows[-1][0] - 1  # the row's own number: what its line says may be anything

    def append(
        self,
        event: str,
        subject: str,
        details: Details,
        *,
        now: datetime,
        actor: str | None = None,
        leapt: bool = False,
        vault: Vault | None = None,
    ) -> Head:
        """Add a line inside the caller's transaction, which alone keeps two processes from writing the same number.

        A time before the last line's is taken to be the last line's, except for ``clock-reset``. Text that a person
        wrote has passed :func:`check_purpose` before. ``vault`` proves a line that only a command with it may log.
        Raises :class:`UsageError` for a line that no reader would accept.
        """
        if not self._connection.in_transaction:
            raise RuntimeError("a ledger line is appended inside a transaction")
        last = None if event == CLOCK_RESET else self.latest_time()
        before = self.head()
        line = canonical.encode(
            {
                "account": operating_system_account(),
                "actor": actor,
                "details": details,
                "event": event,
                "leapt": leapt and event != CLOCK_CONFIRMED,
                "previous": before.hash,
                "seq": before.seq + 1,
                "subject": subject,
                "time": utc_text(now if last is None else max(now, last)),
            }
        )
        try:
            entry = parse_line(line)
        except FormatError as error:
            raise UsageError(
                f"this cannot be logged: {error.message}", hint="give --actor a plain name of one line"
            ) from None
        mac = _proof(vault, entry) if vault is not None and needs_vault(event) else None
        self._connection.execute("INSERT INTO ledger VALUES (?, ?, ?)", (entry.seq, line, mac))
        return entry.head

    def stored(self, after: int = 0) -> Iterator[bytes]:
        """The exact lines after a sequence number, in order, a page at a time."""
        seen = after
        while rows := self._connection.rows(
            "SELECT seq, line FROM ledger WHERE seq > ? ORDER BY seq LIMIT ?", seen, _PAGE
        ):
            yield from (line for _, line in rows)
            seen = rows[-1][0]

    def lines(self, from_seq: int = 1) -> Iterator[Entry]:
        """The parsed lines from a sequence number on; says nothing about the chain."""
        return (parse_line(line) for line in self.stored(from_seq - 1))

    @property
    def is_signed(self) -> bool:
        """Whether the last line is under a checkpoint; whether that holds is for :meth:`checkpoint` to say."""
        row = self._connection.row("SELECT (SELECT max(seq) FROM ledger) IS (SELECT max(seq) FROM checkpoint)")
        return row is not None and bool(row[0])

    def checkpoints(self) -> Iterator[bytes]:
        """The signed checkpoints, in order, as envelopes."""
        return (row[0] for row in self._connection.rows("SELECT envelope FROM checkpoint ORDER BY seq"))

    def checkpoint(self, key: SigningKey, vault: Vault, now: datetime) -> Checkpoint | None:
        """Verify the lines since the last checkpoint and sign them, inside the caller's transaction.

        Lines that need the vault and that none with it wrote are signed as such, or nothing could be signed any more.
        Returns None if there are none. Raises :class:`VerificationError` if the chain or the last checkpoint is bad.
        """
        row = self._connection.row("SELECT envelope FROM checkpoint ORDER BY seq DESC LIMIT 1")
        start, last = Head(0, self._origin), None
        if row is not None:
            before = _require_line(self._connection, open_checkpoint(row[0], key.public))
            start, last = before.head, before.time
        head, unproved = start, []
        for entry in verify_chain(self.stored(start.seq), start, last):
            head = entry.head
            if needs_vault(entry.event) and not self._is_proved(vault, entry):
                unproved.append(entry.seq)
        if head == start:
            return None
        payload = {
            "adopted": head.seq - start.seq,
            "format": 1,
            "hash": head.hash,
            "seq": head.seq,
            "site": vault.site,
            "time": utc_text(now),
            "unproved": unproved,
        }
        signed = envelope.sign(CHECKPOINT_KIND, canonical.encode(payload), key).encode()
        self._connection.execute("INSERT INTO checkpoint VALUES (?, ?)", (head.seq, signed))
        return open_checkpoint(signed, key.public)

    def _is_proved(self, vault: Vault, entry: Entry) -> bool:
        row = self._connection.row("SELECT mac FROM ledger WHERE seq = ?", entry.seq)
        return row is not None and row[0] is not None and hmac.compare_digest(row[0], _proof(vault, entry))

    def verify(self, public: bytes, site: str) -> LedgerCheck:
        """Verify the whole ledger against the site's public signing key. Raises :class:`VerificationError`."""
        return verify_ledger(self.stored(), self.checkpoints(), origin=self._origin, public=public, site=site)


def needs_vault(event: str) -> bool:
    """Whether only a command with the vault open may log an event: the statutory ones, but erasure; ``clock-reset``."""
    return event == CLOCK_RESET or (event in STATUTORY and event != "erasure")


def _proof(vault: Vault, entry: Entry) -> bytes:
    return vault.mac("ledger", {"hash": entry.hash})


def operating_system_account() -> str:
    """Who the operating system says is working; it may have no name for them."""
    try:
        name = getpass.getuser()
    except (OSError, KeyError):
        return "unknown"
    return "".join(character if character.isprintable() else "?" for character in name)[:200] or "unknown"


def line_hash(line: bytes) -> str:
    """The hash of an exact stored line, lower-case hex."""
    return hashlib.sha256(_PREFIX + line).hexdigest()


def parse_line(line: bytes) -> Entry:
    """Parse one line, strictly. Raises :class:`FormatError`."""
    value = canonical.decode(line, limit=MAX_LINE_BYTES)
    if not isinstance(value, dict) or value.keys() != _KEYS:
        raise FormatError("a ledger line does not have exactly the fields of one")
    if type(value["seq"]) is not int or value["seq"] < 1 or type(value["leapt"]) is not bool:
        raise FormatError("a ledger line has a field of the wrong type")
    if not all(isinstance(value[name], str) for name in ("account", "event", "previous", "subject", "time")):
        raise FormatError("a ledger line has a field of the wrong type")
    if not isinstance(value["actor"], str | None) or not isinstance(value["details"], dict):
        raise FormatError("a ledger line has a field of the wrong type")
    texts = (value["account"], value["subject"], value["actor"] or "")
    if not all(not text or text.isprintable() for text in texts) or not _EVENT.fullmatch(value["event"]):
        raise FormatError("a ledger line has an event or a name that is not printable text")
    if not _HASH.fullmatch(value["previous"]):
        raise FormatError("a ledger line does not hold the hash of the line before")
    return Entry(**{**value, "time": parse_utc(value["time"])}, hash=line_hash(line))


def verify_chain(lines: Iterable[bytes], start: Head, last: datetime | None = None) -> Iterator[Entry]:
    """Yield the parsed lines that follow ``start``, each once it is proved to follow the one before.

    ``last`` is the time of the line of ``start``, before which no other lies.

    Raises :class:`VerificationError` naming the sequence number where the chain breaks.
    """
    before = start
    for line in lines:
        where = f"the ledger is broken at line {before.seq + 1}"
        try:
            entry = parse_line(line)
        except FormatError as error:
            raise VerificationError(f"{where}: {error.message}", hint=TAMPERED) from None
        if entry.seq != before.seq + 1:
            raise VerificationError(f"{where}: a line was dropped, added or moved", hint=TAMPERED)
        if entry.previous != before.hash:
            raise VerificationError(f"{where}: the line before it was altered", hint=TAMPERED)
        if last is not None and entry.time < last and entry.event != CLOCK_RESET:
            raise VerificationError(f"{where}: its time is before the last one's", hint=TAMPERED)
        last = entry.time
        before = entry.head
        yield entry


def open_checkpoint(data: bytes, public: bytes) -> Checkpoint:
    """Verify and parse a checkpoint. Raises :class:`VerificationError`."""
    return _parse_checkpoint(envelope.verify(envelope.parse(data, CHECKPOINT_KIND), public))


def _parse_checkpoint(payload: bytes) -> Checkpoint:
    value = canonical.decode(payload)
    if not isinstance(value, dict) or value.keys() != _CHECKPOINT_KEYS or value["format"] != 1:
        raise FormatError("a ledger checkpoint does not have exactly the fields of one")
    if any(type(value[name]) is not int or value[name] < 1 for name in ("adopted", "format", "seq")):
        raise FormatError("a ledger checkpoint has a field of the wrong type")
    if not all(isinstance(value[name], str) for name in ("hash", "site", "time")):
        raise FormatError("a ledger checkpoint has a field of the wrong type")
    unproved = value["unproved"]
    if not isinstance(unproved, list) or any(type(seq) is not int for seq in unproved):
        raise FormatError("a ledger checkpoint has a field of the wrong type")
    first = value["seq"] - value["adopted"] + 1
    if unproved != sorted(set(unproved)) or not all(first <= seq <= value["seq"] for seq in unproved):
        raise FormatError("a ledger checkpoint names lines that it does not adopt")
    time = parse_utc(value["time"])
    return Checkpoint(value["seq"], value["hash"], value["site"], time, value["adopted"], tuple(unproved))


def verify_ledger(
    lines: Iterable[bytes], checkpoints: Iterable[bytes], *, origin: str, public: bytes, site: str
) -> LedgerCheck:
    """Verify a whole ledger: the chain from the identity's fingerprint ``origin``, and every checkpoint under
    ``public`` (32 bytes, Ed25519) for ``site``. It needs no site, only the lines and the checkpoints in order.

    Raises :class:`VerificationError` naming the line at fault.
    """
    awaited = (open_checkpoint(data, public) for data in checkpoints)
    following = next(awaited, None)
    signed_to = signed = count = resets = 0
    out_of_place: list[int] = []
    tail: list[int] = []
    for entry in verify_chain(lines, Head(0, origin)):
        count = entry.seq
        if needs_vault(entry.event):
            tail.append(entry.seq)
        resets += entry.event == CLOCK_RESET
        if following is None or entry.seq < following.seq:
            continue
        require_agreement(following, entry, signed_to, site)
        signed_to, signed, tail = following.seq, signed + 1, []
        out_of_place += following.unproved
        following = next(awaited, None)
    if following is not None:
        raise VerificationError(
            f"the ledger ends at line {count}, and a checkpoint signed line {following.seq}", hint=TAMPERED
        )
    return LedgerCheck(
        lines=count,
        checkpoints=signed,
        signed_to=signed_to,
        unsigned_tail=count - signed_to,
        out_of_place=(*out_of_place, *tail),
        clock_resets=resets,
    )


def require_agreement(checkpoint: Checkpoint, entry: Entry, signed_to: int, site: str) -> None:
    """Raise :class:`VerificationError` unless a checkpoint signs ``entry`` for ``site``, after one of ``signed_to``."""
    where = f"the checkpoint of line {checkpoint.seq}"
    if checkpoint.site != site:
        raise VerificationError(f"{where} is another site's", hint=TAMPERED)
    if checkpoint.seq != entry.seq or checkpoint.hash != entry.hash:
        raise VerificationError(f"{where} contradicts the ledger", hint=TAMPERED)
    if checkpoint.adopted != checkpoint.seq - signed_to:
        raise VerificationError(
            f"{where} does not follow the one before: a checkpoint was dropped, added or moved", hint=TAMPERED
        )


def _require_line(connection: Connection, checkpoint: Checkpoint) -> Entry:
    """The line that a checkpoint signed."""
    row = connection.row("SELECT line FROM ledger WHERE seq = ?", checkpoint.seq)
    if row is None or line_hash(row[0]) != checkpoint.hash:
        raise VerificationError(f"the ledger contradicts its checkpoint of line {checkpoint.seq}", hint=TAMPERED)
    return parse_line(row[0])

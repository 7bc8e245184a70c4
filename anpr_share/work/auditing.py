"""Gathering the evidence for an audit, from a site or from the ledger that it exported; and exporting it.

Guarantees: nothing of a site is changed; no data are decrypted. Records are read as they are, so that one that was
altered is told of and does not stop the audit; with the passphrase they are also proved.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from anpr_share.audit.evidence import RECORDS, Disk, Evidence, encode, of_records, read
from anpr_share.audit.findings import AuditResult
from anpr_share.audit.judge import judge
from anpr_share.documents import agreement as agreements
from anpr_share.errors import FormatError, LockedError, StorageError, VerificationError
from anpr_share.files import open_regular, storage_errors
from anpr_share.periods import parse_day
from anpr_share.site import holdings, publication, records
from anpr_share.site.database import Connection
from anpr_share.site.files import new_file
from anpr_share.site.holdings import KeyPlace, Part
from anpr_share.site.ledger import line_hash
from anpr_share.site.opened import Clock, OpenSite
from anpr_share.site.records import Record
from anpr_share.wording import spoken_name

_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class LedgerExport:
    """An exported ledger: how many of the ledger's lines it holds, and the hash of the last of them."""

    path: Path
    lines: int
    head: str


def audit(found: Sequence[Evidence], at: datetime, agreement: bytes | None = None) -> AuditResult:
    """The verdict on the evidence of one site or several. ``agreement`` is a file that somebody holds in hand.

    Raises :class:`VerificationError` if that is no agreement that every party signed.
    """
    signed = None
    if agreement is not None:
        signed = agreements.parse(agreement)
        agreements.require_signed(signed)
    return judge(found, at, signed)


def read_export(path: Path) -> Evidence:
    """The evidence in an exported ledger. Raises :class:`FormatError`, :class:`StorageError`."""
    name = spoken_name(path)
    with storage_errors(f"{name} cannot be read"), open_regular(path, name) as file:
        return read(file)


def export_ledger(site: OpenSite, out: Path) -> LedgerExport:
    """Write the evidence of a site to a new file. Raises :class:`StorageError`."""
    evidence = _records(site)
    # Where its extracts lie is the force's own affair; that they are there can only be seen at the site.
    named = tuple(replace(item, path=spoken_name(Path(item.path))) for item in evidence.registered)
    new_file(out, encode(replace(evidence, source="ledger", registered=named)))
    head = line_hash(evidence.lines[-1]) if evidence.lines else site.identity.fingerprint
    return LedgerExport(out, len(evidence.lines), head)


def look(root: Path, clock: Clock, passphrase: bytes | None) -> Evidence:
    """The evidence of a site, its disk looked at; with its passphrase the records are proved too.

    Of several sites, a passphrase proves those that it is of; the evidence says which were not. Raises
    :class:`VerificationError` if the site does not open without it, or a record cannot be read at all.
    """
    with ExitStack() as stack:
        site = stack.enter_context(OpenSite.open(root, clock=clock))
        proof, altered = None, None
        if passphrase is not None:
            try:
                proof = stack.enter_context(OpenSite.open(root, passphrase=passphrase, clock=clock))
            except LockedError:
                proof = None
            except VerificationError as error:
                altered = error.message
        return _gather(site, proof, altered)


def _gather(site: OpenSite, proof: OpenSite | None, altered: str | None) -> Evidence:
    """``proof`` is the same site opened with its passphrase, if it is known; ``altered`` says why it did not open.

    Raises :class:`StorageError` if other commands keep changing the site meanwhile.
    """
    for _ in range(_ATTEMPTS):
        version = _version(site.db)
        evidence = _records(site)
        disk = _disk(site, evidence)
        faults = [] if proof is None else list(_record_faults(proof))
        if _version(site.db) == version:
            faults += [] if altered is None else [altered]
            proved = proof is not None or altered is not None
            return replace(evidence, disk=replace(disk, faults=tuple(faults), proved=proved))
    raise StorageError("other commands are working on this site", hint="audit it when they have finished")


def _version(db: Connection) -> object:
    """What is another one once another connection has changed ``site.db``. What the ledger counts may be forged."""
    return db.row("PRAGMA main.data_version")


def _records(site: OpenSite) -> Evidence:
    """All records as of one moment, unproved."""
    with _snapshot(site.db) as db:
        return Evidence(
            "site",
            site.identity,
            _now(site),
            **of_records(item for kind in RECORDS for item in _found(db, kind)),  # type: ignore[arg-type]
            keys=holdings.key_places(db),
            onetime=holdings.onetime_places(db),
            lines=tuple(site.ledger.stored()),
            checkpoints=tuple(site.ledger.checkpoints()),
        )


@contextmanager
def _snapshot(connection: Connection) -> Iterator[Connection]:
    """Reads that all see the same commits."""
    connection.execute("BEGIN")
    try:
        yield connection
    finally:
        connection.execute("COMMIT")


def _found(db: Connection, kind: type[Record]) -> list[Record]:
    try:
        return records.find(db, kind, None)
    except VerificationError as error:
        raise VerificationError(
            f"a {kind.TABLE} record of this site was altered: {error.message}",
            hint="find out who can write to the site's directory, then restore site.db from a backup",
        ) from None


def _now(site: OpenSite) -> datetime:
    try:
        return site.shown_time()
    except FormatError:
        return site.system_time()  # a line of the ledger is none: the judgement says so


def _record_faults(proof: OpenSite) -> Iterator[str]:
    """Which tables hold records that nobody with the passphrase wrote, and whether a key does not open where it is."""
    vault = proof.require_vault()
    kinds: tuple[type[Record], ...] = (*RECORDS, holdings.HeldDay, holdings.Coverage)
    for kind in kinds:
        if kind.AUTHENTICATED:
            try:
                records.find(proof.db, kind, vault)
            except VerificationError as error:
                yield error.message
    try:
        for agreement, table in sorted({place[:2] for place in holdings.key_places(proof.db)}):
            for place, wrapped in holdings.wrapped_day_keys(proof.db, agreement, table).items():
                holdings.unwrap_day_key(vault, place, wrapped)
        for request, first in holdings.onetime_places(proof.db):
            holdings.onetime_key(proof.db, vault, request, parse_day(first))
    except VerificationError as error:
        yield f"keys.db: {error.message}"


def _disk(site: OpenSite, evidence: Evidence) -> Disk:
    recorded = {site.paths.root / part.path: part for part in evidence.parts}
    keys = frozenset(evidence.keys)
    altered: set[KeyPlace] = set()
    missing: set[KeyPlace] = set()
    for path, part in recorded.items():
        if part.place in keys:
            state = _state(path, part)
            (altered if state is False else missing if state is None else set()).add(part.place)
    keyless, unexplained = [], []
    under_way = {item.temporary for item in publication.pending(site.db, site.paths)}
    for path in _files(site.paths.store):
        known = recorded.get(path)
        if path in under_way:
            continue  # of a command that was killed, or is at work: the next one that writes settles it
        if known is None:
            unexplained.append(_name(site, path))
        elif known.place not in keys:
            keyless.append(_name(site, path))
    return Disk(
        altered=tuple(sorted(altered)),
        missing=tuple(sorted(missing)),
        keyless=tuple(sorted(keyless)),
        unexplained=tuple(sorted(unexplained)),
        readable=tuple(_readable(site)),
        present=frozenset(item.path for item in evidence.registered if os.path.lexists(site.paths.root / item.path)),
    )


def _files(store: Path) -> Iterator[Path]:
    with storage_errors("the store cannot be looked at"):
        yield from (path for path in sorted(store.rglob("*")) if path.is_symlink() or not path.is_dir())


def _state(path: Path, part: Part) -> bool | None:
    """Whether a part's file is the one that was recorded, and lies there itself; None if it is not there."""
    try:
        with open_regular(path, "a part") as file:
            if path.is_symlink() or os.fstat(file.fileno()).st_size != part.bytes:
                return False
            return hashlib.file_digest(file, "sha256").hexdigest() == part.sha256
    except StorageError:
        return None


def _name(site: OpenSite, path: Path) -> str:
    """Where in the store a file lies, if its name is one of ours, else as messages may have it."""
    relative = path.relative_to(site.paths.root)
    return relative.as_posix() if all(spoken_name(Path(part)) == part for part in relative.parts) else "a file there"


def _readable(site: OpenSite) -> Iterator[str]:
    """The files and directories of a site that others than its owner may read or change."""
    if os.name == "nt":
        return
    paths = site.paths
    files = (paths.config, paths.vault, paths.keys, paths.site, paths.store, paths.inbox, paths.outbox)
    for path in (paths.root, *files):
        with storage_errors("the files of this site cannot be looked at"):
            if path.exists() and stat.S_IMODE(path.stat().st_mode) & 0o077:
                yield "the site's directory" if path == paths.root else path.name

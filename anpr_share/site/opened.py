"""An open site: its files, database, ledger, clock and, with the passphrase, its secrets, as one object.

Guarantees: a site opens only if ``site.toml``, ``identity.json`` and, with the passphrase, the vault say the same, and
only where polars cannot write temporary files in the clear; a command that writes holds the writer lock, and first does
what a killed one left undone; statutory events other than erasure, and a clock that is put back, are logged only with
the vault open; with the vault open nothing is done on records that were removed or put back without it.

    with OpenSite.open(path, passphrase=b"...") as site, site.writing():
        with site.transaction():
            ...
            site.record("collection", "msv-2026", {"bundle": ...})
        site.checkpoint()
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Self

from anpr_share.documents.identity import Identity
from anpr_share.documents.keys import OpeningKey, SigningKey
from anpr_share.errors import FormatError, LockedError, PolicyError, StorageError, UsageError, VerificationError
from anpr_share.files import open_regular, storage_errors
from anpr_share.memory import require_no_spill
from anpr_share.periods import Now, effective_now
from anpr_share.site import database, publication, sealing
from anpr_share.site.database import LOCK_SECONDS, Connection
from anpr_share.site.files import create_private
from anpr_share.site.layout import Paths, SiteConfig, create_directories, read_config, write_config
from anpr_share.site.ledger import CLOCK_RESET, Checkpoint, Details, Ledger, needs_vault
from anpr_share.site.purpose import check_purpose
from anpr_share.site.vault import Vault, require_passphrase

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

Clock = Callable[[], datetime]
_MAX_IDENTITY_BYTES = 64 * 1024


def system_clock() -> datetime:
    """The time of the operating system, in UTC."""
    return datetime.now(UTC)


class OpenSite:
    """One site, open in one thread. Other threads use :meth:`connection`; all else here is safe to read from them."""

    def __init__(
        self,
        paths: Paths,
        config: SiteConfig,
        identity: Identity,
        db: Connection,
        vault: Vault | None,
        *,
        clock: Clock,
        actor: str | None,
        lock_seconds: float,
    ) -> None:
        self.paths = paths
        self.config = config
        self.identity = identity
        self.vault = vault
        self.actor = None if actor is None else check_purpose(actor, "actor")
        self.restored = False
        """Whether this opening found the site restored from a backup, without its keys."""
        self.lost: list[Path] = []
        """Files that a killed command had decided on, and that were gone when :meth:`writing` came to finish them."""
        self._db = db
        self._thread = threading.get_ident()
        self._clock = clock
        self._lock_seconds = lock_seconds
        self._writing = False
        self._closed = False

    @classmethod
    def create(
        cls,
        root: Path,
        *,
        role: str,
        name: str,
        site_id: str,
        passphrase: bytes,
        clock: Clock = system_clock,
        actor: str | None = None,
        lock_seconds: float = LOCK_SECONDS,
    ) -> Self:
        """Make a new site in a new or empty directory, with fresh keys, and open it.

        Raises :class:`UsageError` for a directory in use, a bad passphrase, name or id.
        """
        require_passphrase(passphrase)
        try:
            SiteConfig(site_id, name, role, "0" * 64)
        except FormatError as error:
            raise UsageError(error.message, hint="choose another with --name or --id") from None
        signing, opening = SigningKey.generate(), OpeningKey.generate()
        identity = Identity.make(site_id, name, "police" if role == "police" else "university", signing, opening)
        config = SiteConfig(site_id, name, role, identity.fingerprint)
        paths = create_directories(root)
        with ExitStack() as stack:
            stack.callback(_remove_files, paths)
            database.create(paths)
            db = database.connect(paths, timeout=lock_seconds)
            stack.callback(db.close)
            site = cls(paths, config, identity, db, None, clock=clock, actor=actor, lock_seconds=lock_seconds)
            with site.transaction():
                site.vault = Vault.create(db, passphrase, site_id)
                site.vault.put_secret(db, "identity", "signing", signing.secret())
                site.vault.put_secret(db, "identity", "opening", opening.secret())
                site.record("site-created", site_id, {"fingerprint": identity.fingerprint, "role": role})
            site.checkpoint()
            create_private(paths.identity, identity.envelope)
            write_config(paths, config)
            stack.pop_all()
        return site

    @classmethod
    def open(
        cls,
        root: Path,
        *,
        passphrase: bytes | None = None,
        clock: Clock = system_clock,
        actor: str | None = None,
        lock_seconds: float = LOCK_SECONDS,
    ) -> Self:
        """Open a site; without a passphrase its secrets stay closed.

        ``lock_seconds`` is how long to wait for another command. Raises :class:`LockedError` for a wrong passphrase,
        :class:`VerificationError` if the site's files contradict one another or, with the passphrase, if records were
        removed or put back, :class:`StorageError`.
        """
        require_no_spill()
        paths = Paths(root.resolve())
        config = read_config(paths)
        identity = _read_identity(paths)
        mine = (identity.site, identity.name, identity.role, identity.fingerprint)
        if mine != (config.id, config.name, config.role, config.fingerprint):
            raise VerificationError(
                "site.toml and identity.json contradict each other", hint="restore them from a backup"
            )
        with ExitStack() as stack:
            db = database.connect(paths, timeout=lock_seconds, renew_keys=True)
            stack.callback(db.close)
            vault = None if passphrase is None else _open_vault(db, passphrase, config, identity)
            site = cls(paths, config, identity, db, vault, clock=clock, actor=actor, lock_seconds=lock_seconds)
            site.require_sealed()
            if database.keys_are_missing(db):
                site._renew_keys()
            if vault is not None and publication.is_decided(db):
                # A command was killed, or is at work, between deciding on files and naming them: readers need them.
                with site.writing():
                    pass
            stack.pop_all()
        return site

    def _renew_keys(self) -> None:
        with database.writer_lock(self.paths, timeout=self._lock_seconds), self.transaction():
            # Another command may have been first.
            if database.keys_are_missing(self._db):
                database.make_keys(self._db)
                # Even where the clock is behind: or the command that puts that right could not open the site.
                ledger, system = self.ledger, self.system_time()
                latest = ledger.latest_time()
                reading = effective_now(system if latest is None else max(system, latest), ledger.last_time(), latest)
                ledger.append(
                    "restored",
                    self.config.id,
                    {"lost": "day keys and one-time keys"},
                    now=reading.instant,
                    leapt=reading.leapt,
                    actor=self.actor,
                )
                self.restored = True

    @property
    def db(self) -> Connection:
        """The connection of the thread that opened the site."""
        if threading.get_ident() != self._thread:
            raise RuntimeError("a site's own connection belongs to the thread that opened it; use connection()")
        self._require_open()
        return self._db

    @property
    def ledger(self) -> Ledger:
        """The ledger, over :attr:`db`."""
        return Ledger(self.db, self.config.fingerprint)

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        """A connection of one's own, for any thread, closed at the end: what a query that polars runs uses."""
        own = database.connect(self.paths, timeout=self._lock_seconds)
        try:
            yield own
        finally:
            own.close()

    def require_vault(self) -> Vault:
        """The open vault. Raises :class:`LockedError` if the site was opened without its passphrase, and
        :class:`UsageError` if it is closed.
        """
        self._require_open()
        if self.vault is None:
            raise LockedError("this needs the site's passphrase", hint="give it with --passphrase-file, or when asked")
        return self.vault

    @property
    def signing_key(self) -> SigningKey:
        """The site's signing key. Raises :class:`LockedError` if the vault is closed."""
        return SigningKey(self._secret("signing"))

    @property
    def opening_key(self) -> OpeningKey:
        """The key that opens what was sealed to this site's identity. Raises :class:`LockedError`."""
        return OpeningKey(self._secret("opening"))

    def _secret(self, name: str) -> bytes:
        vault = self.require_vault()
        if threading.get_ident() == self._thread:
            return _identity_secret(self._db, vault, name)
        with self.connection() as connection:
            return _identity_secret(connection, vault, name)

    def system_time(self) -> datetime:
        """What the system clock shows, right or wrong, in whole seconds."""
        return self._clock().replace(microsecond=0)

    def shown_time(self) -> datetime:
        """The instant of what only looks: that of :meth:`reading`, also where that refuses a clock that is behind."""
        now, latest = self.system_time().astimezone(UTC), self.ledger.latest_time()
        return now if latest is None else max(now, latest)

    def reading(self, connection: Connection | None = None) -> Now:
        """The clock's reading: the instant to go by, whole seconds in UTC, and whether the clock has leapt.

        Never before any line of the ledger, or its last checkpoint. Raises :class:`PolicyError` if the system clock is
        behind one.
        """
        ledger = Ledger(connection or self.db, self.config.fingerprint)
        return effective_now(self.system_time(), ledger.last_time(), ledger.latest_time())

    def now(self, connection: Connection | None = None) -> datetime:
        """The instant to go by: see :meth:`reading`."""
        return self.reading(connection).instant

    def require_sealed(self, connection: Connection | None = None) -> None:
        """Raise :class:`VerificationError` if records were removed or put back without the passphrase.

        Without the vault this cannot be known, and nothing is said.
        """
        if self.vault is not None:
            sealing.require_sealed(connection or self.db, self.vault)

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """A transaction on :attr:`db`: all of it or nothing. With the vault open, what it leaves is sealed.

        Raises :class:`VerificationError` if records were removed or put back: sealing would make that good.
        """
        with database.transaction(self.db):
            self.require_sealed()
            yield self.db
            if self.vault is not None:
                sealing.seal(self.db, self.vault)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Be the one command that writes, after doing what a killed one left undone. May be nested.

        With the vault open that includes signing what it logged. Raises :class:`StorageError` if another command does
        not finish in time, and :class:`VerificationError` as :meth:`checkpoint` does.
        """
        if self._writing:
            yield
            return
        with database.writer_lock(self.paths, timeout=self._lock_seconds):
            self._writing = True
            try:
                self.lost += publication.recover(self.db, self.paths).lost
                if not self.ledger.is_signed:
                    with suppress(PolicyError):  # a clock that is behind is the command's to refuse, or to reset
                        self.checkpoint()
                yield
            finally:
                self._writing = False

    def record(self, event: str, subject: str, details: Details, *, connection: Connection | None = None) -> None:
        """Add a line to the ledger, inside the caller's transaction on :attr:`db` or on ``connection``.

        Raises :class:`LockedError` for an event that needs the vault while it is closed: the line could not be signed.
        """
        if needs_vault(event):
            self.require_vault()
        used = connection or self.db
        reading = self.reading(used)
        Ledger(used, self.config.fingerprint).append(
            event, subject, details, now=reading.instant, leapt=reading.leapt, actor=self.actor, vault=self.vault
        )

    def checkpoint(self, connection: Connection | None = None) -> Checkpoint | None:
        """Check and sign what the ledger has gained, in the open transaction or its own; None if nothing, or if locked.

        Lines that a forger added are signed too, and named as such for ever: see :mod:`anpr_share.site.ledger`. What is
        signed is sealed, so no sealed record may have been changed in the open transaction.

        Raises :class:`VerificationError` if the ledger was tampered with since the last checkpoint, or if records were
        removed or put back.
        """
        if self.vault is None:
            return None
        used = connection or self.db
        key = SigningKey(_identity_secret(used, self.vault, "signing"))
        with nullcontext() if used.in_transaction else database.transaction(used):
            records = sealing.require_sealed(used, self.vault)
            done = Ledger(used, self.config.fingerprint).checkpoint(key, self.vault, self.now(used))
            if done is not None:
                sealing.seal(used, self.vault, records)
        return done

    def reset_clock(self, details: Details) -> None:
        """Go by the system clock from here on, be it behind the ledger: log ``clock-reset`` and sign it, in one
        transaction. Whether that may be is the caller's to decide.

        Raises :class:`LockedError` without the vault, and :class:`VerificationError` as :meth:`checkpoint` does.
        """
        vault, key, now = self.require_vault(), self.signing_key, self.system_time()
        with self.transaction():
            self.ledger.append(CLOCK_RESET, self.config.id, details, now=now, actor=self.actor, vault=vault)
            self.ledger.checkpoint(key, vault, now)

    def close(self) -> None:
        """Close the connection and forget the vault key."""
        self.vault = None
        self._closed = True
        self._db.close()

    def _require_open(self) -> None:
        if self._closed:
            raise UsageError(
                "this site is closed: its with block has ended, or close() was called",
                hint="open it again, or do the work inside the with block",
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def _remove_files(paths: Paths) -> None:
    """Leave the directory of a site that could not be made as empty as it was."""
    for path in (paths.config, paths.identity, paths.site, paths.keys, paths.vault, paths.lock):
        path.unlink(missing_ok=True)
        path.with_name(f"{path.name}-journal").unlink(missing_ok=True)
    for path in (paths.store, paths.inbox, paths.outbox):
        path.rmdir()


def _read_identity(paths: Paths) -> Identity:
    with storage_errors("identity.json cannot be read"), open_regular(paths.identity, "identity.json") as file:
        return Identity.parse(file.read(_MAX_IDENTITY_BYTES + 1))


def _open_vault(db: Connection, passphrase: bytes, config: SiteConfig, identity: Identity) -> Vault:
    vault = Vault.open(db, passphrase)
    if vault.site != config.id or SigningKey(_identity_secret(db, vault, "signing")).public != identity.signing:
        raise VerificationError("the vault is another identity's", hint="restore the files of this site from a backup")
    return vault


def _identity_secret(connection: Connection, vault: Vault, name: str) -> bytes:
    secret = vault.get_secret(connection, "identity", name)
    if secret is None:
        raise StorageError("the vault lacks the site's identity keys", hint="restore vault.db from a backup")
    return secret

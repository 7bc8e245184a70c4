"""The passphrase, the vault key that it opens, and everything that the vault key protects.

Guarantees: a secret is on disk only wrapped with AES-256-GCM, bound to the site and to the one place that it is for, so
wrapped secrets cannot be swapped; records are authenticated by a MAC that nobody makes without the passphrase; changing
the passphrase re-wraps the vault key and touches nothing else; a wrong passphrase and a damaged vault look the same.

    Argon2id(passphrase; salt, 64 MiB, t 3, p 4)  opens   vault key, 32 random bytes
    HKDF-SHA-256(vault key, "anpr-share/1/secrets")  wraps   secrets: nonce (12) || AES-256-GCM, with additional data
                                                          netstrings of "anpr-share/1/secret", site id, and the place
    HKDF-SHA-256(vault key, "anpr-share/1/records")  keys    HMAC-SHA-256 of records
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from functools import cache
from typing import TYPE_CHECKING, NoReturn

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from anpr_share.errors import FormatError, LockedError, UsageError, VerificationError
from anpr_share.pseudonyms import netstring

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from anpr_share.site.database import Connection

KEY_BYTES = 32
NONCE_BYTES = 12
SALT_BYTES = 16
MEMORY_KIB = 64 * 1024
ITERATIONS = 3
LANES = 4
MIN_PASSPHRASE_CHARACTERS = 12
MAX_PASSPHRASE_BYTES = 4096
# What a vault.db may ask for: a hostile one shall not exhaust memory, nor take an hour, before it is refused.
_MEMORY_RANGE = range(MEMORY_KIB, 1024 * 1024 + 1)
_ITERATIONS_RANGE = range(ITERATIONS, 17)
_LANES_RANGE = range(1, 17)

RecordValue = str | int | bytes | None


class Vault:
    """An open vault: the vault key in memory. It holds no connection and may be used from any thread."""

    __slots__ = ("_key", "_records", "_secrets", "site")

    def __init__(self, key: bytes, site: str) -> None:
        self.site = site
        self._key = key
        self._secrets = AESGCM(_derive(key, b"anpr-share/1/secrets"))
        self._records = _derive(key, b"anpr-share/1/records")

    def __repr__(self) -> str:
        return "<Vault (secret)>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a vault can be neither copied nor pickled")

    @classmethod
    def create(cls, connection: Connection, passphrase: bytes, site: str) -> Vault:
        """Make the vault of a new site, inside the caller's transaction. Raises :class:`UsageError`."""
        vault = cls(secrets.token_bytes(KEY_BYTES), site)
        vault.lock_with(connection, passphrase)
        return vault

    @classmethod
    def open(cls, connection: Connection, passphrase: bytes) -> Vault:
        """Open the vault of a site. Raises :class:`LockedError` if the passphrase does not, for whatever reason, and
        :class:`FormatError` if the vault asks for more work than any vault of ours does.
        """
        row = connection.row("SELECT site, salt, memory_kib, iterations, lanes, wrapped FROM vault.opening")
        if row is None:
            raise FormatError("vault.db holds no vault key", hint="restore vault.db from a backup")
        site, salt, memory_kib, iterations, lanes, wrapped = row
        within = memory_kib in _MEMORY_RANGE and iterations in _ITERATIONS_RANGE and lanes in _LANES_RANGE
        if not within or len(salt) != SALT_BYTES:
            raise FormatError("vault.db asks for an unusual key derivation", hint="restore vault.db from a backup")
        if not 0 < len(passphrase) <= MAX_PASSPHRASE_BYTES:
            raise LockedError(
                "the passphrase does not open this site",
                hint="try again, or name the right file with --passphrase-file; nobody can open a site without it",
            )
        stretched = _stretch(passphrase, salt, memory_kib, iterations, lanes)
        try:
            key = _decrypt(AESGCM(stretched), wrapped, _opening_place(site, salt, memory_kib, iterations, lanes))
        except InvalidTag:
            raise LockedError(
                "the passphrase does not open this site",
                hint="try again, or name the right file with --passphrase-file; nobody can open a site without it",
            ) from None
        return cls(key, site)

    def lock_with(self, connection: Connection, passphrase: bytes) -> None:
        """Let a passphrase open this vault, and no other any more, inside the caller's transaction.

        Data and their keys stay as they are. Raises :class:`UsageError` if the passphrase will not do.
        """
        require_passphrase(passphrase)
        salt = secrets.token_bytes(SALT_BYTES)
        place = _opening_place(self.site, salt, MEMORY_KIB, ITERATIONS, LANES)
        stretched = _stretch(passphrase, salt, MEMORY_KIB, ITERATIONS, LANES)
        wrapped = _encrypt(AESGCM(stretched), self._key, place)
        connection.execute("DELETE FROM vault.opening")
        connection.execute(
            "INSERT INTO vault.opening VALUES (1, ?, ?, ?, ?, ?, ?)",
            (self.site, salt, MEMORY_KIB, ITERATIONS, LANES, wrapped),
        )

    def wrap(self, place: Sequence[str], secret: bytes) -> bytes:
        """Encrypt a secret for one place, such as ``("day-key", agreement, table, day, bundle)``."""
        return _encrypt(self._secrets, secret, self._place(place))

    def unwrap(self, place: Sequence[str], wrapped: bytes) -> bytes:
        """Decrypt what :meth:`wrap` made for the same place at this site. Raises :class:`VerificationError`."""
        try:
            return _decrypt(self._secrets, wrapped, self._place(place))
        except InvalidTag:
            raise VerificationError(
                "a wrapped secret of this site was altered, or belongs elsewhere", hint="restore it from a backup"
            ) from None

    def _place(self, place: Sequence[str]) -> bytes:
        return netstring(b"anpr-share/1/secret", self.site.encode(), *(part.encode() for part in place))

    def mac(self, kind: str, record: Mapping[str, RecordValue]) -> bytes:
        """The MAC of a record: of its kind and every name, type and value in it, in the order of the names."""
        fields = [_spell(name, record[name]) for name in sorted(record)]
        return hmac.digest(self._records, netstring(kind.encode()) + b"".join(fields), hashlib.sha256)

    def check_mac(self, kind: str, record: Mapping[str, RecordValue], mac: bytes) -> None:
        """Raise :class:`VerificationError` unless ``mac`` is the MAC of this record."""
        if not hmac.compare_digest(self.mac(kind, record), mac):
            raise VerificationError(
                f"a {kind.replace('_', ' ')} record of this site was altered without its passphrase",
                hint="find out who can write to the site's directory, then restore site.db from a backup",
            )

    def put_secret(self, connection: Connection, kind: str, name: str, secret: bytes) -> None:
        """Keep a named secret, in place of any before it, inside the caller's transaction."""
        connection.execute(
            "INSERT OR REPLACE INTO vault.secret VALUES (?, ?, ?)", (kind, name, self.wrap((kind, name), secret))
        )

    def get_secret(self, connection: Connection, kind: str, name: str) -> bytes | None:
        """A named secret, or None if there is none. Raises :class:`VerificationError` if it was altered."""
        row = connection.row("SELECT wrapped FROM vault.secret WHERE kind = ? AND name = ?", kind, name)
        return None if row is None else self.unwrap((kind, name), row[0])


def destroy_secret(connection: Connection, kind: str, name: str) -> bool:
    """Delete a named secret, inside the caller's transaction; it is not read. Says whether it was there."""
    deleted = connection.execute("DELETE FROM vault.secret WHERE kind = ? AND name = ?", (kind, name))
    return deleted.rowcount > 0


def secret_names(connection: Connection, kind: str) -> tuple[str, ...]:
    """The names of the secrets of one kind, in order; needs no passphrase."""
    return tuple(row[0] for row in connection.rows("SELECT name FROM vault.secret WHERE kind = ? ORDER BY name", kind))


def require_passphrase(passphrase: bytes) -> None:
    """Raise :class:`UsageError` unless this may become the passphrase of a site."""
    if not passphrase:
        raise UsageError("the passphrase is empty", hint="take four or more words")
    if len(passphrase) > MAX_PASSPHRASE_BYTES:
        raise UsageError(
            f"the passphrase is longer than {MAX_PASSPHRASE_BYTES} bytes",
            hint="take a shorter one: four or more words are enough",
        )
    if len(passphrase.decode("utf-8", errors="replace")) < MIN_PASSPHRASE_CHARACTERS:
        raise UsageError(
            f"the passphrase is shorter than {MIN_PASSPHRASE_CHARACTERS} characters", hint="take four or more words"
        )


def _derive(key: bytes, info: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=info).derive(key)


def _stretch(passphrase: bytes, salt: bytes, memory_kib: int, iterations: int, lanes: int) -> bytes:
    argon = Argon2id(salt=salt, length=KEY_BYTES, iterations=iterations, lanes=lanes, memory_cost=memory_kib)
    return argon.derive(passphrase)


def _opening_place(site: str, *parameters: bytes | int) -> bytes:
    texts = (item if isinstance(item, bytes) else str(item).encode() for item in parameters)
    return netstring(b"anpr-share/1/vault-key", site.encode(), *texts)


def _encrypt(aead: AESGCM, plaintext: bytes, associated: bytes) -> bytes:
    nonce = secrets.token_bytes(NONCE_BYTES)
    return nonce + aead.encrypt(nonce, plaintext, associated)


def _decrypt(aead: AESGCM, wrapped: bytes, associated: bytes) -> bytes:
    # Too short for a nonce and a tag is damage like any other; AESGCM would raise ValueError for it.
    if len(wrapped) < NONCE_BYTES + 16:
        raise InvalidTag
    return aead.decrypt(wrapped[:NONCE_BYTES], wrapped[NONCE_BYTES:], associated)


def _spell(name: str, value: RecordValue) -> bytes:
    """Name, type and value as netstrings, so that no two records spell the same."""
    if isinstance(value, str):
        kind, content = b"text", value.encode()
    elif isinstance(value, int):
        kind, content = b"integer", b"%d" % value
    elif value is None:
        kind, content = b"null", b""
    else:
        kind, content = b"bytes", value
    # A look at a store spells every record of a part that there is.
    return b"%b%d:%b," % (_heading(name, kind), len(content), content)


@cache
def _heading(name: str, kind: bytes) -> bytes:
    return netstring(name.encode(), kind)

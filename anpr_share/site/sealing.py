"""The seal of ``site.db``: one MAC over all records of whom a site trusts, what it was asked, has answered and taken.

Guarantees: the MAC of a single row cannot say that a row is missing, nor that it is an old one; the seal does. A record
of a table in :data:`SEALED` that was removed, added or put back by one without the passphrase is found whenever the
site is opened with it, before anything is written, and at each look at the store.

What it cannot say is that all of ``site.db`` was put back, seal included: that shows against what partners know.

    seal = MAC of the record "seal" with the one column ``digest``: SHA-256 of, for each table in the order of
    :data:`SEALED`, the netstrings of its name and of (the netstrings of its rows' MACs in order of their bytes)
"""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING, Final

from anpr_share.errors import VerificationError
from anpr_share.pseudonyms import netstring

if TYPE_CHECKING:
    from anpr_share.site.database import Connection
    from anpr_share.site.vault import Vault

SEALED: Final = (
    *("partner", "agreement", "request", "request_window", "bundle"),
    *("held_day", "coverage", "seen_key", "witness"),
)
"""Not ``part`` and ``registered``: their rows go when their time is up, which needs no passphrase."""
_KIND: Final = "seal"
# One statement, so that what another command commits meanwhile is seen whole or not at all.
_QUERY: Final = " UNION ALL ".join(f"SELECT '{table}', mac FROM main.{table}" for table in (*SEALED, _KIND))  # noqa: S608


def seal(connection: Connection, vault: Vault) -> None:
    """Seal the records as they are now, inside the caller's transaction."""
    digest, _ = _state(connection)
    mac = vault.mac(_KIND, {"digest": digest})
    connection.execute("INSERT INTO seal VALUES (1, ?) ON CONFLICT (id) DO UPDATE SET mac = excluded.mac", (mac,))


def require_sealed(connection: Connection, vault: Vault) -> None:
    """Raise :class:`VerificationError` unless the records are those that were sealed last."""
    digest, stored = _state(connection)
    if stored is None or not hmac.compare_digest(vault.mac(_KIND, {"digest": digest}), stored):
        raise VerificationError(
            "records of this site were removed or put back without its passphrase",
            hint="find out who can write to the site's directory, then restore site.db from a backup",
        )


def _state(connection: Connection) -> tuple[bytes, bytes | None]:
    """The digest of the records, and the seal that is stored."""
    found: dict[str, list[bytes]] = {table: [] for table in (*SEALED, _KIND)}
    for table, mac in connection.rows(_QUERY):
        found[table].append(mac)
    stored = found.pop(_KIND)
    content = netstring(*(part for table, macs in found.items() for part in (table.encode(), netstring(*sorted(macs)))))
    return hashlib.sha256(content).digest(), stored[0] if stored else None

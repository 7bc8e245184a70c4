"""The seal of ``site.db``: one MAC over all records of whom a site trusts, what it was asked, has answered and taken,
and over the last checkpoint of its ledger.

Guarantees: the MAC of a single row cannot say that a row is missing, nor that it is an old one; the seal does. A record
of a table in :data:`SEALED` that was removed, added or put back by one without the passphrase is found whenever the
site is opened with it, before anything is written, and at each look at the store; and so is an end of the ledger that
was cut off together with its checkpoints.

What it cannot say is that all of ``site.db`` was put back, seal included, or the ledger and the seal alone to a time
since which no sealed record changed: that shows against what partners know.

    seal = MAC of the record "seal" with the one column ``digest``: SHA-256 of, for each table in the order of
    :data:`SEALED`, the netstrings of its name and of (the netstrings of its rows' MACs in order of their bytes), and
    of ``checkpoint`` and of (the netstrings of ``seq``, in decimal, and the envelope of the last, if there is one)
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
    *("held_day", "coverage", "seen_key", "witness", "notice"),
)
"""Not ``part`` and ``registered``: their rows go when their time is up, which needs no passphrase."""
_KIND: Final = "seal"
_CHECKPOINT: Final = "checkpoint"
_LAST: Final = "SELECT * FROM (SELECT seq, envelope FROM main.checkpoint ORDER BY seq DESC LIMIT 1)"
# One statement, so that what another command commits meanwhile is seen whole or not at all.
_QUERY: Final = " UNION ALL ".join(
    [*(f"SELECT '{table}', mac FROM main.{table}" for table in (*SEALED, _KIND)), _LAST]  # noqa: S608
)


def seal(connection: Connection, vault: Vault, records: bytes | None = None) -> None:
    """Seal records and last checkpoint as they are now, inside the caller's transaction.

    ``records`` is what :func:`require_sealed` found in this very transaction, if none of them was changed since.
    """
    if records is None:
        records, last, _ = _state(connection)
    else:
        last = connection.row(_LAST)
    mac = vault.mac(_KIND, {"digest": _digest(records, last)})
    connection.execute("INSERT INTO seal VALUES (1, ?) ON CONFLICT (id) DO UPDATE SET mac = excluded.mac", (mac,))


def require_sealed(connection: Connection, vault: Vault) -> bytes:
    """Raise :class:`VerificationError` unless records and last checkpoint are those that were sealed last.

    Returns what stands for the records, for :func:`seal`.
    """
    records, last, stored = _state(connection)
    if stored is None or not hmac.compare_digest(vault.mac(_KIND, {"digest": _digest(records, last)}), stored):
        raise VerificationError(
            "records of this site, or the end of its ledger, were removed or put back without its passphrase",
            hint="find out who can write to the site's directory, then restore site.db from a backup",
        )
    return records


def _digest(records: bytes, last: tuple[int, bytes] | None) -> bytes:
    signed = () if last is None else (b"%d" % last[0], last[1])
    return hashlib.sha256(records + netstring(_CHECKPOINT.encode(), netstring(*signed))).digest()


def _state(connection: Connection) -> tuple[bytes, tuple[int, bytes] | None, bytes | None]:
    """What stands for the records, the last checkpoint if there is one, and the seal that is stored."""
    found: dict[str, list[bytes]] = {table: [] for table in (*SEALED, _KIND)}
    last = None
    for table, value in connection.rows(_QUERY):
        if isinstance(table, int):
            last = (table, value)
        else:
            found[table].append(value)
    stored = found.pop(_KIND)
    records = netstring(*(part for table, macs in found.items() for part in (table.encode(), netstring(*sorted(macs)))))
    return records, last, stored[0] if stored else None

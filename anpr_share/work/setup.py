"""Setting up a site, and changing its passphrase."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from anpr_share.errors import LockedError, UsageError
from anpr_share.pseudonyms import site_id_of
from anpr_share.site.opened import Clock, OpenSite
from anpr_share.site.vault import Vault


@dataclass(frozen=True, slots=True)
class SetupResult:
    """A new site. ``identity`` is the file to hand to partners."""

    site: str
    name: str
    role: str
    fingerprint: str
    identity: Path


def create(
    directory: Path,
    *,
    role: str,
    name: str,
    site_id: str | None,
    passphrase: bytes,
    clock: Clock,
    actor: str | None,
) -> SetupResult:
    """Make a site in a new or empty directory; without ``site_id`` its id follows from its name.

    Raises :class:`UsageError` for a directory in use, or a passphrase, name or id that will not do.
    """
    with OpenSite.create(
        directory,
        role=role,
        name=name,
        site_id=site_id_of(name) if site_id is None else site_id,
        passphrase=passphrase,
        clock=clock,
        actor=actor,
    ) as site:
        identity = site.identity
        return SetupResult(identity.site, identity.name, identity.role, identity.fingerprint, site.paths.identity)


def change_passphrase(site: OpenSite, new: bytes) -> None:
    """Let another passphrase open the site, and the old one no more; data and keys stay as they are.

    Raises :class:`UsageError` if the new passphrase will not do, or is the old one.
    """
    with site.writing():
        with suppress(LockedError):
            Vault.open(site.db, new)
            raise UsageError("the new passphrase is the old one", hint="choose another")
        with site.transaction():
            site.require_vault().lock_with(site.db, new)
            site.record("passphrase-changed", site.identity.site, {})
        site.checkpoint()

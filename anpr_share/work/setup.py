"""Setting up a site, and changing its passphrase."""

from __future__ import annotations

from anpr_share.site.opened import OpenSite


def change_passphrase(site: OpenSite, new: bytes) -> None:
    """Let another passphrase open the site, and the old one no more; data and keys stay as they are.

    Raises :class:`UsageError` if the new passphrase will not do.
    """
    with site.writing():
        with site.transaction():
            site.require_vault().change_passphrase(site.db, new)
            site.record("passphrase-changed", site.identity.site, {})
        site.checkpoint()

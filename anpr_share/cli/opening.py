"""Opening the site that a command works on, and reading the small files that it is given."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from anpr_share.errors import FormatError, StorageError
from anpr_share.files import open_regular, storage_errors
from anpr_share.reports import terminal
from anpr_share.wording import spoken_name

if TYPE_CHECKING:
    from anpr_share.cli.common import Invocation
    from anpr_share.documents.identity import Identity
    from anpr_share.site.opened import OpenSite
    from anpr_share.work.purging import PurgeResult

SITE_VARIABLE = "ANPR_SHARE_SITE"
_MAX_DOCUMENT = 16 * 1024 * 1024


def site_root(invocation: Invocation) -> Path:
    """The directory of the site of this call. Raises :class:`UsageError` if there is none."""
    from anpr_share.site.layout import find_site

    return find_site(invocation.site, os.environ.get(SITE_VARIABLE), Path.cwd())


@contextmanager
def opened(invocation: Invocation, *, unlock: bool = True, expire: bool = True) -> Iterator[OpenSite]:
    """The site of this call. With ``unlock`` its passphrase is asked for, and with ``expire`` what has expired is
    destroyed first; what only looks, and needs none, changes nothing. What a killed command lost is told.
    """
    from anpr_share.site.opened import OpenSite

    root = site_root(invocation)
    passphrase = invocation.passphrase() if unlock else None
    with OpenSite.open(root, passphrase=passphrase, clock=invocation.clock, actor=invocation.actor) as site:
        if site.restored:
            gone = ": its data and one-time keys are gone" if site.identity.role == "university" else ""
            terminal.warn(f"this site was restored from a backup{gone}")
        if unlock and expire:
            _expire(site)
        try:
            yield site
        finally:
            for path in site.lost:
                terminal.warn(f"{spoken_name(path)}, of an interrupted command, was removed before it was finished")


def destroy_expired(site: OpenSite) -> PurgeResult | None:
    """Destroy what a command has let expire, and say what that was; None if nothing was, or the clock has leapt."""
    from anpr_share.work import purging

    due = purging.preview(site)
    anything = due.days or due.windows or due.files or due.elsewhere
    return replace(due, dry_run=False) if anything and _expire(site) else None


def _expire(site: OpenSite) -> bool:
    """Destroy what has expired; False if the clock has leapt, and so nothing was done."""
    from anpr_share.work import purging

    try:
        done = purging.expire(site)
    except StorageError as error:
        # Its keys are gone: what is left of it may wait, and the command need not.
        terminal.warn(f"{error.message}; {error.hint}")
        return True
    if not done:
        terminal.warn(
            "the clock is far past the last line of the ledger, so nothing that has expired was destroyed; if it is "
            "right: anpr-share purge --confirm-date DAY"
        )
    return done


def document(path: Path) -> bytes:
    """The bytes of a document that somebody handed over. Raises :class:`StorageError`, :class:`FormatError`."""
    name = spoken_name(path)
    with storage_errors(f"{name} cannot be read"), open_regular(path, name) as file:
        data = file.read(_MAX_DOCUMENT + 1)
    if len(data) > _MAX_DOCUMENT:
        raise FormatError(f"{name} is larger than any document of anpr-share", hint="perhaps another file was meant")
    return data


def identity(path: Path) -> Identity:
    """The identity in a file that somebody handed over. Raises as :func:`document`, and :class:`VerificationError`."""
    from anpr_share.documents.identity import Identity
    from anpr_share.site.layout import Paths

    if Paths(path).config.is_file():
        raise StorageError(f"{spoken_name(path)} is a directory", hint="name the identity.json in it")
    return Identity.parse(document(path))


def asking(invocation: Invocation, *, instead: str, yes: bool = False) -> Callable[[str], bool]:
    """Asks a person; ``instead`` says how to do without. With ``yes`` shows all but the last paragraph, which asks."""

    def confirm(text: str) -> bool:
        if yes:
            invocation.say(text.rpartition("\n\n")[0])
            return True
        return terminal.ask(text.rstrip("?"), instead=instead)

    return confirm


def has_site(invocation: Invocation) -> bool:
    """Whether this call is about a site: one was named, or it stands in one."""
    from anpr_share.site.layout import CONFIG_NAME

    if invocation.site is not None or os.environ.get(SITE_VARIABLE):
        return True
    here = Path.cwd()
    return any((directory / CONFIG_NAME).is_file() for directory in (here, *here.parents))

"""``anpr_share.Site``: a university's site for notebooks and scripts.

    from anpr_share import Site

    site = Site.open("university", passphrase_file="passphrase.txt")
    reads = site.scan("reads", purpose="journey regularity")

Guarantees: what :mod:`anpr_share.work.reading` guarantees; a frame left open in a notebook shows nothing stale, because
the clock, the keys and the ledger entry are taken when it is collected.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from anpr_share.errors import UsageError
from anpr_share.site.layout import require_site
from anpr_share.site.opened import OpenSite, system_clock
from anpr_share.site.passphrase import read_passphrase
from anpr_share.work import reading

if TYPE_CHECKING:
    import polars as pl


class Site:
    """An open site. Close it, or use it in a ``with`` statement."""

    def __init__(self, site: OpenSite) -> None:
        self._site = site

    @classmethod
    def open(
        cls,
        path: str | Path,
        *,
        passphrase: str | bytes | None = None,
        passphrase_file: str | Path | None = None,
        actor: str | None = None,
        clock: Callable[[], datetime] | None = None,
    ) -> Self:
        """Open the site in a directory with its passphrase, or with the file that holds it.

        One final newline of the file is dropped. Raises :class:`UsageError` if the directory is no site,
        :class:`LockedError` for a wrong or missing passphrase, and :class:`StorageError` if the file or the site cannot
        be read.
        """
        if (passphrase is None) == (passphrase_file is None):
            raise UsageError("give either passphrase or passphrase_file", hint="one of the two, and not both")
        if passphrase_file is not None:
            secret, _ = read_passphrase(Path(passphrase_file))
        else:
            secret = passphrase.encode() if isinstance(passphrase, str) else passphrase or b""
        root = require_site(Path(path), "the directory given is no site")
        return cls(OpenSite.open(root, passphrase=secret, clock=clock or system_clock, actor=actor))

    def scan(self, table: str, *, purpose: str, agreement: str | None = None) -> pl.LazyFrame:
        """``reads``, ``targets``, ``cameras`` or ``coverage``.

        The agreed columns, ``source`` (String) and ``day`` (Date).
        """
        return reading.scan(self._site, table, purpose=purpose, agreement=agreement)

    def link(self, agreement: str | None = None, *, purpose: str) -> pl.LazyFrame:
        """One row for each read of a target vehicle and target row, with ``during_offence`` (Boolean).

        And with the camera's context, where the agreement has cameras.
        """
        return reading.link(self._site, agreement, purpose=purpose)

    def close(self) -> None:
        """Close the site; frames made from it can no longer be collected."""
        self._site.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

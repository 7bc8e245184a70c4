"""Linkable number-plate data, without a plate, a camera identity or an over-age read crossing over.

For most uses, in a notebook at the university::

    from anpr_share import Site

    site = Site.open("university", passphrase_file="passphrase")
    reads = site.scan("reads", purpose="journey regularity")   # a polars LazyFrame, decrypted as it is read

Importing this package loads no heavy library, and switches off the temporary files of polars: see `anpr_share.memory`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from anpr_share.memory import switch_off_spilling

if TYPE_CHECKING:
    from anpr_share.api import Site

__all__ = ["Site", "__version__"]

__version__ = "0.1.0"

switch_off_spilling()


def __getattr__(name: str) -> object:
    """Load ``Site`` when it is first asked for."""
    if name == "Site":
        from anpr_share.api import Site

        return Site
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

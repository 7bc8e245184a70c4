"""Keeps polars from spilling.

polars writes sorts, joins and groupings to temporary files when memory runs short, unencrypted and with whatever they
hold: raw plates on the force's side, tokens that should die with a day key on the university's. So, from the first
import of ``anpr_share``:

- polars may write no such file; a query that does not fit into memory fails instead;
- a setting of the user's environment that allows it is overruled;
- it holds whether polars was loaded before us or is loaded later, and in the processes that we start.

`require_no_spill` is what a site calls when it is opened: whoever changed the setting since then is stopped there.
"""

from __future__ import annotations

import os
import sys

from anpr_share.errors import StorageError

SETTING = "POLARS_OOC_DISK_BUDGET_MB"
"""The megabytes that polars may spill ("out of core"); 0 lets any query that would spill fail before it writes."""


def switch_off_spilling() -> None:
    """Let polars write no temporary file, in this process and in those that it starts."""
    os.environ[SETTING] = "0"
    _make_polars_read_settings()


def require_no_spill() -> None:
    """Make sure that polars still cannot spill.

    Raises:
        StorageError: the setting was changed after ``anpr_share`` was imported.
    """
    if os.environ.get(SETTING) != "0":
        raise StorageError(
            "polars has been allowed to write temporary files in the clear",
            hint=f"take the line that changes {SETTING} out of your program and start it again",
        )
    # The variable alone proves nothing: polars could have read another value before it was put back.
    _make_polars_read_settings()


def _make_polars_read_settings() -> None:
    if "polars" not in sys.modules:
        return  # it reads the environment when it is loaded
    from polars import _plr

    _plr.config_reload_env_vars()


def ran_out_of_memory(error: BaseException) -> bool:
    """Whether a query failed because it would have had to spill, or could not have its memory."""
    if isinstance(error, MemoryError):
        return True
    # polars gives this error no class of its own. Its text is looked at, and never shown.
    return type(error).__module__.startswith("polars.") and SETTING in str(error)

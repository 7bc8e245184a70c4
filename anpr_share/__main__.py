"""``python -m anpr_share`` is the same as ``anpr-share``."""

from __future__ import annotations

from anpr_share.cli.main import entry

if __name__ == "__main__":
    entry()

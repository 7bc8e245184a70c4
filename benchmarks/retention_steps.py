"""Child: what purge and every other command do at a site, in one process.

    python -m benchmarks.retention_steps PURGED PASSPHRASE_FILE COPY COPY COPY

``PURGED`` is a site where nothing has expired; of each ``COPY`` a day has, and is destroyed. Prints one JSON line: for
each step its best time in seconds, and the least processor time of its runs.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

from anpr_share.site.opened import OpenSite
from anpr_share.work import purging
from anpr_share.work.status import status


def _best(step: Callable[[OpenSite], object], sites: list[OpenSite]) -> list[float]:
    runs = []
    for site in sites:
        began, worked = time.perf_counter(), time.process_time()
        step(site)
        runs.append((time.perf_counter() - began, time.process_time() - worked))
    return [min(wall for wall, _ in runs), min(cpu for _, cpu in runs)]


def _purge(site: OpenSite) -> None:
    if not purging.purge(site).days:
        raise SystemExit("nothing has expired in this copy")


def main() -> None:
    parser = argparse.ArgumentParser(description="purge and what it consists of, in one process")
    parser.add_argument("purged", type=Path)
    parser.add_argument("passphrase_file", type=Path)
    parser.add_argument("copies", type=Path, nargs="+")
    parser.add_argument("--repeat", type=int, default=3)
    wanted = parser.parse_args()
    passphrase = wanted.passphrase_file.read_bytes().strip()
    copies = [OpenSite.open(path) for path in wanted.copies]
    locked, unlocked = OpenSite.open(wanted.purged), OpenSite.open(wanted.purged, passphrase=passphrase)
    often = 3 * wanted.repeat
    found = {
        "purge": _best(_purge, copies),
        "before every command": _best(purging.expire, [unlocked] * often),
        "the same without the passphrase": _best(purging.expire, [locked] * often),
        "status": _best(status, [locked] * often),
    }
    for site in (*copies, locked, unlocked):
        site.close()
    print(json.dumps(found))


if __name__ == "__main__":
    main()

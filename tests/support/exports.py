"""An export by the first force, and one that is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from anpr_share.errors import AnprShareError
from anpr_share.site import holdings
from anpr_share.tables.extract import Input
from anpr_share.work import exporting
from tests.support.exchange import PLATES, READS, World, reads_input, silent


def export(world: World, request: bytes, reads: Input, out: Path, **options: Any) -> exporting.ExportResult:
    return exporting.export(world.lancs, request, reads, out, progress=silent, **options)


def written(world: World, rows: Any = READS) -> Input:
    return reads_input(world.free("reads.csv"), rows)


def refused(
    world: World, request: bytes, reads: Input, kind: type[AnprShareError], match: str, **options: Any
) -> AnprShareError:
    """Assert that an export is refused and leaves no file, no used window and no trace in the ledger."""
    out = world.free("bundle.anpr.zip")
    before = world.lancs.ledger.head()
    bundles = holdings.bundles(world.lancs.db, world.lancs.vault)
    with pytest.raises(kind, match=match or None) as caught:
        export(world, request, reads, out, **options)
    assert type(caught.value) is kind
    assert list(out.parent.iterdir()) == []
    assert [path.name for path in world.lancs.paths.outbox.iterdir() if "keyshare" not in path.name] == []
    assert world.lancs.ledger.head() == before
    assert holdings.bundles(world.lancs.db, world.lancs.vault) == bundles
    assert world.lancs.db.rows("SELECT 1 FROM publication") == []
    message = f"{caught.value.message} {caught.value.hint}"
    assert not any(plate in message for plate in PLATES)
    return caught.value

"""Fixtures of the unit tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.exchange import World, settled, swift


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Two forces and a university with an accepted agreement, of this test alone."""
    with swift(), settled(tmp_path / "sites") as made:
        yield made

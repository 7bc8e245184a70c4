"""Fixtures of the unit tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.exchange import World, settled, swift

if TYPE_CHECKING:
    from tests.support.browser import Browser, Page


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Two forces and a university with an accepted agreement, of this test alone."""
    with swift(), settled(tmp_path / "sites") as made:
        yield made


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A browser of this module alone."""
    from tests.support.looking import opened

    with opened(tmp_path_factory.mktemp("profile")) as made:
        yield made


@pytest.fixture
def shown(browser: Browser) -> Iterator[Page]:
    """An empty page of the browser."""
    with browser.page() as made:
        yield made

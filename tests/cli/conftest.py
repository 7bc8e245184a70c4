"""Fixtures of the tests of the command line."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import sites
from tests.support.watching import Children, Watch


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder for temporary files that must be empty in the end."""
    sites.template("loaded")  # which is a temporary folder, too, and of all tests
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", None)
    yield folder
    assert list(folder.iterdir()) == []


@pytest.fixture
def watch(tmp_path: Path, temporary: Path) -> Watch:
    """A world that is loaded, its secrets known."""
    watch = Watch(sites.world("loaded", tmp_path / "world"))
    watch.learn()
    return watch


@pytest.fixture
def children(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Children:
    """Children of the program, watched."""
    folder = tmp_path / "children"
    made = Children.watched(folder)
    monkeypatch.setenv("PYTHONPATH", str(folder))
    return made

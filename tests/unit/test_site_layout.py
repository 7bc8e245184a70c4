"""Where a site's files are, and how strictly ``site.toml`` is read."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from anpr_share.errors import FormatError, StorageError, UsageError
from anpr_share.site import files, layout
from anpr_share.site.layout import Paths, SiteConfig, create_directories, find_site, read_config, write_config
from anpr_share.site.opened import OpenSite

CONFIG = SiteConfig("north-force", 'North "Force" \\ Ünit', "police", "ab" * 32)


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    made = create_directories(tmp_path / "site")
    write_config(made, CONFIG)
    return made


def test_the_named_directory_wins_over_the_environment_and_the_place(paths: Paths, tmp_path: Path) -> None:
    other = create_directories(tmp_path / "other")
    write_config(other, CONFIG)
    assert find_site(paths.root, str(other.root), other.root) == paths.root
    assert find_site(None, str(other.root), paths.root) == other.root
    assert find_site(None, None, paths.store) == paths.root
    assert find_site(None, "", paths.store) == paths.root


def test_a_named_directory_that_is_no_site_is_not_replaced_by_a_parent(paths: Paths) -> None:
    with pytest.raises(UsageError, match="--site"):
        find_site(paths.store, None, paths.root)
    with pytest.raises(UsageError, match="ANPR_SHARE_SITE"):
        find_site(None, str(paths.store), paths.root)


@pytest.mark.parametrize(("name", "why"), [("store", "it holds no site.toml"), ("stor", "there is no such directory")])
def test_a_directory_that_is_not_there_is_told_from_one_that_is_no_site(paths: Paths, name: str, why: str) -> None:
    with pytest.raises(UsageError, match=f"--site is no site: {why}"):
        find_site(paths.root / name, None, paths.root)


def test_no_site_anywhere_is_wrong_usage(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no site here"):
        find_site(None, None, tmp_path)


def test_a_config_reads_back_as_written(paths: Paths) -> None:
    assert read_config(paths) == CONFIG


@pytest.mark.parametrize("name", ["lines\nof text", " ", "x" * 201, "bell\a"])
def test_a_name_is_one_line_of_printable_text(name: str) -> None:
    with pytest.raises(FormatError, match="name"):
        SiteConfig("north-force", name, "police", "ab" * 32)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("format = 1", "format = 2"),
        ("format = 1", "format = true"),
        ("format = 1", ""),
        ('role = "police"', 'role = "army"'),
        ('role = "police"', "role = 7"),
        ('id = "north-force"', 'id = "North Force"'),
        ('id = "north-force"', 'id = "con"'),
        ('id = "north-force"', 'id = "north-force"\nextra = "1"'),
        ('fingerprint = "abab', 'fingerprint = "ABAB'),
        ("format = 1", "format = 1\nformat = 1"),
        ("format = 1", "format ="),
    ],
)
def test_a_config_with_one_fault_is_refused(paths: Paths, old: str, new: str) -> None:
    text = paths.config.read_text("utf-8")
    assert old in text
    paths.config.write_text(text.replace(old, new, 1), "utf-8")
    with pytest.raises(FormatError):
        read_config(paths)


def test_a_config_that_is_huge_or_not_text_is_refused(paths: Paths) -> None:
    paths.config.write_bytes(b"# " + b"x" * 70_000)
    with pytest.raises(FormatError, match="larger"):
        read_config(paths)
    paths.config.write_bytes(b'id = "\xff"')
    with pytest.raises(FormatError, match="UTF-8"):
        read_config(paths)


def test_a_missing_config_is_a_storage_error(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="does not exist"):
        read_config(Paths(tmp_path))


def test_a_new_site_needs_an_empty_directory(tmp_path: Path) -> None:
    (tmp_path / "note").write_text("mine")
    with pytest.raises(UsageError, match="not empty"):
        create_directories(tmp_path)
    with pytest.raises(UsageError, match="a file is in its place"):
        create_directories(tmp_path / "note")
    assert [item.name for item in tmp_path.iterdir()] == ["note"]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no modes")
def test_only_the_owner_may_look(paths: Paths) -> None:
    for directory in (paths.root, paths.store, paths.inbox, paths.outbox):
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert stat.S_IMODE(paths.config.stat().st_mode) == 0o600


def test_of_two_inits_at_once_the_second_touches_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root, make = tmp_path / "site", files.make_directory

    def make_and_be_overtaken(path: Path) -> None:
        make(path)
        monkeypatch.undo()
        OpenSite.create(root, role="police", name="First", site_id="first", passphrase=b"correct horse battery").close()

    monkeypatch.setattr(layout, "make_directory", make_and_be_overtaken)
    with pytest.raises(StorageError, match="exists already"):
        OpenSite.create(root, role="police", name="Second", site_id="second", passphrase=b"correct horse battery")
    with OpenSite.open(root, passphrase=b"correct horse battery") as site:
        assert site.config.id == "first"


def test_replacing_a_file_leaves_the_new_content_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "file"
    files.replace_file(target, b"one")
    files.replace_file(target, b"two")
    assert target.read_bytes() == b"two"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no modes")
def test_directories_that_cannot_all_be_made_are_not_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mkdir = Path.mkdir

    def full(path: Path, mode: int = 0o777, **named: bool) -> None:
        if path.name == "outbox":
            raise OSError(errno.ENOSPC, "no space")
        mkdir(path, mode, **named)

    monkeypatch.setattr(Path, "mkdir", full)
    with pytest.raises(StorageError, match="the disk is full"):
        create_directories(tmp_path / "site")
    assert list((tmp_path / "site").iterdir()) == []


def test_a_replacement_that_fails_leaves_the_old_state(tmp_path: Path) -> None:
    (tmp_path / "file").mkdir()
    with pytest.raises(StorageError, match="a file cannot be written"):
        files.replace_file(tmp_path / "file", b"new")
    assert [item.name for item in tmp_path.iterdir()] == ["file"]


def test_storage_errors_repeat_no_path(tmp_path: Path) -> None:
    with pytest.raises(StorageError) as caught:
        files.create_private(tmp_path / "AB12CDE" / "file", b"")
    assert "AB12CDE" not in str(caught.value)
    assert caught.value.__cause__ is None

"""Opening what somebody names: only regular files, at once, and no name that may be a plate said again."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path, PurePosixPath

import pytest

from anpr_share.cli.failures import explain
from anpr_share.cli.opening import document, identity
from anpr_share.errors import AnprShareError, StorageError, UsageError
from anpr_share.files import open_regular, recorded
from anpr_share.tables.extract import open_extract
from anpr_share.tables.profile import load_profile
from anpr_share.wording import spoken_name, spoken_path
from anpr_share.work.inspecting import inspect

READS = load_profile("plain-reads")
OPENERS: dict[str, Callable[[Path], object]] = {
    "open_regular": lambda path: open_regular(path, "it").close(),
    "document": document,
    "inspect": inspect,
    "extract": lambda path: open_extract([path], READS, ["vrm"]),
    "profile": load_profile,
}


def test_a_regular_file_is_opened_for_reading(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"\r\n\x1a")
    with open_regular(tmp_path / "a", "it") as file:
        assert file.read() == b"\r\n\x1a"


@pytest.mark.skipif(os.name == "nt", reason="Windows has neither in its folders")
@pytest.mark.parametrize("opener", OPENERS)
@pytest.mark.parametrize("kind", ["pipe", "device", "folder", "nothing", "pipe behind a link"])
def test_anything_else_is_refused_and_not_waited_for(tmp_path: Path, opener: str, kind: str) -> None:
    path = tmp_path / "it.csv"
    if kind == "device":
        path = Path("/dev/zero")
    elif kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind != "nothing":
        os.mkfifo(tmp_path / "pipe")
        path.symlink_to(tmp_path / "pipe")
    with pytest.raises(StorageError):
        OPENERS[opener](path)


def test_no_descriptor_is_left_open(tmp_path: Path) -> None:
    if not Path("/proc/self/fd").is_dir():
        pytest.skip("this system does not list its descriptors")
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(3):
        with pytest.raises(StorageError, match="is a directory"):
            open_regular(tmp_path, "it")
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_a_site_in_place_of_its_identity_is_told_apart_from_any_directory(tmp_path: Path) -> None:
    (tmp_path / "kent").mkdir()
    for hint in ("name a file", "identity.json in it"):
        with pytest.raises(StorageError, match="kent is a directory") as caught:
            identity(tmp_path / "kent")
        assert hint in str(caught.value.hint)
        (tmp_path / "kent" / "site.toml").touch()


@pytest.mark.parametrize(
    "name",
    ["reads.csv", "a.csv", "f1.csv.gz", "lancs-2026-10-01.csv", "2026-10-01_b.parquet", "october.anpr.zip", "café"],
)
def test_names_of_files_are_said(name: str) -> None:
    assert spoken_name(Path("folder") / name) == name


@pytest.mark.parametrize(
    "name", ["AB12CDE", "ab12 cde.csv", "x-AB12CDE.csv.gz", "0123456789abcdef" * 2, "a\x1bb", "a\udcffb", "", "x" * 300]
)
def test_names_that_may_be_plates_or_tokens_or_do_not_print_are_not_said(name: str) -> None:
    assert spoken_name(Path(name)) == "the file"


@pytest.mark.parametrize("opener", [name for name in OPENERS if name != "open_regular"])
def test_a_plate_typed_in_place_of_a_file_is_not_repeated(opener: str, tmp_path: Path) -> None:
    with pytest.raises(AnprShareError) as caught:
        OPENERS[opener](tmp_path / "AB12CDE")
    assert "AB12" not in f"{caught.value.message} {caught.value.hint}"


def test_a_plate_in_the_systems_own_refusal_is_not_repeated() -> None:
    assert explain(FileNotFoundError(2, "No such file", "x/AB12CDE")).message == "no such file: the file"
    assert explain(FileNotFoundError(2, "No such file", "x/reads.csv")).message == "no such file: reads.csv"
    assert explain(OSError(5, "Input/output error")).message == "input/output error"


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
def test_a_name_that_is_not_utf_8_cannot_be_recorded() -> None:
    assert recorded(Path("/folder/café.csv")) == "/folder/café.csv"
    with pytest.raises(UsageError, match="not UTF-8: rename it"):
        recorded(Path(os.fsdecode(b"/folder/\xff.csv")))


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("extracts/october/reads.csv", "extracts/october/reads.csv"),
        ("extracts/AB12CDE/reads.csv", "reads.csv"),
        ("extracts/a\x1b[2J/reads.csv", "reads.csv"),
        ("extracts/october/AB12CDE.csv", "the file"),
    ],
)
def test_a_path_is_told_whole_only_if_no_folder_of_it_may_identify_somebody(path: str, told: str) -> None:
    assert spoken_path(PurePosixPath(path)) == told

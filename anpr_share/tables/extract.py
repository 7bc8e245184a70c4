"""A force's extract, as batches of the cells that are needed and no others.

    extract = open_extract(["reads-*.csv.gz"], profile, ["vrm", "camera", "captured_at"])
    for batch in extract.batches():
        ...

- Opening checks every file's header: what is wrong there is known before the first row is read.
- Only the columns that the wanted fields come from are read. Cells are text as they stand (Parquet keeps times), null
  where the profile says so (`null_values`) and in rows with the wrong number of cells (`RAGGED`).
- Memory has a bound whatever the files hold, and nothing is written to disk.
"""

from __future__ import annotations

import glob
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from anpr_share.errors import InputError, StorageError, UsageError
from anpr_share.files import recorded
from anpr_share.tables.blocks import TextBlocks, container_of, opened
from anpr_share.tables.columnar import ParquetReader
from anpr_share.tables.delimited import RAGGED, find_columns, read_rows
from anpr_share.wording import spoken_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from anpr_share.tables.blocks import Container
    from anpr_share.tables.profile import Profile

__all__ = ["RAGGED", "Batch", "Extract", "Input", "open_extract", "require_table"]

BATCH_ROWS = 1_000_000
_NAMES = ("vrm", "camera", "log")
"""Fields that are hashed as they are written."""


@dataclass(frozen=True, slots=True)
class Input:
    """Files of one table, or patterns of files, and the profile that reads them."""

    paths: tuple[str, ...]
    profile: Profile


def require_table(profile: Profile, table: str) -> None:
    """Raise :class:`UsageError` if a profile is for another table."""
    if profile.table != table:
        raise UsageError(
            f"the profile of the {table} is for {profile.table}",
            hint=f"{profile.table} have options of their own: --{profile.table}",
        )


@dataclass(frozen=True, slots=True)
class Batch:
    """Some rows of one file.

    ``frame`` has a column for each source column of ``fields``, under its own name, and `RAGGED` (Boolean). ``file``
    counts from 0. Rows count from 1 after the header: ``first_row`` is the first's, unless ``numbers`` says each row's.
    """

    frame: pl.DataFrame
    first_row: int
    file: int
    fields: tuple[str, ...]
    numbers: pl.Series | None = None

    @property
    def rows(self) -> pl.Series:
        """Each row's number in its file: UInt64, named ``row``."""
        if self.numbers is not None:
            return self.numbers
        end = self.first_row + self.frame.height
        return pl.int_range(self.first_row, end, dtype=pl.UInt64, eager=True).alias("row")


class Extract:
    """The files of an extract, their headers checked. Made by `open_extract`."""

    def __init__(self, paths: Sequence[Path], profile: Profile, fields: Sequence[str]) -> None:
        self.paths = tuple(paths)
        self.profile = profile
        self.fields = tuple(fields)
        self.columns = profile.source_columns(self.fields)
        with ParquetReader() as reader:
            self._containers = tuple(self._check_header(path, reader) for path in self.paths)

    @property
    def names(self) -> tuple[str, ...]:
        """The files' names as reports have them: see `spoken_name`."""
        return tuple(spoken_name(path) for path in self.paths)

    def batches(self, rows: int = BATCH_ROWS) -> Iterator[Batch]:
        """All rows, file by file, in their order: about ``rows`` to a batch, fewer where rows are wide.

        Raises:
            InputError: a file cannot be read as its profile says, or none holds a row.
            FormatError: a Parquet file is damaged.
            StorageError: a file cannot be read.
        """
        any_row = False
        with ParquetReader() as reader:
            for file, (path, container) in enumerate(zip(self.paths, self._containers, strict=True)):
                first = 1
                for frame in self._frames(path, container, rows, reader):
                    if not frame.height:
                        continue
                    any_row = True
                    yield Batch(self._without_nulls(frame), first, file, self.fields)
                    first += frame.height
        if not any_row:
            raise InputError("the extract holds no rows", hint="check that it is the whole file")

    def _frames(self, path: Path, container: Container, rows: int, reader: ParquetReader) -> Iterator[pl.DataFrame]:
        if container == "parquet":
            yield from reader.read(path, self.columns, rows, dated=self.profile.dated_columns)
            return
        form = self.profile.file
        with opened(path) as file:
            blocks = TextBlocks(path, file, form.encoding, compressed=container == "gzip")
            layout = find_columns(spoken_name(path), blocks, form, self.columns)
            yield from read_rows(spoken_name(path), blocks, form, layout, rows)

    def _check_header(self, path: Path, reader: ParquetReader) -> Container:
        container = container_of(path)
        if container == "parquet":
            names = [column for field in _NAMES for column in self.profile.columns.sources(field)]
            reader.check(path, self.columns, names=set(names) & set(self.columns))
        else:
            form = self.profile.file
            with opened(path) as file:
                blocks = TextBlocks(path, file, form.encoding, compressed=container == "gzip")
                find_columns(spoken_name(path), blocks, form, self.columns)
        return container

    def _without_nulls(self, frame: pl.DataFrame) -> pl.DataFrame:
        nulls = self.profile.file.null_values
        if not nulls:
            return frame
        texts = pl.col(pl.String)
        return frame.with_columns(pl.when(~texts.str.strip_chars().is_in(nulls)).then(texts).name.keep())


def open_extract(paths: Sequence[str | Path], profile: Profile, fields: Sequence[str]) -> Extract:
    """The extract in these files, in the order given; a pattern (``*``, ``?``) stands for its files, sorted.

    Args:
        paths: files, or patterns of files.
        profile: how they are written.
        fields: the profile's fields that are needed; nothing else is read.

    Raises:
        UsageError: no file, a file given twice or with a name that cannot be recorded, or a field that the profile
            does not map.
        StorageError: a file is not there.
        InputError: a file's header lacks or doubles a needed column.
        FormatError: a Parquet file is damaged or encrypted.
    """
    found: dict[Path, Path] = {}
    for path in [file for given in paths for file in _expand(str(given))]:
        where = path.resolve()
        recorded(where)  # an export will have to, at its very end
        if where in found:
            raise UsageError(f"{spoken_name(path)} is given twice", hint="its rows would count twice")
        found[where] = path
    if not found:
        raise UsageError("no extract is given", hint="name the files after the command")
    return Extract(tuple(found.values()), profile, fields)


def _expand(given: str) -> list[Path]:
    if not glob.has_magic(given) or Path(given).exists():
        return [Path(given)]
    matches = sorted(Path(match) for match in glob.glob(given, recursive=True) if Path(match).is_file())  # noqa: PTH207
    if not matches:
        raise StorageError("no file matches the pattern", hint="check the folder, and quote the pattern in the shell")
    return matches

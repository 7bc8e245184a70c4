"""A text file as blocks of whole lines, in UTF-8 with LF line ends, whatever it was written in.

- Compression (gzip) is found by its first bytes and undone a block at a time: a bomb costs time, never memory.
- Every byte is checked against the declared encoding, and NUL is refused: what is read is the text that was written.
- CRLF and CR become LF; a byte order mark is dropped; the last line gets its line end.
- A row that outgrows its block is refused at `MAX_ROW_BYTES`, so memory has a bound; nothing is written to disk.
"""

from __future__ import annotations

import codecs
import gzip
import zlib
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Literal, cast

from anpr_share.errors import InputError
from anpr_share.files import open_regular, storage_errors
from anpr_share.wording import spoken_name

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MAX_ROW_BYTES = 16 * 1024 * 1024
BLOCK_BYTES = 4 * 1024 * 1024  # larger ones cost more in fresh memory pages than they save

Container = Literal["text", "gzip", "parquet"]

_ARCHIVE_MARKS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")  # xlsx and zip; xls
_UTF16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


@contextmanager
def opened(path: Path) -> Iterator[IO[bytes]]:
    """The file, with every failure of the disk told as ours.

    Raises:
        StorageError: it cannot be opened or read, or is not a regular file.
    """
    name = spoken_name(path)
    with storage_errors(f"{name} cannot be read"):
        try:
            with open_regular(path, name) as file:
                yield file
        except (EOFError, gzip.BadGzipFile, zlib.error):
            raise InputError(
                f"{name} is damaged or cut off: it does not decompress to its end", hint="copy the file again"
            ) from None


def container_of(path: Path) -> Container:
    """What the file is by its first bytes.

    Raises:
        InputError: a workbook or an archive.
        StorageError: it cannot be read.
    """
    with opened(path) as file:
        start = file.read(4)
    if start == b"PAR1":
        return "parquet"
    if start.startswith(b"\x1f\x8b"):
        return "gzip"
    if start in _ARCHIVE_MARKS:
        raise InputError(
            f"{spoken_name(path)} is a workbook or an archive, not a text file",
            hint="save the sheet as CSV UTF-8, or take the file out of the archive",
        )
    return "text"


class TextBlocks:
    """The blocks of one file. The reader keeps ``rows``, how many came before the next block, for messages."""

    def __init__(self, path: Path, file: IO[bytes], encoding: str, *, compressed: bool) -> None:
        self.rows = 0
        self._name = spoken_name(path)
        self._encoding = encoding
        self._file = cast("IO[bytes]", gzip.GzipFile(fileobj=file)) if compressed else file
        self._decoder = None if encoding == "utf-8" else codecs.getincrementaldecoder(encoding)()
        self._carry = b""
        self._held = b""
        self._at_start = True
        self._ended = False

    def next(self) -> bytes:
        """The next block: whole lines, the last with its line end; empty at the file's end.

        Raises:
            InputError: the bytes are not text in the declared encoding, or a row is too long.
        """
        pieces = [self._carry]
        self._carry = b""
        while not self._ended:
            piece = self._read()
            end = piece.rfind(b"\n") + 1
            if end:
                pieces.append(piece[:end])
                self._carry = piece[end:]
                break
            pieces.append(piece)
            if sum(map(len, pieces)) > MAX_ROW_BYTES:
                raise self._too_long()
        block = b"".join(pieces)
        if self.final and block and not block.endswith(b"\n"):
            block += b"\n"
        self._check(block)
        return block

    def give_back(self, rest: bytes) -> None:
        """Take lines back that belong with those of the next block.

        Raises:
            InputError: they are more than a row may be.
        """
        if len(rest) > MAX_ROW_BYTES:
            raise self._too_long()
        self._carry = rest + self._carry

    @property
    def final(self) -> bool:
        """Whether nothing comes after the last block."""
        return self._ended and not self._carry

    def _read(self) -> bytes:
        raw = self._file.read(BLOCK_BYTES)
        self._ended = not raw
        if self._at_start:
            raw = self._without_mark(raw)
        text = self._held + (raw if self._decoder is None else self._decode(raw))
        self._held = b""
        if text.endswith(b"\r") and not self._ended:  # its \n, if it has one, is still to come
            text, self._held = text[:-1], b"\r"
        if b"\r" in text:
            text = text.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        return text

    def _without_mark(self, raw: bytes) -> bytes:
        self._at_start = False
        if self._encoding != "utf-16" and raw.startswith(_UTF16_MARKS):
            raise InputError(f"{self._name} is UTF-16 text", hint='set encoding = "utf-16" under [file]')
        if self._encoding == "cp1252" and raw.startswith(codecs.BOM_UTF8):
            raise InputError(f"{self._name} is UTF-8 text", hint='set encoding = "utf-8" under [file]')
        return raw.removeprefix(codecs.BOM_UTF8)

    def _decode(self, raw: bytes) -> bytes:
        assert self._decoder is not None
        try:
            return self._decoder.decode(raw, final=not raw).encode()
        except UnicodeError:
            raise self._not_text(self.rows) from None

    def _check(self, block: bytes) -> None:
        if b"\0" in block:
            raise InputError(
                f"{self._name} holds NUL bytes near row {self._row_at(block, block.index(0))}: "
                f"it is not {self._encoding} text",
                hint="it may be UTF-16 (encoding under [file]) or a damaged copy",
            )
        if not block.isascii():
            try:
                block.decode()
            except UnicodeDecodeError as error:
                raise self._not_text(self._row_at(block, error.start)) from None

    def _row_at(self, block: bytes, offset: int) -> int:
        return self.rows + block.count(b"\n", 0, offset)

    def _not_text(self, row: int) -> InputError:
        return InputError(
            f"{self._name} is not {self._encoding} text near row {row}",
            hint='set encoding under [file]: Windows programs often write "cp1252" or "utf-16"',
        )

    def _too_long(self) -> InputError:
        return InputError(
            f"{self._name} holds a row of more than 16 MiB after row {self.rows}",
            hint='the delimiter may be wrong, or a quotation mark left open (quote = "" if the file quotes nothing)',
        )

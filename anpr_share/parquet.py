"""One encrypted part in, one out: the only place that touches polars' encryption.

A part is a Parquet file under Parquet modular encryption, uniform: one 32-byte key, AES-GCM over the footer and every
column, no AAD prefix. Any reader of that standard opens it with the key. What polars would also read, a plaintext
file, is refused here, and no error repeats polars' text, which may hold cells.

Files are created with mode 0600 and never replace one that exists. A file is durable once a function here returns;
its name in the directory, and the rename to a final name, are the caller's.
"""

from __future__ import annotations

import hashlib
import io
import os
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, Final

import polars as pl
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from anpr_share.errors import FormatError, StorageError, UsageError
from anpr_share.files import owner_only, storage_errors
from anpr_share.parquet_layout import MAGIC
from anpr_share.pseudonyms import netstring

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

__all__ = [
    "MAGIC",
    "PartFile",
    "opening",
    "part_key",
    "scan_bytes",
    "scan_part",
    "sink_part",
    "write_padded",
    "write_part",
]

KEY_BYTES: Final = 32
GROUP_ROWS: Final = 262_144
"""Rows of a row group, the unit that a reader skips: parts are sorted by vehicle, so most look-ups read one."""

_PADDING: Final = "padding"
_LEAST, _DOUBLED, _STEP = 64 * 1024, 16 * 1024 * 1024, 8 * 1024 * 1024
"""Bytes of the smallest padded part, up to where sizes double, and by how much they grow beyond: less than a footer."""

_DISK: Final = "underlying IO error"


@dataclass(frozen=True, slots=True)
class PartFile:
    """A part that was written: its rows, its bytes, and the SHA-256 of those in lower-case hex."""

    rows: int
    bytes: int
    sha256: str


def part_key(day_key: bytes, bundle: str, table: str, day: str, n: int) -> bytes:
    """The key of part ``n`` of a table and day (``YYYY-MM-DD`` or ``undated``): rules, "Requests and bundles".

    HKDF-SHA-256 over the day key without salt; info is the netstrings of bundle id, table, day and decimal number.

    Raises UsageError if the day key is not 32 bytes.
    """
    info = netstring(bundle.encode(), table.encode(), day.encode(), b"%d" % n)
    return HKDF(SHA256(), KEY_BYTES, salt=None, info=info).derive(_require_key(day_key))


def write_part(frame: pl.DataFrame, target: Path, key: bytes) -> PartFile:
    """Write the rows of ``frame``, in their order, to the new file ``target`` under ``key``.

    Raises StorageError if the file exists or cannot be written, and UsageError if the key is not 32 bytes.
    """
    size, sha256 = sink_part(frame.lazy(), target, key)
    return PartFile(frame.height, size, sha256)


def write_padded(frame: pl.DataFrame, target: Path, key: bytes) -> PartFile:
    """As `write_part`, to a file whose size says little of its rows: a power of two, or of 8 MiB a multiple.

    What fills it is a value of the footer's metadata, which is encrypted and which readers of Parquet do not look at.
    """
    trial = io.BytesIO()
    with opening():
        _sink(frame.lazy(), trial, key, padding=0)
    size, sha256 = sink_part(frame.lazy(), target, key, padding=_padding(trial.getbuffer().nbytes))
    return PartFile(frame.height, size, sha256)


def _padding(size: int) -> int:
    """How long the padding of a part must be that has ``size`` bytes when it is empty."""
    wanted = size
    while True:
        wanted = max(_LEAST, 1 << (wanted - 1).bit_length()) if wanted <= _DOUBLED else -(-wanted // _STEP) * _STEP
        # Seven bits of the length are in each byte before the text; an empty text has one such byte.
        for length in range(max(0, wanted - size - 4), wanted - size + 1):
            if size + length + max(0, (length.bit_length() - 1) // 7) == wanted:
                return length
        wanted += 1


def sink_part(frame: pl.LazyFrame, target: Path, key: bytes, *, padding: int | None = None) -> tuple[int, str]:
    """Collect ``frame`` in batches into the new file ``target`` under ``key``: its size and SHA-256.

    Nothing is left at ``target`` if this raises. Raises StorageError if the file exists or cannot be written,
    FormatError if the frame cannot be collected, and UsageError if the key is not 32 bytes.
    """
    _require_key(key)
    with storage_errors("a part cannot be created"):
        file = open(target, "x+b", opener=owner_only)  # noqa: SIM115 - closed below, removed if unfinished
    done = False
    try:
        with file, opening():
            _sink(frame, file, key, padding)
            file.flush()
            os.fsync(file.fileno())
            size = file.seek(0, os.SEEK_END)
            file.seek(0)
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
            done = True
    finally:
        if not done:
            target.unlink()
    return size, sha256


def _sink(frame: pl.LazyFrame, file: BinaryIO, key: bytes, padding: int | None) -> None:
    frame.sink_parquet(
        file,
        compression="zstd",
        compression_level=1,  # tokens are random: higher levels cost time and save nothing
        row_group_size=GROUP_ROWS,
        encryption=pl.ParquetEncryptionProperties(footer_key=_require_key(key)),
        metadata=None if padding is None else {_PADDING: "0" * padding},
        engine="streaming",
    )


def scan_part(path: Path, key: bytes) -> pl.LazyFrame:
    """The rows of the part at ``path``, decrypted as they are read. Errors of the later collect are polars' own.

    Raises StorageError if the file cannot be read, FormatError if it is not an encrypted part, and UsageError if the
    key is not 32 bytes.
    """
    decryption = pl.ParquetDecryptionProperties(footer_key=_require_key(key))
    with storage_errors("a part cannot be read"), path.open("rb") as file:
        _require_ends(file)
    return pl.scan_parquet(path, glob=False, hive_partitioning=False, decryption=decryption)


def scan_open(part: BinaryIO, key: bytes, columns: Mapping[str, pl.DataType]) -> pl.LazyFrame:
    """These columns of a part in an open file, which stays open until they are collected. Raises as `scan_part`.

    What is read is that file, whatever its name leads to by then. A column that the part has not is null; one of
    another type fails the collect.
    """
    decryption = pl.ParquetDecryptionProperties(footer_key=_require_key(key))
    with storage_errors("a part cannot be read"):
        _require_ends(part)
    return pl.scan_parquet(
        part, decryption=decryption, schema=dict(columns), missing_columns="insert", extra_columns="ignore"
    )


def scan_bytes(part: bytes, key: bytes) -> pl.LazyFrame:
    """The rows of a part that is in memory. Raises as `scan_part`; so does its later collect."""
    decryption = pl.ParquetDecryptionProperties(footer_key=_require_key(key))
    _require_ends(io.BytesIO(part))
    return pl.scan_parquet(part, decryption=decryption)


@contextmanager
def opening() -> Iterator[None]:
    """Turn what polars raises over a part into FormatError, or StorageError for the disk's faults, without its text."""
    refused = "a part cannot be read or written"
    with storage_errors(refused):
        try:
            yield
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
            # polars gives a full disk no class of its own. Its text is looked at, and never shown.
            if _DISK in str(error):
                raise StorageError(refused, hint="is the disk full?") from None
            raise FormatError("a part cannot be opened", hint="its key is another's, or it is damaged") from None


def _require_key(key: bytes) -> bytes:
    if len(key) != KEY_BYTES:
        raise UsageError("a part key is 32 bytes")
    return key


def _require_ends(part: BinaryIO) -> None:
    """Look at both ends of a part, and leave it at its start."""
    part.seek(0)
    head = part.read(len(MAGIC))
    part.seek(-min(len(MAGIC), part.seek(0, os.SEEK_END)), os.SEEK_END)
    tail = part.read(len(MAGIC))
    part.seek(0)
    # polars reads a plaintext file whatever key it is given; whoever can write to a store must not feed it one.
    if head != MAGIC or tail != MAGIC:
        raise FormatError("a part is not an encrypted parquet file")

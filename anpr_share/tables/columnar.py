"""A Parquet extract as frames of text cells.

- Only the needed columns are decoded, a batch at a time.
- Text, whole numbers, decimals and the like become text; columns of times and days keep their type, for `times`.
- A file of some kilobytes can decode to terabytes, and one of wrong lengths can crash the decoder. So decoding happens
  in a child process, `columnar_worker`, with a limit of time for each batch and, on Linux, of memory.
- A damaged or encrypted file is refused without the library's words, which may quote it.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import threading
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from anpr_share.errors import AnprShareError, FormatError, InputError
from anpr_share.tables.delimited import RAGGED

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from types import TracebackType


@dataclass(frozen=True, slots=True)
class ParquetLimits:
    """What a file may cost: bytes of a cell, bytes of a batch, bytes of the child's memory, seconds for a batch."""

    cell_bytes: int = 64 * 1024
    batch_bytes: int = 1024**3
    memory: int = 4 * 1024**3
    seconds: float = 60.0


_ANSWER_BYTES = 1024 * 1024


class ParquetReader(AbstractContextManager["ParquetReader"]):
    """Reads Parquet files, one after another, in one child process; it starts with the first file."""

    def __init__(self, limits: ParquetLimits | None = None) -> None:
        self._limits = limits or ParquetLimits()
        self._process: subprocess.Popen[bytes] | None = None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is None:
            return
        self._process.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            try:
                pipe.close()
            except BrokenPipeError:
                continue  # a job that the child did not live to read
        self._process.wait()
        self._process = None

    def check(self, path: Path, needed: Sequence[str]) -> None:
        """Make sure that the columns are there and of types that can be read.

        Raises:
            FormatError: the file is damaged or encrypted.
            InputError: columns are missing, or hold lists, structures or bytes.
        """
        for _ in self._batches(path, needed, (), None):
            raise AssertionError("no rows were asked for")

    def read(self, path: Path, needed: Sequence[str], rows: int, *, dated: Collection[str]) -> Iterator[pl.DataFrame]:
        """The rows: one column for each needed one, and `RAGGED`, which is false; ``rows`` to a frame.

        Columns in ``dated`` keep the type Date or Datetime if they have it; all others become String. Exhaust it before
        the next file.

        Raises:
            FormatError: the file is damaged, or needs more memory or time than allowed.
            InputError: a cell or a batch is too large.
        """
        for batch in self._batches(path, needed, dated, rows):
            yield batch.with_columns(pl.lit(value=False).alias(RAGGED))

    def _batches(
        self, path: Path, needed: Sequence[str], dated: Collection[str], rows: int | None
    ) -> Iterator[pl.DataFrame]:
        limits = {"cell_bytes": self._limits.cell_bytes, "batch_bytes": self._limits.batch_bytes}
        job = {"path": str(path.absolute()), "needed": list(needed), "dated": sorted(dated), "rows": rows, **limits}
        self._say(self._child(), job)
        while (answer := self._hear(path)).get("end") is not True:
            if "fault" in answer:
                raise _fault(path, answer, needed)
            yield answer["frame"]

    def _child(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "anpr_share.tables.columnar_worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                # `-m` looks for modules in the current directory first, which may be where a stranger's file was put.
                cwd=Path(__file__).resolve().parents[2],
                env=os.environ | {"RUST_BACKTRACE": "0"},
            )
            self._say(self._process, {"memory": self._limits.memory})
        return self._process

    def _say(self, child: subprocess.Popen[bytes], message: dict[str, Any]) -> None:
        assert child.stdin is not None
        try:
            child.stdin.write(json.dumps(message).encode() + b"\n")
            child.stdin.flush()
        except BrokenPipeError:
            return  # the child is dead, and reading its answer says so

    def _hear(self, path: Path) -> dict[str, Any]:
        """The child's next answer, with the batch that follows it under ``frame``."""
        child = self._child()
        assert child.stdout is not None
        timer = threading.Timer(self._limits.seconds, child.kill)
        timer.start()
        try:
            answer = json.loads(child.stdout.readline(_ANSWER_BYTES))
            if "bytes" in answer:
                size = int(answer["bytes"])
                payload = child.stdout.read(size) if 0 <= size <= 2 * self._limits.batch_bytes else b""
                answer["frame"] = pl.read_ipc_stream(io.BytesIO(payload))
        except (ValueError, TypeError, pl.exceptions.PolarsError):
            raise FormatError(
                f"{path.name} is damaged, or needs more memory or time to decode than allowed", hint="write it as CSV"
            ) from None
        else:
            assert isinstance(answer, dict)
            return answer
        finally:
            timer.cancel()


def _fault(path: Path, answer: dict[str, Any], needed: Sequence[str]) -> AnprShareError:
    columns = ", ".join(column for column in needed if column in answer.get("columns", ()))
    match answer["fault"]:
        case "missing":
            hint = "compare its columns with those in the profile"
            return InputError(f"{path.name} has no column {columns}", hint=hint)
        case "unfit":
            return InputError(f"{path.name} holds something other than text, numbers or times in column {columns}")
        case "oversize":
            return InputError(f"{path.name} holds cells of more than 64 KiB, or too many long ones")
        case _:
            return FormatError(f"{path.name} is a damaged or an encrypted Parquet file")

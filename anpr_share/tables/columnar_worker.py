"""The child process that decodes a Parquet extract, so that a hostile file takes down nothing but the child.

It reads jobs (a JSON line each) and answers with JSON lines: a fault; or, for each batch, its length, followed by that
many bytes of an Arrow stream; then an end. Cells go through the pipe and never to disk. It runs only under `columnar`.
"""

from __future__ import annotations

import io
import json
import sys
from typing import IO, TYPE_CHECKING, Any

import polars as pl

from anpr_share.child import limit_this_process

if TYPE_CHECKING:
    from collections.abc import Iterator

TYPED = (pl.Date, pl.Datetime)  # compared one by one: Datetime("us") equals Datetime, and hashes differently
_UNFIT = (pl.Binary, pl.Object, pl.Duration)
_FAILURES = (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError, MemoryError)


def main(jobs: IO[bytes], answers: IO[bytes]) -> None:
    """Answer each job in turn. The first line says how much memory there is."""
    limit_this_process(memory=json.loads(jobs.readline())["memory"])
    for job in jobs:
        try:
            for answer, payload in _answers(json.loads(job)):
                answers.write(json.dumps(answer).encode() + b"\n" + payload)
                answers.flush()
        except _FAILURES:  # their texts may quote the file
            answers.write(json.dumps({"fault": "damaged"}).encode() + b"\n")
            answers.flush()


def _answers(job: dict[str, Any]) -> Iterator[tuple[dict[str, Any], bytes]]:
    scan = pl.scan_parquet(job["path"], glob=False)
    schema, needed = scan.collect_schema(), job["needed"]
    missing = [column for column in needed if column not in schema]
    unfit = [column for column in needed if column in schema and _is_unfit(schema[column])]
    inexact = [column for column in job["names"] if column in schema and _is_inexact(schema[column])]
    for fault, columns in (("missing", missing), ("unfit", unfit), ("inexact", inexact)):
        if columns:
            yield {"fault": fault, "columns": columns}, b""
            return
    if job["rows"] is None:
        yield {"end": True}, b""
        return
    texts = [column for column in needed if column not in job["dated"] or schema[column] not in TYPED]
    for batch in scan.select(needed).collect_batches(chunk_size=job["rows"], maintain_order=True):
        if is_oversize(batch, job["cell_bytes"], job["batch_bytes"]):
            yield {"fault": "oversize"}, b""
            return
        stream = io.BytesIO()
        batch.with_columns(pl.col(texts).cast(pl.String, strict=False)).write_ipc_stream(stream)
        payload = stream.getvalue()
        yield {"bytes": len(payload)}, payload
    yield {"end": True}, b""


def _is_unfit(dtype: pl.DataType) -> bool:
    return dtype.is_nested() or dtype in _UNFIT


def _is_inexact(dtype: pl.DataType) -> bool:
    """Whether a whole number of this type becomes text with a decimal point."""
    return dtype.is_float() or (isinstance(dtype, pl.Decimal) and dtype.scale > 0)


def is_oversize(batch: pl.DataFrame, cell_bytes: int, batch_bytes: int) -> bool:
    """Whether a cell or all cells together have more bytes than allowed."""
    sizes = batch.select(pl.col(pl.String).str.len_bytes().cast(pl.UInt64))
    if not sizes.height or not sizes.width:
        return False
    longest, totals = sizes.max().row(0), sizes.sum().row(0)
    return max(size or 0 for size in longest) > cell_bytes or sum(totals) > batch_bytes


if __name__ == "__main__":
    main(sys.stdin.buffer, sys.stdout.buffer)

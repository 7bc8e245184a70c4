"""The child process that decodes a Parquet extract, so that a hostile file takes down nothing but the child.

It reads jobs (a JSON line each) and answers with JSON lines: a fault; or, for each batch, its length, followed by that
many bytes of an Arrow stream; then an end. Cells go through the pipe and never to disk. It runs only under `columnar`.
"""

from __future__ import annotations

import io
import json
import os
import sys
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import polars as pl

if TYPE_CHECKING:
    from collections.abc import Iterator

_TYPED = (pl.Date, pl.Datetime)  # compared one by one: Datetime("us") equals Datetime, and hashes differently
_UNFIT = (pl.Binary, pl.Object, pl.Duration)
_FAILURES = (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError, MemoryError)


def main(jobs: IO[bytes], answers: IO[bytes]) -> None:
    """Answer each job in turn. The first line says how much memory there is."""
    _limit_process(json.loads(jobs.readline())["memory"])
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
    if missing or unfit:
        yield {"fault": "missing" if missing else "unfit", "columns": missing or unfit}, b""
        return
    if job["rows"] is None:
        yield {"end": True}, b""
        return
    texts = [column for column in needed if column not in job["dated"] or schema[column] not in _TYPED]
    for batch in scan.select(needed).collect_batches(chunk_size=job["rows"], maintain_order=True):
        if _is_oversize(batch, job["cell_bytes"], job["batch_bytes"]):
            yield {"fault": "oversize"}, b""
            return
        stream = io.BytesIO()
        batch.with_columns(pl.col(texts).cast(pl.String, strict=False)).write_ipc_stream(stream)
        payload = stream.getvalue()
        yield {"bytes": len(payload)}, payload
    yield {"end": True}, b""


def _is_unfit(dtype: pl.DataType) -> bool:
    return dtype.is_nested() or dtype in _UNFIT


def _is_oversize(batch: pl.DataFrame, cell_bytes: int, batch_bytes: int) -> bool:
    sizes = batch.select(pl.col(pl.String).str.len_bytes().cast(pl.UInt64))
    if not sizes.height or not sizes.width:
        return False
    longest, totals = sizes.max().row(0), sizes.sum().row(0)
    return max(size or 0 for size in longest) > cell_bytes or sum(totals) > batch_bytes


def _limit_process(memory: int) -> None:
    if sys.platform == "win32":
        return
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        # polars reserves address space for its threads and its allocator when it first runs: that is not the file's.
        pl.LazyFrame({"x": [0]}).select(pl.col("x").sum()).collect(engine="streaming")
        pages = int(Path("/proc/self/statm").read_text("ascii").split()[0])
        limit = pages * os.sysconf("SC_PAGE_SIZE") + memory
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        limit = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


if __name__ == "__main__":
    main(sys.stdin.buffer, sys.stdout.buffer)

"""A module of this package as a child process, which a hostile file may crash, exhaust or take over.

Guarantees: the child is told things over its standard input only, a JSON object a line; what it says on standard error
is thrown away; it is killed when it takes too long and with its parent's context; modules in the current directory are
not run. Its answers are bytes that whoever asked must read as something that a stranger wrote.

The child is a process of the same user, not a sandbox.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


class Child:
    """One running child, as its parent sees it. Whoever makes it closes it."""

    def __init__(self, module: str, environment: Mapping[str, str] | None = None) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            # `-m` looks for modules in the current directory first, which may be where a stranger's file was put.
            cwd=Path(__file__).resolve().parents[1],
            env={**os.environ, "RUST_BACKTRACE": "0", **(environment or {})},
        )

    def say(self, message: Mapping[str, Any]) -> None:
        """Tell the child one thing; if it is dead, reading its answer says so."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(message).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            return

    def line(self, limit: int) -> bytes:
        """The next line of its answer, without a line end if the child died or the line is longer than ``limit``."""
        assert self._process.stdout is not None
        return self._process.stdout.readline(limit)

    def read(self, size: int) -> bytes:
        """The next ``size`` bytes of its answer, fewer if the child died."""
        assert self._process.stdout is not None
        return self._process.stdout.read(size)

    @contextmanager
    def within(self, seconds: float) -> Iterator[threading.Event]:
        """Kill the child if the block takes longer; the event says that this happened."""
        late = threading.Event()

        def give_up() -> None:
            late.set()
            self._process.kill()

        timer = threading.Timer(seconds, give_up)
        timer.start()
        try:
            yield late
        finally:
            timer.cancel()

    def end(self) -> None:
        """Kill the child and wait until it is gone. May be called again."""
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        """End the child and give back its pipes."""
        self._process.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            try:
                pipe.close()
            except BrokenPipeError:
                continue  # something that the child did not live to read
        self._process.wait()


def limit_this_process(*, memory: int, file_size: int | None = None) -> None:
    """In the child: no core dumps, and limits where the system has them.

    ``memory`` is what it may map beyond what it maps when idle (on Linux), ``file_size`` the size of a file that it
    writes (not on Windows).
    """
    if sys.platform == "win32":
        return
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if file_size is not None:
        _lower(resource.RLIMIT_FSIZE, file_size)
    if sys.platform == "linux":
        import polars as pl

        # polars reserves address space for its threads and its allocator when it first runs: that is not the file's.
        pl.LazyFrame({"x": [0]}).select(pl.col("x").sum()).collect(engine="streaming")
        pages = int(Path("/proc/self/statm").read_text("ascii").split()[0])
        _lower(resource.RLIMIT_AS, pages * resource.getpagesize() + memory)


def _lower(kind: int, value: int) -> None:
    import resource

    _, hard = resource.getrlimit(kind)
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(kind, (value, value))

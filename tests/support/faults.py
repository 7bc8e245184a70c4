"""What may go wrong at each thing that a command writes: the process is killed, or the disk is full from there on.

`in_a_fork` runs a job in a fork of this process and lets a fault happen at its k-th write. A write is: a file opened
for writing, the first byte for it, a rename, a removal, a directory made or removed, an fsync, and each statement of
SQLite that writes, ``BEGIN`` and ``COMMIT`` included. (What happens inside a ``COMMIT``: `tests.support.commits`.) The
child process that decodes parts is a fork too, and its writes count as well.

Forking is quick, and safe only while this process has no threads: it must not have let polars run a query. So this
module is used by programs that the tests start (`tests.support.crashes`), and by no test directly.
"""

from __future__ import annotations

import errno
import json
import mmap
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import IO, Any, Final, Literal, NoReturn

from anpr_share import child, part_check
from anpr_share.errors import StorageError
from anpr_share.site import database
from tests.support.sites import Done

Kind = Literal["kill", "full", "full-once", "read-only"]
_WRITES_SQL: Final = ("BEGIN IMMEDIATE", "COMMIT", "INSERT", "UPDATE", "DELETE")
_REMOVALS: Final = ("os.remove", "os.rmdir")
_CREATIONS: Final = ("os.rename", "os.mkdir")
_TEXTS: Final = {"full": "the disk is full", "read-only": "the files of this site cannot be written"}
_NUMBERS: Final = {"full": errno.ENOSPC, "read-only": errno.EROFS}


@dataclass(frozen=True)
class Fault:
    """What happens at the ``at``-th write, counted from 1; of ``full`` and ``read-only`` at every later one too.

    ``below`` names folders: only what is written in them counts, and of the databases nothing.
    """

    kind: Kind
    at: int
    below: tuple[str, ...] = ()

    @property
    def removals(self) -> bool:
        """Whether removing something counts: it needs no room, but a read-only disk refuses it."""
        return not self.kind.startswith("full")


@dataclass(frozen=True)
class Ended:
    """How a fork ended: what its job returned, None if it was killed, and whether the fault was ever reached."""

    done: Done | None
    reached: bool
    writes: int


class _Counter:
    """Counts writes of a process and its forks, and lets the fault happen."""

    def __init__(self, fault: Fault) -> None:
        self.fault = fault
        self.main = os.getpid()
        self._shared = mmap.mmap(-1, 8)
        self._active = True
        sys.addaudithook(self._audit)
        self._patch()

    @property
    def writes(self) -> int:
        return int.from_bytes(self._shared[:8], "little")

    def hit(self, *, sql: bool = False) -> None:
        writes = self.writes + 1
        self._shared[:8] = writes.to_bytes(8, "little")
        kind, at = self.fault.kind, self.fault.at
        if writes < at or (writes > at and kind in {"kill", "full-once"}):
            return
        if kind == "kill":
            os.kill(self.main, signal.SIGKILL)
            return  # of a child only its parent dies: it goes on by itself
        short = "read-only" if kind == "read-only" else "full"
        if sql:
            raise StorageError(_TEXTS[short])
        raise OSError(_NUMBERS[short], os.strerror(_NUMBERS[short]))

    def _audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            path, _, flags = arguments
            if isinstance(path, int) or not flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
                return
        elif event in _CREATIONS or (event in _REMOVALS and self.fault.removals):
            path = arguments[0]
        else:
            return
        name = os.fsdecode(path)
        if name.startswith("/dev/") and not name.startswith("/dev/shm/"):
            return
        if self._inside(name):
            self.hit()

    def _inside(self, name: str) -> bool:
        return not self.fault.below or str(Path(name).absolute()).startswith(self.fault.below)

    def _patch(self) -> None:
        fsync, fdopen = os.fsync, os.fdopen
        execute, executemany = database.Connection.execute, database.Connection.executemany

        def counted_fsync(fd: Any) -> None:
            if self._inside(str(Path(f"/proc/self/fd/{fd}").readlink())):
                self.hit()
            fsync(fd)

        def counted_fdopen(fd: int, mode: str = "r", *arguments: Any, **named: Any) -> Any:
            # The file is there, and there is nothing in it.
            if "w" in mode and self._inside(str(Path(f"/proc/self/fd/{fd}").readlink())):
                self.hit()
            return fdopen(fd, mode, *arguments, **named)

        def counted(original: Callable[..., Any]) -> Callable[..., Any]:
            def run(connection: database.Connection, sql: str, *parameters: Any) -> Any:
                if not self.fault.below and sql.lstrip().startswith(_WRITES_SQL):
                    self.hit(sql=True)
                return original(connection, sql, *parameters)

            return run

        os.fsync = counted_fsync
        os.fdopen = counted_fdopen
        database.Connection.execute = counted(execute)  # type: ignore[method-assign]
        database.Connection.executemany = counted(executemany)  # type: ignore[method-assign]


def in_a_fork(job: Callable[[], Done], fault: Fault | None = None) -> Ended:
    """Run a job in a fork of this process, and wait until the fork and everything that it started have ended."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reader)
        _run(job, fault, writer)
    os.close(writer)
    with os.fdopen(reader, "rb") as told:
        answer = told.read()
    status = os.waitpid(pid, 0)[1]
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return Ended(None, reached=True, writes=0)
    assert os.waitstatus_to_exitcode(status) == 0, "the job raised: see above"
    values = json.loads(answer)
    writes = values.pop("writes")
    return Ended(Done(**values), reached=fault is not None and writes >= fault.at, writes=writes)


def _run(job: Callable[[], Done], fault: Fault | None, writer: int) -> NoReturn:
    code = 1
    try:
        _replace_workers()
        counter = None if fault is None else _Counter(fault)
        values = asdict(job())
        del values["data"]
        os.write(writer, json.dumps(values | {"writes": counter.writes if counter else 0}).encode())
        code = 0
    except BaseException:  # noqa: BLE001 # the parent asserts that this never happens
        sys.excepthook(*sys.exc_info())
        sys.stderr.flush()
    os._exit(code)


def load_and_die(load: Callable[[], Done], before_work: Callable[[], object]) -> NoReturn:
    """Load a bundle in this process, a fork, and be killed when the child was told its first part.

    ``before_work`` is called in the child before it reads that.
    """
    _replace_workers()
    ForkedWorker.before_work = staticmethod(before_work)
    say = child.Child.say
    told: list[None] = []

    def say_and_die(self: child.Child, message: Mapping[str, Any]) -> None:
        say(self, message)
        told.append(None)
        if len(told) == 2:
            os.kill(os.getpid(), signal.SIGKILL)

    child.Child.say = say_and_die  # type: ignore[method-assign]
    load()
    os._exit(1)


def _replace_workers() -> None:
    child.subprocess = SimpleNamespace(  # type: ignore[attr-defined, assignment]
        Popen=ForkedWorker, PIPE=subprocess.PIPE, DEVNULL=subprocess.DEVNULL
    )


class ForkedWorker:
    """Stands in for the child process that decodes parts: a fork of the command, and no new interpreter."""

    before_work: Callable[[], object] = staticmethod(lambda: None)
    """Called in the child before it reads anything."""

    def __init__(self, *_: object, **__: object) -> None:
        jobs_read, jobs_write = os.pipe()
        answers_read, answers_write = os.pipe()
        self._status: int | None = None
        self._pid = os.fork()
        if self._pid == 0:
            os.close(jobs_write)
            os.close(answers_read)
            self._work(jobs_read, answers_write)
        os.close(jobs_read)
        os.close(answers_write)
        self.stdin: IO[bytes] = os.fdopen(jobs_write, "wb")
        self.stdout: IO[bytes] = os.fdopen(answers_read, "rb")

    def _work(self, jobs: int, answers: int) -> NoReturn:
        code = 1
        try:
            ForkedWorker.before_work()
            with os.fdopen(jobs, "rb") as told, os.fdopen(answers, "wb") as said:
                part_check.main(told, said)
            code = 0
        finally:
            os._exit(code)

    def kill(self) -> None:
        """End the child."""
        if self._status is None:
            os.kill(self._pid, signal.SIGKILL)

    def wait(self) -> int:
        """Wait until the child has ended."""
        if self._status is None:
            self._status = os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])
        return self._status


def memory() -> Path | None:
    """A folder in memory, if there is one: a killed process loses nothing that only waits for the disk."""
    folder = Path("/dev/shm")
    return folder if os.access(folder, os.W_OK) else None

"""A program that the tests of commits start: every state of the disk that one COMMIT over three databases can leave.

    python -m tests.support.commits kill|power

The commit is a real one of SQLite's, in a fork that is traced (ptrace, as a debugger does it) and so stands still
before and after each of its system calls. What the files hold then is what a kill at that moment leaves, exactly.

After a power cut a file may be what it was when it was last synced, or what half or all of the writes since made of it,
each file for itself; and a name that was made or removed may be there or not until its directory is synced. All
combinations are states too. Not tried: writes of one file that reach the disk in another order, and torn pages.

Each state is put back in place, opened as a command opens a site, and must be all of the transaction or nothing of it;
if nothing, it is done once more. No key that went may then be left in a journal.

Printed: a JSON object with the number of states, of those before and after the decision, and what was wrong.
"""

from __future__ import annotations

import ctypes
import itertools
import json
import os
import platform
import signal
import struct
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from anpr_share.errors import AnprShareError
from anpr_share.site import database
from anpr_share.site.layout import Paths, create_directories
from tests.support.faults import memory

_TRACEME, _SYSCALL, _SETOPTIONS, _GET_SYSCALL_INFO = 0, 24, 0x4200, 0x420E
_MARK_CALLS, _OF_A_CALL = 1, signal.SIGTRAP | 0x80
_ENTRY, _EXIT = 1, 2
_INFO: Final = struct.Struct("=B3xIQQQQ")
"""Which kind of stop, architecture, two pointers; of an entry then the call's number and first argument."""
_SYNCS: Final = {"x86_64": (74, 75), "aarch64": (82, 83)}
"""The numbers of fsync and fdatasync."""

Files = dict[str, bytes]


@dataclass(frozen=True)
class Moment:
    """What the files hold while the commit stands still, and which of them, or ".", it has just synced."""

    files: Files
    synced: str | None


@dataclass
class Told:
    """How many states there were, which side of the decision they were on, and what was wrong."""

    states: int = 0
    outcomes: dict[str, int] = field(default_factory=dict)
    wrongs: list[str] = field(default_factory=list)

    def look(self, paths: Paths, files: Files, allowed: set[str]) -> str:
        """Open one state. Its outcome must be one of the ``allowed``."""
        self.states += 1
        put_back(paths, files)
        outcome = truth(paths)
        self.outcomes[outcome] = self.outcomes.get(outcome, 0) + 1
        if outcome not in allowed:
            shape = {name: len(content) for name, content in sorted(files.items())}
            self.wrongs.append(f"{outcome}, and not {' or '.join(sorted(allowed))}: {shape}")
        return outcome


# --- the transaction


def prepare(paths: Paths) -> None:
    """What is there before."""
    database.create(paths)
    connection = database.connect(paths)
    with database.transaction(connection):
        connection.execute("INSERT INTO keys.onetime_key VALUES ('request', '2026-10-01', randomblob(5000))")
        connection.execute("INSERT INTO vault.secret VALUES ('a', 'b', randomblob(5000))")
        connection.execute("INSERT INTO ledger VALUES (1, randomblob(9000), NULL)")
    connection.close()


def transact(connection: database.Connection) -> None:
    """A key goes, others come, another is replaced, and the ledger says so."""
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("DELETE FROM keys.onetime_key")
    connection.execute("INSERT INTO keys.day_key VALUES ('msv', 'reads', '2026-10-01', 'b', randomblob(5000))")
    connection.execute("UPDATE vault.secret SET wrapped = zeroblob(5000)")
    connection.execute("INSERT INTO ledger VALUES (2, randomblob(9000), NULL)")
    connection.execute("COMMIT")


_BEFORE, _AFTER = (1, 0, 0, 1), (0, 1, 1, 2)


def truth(paths: Paths) -> str:
    """``before``, ``after``, or what is wrong."""
    try:
        connection = database.connect(paths)
        try:
            row = connection.row(
                "SELECT (SELECT count(*) FROM keys.onetime_key), (SELECT count(*) FROM keys.day_key),"
                " (SELECT count(*) FROM vault.secret WHERE wrapped = zeroblob(5000)), (SELECT count(*) FROM ledger)"
            )
            # Journals of what was not decided on hold what the databases hold, until the next transaction.
            if row == _BEFORE:
                transact(connection)
            sound = all(connection.rows(f"PRAGMA {name}.integrity_check") == [("ok",)] for name in database.SCHEMAS)
        finally:
            connection.close()
    except AnprShareError as error:
        return f"refused: {error.message}"
    if not sound:
        return "a damaged database"
    if left := [path.name for path in paths.root.glob("*-journal") if path.stat().st_size]:
        return f"old pages in {', '.join(left)}"
    return {_BEFORE: "before", _AFTER: "after"}.get(row or (), f"torn: {row}")


# --- what is on the disk


def read(paths: Paths) -> Files:
    """The content of every file of the databases, by name."""
    return {path.name: path.read_bytes() for path in paths.root.glob("*.db*")}


def put_back(paths: Paths, files: Files) -> None:
    """Make the directory hold these files."""
    for path in paths.root.glob("*.db*"):
        path.unlink()
    for name, content in files.items():
        (paths.root / name).write_bytes(content)


_REFUSED = 77


def record(paths: Paths) -> list[Moment]:
    """Run the transaction under trace. Raises :class:`OSError` where this system does not let us."""
    syncs = _SYNCS[platform.machine()]
    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptrace.argtypes = (ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p)
    libc.ptrace.restype = ctypes.c_long

    def ptrace(request: int, pid: int = 0, size: int = 0, data: int = 0) -> None:
        if libc.ptrace(request, pid, size, data) < 0:
            raise OSError(ctypes.get_errno(), "this process may not be traced")

    pid = os.fork()
    if pid == 0:
        try:
            connection = database.connect(paths)
            try:
                ptrace(_TRACEME)
            except OSError:
                os._exit(_REFUSED)
            os.kill(os.getpid(), signal.SIGSTOP)
            transact(connection)
            os.kill(os.getpid(), signal.SIGSTOP)
        finally:
            os._exit(1)
    stopped = os.waitpid(pid, 0)[1]
    if not os.WIFSTOPPED(stopped):
        if os.waitstatus_to_exitcode(stopped) == _REFUSED:
            raise PermissionError("this process may not be traced")
        raise RuntimeError("the process to be traced failed before its commit")
    moments: list[Moment] = []
    syncing = None
    try:
        ptrace(_SETOPTIONS, pid, data=_MARK_CALLS)
        while os.WIFSTOPPED(stopped):
            if os.WSTOPSIG(stopped) == signal.SIGSTOP and moments:
                return moments
            synced = None
            if os.WSTOPSIG(stopped) == _OF_A_CALL:
                buffer = ctypes.create_string_buffer(128)
                ptrace(_GET_SYSCALL_INFO, pid, len(buffer), ctypes.addressof(buffer))
                kind, _, _, _, number, descriptor = _INFO.unpack_from(buffer)
                if kind == _ENTRY:
                    place = Path(f"/proc/{pid}/fd/{descriptor}")
                    syncing = place.readlink().relative_to(paths.root).as_posix() if number in syncs else None
                elif kind == _EXIT:
                    synced = syncing
            moments.append(Moment(read(paths), synced))
            ptrace(_SYSCALL, pid)
            stopped = os.waitpid(pid, 0)[1]
    finally:
        with suppress(ProcessLookupError, ChildProcessError):  # it may have ended by itself
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
    raise RuntimeError("the traced commit did not come to its end")


# --- the states


def killed(paths: Paths, moments: list[Moment]) -> Told:
    """A kill at each moment: before the decision, and from some moment on after it."""
    told, allowed, last = Told(), {"before", "after"}, None
    for moment in moments:
        if moment.files == last:
            continue
        last = moment.files
        if told.look(paths, moment.files, allowed) == "after":
            allowed = {"after"}
    return told


def cut(paths: Paths, moments: list[Moment]) -> Told:
    """The power goes at each moment; once the commit is done, everything must be there whatever was not yet synced."""
    told, seen = Told(), set()
    for index, states in enumerate(_survivors(moments)):
        allowed = {"after"} if index == len(moments) - 1 else {"before", "after"}
        for state in states:
            # Looked at again at the end, where fewer outcomes are allowed.
            mark = (hash(frozenset(state.items())), len(allowed))
            if mark not in seen:
                seen.add(mark)
                told.look(paths, state, allowed)
    return told


def _survivors(moments: list[Moment]) -> Iterator[Iterator[Files]]:
    """For each moment, what may be left of it."""
    durable = set(moments[0].files)  # names
    contents = {name: [content] for name, content in moments[0].files.items()}  # since the last sync of each
    for moment in moments:
        for name, content in moment.files.items():
            versions = contents.setdefault(name, [])
            if not versions or versions[-1] != content:
                versions.append(content)
        if moment.synced == ".":
            durable = set(moment.files)
        elif moment.synced is not None:
            contents[moment.synced] = [moment.files[moment.synced]]
        names = sorted(durable | set(moment.files))
        choices: list[list[bytes | None]] = [
            [*_reached(contents[name]), *([] if name in durable and name in moment.files else [None])] for name in names
        ]
        yield (
            {name: content for name, content in zip(names, chosen, strict=True) if content is not None}
            for chosen in itertools.product(*choices)
        )


def _reached(versions: list[bytes]) -> list[bytes]:
    """Without the writes since the last sync, with half, and with all of them."""
    return list(dict.fromkeys((versions[0], versions[len(versions) // 2], versions[-1])))


def main(kind: str) -> None:
    """Record one commit and look at every state that it may leave."""
    with tempfile.TemporaryDirectory(dir=memory()) as folder:
        paths = create_directories(Path(folder).resolve() / "site")
        prepare(paths)
        try:
            moments = record(paths)
        except (OSError, KeyError) as error:  # a failure of the commit itself is a RuntimeError, and no excuse
            sys.stdout.write(json.dumps({"cannot": str(error)}) + "\n")
            return
        told = (killed if kind == "kill" else cut)(paths, moments)
    sys.stdout.write(json.dumps({"states": told.states, "outcomes": told.outcomes, "wrongs": told.wrongs[:20]}) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Files that appear all at once or not at all, wherever the process is killed.

The crash tests run this file as a script: it forks, kills the fork before its n-th step, lets recovery run (and be
killed at each of its own steps), and looks at what there is; then the same for every n.
"""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from anpr_share.errors import FormatError, StorageError, UsageError
from anpr_share.site import database, publication
from anpr_share.site.database import transaction
from anpr_share.site.layout import Paths, create_directories

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

FINALS = ("store/msv/reads/2026-10-01/b-0.parquet", "store/msv/reads/2026-10-02/b-0.parquet", "outbox/receipt.json")


def new_site(root: Path) -> Paths:
    paths = create_directories(root)
    database.create(paths)
    return paths


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return new_site(tmp_path / "site")


@pytest.fixture
def db(paths: Paths) -> Iterator[database.Connection]:
    connection = database.connect(paths)
    yield connection
    connection.close()


def staged(db: database.Connection, paths: Paths, *finals: Path) -> tuple[publication.Publication, ...]:
    publications = publication.stage(db, paths, finals)
    for item in publications:
        with item.temporary.open("wb") as file:
            file.write(b"whole")
            os.fsync(file.fileno())
    return publications


def committed(db: database.Connection, paths: Paths, *finals: Path) -> tuple[publication.Publication, ...]:
    publications = staged(db, paths, *finals)
    with transaction(db):
        publication.commit(db, publications)
    return publications


def files_below(root: Path) -> set[str]:
    found = {path.relative_to(root).as_posix() for path in root.rglob("*") if not path.is_dir()}
    return found - {
        "site.db",
        "keys.db",
        "vault.db",
        "lock.db",
        "site.db-journal",
        "keys.db-journal",
        "vault.db-journal",
    }


def test_a_file_appears_at_the_finish_and_not_before(paths: Paths, db: database.Connection) -> None:
    final = paths.outbox / "out.json"
    publications = committed(db, paths, final)
    assert not final.exists()
    publication.finish(db, paths, publications)
    assert final.read_bytes() == b"whole"
    assert files_below(paths.root) == {"outbox/out.json"}
    assert publication.pending(db, paths) == ()
    assert publication.recover(db, paths) == publication.Recovery()


def test_a_directory_is_published_like_a_file(paths: Paths, db: database.Connection) -> None:
    (item,) = publication.stage(db, paths, [paths.outbox / "folder"])
    item.temporary.mkdir()
    (item.temporary / "inside").write_bytes(b"1")
    with transaction(db):
        publication.commit(db, [item])
    publication.finish(db, paths, [item])
    assert (paths.outbox / "folder" / "inside").read_bytes() == b"1"


def test_a_place_that_is_taken_is_refused_before_anything_is_recorded(paths: Paths, db: database.Connection) -> None:
    taken = paths.outbox / "out.json"
    taken.write_bytes(b"mine")
    with pytest.raises(StorageError, match="already where"):
        publication.stage(db, paths, [paths.outbox / "other.json", taken])
    assert publication.pending(db, paths) == ()
    assert taken.read_bytes() == b"mine"


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
def test_a_name_that_is_not_utf_8_is_refused_before_anything_is_made(paths: Paths, db: database.Connection) -> None:
    with pytest.raises(UsageError, match="not UTF-8: rename it"):
        publication.stage(db, paths, [paths.outbox / "new" / os.fsdecode(b"r\xffeads.csv")])
    assert not (paths.outbox / "new").exists()
    assert publication.pending(db, paths) == ()


def test_a_record_of_a_name_that_no_file_can_have_is_refused(paths: Paths, db: database.Connection) -> None:
    db.execute("INSERT INTO publication VALUES (?, ?, 'staging')", ("0" * 32, "a\0b"))
    with pytest.raises(FormatError, match="not one of ours"):
        publication.recover(db, paths)


def test_what_fails_is_abandoned_without_a_trace(paths: Paths, db: database.Connection) -> None:
    publications = staged(db, paths, *(paths.root / final for final in FINALS))
    publication.abandon(db, paths, publications)
    assert files_below(paths.root) == set()
    assert list(paths.store.iterdir()) == []
    assert publication.pending(db, paths) == ()


def test_publishing_finishes_what_was_committed_and_abandons_the_rest(paths: Paths, db: database.Connection) -> None:
    seen, unseen = paths.outbox / "seen", paths.outbox / "unseen"
    with publication.publishing(db, paths, [seen, unseen]) as files:
        for item in files:
            item.temporary.write_bytes(b"whole")
        with transaction(db):
            publication.commit(db, files[:1])
        assert not seen.exists()
    assert files_below(paths.root) == {"outbox/seen"}
    assert publication.pending(db, paths) == ()


def test_publishing_leaves_nothing_of_what_fails(paths: Paths, db: database.Connection) -> None:
    def interrupted() -> None:
        with publication.publishing(db, paths, [paths.outbox / "x"]) as (item,):
            item.temporary.write_bytes(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert files_below(paths.root) == set()
    assert publication.pending(db, paths) == ()


def test_publishing_that_fails_after_the_decision_is_finished_by_the_next(
    paths: Paths, db: database.Connection
) -> None:
    def interrupted() -> None:
        with publication.publishing(db, paths, [paths.outbox / "x"]) as files:
            files[0].temporary.write_bytes(b"whole")
            with transaction(db):
                publication.commit(db, files)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert publication.recover(db, paths).finished == (paths.outbox / "x",)


def test_what_is_committed_is_not_abandoned(paths: Paths, db: database.Connection) -> None:
    publications = committed(db, paths, paths.outbox / "out.json")
    publication.abandon(db, paths, publications)
    assert publication.pending(db, paths) == publications


def test_an_abandoned_file_cannot_be_committed(paths: Paths, db: database.Connection) -> None:
    publications = staged(db, paths, paths.outbox / "out.json")
    publication.abandon(db, paths, publications)
    with pytest.raises(StorageError, match="abandoned"), transaction(db):
        publication.commit(db, publications)


def test_recovery_removes_what_was_staged_and_finishes_what_was_committed(
    paths: Paths, db: database.Connection
) -> None:
    staged(db, paths, paths.outbox / "staged")
    (folder,) = publication.stage(db, paths, [paths.outbox / "folder"])
    folder.temporary.mkdir()
    (folder.temporary / "inside").write_bytes(b"1")
    publication.stage(db, paths, [paths.outbox / "never-written"])
    committed(db, paths, paths.outbox / "committed")
    outcome = publication.recover(db, paths)
    assert outcome.finished == (paths.outbox / "committed",)
    assert [item.name for item in outcome.discarded] == ["staged", "folder", "never-written"]
    assert files_below(paths.root) == {"outbox/committed"}
    assert publication.recover(db, paths) == publication.Recovery()


def test_a_place_taken_meanwhile_is_never_overwritten(paths: Paths, db: database.Connection) -> None:
    publications = committed(db, paths, paths.outbox / "out.json")
    (paths.outbox / "out.json").write_bytes(b"mine")
    with pytest.raises(StorageError, match="final name"):
        publication.finish(db, paths, publications)
    assert publication.recover(db, paths).waiting == (paths.outbox / "out.json",)
    assert (paths.outbox / "out.json").read_bytes() == b"mine"
    (paths.outbox / "out.json").unlink()
    assert publication.recover(db, paths).finished == (paths.outbox / "out.json",)
    assert (paths.outbox / "out.json").read_bytes() == b"whole"


def test_a_lost_temporary_is_told_and_does_not_hold_up_later_commands(paths: Paths, db: database.Connection) -> None:
    (lost,) = committed(db, paths, paths.outbox / "lost")
    committed(db, paths, paths.outbox / "kept")
    lost.temporary.unlink()
    outcome = publication.recover(db, paths)
    assert (outcome.lost, outcome.finished) == ((paths.outbox / "lost",), (paths.outbox / "kept",))
    assert publication.recover(db, paths) == publication.Recovery()


def test_a_missing_directory_is_refused_and_not_made(paths: Paths, db: database.Connection, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="directory of the output does not exist"):
        publication.stage(db, paths, [paths.store / "msv" / "part", tmp_path / "new" / "out.json"])
    assert not (tmp_path / "new").exists()
    assert list(paths.store.iterdir()) == []
    assert publication.pending(db, paths) == ()


def broken_sync(monkeypatch: pytest.MonkeyPatch, directory: Path, number: int) -> None:
    """Let the fsync of this directory fail."""
    fsync, bad = os.fsync, directory.stat()

    def sync(descriptor: int) -> None:
        if os.path.samestat(os.fstat(descriptor), bad):
            raise OSError(number, os.strerror(number))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", sync)


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOTSUP])
def test_a_file_system_without_directory_sync_is_written_to(
    paths: Paths, db: database.Connection, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, number: int
) -> None:
    broken_sync(monkeypatch, tmp_path, number)
    publication.finish(db, paths, committed(db, paths, tmp_path / "bundle"))
    assert (tmp_path / "bundle").read_bytes() == b"whole"
    assert publication.pending(db, paths) == ()


def test_a_directory_that_fails_is_refused_before_anything_is_recorded(
    paths: Paths, db: database.Connection, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    broken_sync(monkeypatch, tmp_path, errno.EIO)
    with pytest.raises(StorageError, match="directory of the output cannot be used"):
        publication.stage(db, paths, [tmp_path / "bundle"])
    assert publication.pending(db, paths) == ()


def test_a_directory_that_fails_later_holds_up_its_own_files_alone(
    paths: Paths, db: database.Connection, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (stuck,) = committed(db, paths, tmp_path / "bundle")
    committed(db, paths, paths.outbox / "out.json")
    with monkeypatch.context() as patch:
        broken_sync(patch, tmp_path, errno.EIO)
        outcome = publication.recover(db, paths)
        assert (outcome.waiting, outcome.finished) == ((tmp_path / "bundle",), (paths.outbox / "out.json",))
        assert publication.pending(db, paths) == (stuck,)
        assert "whether the disk works" in (publication.obstacle(stuck) or "")
    assert publication.obstacle(stuck) is None
    assert publication.recover(db, paths).finished == (tmp_path / "bundle",)


def test_what_is_in_the_way_of_a_file_is_said(paths: Paths, db: database.Connection, tmp_path: Path) -> None:
    stick = tmp_path / "stick"
    stick.mkdir()
    (item,) = committed(db, paths, stick / "bundle")
    assert publication.obstacle(item) is None
    item.final.write_bytes(b"mine")
    assert "taken its place" in (publication.obstacle(item) or "")
    stick.rename(tmp_path / "away")
    assert "bring its directory back" in (publication.obstacle(item) or "")


def test_a_failure_is_not_hidden_by_one_of_the_disk(
    paths: Paths, db: database.Connection, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def failing() -> None:
        with publication.publishing(db, paths, [tmp_path / "bundle"]):
            broken_sync(monkeypatch, tmp_path, errno.EIO)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        failing()


def test_an_unplugged_disk_is_waited_for(paths: Paths, db: database.Connection, tmp_path: Path) -> None:
    stick, away = tmp_path / "stick", tmp_path / "away"
    stick.mkdir()
    committed(db, paths, stick / "bundle")
    stick.rename(away)
    assert publication.recover(db, paths).waiting == (stick / "bundle",)
    away.rename(stick)
    assert publication.recover(db, paths).finished == (stick / "bundle",)


def test_a_moved_site_recovers_in_its_new_place(paths: Paths, db: database.Connection) -> None:
    committed(db, paths, paths.outbox / "out.json")
    db.close()
    moved = Paths(paths.root.with_name("moved"))
    paths.root.rename(moved.root)
    connection = database.connect(moved)
    try:
        assert publication.recover(connection, moved).finished == (moved.outbox / "out.json",)
    finally:
        connection.close()


def test_a_forged_record_removes_nothing(paths: Paths, db: database.Connection, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_bytes(b"mine")
    db.execute("INSERT INTO publication VALUES (?, ?, 'staging')", ("../../precious", str(paths.outbox / "x")))
    with pytest.raises(FormatError, match="not one of ours"):
        publication.recover(db, paths)
    db.execute("UPDATE publication SET id = ?, final = ?", ("0" * 32, str(precious)))
    publication.recover(db, paths)
    assert precious.read_bytes() == b"mine"


def test_a_link_in_the_place_of_a_temporary_is_removed_and_not_followed(
    paths: Paths, db: database.Connection, tmp_path: Path
) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").write_bytes(b"mine")
    (item,) = publication.stage(db, paths, [paths.outbox / "out"])
    item.temporary.symlink_to(precious, target_is_directory=True)
    publication.recover(db, paths)
    assert (precious / "file").read_bytes() == b"mine"
    assert not item.temporary.is_symlink()


@pytest.mark.skipif(os.name == "nt", reason="Windows has neither fork nor SIGKILL")
def test_killed_before_any_step_one_more_run_leaves_one_truth() -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, __file__], capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    steps, states = (int(word) for word in done.stdout.split())
    assert steps > 20  # the driver did reach the end of the job, step by step
    assert states == 2  # and met both outcomes


# ---- the driver, run as a script ----


def kill_before(step: int) -> None:
    """Kill this process before its ``step``-th call of anything that writes."""
    left = step

    def counted(original: Callable[..., Any]) -> Callable[..., Any]:
        def wrapper(*arguments: Any, **named: Any) -> Any:
            nonlocal left
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return original(*arguments, **named)

        return wrapper

    for owner, name in (
        (database.Connection, "execute"),
        (database.Connection, "executemany"),
        (Path, "rename"),
        (Path, "unlink"),
        (Path, "rmdir"),
        (Path, "mkdir"),
        (Path, "write_bytes"),
        (os, "fsync"),
    ):
        setattr(owner, name, counted(getattr(owner, name)))


def job(paths: Paths, db: database.Connection) -> None:
    publication.recover(db, paths)
    publications = staged(db, paths, *(paths.root / final for final in FINALS))
    with transaction(db):
        db.execute("INSERT INTO seen_key VALUES (x'01')")
        db.execute("INSERT INTO keys.onetime_key VALUES ('r', '2026-10-01', x'02')")
        publication.commit(db, publications)
    publication.finish(db, paths, publications)


def recovery(paths: Paths, db: database.Connection) -> None:
    publication.recover(db, paths)


def run(action: Callable[[Paths, database.Connection], None], paths: Paths, step: int = 0) -> None:
    with database.writer_lock(paths):
        db = database.connect(paths)
        try:
            if step:
                kill_before(step)
            action(paths, db)
        finally:
            db.close()


def in_a_fork(action: Callable[[Paths, database.Connection], None], paths: Paths, step: int) -> bool:
    """Run ``action`` and kill it before the step; whether it came to its end."""
    pid = os.fork()
    if pid == 0:
        run(action, paths, step)
        os._exit(0)
    status = os.waitpid(pid, 0)[1]
    assert os.WIFSIGNALED(status) or os.waitstatus_to_exitcode(status) == 0, "the job failed by itself"
    return not os.WIFSIGNALED(status)


def truth(paths: Paths) -> bool:
    """Whether the job was done; fails if it was half done."""
    db = database.connect(paths)
    try:
        rows = db.row("SELECT (SELECT count(*) FROM seen_key), (SELECT count(*) FROM keys.onetime_key)")
        assert publication.pending(db, paths) == (), "something is left under way"
    finally:
        db.close()
    found = files_below(paths.root)
    assert (rows, found) in (((0, 0), set()), ((1, 1), set(FINALS))), (rows, found)
    assert all((paths.root / name).read_bytes() == b"whole" for name in found)
    return bool(found)


def drive(folder: Path) -> tuple[int, int]:
    outcomes, step, ended = set(), 0, False
    while not ended:
        step += 1
        paths = new_site(folder / str(step))
        ended = in_a_fork(job, paths, step)
        after = 0
        recovered = False
        while not recovered:
            # Each state is recovered from afresh, killed one step later each time, and then for good.
            after += 1
            copy = Paths(folder / "copy")
            shutil.copytree(paths.root, copy.root)
            recovered = in_a_fork(recovery, copy, after)
            run(recovery, copy)
            outcomes.add(truth(copy))
            shutil.rmtree(copy.root)
    return step, len(outcomes)


if __name__ == "__main__":
    # A killed process loses nothing that only waits for the disk, so memory is as good a place and far quicker.
    memory = "/dev/shm"
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as name:
        print(*drive(Path(name).resolve()))  # noqa: T201

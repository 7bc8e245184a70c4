"""Where the passphrase comes from: a file, the environment, or somebody who types it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from anpr_share import errors
from anpr_share.cli import common, main
from anpr_share.cli.common import Invocation
from tests.support import sites


@pytest.mark.parametrize(
    ("content", "passphrase"),
    [
        (b"correct horse", b"correct horse"),
        (b"correct horse\n", b"correct horse"),
        (b"correct horse\r\n", b"correct horse"),
        (b"correct horse\n\n", b"correct horse\n"),
        (b" correct horse ", b" correct horse "),
        (b"x" * 4096 + b"\r\n", b"x" * 4096),
    ],
    ids=["bare", "one-newline", "windows-newline", "only-one-is-dropped", "blanks-stay", "the-longest"],
)
def test_the_passphrase_is_the_files_bytes(tmp_path: Path, content: bytes, passphrase: bytes) -> None:
    file = tmp_path / "passphrase"
    file.write_bytes(content)
    file.chmod(0o600)

    assert Invocation(passphrase_file=file).passphrase() == passphrase


@pytest.mark.parametrize("content", [b"", b"\n", b"x" * 4097], ids=["empty", "newline", "long"])
def test_a_file_that_holds_no_passphrase_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "passphrase"
    file.write_bytes(content)
    file.chmod(0o600)

    with pytest.raises(errors.LockedError):
        Invocation(passphrase_file=file).passphrase()


def test_a_passphrase_file_that_is_not_there_is_a_missing_secret(tmp_path: Path) -> None:
    with pytest.raises(errors.LockedError, match="does not exist"):
        Invocation(passphrase_file=tmp_path / "none").passphrase()


def test_the_option_goes_before_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("option", "environment"):
        (tmp_path / name).write_text(name, encoding="ascii")
        (tmp_path / name).chmod(0o600)
    monkeypatch.setenv(common.PASSPHRASE_VARIABLE, str(tmp_path / "environment"))

    assert Invocation().passphrase() == b"environment"
    assert Invocation(passphrase_file=tmp_path / "option").passphrase() == b"option"


@pytest.mark.skipif(os.name != "posix", reason="file modes")
def test_a_passphrase_file_that_others_can_read_is_warned_about(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "passphrase"
    file.write_bytes(b"correct horse")
    file.chmod(0o644)

    assert Invocation(passphrase_file=file).passphrase() == b"correct horse"
    assert capsys.readouterr().err.startswith("warning: other users")


@pytest.mark.parametrize("ask", [Invocation().passphrase, Invocation().new_passphrase], ids=["old", "new"])
def test_where_nobody_can_be_asked_it_is_locked(ask: Callable[[], bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)

    with pytest.raises(errors.LockedError, match="nobody can be asked"):
        ask()


def test_a_passphrase_can_be_changed_at_a_terminal_and_nowhere_else_without_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = sites.world("new", tmp_path / "world")
    change = [
        "--site",
        str(made.root / "lancs"),
        "passphrase",
        "change",
        "--passphrase-file",
        str(made.passphrase_file),
    ]
    typed = iter(["another battery"] * 2)
    monkeypatch.setattr("getpass.getpass", lambda *_, **__: next(typed))

    for terminal, code in ((False, 2), (True, 0)):
        answers = type("Input", (), {"isatty": staticmethod(lambda terminal=terminal: terminal)})
        monkeypatch.setattr("sys.stdin", answers)
        assert main.run(change, clock=lambda: made.now) == code

    made.passphrase_file.write_text("another battery\n", encoding="ascii")
    made.ok("key", "list", site="lancs")


def test_a_new_passphrase_is_not_the_old_one(tmp_path: Path) -> None:
    made = sites.world("new", tmp_path / "world")
    vault = (made.root / "lancs" / "vault.db").read_bytes()

    done = made.run("passphrase", "change", "--new-passphrase-file", made.passphrase_file, site="lancs")

    assert (done.code, done.err.splitlines()[0]) == (2, "error: the new passphrase is the old one")
    assert (made.root / "lancs" / "vault.db").read_bytes() == vault
    assert "passphrase-changed" not in made.events("lancs")


def test_a_new_passphrase_is_typed_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    typed = iter(["correct horse", "correct house", "correct horse", "correct horse"])
    monkeypatch.setattr("sys.stdin", type("Tty", (), {"isatty": staticmethod(lambda: True)}))
    monkeypatch.setattr("getpass.getpass", lambda *_, **__: next(typed))

    with pytest.raises(errors.UsageError, match="differ"):
        Invocation().new_passphrase()
    assert Invocation().new_passphrase() == b"correct horse"

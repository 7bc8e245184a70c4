"""What every command does alike: options, results, errors, exit codes, and the silence about data."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
import typer

import anpr_share
from anpr_share import errors
from anpr_share.cli import common, failures, main
from anpr_share.cli.common import Invocation, Outcome

PLATE = "AB12CDE"


@dataclass(frozen=True)
class Found:
    day: date
    at: datetime
    path: Path
    counts: dict[str, int]


FOUND = Found(date(2026, 10, 8), datetime(2026, 10, 8, 16, 30, tzinfo=UTC), Path("a/b"), {"x": 1})

Run = Callable[..., int]


@pytest.fixture
def calls() -> list[Invocation]:
    return []


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, calls: list[Invocation]) -> Run:
    """The program with two commands of the test's own; ``raised`` is what they raise."""
    raised: list[BaseException] = []

    def probe(invocation: Invocation, *, count: int = 0) -> Outcome:
        """Remember how it was called."""
        calls.append(invocation)
        if raised:
            raise raised.pop()
        return Outcome(FOUND, lines=["found [1] thing"], answer=count == 0)

    @dataclass
    class Module:
        @staticmethod
        def register(program: typer.Typer) -> None:
            common.command(program, "probe", panel="Site")(probe)
            nest = common.group("nest", "A group.")
            common.command(nest, "probe")(probe)
            program.add_typer(nest, rich_help_panel="Site")

    monkeypatch.setattr(main, "MODULES", (Module,))
    monkeypatch.setattr(main, "parser", main.parser.__wrapped__)  # not the tree that other tests have built

    def call(*argv: str, error: BaseException | None = None) -> int:
        if error is not None:
            raised.append(error)
        return main.run(argv)

    return call


# --- options


@pytest.mark.parametrize(
    "argv",
    [
        ("--site", "s", "--json", "--actor", "Ann", "--quiet", "--passphrase-file", "f", "nest", "probe"),
        ("nest", "--site", "s", "--json", "--actor", "Ann", "--quiet", "--passphrase-file", "f", "probe"),
        ("nest", "probe", "--site", "s", "--json", "--actor", "Ann", "--quiet", "--passphrase-file", "f"),
        ("--site", "s", "nest", "--json", "--quiet", "probe", "--actor", "Ann", "--passphrase-file", "f"),
    ],
    ids=["before", "between", "after", "mixed"],
)
def test_common_options_may_stand_anywhere(run: Run, calls: list[Invocation], argv: tuple[str, ...]) -> None:
    assert run(*argv) == 0

    expected = Invocation(
        command="nest probe", site=Path("s"), json=True, passphrase_file=Path("f"), actor="Ann", quiet=True
    )
    assert calls == [expected]


def test_the_value_after_the_command_wins(run: Run, calls: list[Invocation]) -> None:
    run("--site", "before", "probe", "--site", "after")

    assert calls[0].site == Path("after")


def test_the_clock_is_handed_through(run: Run, calls: list[Invocation]) -> None:
    now = datetime(2027, 1, 1, tzinfo=UTC)

    main.run(["probe"], clock=lambda: now)

    assert calls[0].clock() == now


# --- results


def test_a_result_goes_to_standard_output_as_it_is(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("probe") == 0

    assert capsys.readouterr() == ("found [1] thing\n", "")


def test_quiet_leaves_out_advice(capsys: pytest.CaptureFixture[str]) -> None:
    outcome = Outcome(FOUND, lines=["wrote x", "next: send it"])
    assert common._finish(Invocation(quiet=False), outcome) == 0
    assert capsys.readouterr().out == "wrote x\nnext: send it\n"
    assert common._finish(Invocation(quiet=True), outcome) == 0
    assert capsys.readouterr().out == "wrote x\n"


def test_the_answer_no_is_exit_code_1(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--json", "probe", "--count", "1") == 1

    assert json.loads(capsys.readouterr().out)["status"] == "no"


def test_json_is_one_object_and_nothing_else(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    run("nest", "probe", "--json")

    out, err = capsys.readouterr()
    assert err == ""
    assert json.loads(out) == {
        "format": 1,
        "command": "nest probe",
        "status": "success",
        "result": {"day": "2026-10-08", "at": "2026-10-08T16:30:00Z", "path": str(Path("a/b")), "counts": {"x": 1}},
    }


# --- errors


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.InputError("why", hint="next"), 1),
        (errors.UsageError("why", hint="next"), 2),
        (errors.VerificationError("why", hint="next", step=6), 3),
        (errors.FormatError("why", hint="next", step=1), 3),
        (errors.PolicyError("why", hint="next", step=5), 4),
        (errors.LockedError("why", hint="next"), 5),
        (errors.StorageError("why", hint="next"), 6),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else str(value),
)
def test_our_errors_say_what_and_what_next(
    run: Run, capsys: pytest.CaptureFixture[str], error: errors.AnprShareError, code: int
) -> None:
    assert run("probe", "--json", error=error) == code

    out, err = capsys.readouterr()
    step = getattr(error, "step", None)
    assert err == f"error: {'' if step is None else f'step {step} of 8: '}why\nhint: next\n"
    told = json.loads(out)
    assert told == {
        "format": 1,
        "command": "probe",
        "status": "error",
        "error": {"code": error.code, "message": "why", "hint": "next", "step": step},
    }


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES], ids=["full", "read-only", "forbidden"])
def test_the_systems_refusal_is_exit_code_6(run: Run, capsys: pytest.CaptureFixture[str], number: int) -> None:
    assert run("probe", error=OSError(number, os.strerror(number), PLATE)) == 6

    err = capsys.readouterr().err
    assert err.startswith(f"error: {os.strerror(number).lower()}: the file\nhint: ")
    assert PLATE not in err


def test_the_systems_refusal_names_the_file(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("probe", error=PermissionError(errno.EACCES, "Permission denied", "folder/reads.csv")) == 6

    assert capsys.readouterr().err.startswith("error: permission denied: reads.csv\nhint: ")


def test_ctrl_c_is_exit_code_130(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("probe", error=KeyboardInterrupt()) == 130

    assert "error: interrupted" in capsys.readouterr().err


def test_a_fault_of_ours_shows_type_and_place_and_no_text(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("probe", error=ValueError(f"no such plate: {PLATE}")) == 70

    err = capsys.readouterr().err
    assert "internal error (ValueError) at anpr_share/cli/common.py:" in err
    assert PLATE not in err
    assert __file__ not in err


def test_a_cause_is_not_shown_either(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    error = errors.StorageError("why")
    error.__cause__ = ValueError(PLATE)

    assert run("probe", error=error) == 6
    assert capsys.readouterr().err == "error: why\n"


def test_no_memory_for_a_query_is_said_in_words(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("probe", error=MemoryError()) == 6

    assert "does not fit into memory" in capsys.readouterr().err


# --- wrong usage


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        ((PLATE,), "anpr-share has no such command"),
        (("nest", PLATE), "anpr-share nest has no such command"),
        (("prope",), "perhaps you mean probe"),
        (("probe", PLATE), "anpr-share probe takes fewer arguments"),
        (("probe", f"--{PLATE}"), "there is no option of that name"),
        (("probe", f"--{PLATE}={PLATE}"), "there is no option of that name"),
        (("probe", f"-{PLATE}"), "there is no option of that name"),
        (("probe", "--actr", PLATE), "there is no option --actr\nhint: perhaps you mean --actor"),
        (("probe", "--passphrase", PLATE), "there is no option --passphrase\nhint: perhaps you mean --passphrase-file"),
        (("probe", "--count", PLATE), "the value of --count does not fit"),
        (("probe", f"--quiet={PLATE}"), "the option --quiet takes no value"),
        (("probe", "--count"), "the option --count needs a value"),
        (("check",), "anpr-share has no such command"),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)
def test_wrong_usage_is_exit_code_2_and_repeats_no_value(
    run: Run, capsys: pytest.CaptureFixture[str], argv: tuple[str, ...], told: str
) -> None:
    assert run(*argv) == 2

    out, err = capsys.readouterr()
    assert out == ""
    assert told in err
    assert PLATE not in err
    assert "hint: " in err


@pytest.mark.parametrize(
    ("argv", "hint"),
    [
        (
            "export --request r --profile p -o o --reads 1.csv 2.csv",
            "put a pattern in quotes, or repeat --reads, --targets or --cameras",
        ),
        ("agreement draft --party a.json b.json", "repeat --party"),
        ("status x", "run: anpr-share status --help"),
    ],
)
def test_files_of_a_pattern_that_the_shell_put_in_are_thought_of(
    argv: str, hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.run(argv.split()) == 2
    assert capsys.readouterr().err.endswith(f"takes fewer arguments\nhint: {hint}\n")


def test_wrong_usage_has_its_envelope(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("nest", "--json", "probe", PLATE) == 2

    out, _ = capsys.readouterr()
    told = json.loads(out)
    assert (told["command"], told["status"], told["error"]["code"]) == ("nest probe", "error", "usage")
    assert PLATE not in out


# --- help


def test_help_lists_the_commands_under_their_headings_in_80_columns(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["--help"]) == 0

    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    headings = [line.removesuffix(":") for line in lines if line.removesuffix(":") in common.PANELS]
    assert headings == sorted(headings, key=common.PANELS.index)
    assert "Extracts" in headings
    assert "Commands:" not in lines  # each command of the program has a heading


def test_no_argument_at_all_is_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run([]) == 0
    assert capsys.readouterr().out.startswith("Usage: anpr-share")


def test_a_group_alone_shows_its_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["profile"]) == 2
    assert "show" in capsys.readouterr().err


@pytest.mark.parametrize("argv", [["--json"], ["--json", "profile"], ["profile", "--json"]], ids=" ".join)
def test_for_a_machine_a_missing_command_is_an_error_in_the_envelope(
    argv: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.run(argv) == 2

    told = json.loads(capsys.readouterr().out)
    assert (told["format"], told["status"], told["error"]["code"]) == (1, "error", "usage")
    assert told["error"]["hint"]


def test_the_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["--version"]) == 0
    assert capsys.readouterr().out == f"{anpr_share.__version__}\n"


# --- the program as installed


def program(*argv: str, **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # type: ignore[call-overload, no-any-return] # options differ by test
        [sys.executable, "-m", "anpr_share", *argv], text=True, check=False, stderr=subprocess.PIPE, **options
    )


def test_the_module_runs_as_the_program() -> None:
    done = program("--version", stdout=subprocess.PIPE)

    assert (done.returncode, done.stdout, done.stderr) == (0, f"{anpr_share.__version__}\n", "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a disk that is always full")
def test_a_full_disk_under_standard_output_is_told() -> None:
    with Path("/dev/full").open("w") as full:
        done = program("profile", "show", "plain-reads", stdout=full)

    assert done.returncode == 6
    assert done.stderr == "error: no space left on device\nhint: make room, and run the command again\n"


def test_a_reader_that_left_is_no_reason_to_complain() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = program("profile", "show", "plain-reads", stdout=writer)
    finally:
        os.close(writer)

    assert (done.returncode, done.stderr) == (failures.PIPE_CLOSED, "")


def test_readers_of_both_streams_may_have_left() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "anpr_share", "--json", "nothing"], stdout=writer, stderr=writer, check=False
        )
    finally:
        os.close(writer)

    assert done.returncode == failures.PIPE_CLOSED


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a disk that is always full")
def test_with_nowhere_left_to_write_the_exit_code_still_tells() -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "anpr_share", "--json", "nothing"], stdout=full, stderr=full, check=False
        )

    assert done.returncode == 6


def test_a_name_in_another_script_prints_on_any_terminal() -> None:
    shown = "from anpr_share.cli import main; from anpr_share.reports import terminal; "
    shown += "main.run = lambda argv: terminal.show([chr(0x142)]); main.entry()"
    done = subprocess.run(
        [sys.executable, "-c", shown],
        env=os.environ | {"PYTHONIOENCODING": "ascii"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, "\\u0142\n", "")


def test_what_goes_to_a_file_is_utf_8_whatever_the_system_writes() -> None:
    shown = "from anpr_share.cli import main; from anpr_share.reports import terminal; "
    shown += "main.run = lambda argv: terminal.show([chr(0x142)]); main.entry()"
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONIOENCODING"}
    environment |= {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = subprocess.run([sys.executable, "-c", shown], env=environment, capture_output=True, check=False)

    assert (done.returncode, done.stdout) == (0, "\u0142\n".encode())


@pytest.mark.skipif(sys.platform == "win32", reason="there are no core files there")
def test_the_program_leaves_no_core_file() -> None:
    import resource

    _, most = resource.getrlimit(resource.RLIMIT_CORE)
    if most == 0:
        pytest.skip("no program leaves a core file here")
    code = "import resource; from anpr_share.cli import main; "
    code += f"resource.setrlimit(resource.RLIMIT_CORE, ({most}, {most})); "
    code += "main.run = lambda argv: print(resource.getrlimit(resource.RLIMIT_CORE)); main.entry()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert (done.stdout, done.stderr) == ("(0, 0)\n", "")


@pytest.mark.parametrize("encoding", ["cp1252", "ascii"])
def test_help_prints_in_any_encoding(encoding: str) -> None:
    environment = os.environ | {"PYTHONIOENCODING": encoding, "NO_COLOR": "1", "COLUMNS": "20"}
    done = subprocess.run(
        [sys.executable, "-m", "anpr_share", "--help"], env=environment, capture_output=True, check=False
    )

    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.isascii()


# --- the first commands


def test_profile_show_prints_a_profile_that_can_be_given_back(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from anpr_share.tables.profile import bundled_profiles, load_profile

    for name in bundled_profiles():
        assert main.run(["profile", "show", name]) == 0
        copy = tmp_path / f"{name}.toml"
        copy.write_text(capsys.readouterr().out, encoding="utf-8")
        assert load_profile(str(copy)) == load_profile(name)


def test_a_profile_that_is_not_there_is_wrong_usage_or_a_missing_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["profile", "show", PLATE]) in {2, 6}
    assert PLATE not in capsys.readouterr().err


def test_failures_explain_every_error_of_ours() -> None:
    for kind in errors.AnprShareError.__subclasses__():
        assert failures.explain(kind("why")).exit_code == kind.exit_code

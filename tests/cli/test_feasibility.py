"""``feasibility`` as an analyst uses it: the verdict first, in 80 columns, without a site; and a command with more."""

from __future__ import annotations

from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import typer

from anpr_share.cli import main
from anpr_share.cli.common import CommandWithMore, Invocation, Outcome, command, command_with_more
from anpr_share.feasibility.base_rate import SENSITIVITY, predictive_value, specificity_needed
from anpr_share.reports import feasibility_words
from anpr_share.reports.feasibility import specificity_text
from anpr_share.tables.profile import STEPS, profile_text
from tests.support.exchange import LANCS, UNI, WYP, settled, swift
from tests.support.sites import call

NOW = datetime(2026, 10, 20, 9, tzinfo=UTC)
HEADER = "vrm,log,offence,person_category,offence_from,offence_to,convicted_on,handling,grading_scheme,source_grade,"
IN_TIME = "trafficking,convicted,2026-05-01,2026-06-30,2026-09-01,P,3x5x2,1,A\n"
OVER = "trafficking,convicted,2020-05-01,2020-06-30,2026-09-01,P,3x5x2,1,A\n"
PLATES = ("AB12CDE", "FG34HJK", "LM56NOP")


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """Three targets that could be studied, each read twice, and a profile that asks for two."""
    found = {name: tmp_path / name for name in ("targets.csv", "over.csv", "reads.csv", "targets.toml")}
    header = HEADER + "information_grade\n"
    found["targets.csv"].write_text(header + "".join(f"{plate},L{n},{IN_TIME}" for n, plate in enumerate(PLATES)))
    found["over.csv"].write_text(header + "".join(f"{plate},L{n},{OVER}" for n, plate in enumerate(PLATES)))
    rows = [f"{plate},CAM-1,2026-0{month}-02T10:00:00Z,90\n" for plate in PLATES for month in (5, 9)]
    found["reads.csv"].write_text("vrm,camera,captured_at,confidence\n" + "".join(rows))
    text = profile_text("plain-targets").replace("[file]", "[feasibility]\nvehicles_needed = 2\n\n[file]", 1)
    found["targets.toml"].write_text(text)
    return found


def typed(files: dict[str, Path], *, targets: str = "targets.csv", reads: bool = True) -> list[str]:
    words = ["feasibility", "--targets", str(files[targets]), "--targets-profile", str(files["targets.toml"])]
    return words + (["--reads", str(files["reads.csv"]), "--reads-profile", "plain-reads"] if reads else [])


def test_the_verdict_comes_first_and_the_words_fit_a_terminal(files: dict[str, Path]) -> None:
    done = call(typed(files), now=NOW)

    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("verdict: go\n")
    assert "exact figures, for use inside the force" in done.out.splitlines()[-1]
    assert not any(plate in done.out for plate in PLATES)


@pytest.mark.parametrize("targets", ["targets.csv", "over.csv"])
def test_on_a_terminal_every_line_fits(
    files: dict[str, Path], targets: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)

    main.run(typed(files, targets=targets), clock=lambda: NOW)

    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("verdict: ")
    assert max(map(len, lines)) < 80


def test_every_step_and_reason_has_words() -> None:
    assert set(feasibility_words.STEPS) == set(STEPS)
    from anpr_share.feasibility.funnel import REASONS

    told = [feasibility_words.reason(code) for codes in REASONS.values() for code in codes]
    assert all(told)
    assert len(set(told)) == len(told)


@pytest.mark.parametrize("table", ["targets", "reads"])
def test_a_profile_that_hardly_fits_is_told_beside_the_verdict(files: dict[str, Path], table: str) -> None:
    assert "does the profile fit?" not in call(typed(files), now=NOW).out
    file = files[f"{table}.csv"]
    file.write_text(file.read_text().replace(",2026-05-0", ",05/2026-0", 1))

    done = call(typed(files), now=NOW)

    rows = {"targets": 3, "reads": 6}[table]
    assert (
        f"note: 1 of {rows} rows of the {table} cannot be read: does the profile fit?" in done.out.partition("\n\n")[0]
    )


def test_the_curve_is_read_without_colour(files: dict[str, Path]) -> None:
    done = call(typed(files), now=NOW)

    assert f"    0  2026-10-20  {'#' * 40}          3" in done.out.splitlines()
    assert f"  366  2027-10-21  {' ' * 40}          0" in done.out.splitlines()
    assert done.out.isascii()


def test_no_vehicle_is_the_answer_no(files: dict[str, Path]) -> None:
    for words in (typed(files, targets="over.csv"), typed(files, targets="over.csv", reads=False)):
        done = call([*words, "--json"], now=NOW)

        assert (done.code, done.err) == (1, "")
        assert done.json["status"] == "no"
        assert done.result["verdict"]["code"] == "stop"


def test_without_reads_it_is_go_under_a_condition(files: dict[str, Path]) -> None:
    done = call(typed(files, reads=False), now=NOW)

    assert done.code == 0
    assert done.out.startswith("verdict: go, under conditions\n  if      the reads are looked at, ")


@pytest.mark.parametrize(
    ("prevalence", "told"),
    [(Fraction(1, 400), "0.9978"), (Fraction(3, 80_000), "0.999967"), (Fraction(1, 2), "0.10"), (Fraction(1), "0.0")],
)
def test_half_of_the_alerts_are_right_at_the_specificity_that_is_told(prevalence: Fraction, told: str) -> None:
    found = specificity_text(specificity_needed(prevalence, SENSITIVITY))

    assert found == told
    assert predictive_value(prevalence, SENSITIVITY, Fraction(found)) >= Fraction(1, 2)


def test_for_a_program_it_is_figures(files: dict[str, Path]) -> None:
    result = call([*typed(files), "--json"], now=NOW).result

    assert result["funnel"]["rows"] == result["funnel"]["vehicles"] == 3
    assert [step["name"] for step in result["funnel"]["steps"]] == list(STEPS)
    assert result["race"]["left"][0] == 3
    assert result["base_rate"]["prevalences"][0] == {
        "name": "found",
        "share": 1.0,
        "text": "3 of 3 vehicles in the reads",
    }
    assert (result["reads"], result["during"], result["settings"]["vehicles_needed"]) == (6, 3, 2)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["feasibility"], "--targets is missing"),
        (["feasibility", "--targets", "x.csv"], "--targets-profile is missing"),
        (["feasibility", "--targets", "x", "--targets-profile", "plain-targets", "--reads", "y"], "go together"),
        (["feasibility", "--targets", "x", "--targets-profile", "plain-targets", "--reads-profile", "y"], "together"),
        (["feasibility", "AB12CDE"], "no such command"),
    ],
)
def test_what_is_missing_is_said(words: list[str], message: str) -> None:
    done = call(words, now=NOW)

    assert done.code == 2
    assert message in done.err
    assert "AB12CDE" not in done.err


def inner(invocation: Invocation, *, file: str = "none") -> Outcome:  # every command takes it
    """Do less."""
    return Outcome({"file": file}, lines=["inner"])


def outer(
    invocation: Invocation,  # every command takes it
    *,
    needed: str = typer.Option(..., metavar="TEXT", help="Needed."),
    more: str | None = typer.Option(None, metavar="TEXT", help="More."),
) -> Outcome:
    """Do the work."""
    return Outcome({"needed": needed, "more": more}, lines=["outer"])


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A program with one command that has one of its own."""
    app = typer.Typer(rich_markup_mode=None)
    made = command_with_more(outer, "outer", example="anpr-share outer --needed x")
    command(made, "inner")(inner)
    app.add_typer(made)
    app.callback()(lambda: None)
    parser = typer.main.get_group(app)
    monkeypatch.setattr(main, "parser", lambda: parser)
    return parser


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["outer", "--needed", "x"], 0, "outer"),
        (["outer", "inner"], 0, "inner"),
        (["outer", "inner", "--json"], 0, '"command": "outer inner"'),
        (["outer", "--json", "inner"], 0, '"command": "outer inner"'),
        (["outer", "--needed", "x", "--json"], 0, '"command": "outer"'),
        (["outer"], 2, "--needed is missing"),
        (["outer", "--needed", "x", "inner"], 2, "options of outer itself stand before inner"),
        (["outer", "inmer"], 2, "has no such command"),
    ],
)
@pytest.mark.usefixtures("program")
def test_a_command_may_have_commands(words: list[str], code: int, told: str) -> None:
    done = call(words, now=NOW)

    assert done.code == code
    assert told in done.out + done.err


def test_the_help_of_a_command_with_commands_has_both(program: Any) -> None:
    done = call(["outer", "--help"], now=NOW)

    assert isinstance(program.commands["outer"], CommandWithMore)
    assert done.out.startswith("Usage: anpr-share outer --needed TEXT [OPTIONS] [COMMAND]\n")
    headings = [line for line in done.out.splitlines() if line.endswith(":") and not line.startswith(" ")]
    assert headings == ["Example:", "Required:", "Options:", "Commands:", "Options of every command:"]
    assert "inner  Do less." in done.out


def test_the_page_is_a_new_file_without_a_small_count(files: dict[str, Path], tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    done = call([*typed(files), "--html", str(page)], now=NOW)

    assert done.code == 0
    assert "page.html: open it in a browser, or print it; it holds no small count" in done.out
    text = page.read_text(encoding="utf-8")
    assert text.startswith("<!DOCTYPE html>")
    assert "fewer than 10, or not told" in text
    assert not any(plate in text for plate in PLATES)
    again = call([*typed(files), "--html", str(page)], now=NOW)
    assert again.code == 6
    assert page.read_text(encoding="utf-8") == text


def test_forces_share_and_anyone_adds_up(
    files: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shared = {site: tmp_path / f"{site}.json" for site in (LANCS, WYP)}
    with swift(), settled(tmp_path / "sites") as world:
        world.clock.now = NOW
        for site, path in shared.items():
            assert world.cli(site, *typed(files), "--share", path) == 0
        assert world.cli(LANCS, *typed(files), "--share", shared[LANCS]) == 6
        taken = ("--html", shared[LANCS], "--share", tmp_path / "too-late.json")
        assert world.cli(LANCS, *typed(files), *taken) == 6
        assert world.events(LANCS).count("feasibility-shared") == 1
        assert world.told(UNI, *typed(files), "--share", tmp_path / "uni.json")[0] == 4
        capsys.readouterr()
        assert world.cli(UNI, "feasibility", "combine", *shared.values()) == 0
        assert capsys.readouterr().out.startswith("verdict: not decided\n")
    assert sorted(path.name for path in tmp_path.glob("*.json")) == sorted(path.name for path in shared.values())
    alone = call(["feasibility", "combine", *map(str, shared.values())], now=NOW)
    assert alone.code == 0
    assert "nothing proves that these are the forces that they say" in alone.out


def test_nothing_is_signed_whose_page_cannot_be_written_nor_is_a_page_left_without_it(
    files: dict[str, Path], tmp_path: Path
) -> None:
    taken, page, summary = (tmp_path / name for name in ("taken", "page.html", "summary.json"))
    taken.write_text("mine", encoding="utf-8")
    before = sorted(tmp_path.iterdir())
    with swift(), settled(tmp_path / "sites") as world:
        world.clock.now = NOW
        for place in (taken, tmp_path / "missing" / "page.html"):
            assert world.cli(LANCS, *typed(files), "--share", summary, "--html", place) == 6
        assert world.cli(LANCS, *typed(files), "--share", taken, "--html", page) == 6
        assert world.cli(UNI, *typed(files), "--share", summary, "--html", page) == 4
        assert world.cli(LANCS, *typed(files), "--share", page, "--html", page) == 2
        assert "feasibility-shared" not in world.events(LANCS)
        assert sorted(path for path in tmp_path.iterdir() if path.name != "sites") == before
        assert world.cli(LANCS, *typed(files), "--share", summary, "--html", page) == 0
    assert taken.read_text(encoding="utf-8") == "mine"
    assert summary.exists()
    assert page.exists()


def test_options_of_the_check_do_not_stand_beside_combine(files: dict[str, Path]) -> None:
    done = call([*typed(files), "combine", "a.json", "b.json"], now=NOW)

    assert done.code == 2
    assert "options of feasibility itself stand before combine" in done.err

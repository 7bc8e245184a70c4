"""``demo``: two forces and a university on made-up data, end to end, every command shown as it runs."""

from __future__ import annotations

import csv
import os
import shlex
import shutil
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from datetime import date, timedelta
from pathlib import Path
from typing import Annotated

import typer

from anpr_share.cli.common import PASSPHRASE_VARIABLE, Invocation, Outcome, command
from anpr_share.cli.opening import SITE_VARIABLE
from anpr_share.errors import AnprShareError, UsageError
from anpr_share.files import owner_only
from anpr_share.reports import terminal
from anpr_share.wording import spoken_name

PASSPHRASE = "passphrase.txt"  # noqa: S105 # the name of a file
READS_PER_DAY = 6_000
DAYS = 7
RECENT = 90
"""Days that the week may be old: of an older one too few of the made-up offences are still within the retention."""
LANCS, YORKS, UNI = "lancashire-police", "west-yorkshire-police", "university-of-the-north"

_SCAN = """\
from anpr_share import Site
import polars as pl

with Site.open("university", passphrase_file="passphrase.txt") as site:
    reads = site.scan("reads", purpose="how often a vehicle is seen")
    print(reads.group_by("source", "day").agg(pl.len().alias("reads"), pl.col("vehicle").n_unique().alias("vehicles"))
          .sort("source", "day").collect())
"""


def register(program: typer.Typer) -> None:
    """Add the command to the program."""
    command(program, "demo", panel="Start", example="anpr-share demo")(demo)


def demo(
    invocation: Invocation,
    *,
    directory: Annotated[
        Path | None, typer.Argument(metavar="DIR", help="A new or empty directory; else anpr-share-demo, here.")
    ] = None,
) -> Outcome:
    """Run the whole exchange on made-up data, in a minute.

    Two forces, a university, a bundle that was tampered with. Shows every command that it runs, and leaves the
    directory to go on with.
    """
    root = (directory or Path("anpr-share-demo")).absolute()
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise UsageError(f"{spoken_name(root)} is in use", hint="name another directory: anpr-share demo DIR")
    root.mkdir(parents=True, exist_ok=True)
    with _standing_in(root), _told_where(invocation):
        _tell(_Show(invocation))
    return Outcome(
        {"directory": root},
        lines=[
            "",
            f"Everything is in {root}:",
            "three sites, their extracts, profiles, requests, bundles and receipts. Go on there, for example with",
            "",
            terminal.Verbatim(f"  cd {shlex.quote(str(root))}"),
            f"  export {PASSPHRASE_VARIABLE}={PASSPHRASE}",
            terminal.Verbatim(f"  {_program()} --site university status"),
            "",
            "The passphrase of all three sites is in that file; a real one is known to its owner alone.",
        ],
    )


class _Show:
    """Runs commands in this process and shows them as a person would type them."""

    def __init__(self, invocation: Invocation) -> None:
        self.clock, self._run = invocation.clock, invocation.run
        self.today = invocation.clock().date()

    def story(self, number: int, text: str) -> None:
        """One step of the story."""
        terminal.show(["", f"{number}. {text}"])

    def run(self, *arguments: str, code: int = 0, into: str | None = None) -> None:
        """Run a command that must end with this exit code; ``into`` is the file that its output goes to."""
        typed = "$ anpr-share " + shlex.join(arguments) + (f" > {into}" if into else "")
        terminal.show(["", terminal.Verbatim(typed)])
        with _output_to(into):
            found = self._run(arguments)
        if found != code:
            raise AnprShareError(
                f"the demonstration stopped: a command ended with {found} instead of {code}",
                hint="the error above says why; begin anew in another directory",
            )


def _tell(show: _Show) -> None:
    first, last = _window(show.today)
    show.story(
        1,
        "Before anything else a force asks whether there is anything to find. In 2019 that was found out last: no "
        "vehicle of a conviction was left in the reads. The report counts exactly, for use in the force; the page may "
        "be shared.",
    )
    _make_extracts(first)
    show.run(
        *("feasibility", "--targets", "lancashire-targets.csv", "--targets-profile", "plain-targets"),
        *("--reads", "lancashire-reads.csv", "--reads-profile", "lancashire-reads.toml"),
        *("--html", "feasibility.html"),
        into="feasibility.txt",
    )
    terminal.show(_beginning("feasibility.txt"))

    show.story(
        2,
        "Two police forces and a university each make a site: its keys, its log, its identity. The keys of a site are "
        "locked by its passphrase, which here is in a file.",
    )
    _write(PASSPHRASE, "correct horse battery staple\n")
    terminal.show(["", f"$ export {PASSPHRASE_VARIABLE}={PASSPHRASE}"])
    show.run("init", "lancashire", "--role", "police", "--name", "Lancashire Police")
    show.run("init", "yorkshire", "--role", "police", "--name", "West Yorkshire Police")
    show.run("init", "university", "--role", "university", "--name", "University of the North")

    show.story(
        3,
        "They agree on what may be shared: columns, exactness, how long; how identifying that would be is measured "
        "first. Each is shown the terms and everybody's fingerprint, and signs the same document. (The others' terms "
        "are left out here by --quiet.)",
    )
    parties = [
        word for site in ("lancashire", "yorkshire", "university") for word in ("--party", f"{site}/identity.json")
    ]
    show.run("agreement", "draft", *parties, into="draft.toml")
    _fill_in("draft.toml")
    terminal.show(["(somebody fills in the draft: its id, title, purpose, legal basis)"])
    show.run(
        *("risk", "--reads", "lancashire-reads.csv", "--profile", "lancashire-reads.toml"),
        *("--agreement", "draft.toml", "--html", "risk.html"),
        into="risk.txt",
    )
    terminal.show(_beginning("risk.txt"))
    show.run("--site", "lancashire", "agreement", "sign", "draft.toml", "-o", "signed-1.json", "--yes")
    show.run("--site", "yorkshire", "--quiet", "agreement", "sign", "signed-1.json", "-o", "signed-2.json", "--yes")
    show.run("--site", "university", "--quiet", "agreement", "sign", "signed-2.json", "-o", "agreement.json", "--yes")
    for site in ("lancashire", "yorkshire", "university"):
        show.run("--site", site, "agreement", "accept", "agreement.json")

    show.story(
        4,
        "The first force has made the key that plates are hashed with. The other gets it, sealed to it alone. The "
        "university never does: without the key, a hash says nothing about a plate.",
    )
    show.run("--site", "yorkshire", "key", "accept", f"lancashire/outbox/slavery-2026-1-{YORKS}.keyshare.json")

    show.story(5, f"The university asks each force for a week, {first} to {last}, with a key that is used once.")
    for site, force in (("lancashire", LANCS), ("yorkshire", YORKS)):
        show.run(
            *("--site", "university", "request", "slavery-2026", "--to", force),
            *("--from", first.isoformat(), "--until", last.isoformat(), "-o", f"request-{site}.json"),
        )

    show.story(
        6,
        "Each force has an extract of its own system, messy as they are: misread and missing plates, stray spaces, "
        "an hour that the clocks showed twice. It is checked; a report names rules and row numbers, never a plate.",
    )
    show.run(
        *("check", "lancashire-reads.csv", "--profile", "lancashire-reads.toml", "--rejects", "rejects.csv"), code=1
    )

    show.story(
        7,
        "Each force exports a bundle: only what was agreed, hashed, a key for each day, signed and sealed. The first "
        "also tells what sort of place its cameras stand at: coarsely, so that ten are alike.",
    )
    show.run(
        *("--site", "lancashire", "export", "--request", "request-lancashire.json"),
        *("--reads", "lancashire-reads.csv", "--profile", "lancashire-reads.toml"),
        *("--targets", "lancashire-targets.csv", "--targets-profile", "plain-targets"),
        *("--cameras", "lancashire-cameras.csv", "--cameras-profile", "plain-cameras"),
        *("-o", "lancashire.anpr.zip"),
    )
    show.run(
        *("--site", "yorkshire", "export", "--request", "request-yorkshire.json"),
        *("--reads", "yorkshire-reads.psv", "--profile", "nas-compact"),
        *("-o", "yorkshire.anpr.zip"),
    )

    show.story(8, "Anyone may look at what a bundle says of itself. One changed byte, and it is refused.")
    show.run("inspect", "lancashire.anpr.zip")
    _change_one_byte("lancashire.anpr.zip", "tampered.anpr.zip")
    show.run("--site", "university", "load", "tampered.anpr.zip", code=3)

    show.story(
        9,
        "The university verifies and loads. Every day is encrypted anew under its own keys, and the one-time key is "
        "destroyed: the bundle files, wherever copies of them lie, are dead from now on. Each load gives a receipt.",
    )
    for site in ("lancashire", "yorkshire"):
        show.run("--site", "university", "load", f"{site}.anpr.zip", "--receipt", f"receipt-{site}.json")
        show.run("--site", site, "receipt", "accept", f"receipt-{site}.json")

    show.story(
        10,
        "The researcher links reads of both forces to the targets, on the command line and in Python. Every look is "
        "logged with its purpose.",
    )
    looking = ("link", "--purpose", "journeys of target vehicles", "--format", "csv")
    show.run("--site", "university", *looking, into="linked.csv")
    terminal.show([_linked("linked.csv")])
    _write("scan.py", _SCAN)
    terminal.show(["", terminal.Verbatim(f"$ {_python()} scan.py"), terminal.Verbatim(_SCAN)])
    _scan(show)

    show.story(11, "What is held, and what happened. The refusal is in the log, and in the university's next receipt.")
    show.run("--site", "university", "status")
    show.run("--site", "university", "receipt", "create", "--to", LANCS, "-o", "receipt-refusal.json")
    show.run("--site", "university", "ledger", "show")
    show.run("--site", "university", "ledger", "verify")

    show.story(
        12,
        "Every night each site destroys what has expired, without a passphrase. Nothing has yet: in a year a day goes "
        "each night.",
    )
    show.run("--site", "university", "purge")

    show.story(
        13,
        "The data protection officers hold all three sites against one another and against the signed agreement. Of "
        "one site they have only the ledger that it exported. audit.html is the same as a page for a screen or paper.",
    )
    show.run("--site", "yorkshire", "ledger", "export", "-o", "yorkshire.ledger.jsonl")
    sources = ("university", "lancashire", "yorkshire.ledger.jsonl")
    show.run("audit", *sources, "--agreement", "agreement.json", "--html", "audit.html")


def _window(today: date) -> tuple[date, date]:
    """A week that holds the end of summer time, if one is recent; else the last full week."""
    for year in (today.year, today.year - 1):
        october = date(year, 10, 31)
        change = october - timedelta(days=(october.weekday() + 1) % 7)
        last = min(change + timedelta(days=3), today - timedelta(days=1))
        first = last - timedelta(days=DAYS - 1)
        if change <= last and (today - first).days < RECENT:
            return first, last
    return today - timedelta(days=DAYS), today - timedelta(days=1)


def _make_extracts(first: date) -> None:
    from anpr_share.synthetic import (
        PLAIN_PROFILE,
        Scenario,
        TargetPlan,
        write_cameras_csv,
        write_reads_csv,
        write_targets_csv,
    )

    lancashire = Scenario(seed=1, first=first, days=DAYS, reads_per_day=READS_PER_DAY, world_seed=2019, force=0)
    yorkshire = Scenario(seed=2, first=first, days=DAYS, reads_per_day=READS_PER_DAY * 4 // 3, world_seed=2019, force=1)
    write_reads_csv(Path("lancashire-reads.csv"), lancashire)
    write_reads_csv(Path("yorkshire-reads.psv"), yorkshire, layout="nas-compact")
    write_targets_csv(Path("lancashire-targets.csv"), lancashire, TargetPlan())
    write_cameras_csv(Path("lancashire-cameras.csv"), lancashire)
    _write("lancashire-reads.toml", PLAIN_PROFILE)


def _fill_in(name: str) -> None:
    path = Path(name)
    text = path.read_text(encoding="utf-8")
    for blank, words in (
        ("id", "slavery-2026"),
        ("title", "Mapping modern slavery vehicular activity"),
        ("purpose", "To learn how vehicles of convicted offenders move"),
        ("legal_basis", "Data Protection Act 2018 s.36(4) and s.41; impact assessment 2026-03"),
    ):
        text = text.replace(f'\n{blank} = ""\n', f'\n{blank} = "{words}"\n')
    path.write_text(text, encoding="utf-8")


def _change_one_byte(source: str, target: str) -> None:
    data = bytearray(Path(source).read_bytes())
    data[len(data) // 2] ^= 1
    Path(target).write_bytes(data)


def _scan(show: _Show) -> None:
    """What ``scan.py`` does, in this process and by the demonstration's clock."""
    import polars as pl

    from anpr_share.api import Site

    with Site.open("university", passphrase_file=PASSPHRASE, clock=show.clock) as site:
        reads = site.scan("reads", purpose="how often a vehicle is seen")
        counted = reads.group_by("source", "day").agg(
            pl.len().alias("reads"), pl.col("vehicle").n_unique().alias("vehicles")
        )
        found = counted.sort("source", "day").collect()
    terminal.table(terminal.Table(found.columns, [[row[0], str(row[1]), row[2], row[3]] for row in found.iter_rows()]))


def _beginning(name: str) -> list[str]:
    """What a report says first, up to its first empty line."""
    report = Path(name).read_text(encoding="utf-8")
    return [*report.partition("\n\n")[0].splitlines(), f"(… and {report.count(chr(10))} lines in all, in {name})"]


def _linked(name: str) -> str:
    """What a linked file holds, in one line."""
    with Path(name).open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    forces: dict[str, set[str]] = {}
    for row in rows:
        forces.setdefault(row["vehicle"], set()).add(row["source"])
    both = sum(len(seen) > 1 for seen in forces.values())
    during = sum(row["during_offence"] == "true" for row in rows)
    placed = sum(row["road_class"] != "" for row in rows)
    return (
        f"({len(rows):,} linked reads of {len(forces)} vehicles, {both} of them seen by both forces; "
        f"{during:,} during an offence, {placed:,} on a road whose class may be told)"
    )


def _program() -> str:
    """What starts this program from any directory."""
    if shutil.which("anpr-share"):
        return "anpr-share"
    started = Path(sys.argv[0]).absolute()
    return f"{_python()} -m anpr_share" if started.name == "__main__.py" else shlex.quote(str(started))


def _python() -> str:
    """What starts the Python that this program is installed in."""
    found = shutil.which("python")
    return "python" if found and Path(found).parent == Path(sys.executable).parent else shlex.quote(sys.executable)


def _write(name: str, text: str) -> None:
    with open(name, "w", opener=owner_only, encoding="utf-8", newline="\n") as file:
        file.write(text)


@contextmanager
def _standing_in(root: Path) -> Iterator[None]:
    """Work in the demonstration's directory, with its passphrase file, and go back afterwards."""
    before, named = Path.cwd(), {name: os.environ.get(name) for name in (PASSPHRASE_VARIABLE, SITE_VARIABLE)}
    os.chdir(root)
    os.environ[PASSPHRASE_VARIABLE] = PASSPHRASE
    os.environ.pop(SITE_VARIABLE, None)
    try:
        yield
    finally:
        os.chdir(before)
        for name, value in named.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


@contextmanager
def _told_where(invocation: Invocation) -> Iterator[None]:
    """The story is the result for a person; beside one JSON object it is talk, and ``--quiet`` leaves talk out."""
    with ExitStack() as stack:
        if invocation.quiet:
            nowhere = stack.enter_context(Path(os.devnull).open("w", encoding="utf-8"))
            stack.enter_context(redirect_stdout(nowhere))
            stack.enter_context(redirect_stderr(nowhere))
        elif invocation.json:
            stack.enter_context(redirect_stdout(sys.stderr))
        yield


@contextmanager
def _output_to(name: str | None) -> Iterator[None]:
    if name is None:
        yield
        return
    with Path(name).open("w", encoding="utf-8", newline="\n") as file, redirect_stdout(file):
        yield

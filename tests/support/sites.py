"""Real sites for the tests of the command line: two forces and a university, driven through the program's own entry.

Nothing here knows how a command works: `World.run` gives arguments to `anpr_share.cli.main.run` and hands back what a
person would see. Extracts are made up and small, and every plate, camera name and reference in them is listed here, so
that a test can look for them wherever they must not be.

A `World` is as far along as its stage says. Each stage is built once in a process, and every test works on a copy.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import io
import json
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Final, Literal
from unittest import mock

from anpr_share.cli import main
from anpr_share.site import vault

NOW: Final = datetime(2026, 10, 8, 9, 0, tzinfo=UTC)
PASSPHRASE: Final = "correct horse battery staple"
AGREEMENT: Final = "msv-2026"
DAYS: Final = (date(2026, 10, 1), date(2026, 10, 2), date(2026, 10, 3))

Stage = Literal["new", "drafted", "signed", "agreed", "requested", "exported", "loaded"]
STAGES: Final[tuple[Stage, ...]] = ("new", "drafted", "signed", "agreed", "requested", "exported", "loaded")
FORCES: Final = {"lancs": "Lancashire Police", "wyp": "West Yorkshire Police"}
UNIVERSITY: Final = ("uni", "University of X")
SITES: Final = (*FORCES, UNIVERSITY[0])

# As cells spell them, and as vrm-1 makes them.
PLATES: Final = {
    "BK12CDE": "BK12CDE",
    "lk07 xyz": "LK07XYZ",
    "KX63-ABV": "KX63ABV",
    "P123 RTY": "P123RTY",
    "HJC 123D": "HJC123D",
    "Yb56Qwe": "YB56QWE",
    "ND08 LPV": "ND08LPV",
    "WR 65 TUV": "WR65TUV",
    "SIB 4410": "SIB4410",
    "EX19EYE": "EX19EYE",
}
TARGET_PLATES: Final = ("lk07xyz", "kx63 abv", "GV71ZZT")
PARTIAL: Final = "GH56?JK"
CAMERAS: Final = ("Northgate Roundabout", "Mill Lane Bridge", "Tower Hill East")
LISTED: Final = (*CAMERAS, "Canal Street Depot")
"""The cameras of the register: one of them has no reads."""
LOGS: Final = ("LOGREF-77120", "LOGREF-77121", "LOGREF-77122")
READS_A_DAY: Final = 20
READS: Final = READS_A_DAY * len(DAYS)
REJECTED: Final = 3
LINKED: Final = 2 * 2 * len(DAYS)
"""Two of the targets are seen, each twice a day, and each is in one row of the log."""


@dataclass(frozen=True)
class Done:
    """What a command left on the terminal."""

    code: int
    out: str
    err: str
    data: bytes = b""

    @property
    def json(self) -> Any:
        """The one JSON object on standard output."""
        return json.loads(self.out)

    @property
    def result(self) -> Any:
        """The result in the JSON object on standard output."""
        return self.json["result"]


@dataclass
class World:
    """The folder of one test: sites, documents and extracts under their usual names."""

    root: Path
    now: datetime = NOW
    refusals: int = 1
    """How many failed loads the university's ledger may tell of: a killed one never does."""

    @property
    def passphrase_file(self) -> Path:
        """The passphrase of every site."""
        return self.root / "passphrase"

    @property
    def request(self) -> Path:
        """The university's request to the first force."""
        return self.root / "request.json"

    @property
    def bundle(self) -> Path:
        """The first force's answer to it."""
        return self.root / "lancs.anpr.zip"

    @property
    def receipt(self) -> Path:
        """The university's receipt for it."""
        return self.root / "receipt.json"

    @property
    def notice(self) -> Path:
        """The first force's notice that takes back the first day."""
        return self.root / "notice.json"

    @property
    def agreement(self) -> Path:
        """The agreement with every signature."""
        return self.root / "agreement.json"

    def run(self, *argv: object, site: str | None = None, passphrase: bool = True) -> Done:
        """Run one command. ``site`` is a name of `SITES`; the passphrase is given where there is a site."""
        words = [str(word) for word in argv]
        if site is not None:
            words = ["--site", str(self.root / site), *words]
        if passphrase:
            words = ["--passphrase-file", str(self.passphrase_file), *words]
        return call(words, now=self.now)

    def ok(self, *argv: object, site: str | None = None) -> Done:
        """Run one command that must succeed."""
        done = self.run(*argv, site=site)
        assert done.code == 0, (argv, done.code, done.err)
        return done

    def export(self, *more: object, out: Path | None = None) -> Done:
        """The first force answers the request, with targets and cameras."""
        reads = ("--reads", self.root / "reads.csv", "--profile", "plain-reads")
        targets = ("--targets", self.root / "targets.csv", "--targets-profile", "plain-targets")
        cameras = ("--cameras", self.root / "cameras.csv", "--cameras-profile", "plain-cameras")
        given = ("--request", self.request, *reads, *targets, *cameras)
        return self.run("export", *given, "-o", out or self.bundle, *more, site="lancs")

    def load(self, *more: object) -> Done:
        """The university loads the bundle."""
        return self.run("load", self.bundle, "--receipt", self.receipt, *more, site="uni")

    def recall(self) -> Done:
        """The first force takes back the first day."""
        given = ("--to", "university-of-x", "--table", "reads", "--day", DAYS[0], "--reason", "a clock was wrong")
        return self.run("notice", "recall", AGREEMENT, *given, "-o", self.notice, site="lancs")

    def ask(self, *, force: str = "lancashire-police", out: Path | None = None) -> Done:
        """The university asks a force for all days."""
        days = ("--from", DAYS[0], "--until", DAYS[-1])
        return self.run("request", AGREEMENT, "--to", force, *days, "-o", out or self.request, site="uni")

    def events(self, site: str) -> list[str]:
        """The events of a site's ledger, in order."""
        shown = self.ok("--json", "ledger", "show", "--last", 10_000, site=site)
        return [entry["event"] for entry in shown.result]

    def strays(self) -> list[str]:
        """What should never outlive a command: temporary files, and directories that hold nothing."""
        parts = [path for path in self.root.rglob("*") if path.name.startswith(".") or path.name.endswith(".part")]
        empty = [path for path in self.root.glob("*/store/**/*") if path.is_dir() and not any(path.iterdir())]
        return sorted(path.relative_to(self.root).as_posix() for path in {*parts, *empty})


def call(argv: list[str], *, now: datetime = NOW) -> Done:
    """Run the program in this process."""
    streams = [io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True) for _ in range(2)]
    nobody = mock.patch.object(sys, "stdin", io.StringIO())
    with nobody, contextlib.redirect_stdout(streams[0]), contextlib.redirect_stderr(streams[1]), quick_opening():
        code = main.run(argv, clock=lambda: now)
    out, err = (stream.buffer.getvalue() for stream in streams)
    return Done(code, out.decode(errors="replace"), err.decode(errors="replace"), out)


_stretch: Callable[..., bytes] = functools.cache(vault._stretch)


@contextlib.contextmanager
def quick_opening() -> Iterator[None]:
    """Stretch each passphrase once: the same answers, and not a quarter of a second for each command."""
    with mock.patch.object(vault, "_stretch", _stretch):
        yield


def world(stage: Stage, folder: Path) -> World:
    """A world of its own in ``folder`` (which must not exist), as far along as ``stage``."""
    shutil.copytree(template(stage), folder)
    return World(folder)


@functools.cache
def template(stage: Stage) -> Path:
    """The folder to copy worlds of a stage from."""
    if stage == STAGES[0]:
        folder = Path(tempfile.mkdtemp(prefix="anpr-share-tests-")).resolve()
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
    else:
        before = template(STAGES[STAGES.index(stage) - 1])
        folder = before.parent if before.name in STAGES else before
        shutil.copytree(before, folder / stage)
    made = World(folder / stage)
    made.root.mkdir(exist_ok=True)
    _STEPS[stage](made)
    return made.root


def write_inputs(made: World) -> None:
    """The passphrase file and the three extracts."""
    made.passphrase_file.write_text(f"{PASSPHRASE}\n", encoding="ascii")
    made.passphrase_file.chmod(0o600)
    write_reads(made.root / "reads.csv")
    write_targets(made.root / "targets.csv")
    write_cameras(made.root / "cameras.csv")


def _make_sites(made: World) -> None:
    write_inputs(made)
    for name, title in FORCES.items():
        made.ok("init", made.root / name, "--role", "police", "--name", title)
    made.ok("init", made.root / UNIVERSITY[0], "--role", "university", "--name", UNIVERSITY[1])


def _draft(made: World) -> None:
    parties = [word for name in SITES for word in ("--party", made.root / name / "identity.json")]
    text = filled_in(made.ok("agreement", "draft", *parties).out)
    (made.root / "draft.toml").write_text(text, encoding="utf-8")


def filled_in(text: str) -> str:
    """The draft of an agreement with what a person would write into it: two cameras are to be alike."""
    for field, value in (
        ("id", AGREEMENT),
        ("title", "Mapping modern slavery"),
        ("purpose", "research"),
        ("legal_basis", "DPA 2018 s.36"),
    ):
        text = text.replace(f'\n{field} = ""', f'\n{field} = "{value}"', 1)
    return text.replace("\nk = 10\n", "\nk = 2\n", 1)


def _sign(made: World) -> None:
    before = made.root / "draft.toml"
    for number, name in enumerate(SITES, 1):
        after = made.agreement if name == SITES[-1] else made.root / f"signed-{number}.json"
        made.ok("agreement", "sign", before, "-o", after, "--yes", site=name)
        before = after


def _accept(made: World) -> None:
    for name in SITES:
        made.ok("agreement", "accept", made.agreement, site=name)
    (share,) = (made.root / "lancs" / "outbox").glob("*.keyshare.json")
    made.ok("key", "accept", share, site="wyp")


def _request(made: World) -> None:
    done = made.ask()
    assert done.code == 0, done.err


def _export(made: World) -> None:
    done = made.export()
    assert done.code == 0, done.err


def _load(made: World) -> None:
    done = made.load()
    assert done.code == 0, done.err


_STEPS: Final = {
    "new": _make_sites,
    "drafted": _draft,
    "signed": _sign,
    "agreed": _accept,
    "requested": _request,
    "exported": _export,
    "loaded": _load,
}


def reads_rows() -> list[list[str]]:
    """The cells of the reads: whole plates at each camera on each day, and a few rows to reject."""
    rows = []
    for day in DAYS:
        begin = datetime(day.year, day.month, day.day, 6, tzinfo=UTC)
        for number in range(READS_A_DAY):
            plate = list(PLATES)[number % len(PLATES)]
            time = begin + timedelta(minutes=17 * number)
            rows.append([plate, CAMERAS[number % len(CAMERAS)], f"{time:%Y-%m-%dT%H:%M:%SZ}", str(60 + number)])
    rows.append([PARTIAL, CAMERAS[0], "2026-10-01T12:00:00Z", "50"])
    rows.append(["", CAMERAS[1], "2026-10-02T12:00:00Z", "50"])
    rows.append(["EX19EYE", CAMERAS[2], "yesterday", "50"])
    return rows


def write_reads(path: Path, *, header: str = "vrm,camera,captured_at,confidence") -> None:
    """An extract of reads for the profile ``plain-reads``."""
    lines = [header, *(",".join(row) for row in reads_rows())]
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


TARGETS_HEADER: Final = (
    "vrm,log,offence,person_category,handling,grading_scheme,source_grade,information_grade,"
    "offence_from,offence_to,convicted_on"
)


def feasibility_profile(made: World) -> Path:
    """A profile of the targets that does not ask for a conviction, which none of them has."""
    from anpr_share.tables.profile import profile_text  # polars is not for processes that fork

    asked = '[feasibility]\nsteps = ["offence", "whole-vrm", "victim", "seen"]\n'
    path = made.root / "feasibility.toml"
    path.write_text(profile_text("plain-targets") + asked, encoding="utf-8")
    return path


def write_targets(path: Path) -> None:
    """A log of targets for the profile ``plain-targets``: each plate in one row."""
    lines = [TARGETS_HEADER]
    for plate, log in zip(TARGET_PLATES, LOGS, strict=True):
        lines.append(f"{plate},{log},labour exploitation,suspect,P,3x5x2,1,B,2026-09-01,2026-10-02,")
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def write_cameras(path: Path, names: tuple[str, ...] = LISTED) -> None:
    """A register of cameras for the profile ``plain-cameras``: two are alike, and two others alike in nothing."""
    context = ("fixed,a-road,urban", "fixed,a-road,rural", "fixed,motorway,rural", "mobile,,")
    lines = ["camera,kind,road_class,area_type", *(",".join(row) for row in zip(names, context, strict=False))]
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def secrets_in(text: str | bytes) -> list[str]:
    """Which plates, camera names, references and passphrases of our extracts stand in a text, in whatever case."""
    data = (text.encode() if isinstance(text, str) else text).lower()
    return [word for word in WORDS if word.lower().encode() in data]


WORDS: Final = (
    *PLATES,
    *PLATES.values(),
    *TARGET_PLATES,
    *(plate.replace(" ", "").upper() for plate in TARGET_PLATES),
    PARTIAL,
    *LISTED,
    *LOGS,
    PASSPHRASE,
)


def listing(root: Path) -> list[str]:
    """Every file below a folder but SQLite's journals, which a killed command leaves and the next one takes up."""
    files = (path.relative_to(root).as_posix() for path in root.rglob("*"))
    return sorted(name for name in files if not name.endswith("-journal"))

"""No plate, camera name, reference, token, key or passphrase stands where it must not, whatever is typed or read.

Each test runs commands, good and failing, over extracts whose plates and names are known, and looks at everything that
was written: the terminal, every file of every site and beside them, temporary files just before they are removed, and
the ledger. Only the extracts themselves, the passphrase file and the tests' own inputs are not looked at.
"""

from __future__ import annotations

import base64
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from anpr_share.site.opened import OpenSite
from anpr_share.work import agreements
from tests.support import sites
from tests.support.sites import AGREEMENT, CAMERAS, DAYS, LOGS, Done, World

Words = Callable[[World], list[object]]
PLATE = "BK12CDE"
TARGETS = "--targets", "targets.csv", "--targets-profile", "plain-targets"


@dataclass
class Watch:
    """What must not be seen, and where it was."""

    made: World
    tokens: tuple[str, ...] = ()
    secret: tuple[bytes, ...] = ()
    inputs: set[Path] = field(default_factory=set)
    found: list[str] = field(default_factory=list)
    looked: int = 0

    def look(self, place: str, data: bytes) -> None:
        self.looked += 1
        lowered = data.lower()
        for words in (lowered, lowered.replace(b"\0", b"")):  # as UTF-16 has it, too
            self.found += [f"{place}: {word}" for word in sites.secrets_in(words)]
        for word in sites.WORDS:
            if base64.b64encode(word.encode())[:-4] in data:
                self.found.append(f"{place}: {word} in base64")
        self.found += [f"{place}: a token" for token in self.tokens if token.encode() in lowered]
        for secret in self.secret:
            spelt = (secret, secret.hex().encode(), base64.b64encode(secret))
            self.found += [f"{place}: a key" for form in spelt if form in data or form in lowered]

    def file(self, path: Path) -> None:
        if path.is_file() and path not in self.inputs:
            self.look(path.name, path.read_bytes())

    def folder(self, path: Path) -> None:
        for item in path.rglob("*"):
            self.look("a file's name", item.name.encode())
            self.file(item)

    def run(self, *argv: object, site: str | None = None) -> Done:
        """Run a command and look at everything after it."""
        done = self.made.run(*argv, site=site)
        self.terminal(done)
        self.folder(self.made.root)
        return done

    def terminal(self, done: Done) -> None:
        self.look("standard output", done.data)
        self.look("standard error", done.err.encode())
        assert "internal error" not in done.err, done.err


_watch: list[Watch] = []


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    """Look at a temporary file before it is renamed, removed, or removed with its folder."""
    if not _watch or event not in {"os.remove", "os.rename", "shutil.rmtree"}:
        return
    watch = _watch.pop()  # what it does itself is no concern of its own
    try:
        path = Path(arguments[0])
        if event == "shutil.rmtree":
            watch.folder(path)
        elif path.is_absolute() and (event == "os.remove" or Path(arguments[1]) not in watch.inputs):
            watch.file(path)
    finally:
        _watch.append(watch)


sys.addaudithook(_audit)


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder for temporary files that must be empty in the end."""
    sites.template("loaded")  # which is a temporary folder, too, and of all tests
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", None)
    yield folder
    assert list(folder.iterdir()) == []


@pytest.fixture
def watch(tmp_path: Path, temporary: Path) -> Iterator[Watch]:
    """A world that is loaded, its secrets known."""
    made = sites.world("loaded", tmp_path / "world")
    watch = Watch(made, *secrets_of(made))
    watch.inputs = {made.passphrase_file, made.root / "reads.csv", made.root / "targets.csv"}
    _watch.append(watch)
    yield watch
    _watch.clear()


def secrets_of(made: World) -> tuple[tuple[str, ...], tuple[bytes, ...]]:
    """Every token that the extracts can give, and every key of the sites."""
    keys: list[bytes] = []
    tokens: set[str] = set()
    for name in sites.SITES:
        with sites.quick_opening(), OpenSite.open(made.root / name, passphrase=sites.PASSPHRASE.encode()) as site:
            vault = site.require_vault()
            keys += [vault._key, site.signing_key.secret(), site.opening_key.secret()]
            if name == "lancs":
                linkage = agreements.linkage_key(site, AGREEMENT)
                secret = vault.get_secret(site.db, "linkage", AGREEMENT)
                assert secret is not None
                keys.append(secret)
                identity = site.identity.site
                tokens |= {linkage.vrm(plate) for plate in (*sites.PLATES.values(), *sites.TARGET_PLATES)}
                tokens |= {linkage.camera(identity, [camera]) for camera in CAMERAS}
                tokens |= {linkage.log(identity, log) for log in LOGS}
    return tuple(tokens), tuple(keys)


def test_the_watch_sees_what_is_there(watch: Watch) -> None:
    vehicle = watch.tokens[0]
    for seen in (
        PLATE.lower().encode(),
        f"a,{CAMERAS[0]},b".encode(),
        LOGS[0].encode("utf-16-le"),
        base64.b64encode(LOGS[0].encode()),
        vehicle.upper().encode(),
        watch.secret[0],
        watch.secret[0].hex().encode(),
    ):
        before = len(watch.found)
        watch.look("here", seen)
        assert len(watch.found) > before, seen
    before = len(watch.found)
    watch.look("here", b"nothing of it")
    assert len(watch.found) == before


def test_tokens_come_out_of_link_alone(watch: Watch) -> None:
    done = watch.made.run("link", "--purpose", "journeys", "--format", "csv", site="uni")

    assert sum(token in done.out for token in watch.tokens) >= 2
    assert sites.secrets_in(done.out + done.err) == []
    watch.folder(watch.made.root)
    assert watch.found == []


def test_pseudonymised_rows_hold_tokens_and_no_names(watch: Watch) -> None:
    out = watch.made.root / "tokens.csv"
    watch.inputs.add(out)

    given = ("--profile", "plain-reads", "--agreement", AGREEMENT, "-o", out)
    assert watch.run("pseudonymise", watch.made.root / "reads.csv", *given, site="lancs").code == 0

    assert sum(token in out.read_text() for token in watch.tokens) >= 2
    assert sites.secrets_in(out.read_bytes()) == []
    assert watch.found == []


def test_the_whole_exchange_shows_nothing(tmp_path: Path, temporary: Path) -> None:
    made = sites.world("signed", tmp_path / "world")
    watch = Watch(made)
    watch.inputs = {made.passphrase_file, made.root / "reads.csv", made.root / "targets.csv"}
    _watch.append(watch)
    try:
        for name in sites.SITES:
            assert watch.run("agreement", "accept", made.agreement, site=name).code == 0
        watch.secret = tuple(secrets_of(made)[1])
        watch.tokens = secrets_of(made)[0]
        days = ("--from", DAYS[0], "--until", DAYS[-1])
        reads, targets = made.root / "reads.csv", made.root / "targets.csv"
        given = (
            "--reads",
            reads,
            "--profile",
            "plain-reads",
            "--targets",
            targets,
            "--targets-profile",
            "plain-targets",
        )
        for site, words in (
            ("lancs", ("check", reads, "--profile", "plain-reads", "--rejects", made.root / "rejected.csv")),
            ("lancs", ("check", targets, "--profile", "plain-targets", "--json")),
            ("uni", ("request", AGREEMENT, "--to", "lancashire-police", *days, "-o", made.request)),
            (
                "lancs",
                ("export", "--request", made.request, *given, "-o", made.bundle, "--rejects", made.root / "r.csv"),
            ),
            (None, ("--json", "inspect", made.bundle)),
            ("uni", ("verify", made.bundle)),
            ("uni", ("load", made.bundle, "--receipt", made.receipt)),
            ("lancs", ("receipt", "accept", made.receipt)),
            ("uni", ("--json", "link", "--purpose", "journeys")),
            *((site, ("ledger", "show", "--json")) for site in ("lancs", "uni")),
            *((site, ("status", "--json")) for site in ("lancs", "uni")),
            ("lancs", ("receipt", "list")),
            ("lancs", ("key", "list")),
            ("lancs", ("partner", "list")),
            ("lancs", ("agreement", "show")),
        ):
            assert watch.run(*words, site=site).code == int(words[0] == "check" and "plain-reads" in words), words
    finally:
        _watch.clear()
    assert watch.found == []
    assert watch.looked > 300


# --- failing commands


def write(made: World, name: str, text: str | bytes) -> Path:
    path = made.root / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def reads(text: str | bytes, profile: str = "plain-reads") -> Words:
    """`check` and then `export` of other reads than the usual."""
    return lambda made: ["--reads", write(made, "reads.csv", text), "--profile", profile]


HEADER = "vrm,camera,captured_at,confidence\n"
ROW = f"{PLATE},{CAMERAS[0]},2026-10-01T10:00:00Z,90\n"
EXTRACTS: dict[str, Words] = {
    "wrong profile": reads(HEADER + ROW, "nas-compact"),
    "a profile for another table": reads(HEADER + ROW, "plain-targets"),
    "swapped columns": reads("camera,vrm,captured_at,confidence\n" + ROW * 20),
    "plates as cameras": reads(HEADER + ROW.replace(CAMERAS[0], "LK07 XYZ") * 20),
    "plates as header": reads(f"{PLATE},{CAMERAS[0]},captured_at\n" + ROW),
    "no header": reads(ROW * 3),
    "plates as times": reads(HEADER + ROW.replace("2026-10-01T10:00:00Z", PLATE)),
    "plates as confidence": reads(HEADER + ROW.replace(",90", f",{PLATE}")),
    "future times": reads(HEADER + ROW.replace("2026", "2999")),
    "wrong encoding": reads((HEADER + ROW).encode() + f"{PLATE},M\xfchle,x,1\n".encode("cp1252")),
    "utf-16 as utf-8": reads((HEADER + ROW).encode("utf-16")),
    "ragged rows": reads(HEADER + ROW + f"{PLATE},{CAMERAS[0]}\n{PLATE},,,,,{CAMERAS[1]}\n"),
    "an open quotation mark": reads(HEADER + ROW + f'"{PLATE},{CAMERAS[0]}\n' + ROW),
    "a null character": reads(HEADER + ROW + f"{PLATE}\0,{CAMERAS[0]}\n"),
    "a cut gzip file": reads(b"\x1f\x8b\x08\0" + ROW.encode()),
    "a parquet file that is none": reads(b"PAR1" + ROW.encode() + b"PAR1"),
    "a workbook": reads(b"PK\x03\x04" + ROW.encode()),
    "a profile that holds data": lambda made: [
        *("--reads", made.root / "reads.csv"),
        *(
            "--profile",
            write(made, "profile.toml", f'table = "{PLATE}"\n[columns]\nvrm = "{CAMERAS[0]}"\n"{PLATE}" = 1'),
        ),
    ],
    "a profile that is no TOML": lambda made: [
        *("--reads", made.root / "reads.csv", "--profile", write(made, "profile.toml", ROW)),
    ],
    "a column that is named like a plate": lambda made: [
        *("--reads", made.root / "reads.csv"),
        *("--profile", write(made, "profile.toml", sites_profile().replace('"vrm"', f'"{PLATE}x"'))),
    ],
}


def sites_profile() -> str:
    from anpr_share.tables.profile import profile_text

    return profile_text("plain-reads")


@pytest.mark.parametrize("json", [False, True], ids=["text", "json"])
@pytest.mark.parametrize("case", EXTRACTS)
def test_a_bad_extract_shows_none_of_it(case: str, json: bool, watch: Watch) -> None:
    made = watch.made
    given = EXTRACTS[case](made)
    watch.inputs |= {made.root / "profile.toml"}
    more = ["--json"] if json else []
    request = made.root / "second.json"
    made.ask(out=request)

    checked = watch.run("check", given[1], *given[2:], "--rejects", made.root / "rejected.csv", *more, site="lancs")
    exported = watch.run("export", "--request", request, *given, "-o", made.root / "x.zip", *more, site="lancs")

    assert checked.code in {1, 2, 3}, checked
    if case == "a column that is named like a plate":  # the name is the profile's, and names of its columns are told
        watch.found = [line for line in watch.found if not line.startswith("standard")]
    assert exported.code in {0, 1, 2, 3}, exported
    assert watch.found == []


@pytest.mark.parametrize(
    ("cell", "header"),
    [
        (PLATE, "log"),
        ("INT 1 about " + PLATE, "offence"),
        (PLATE, "offence_from"),
        (PLATE, "person_category"),
        (PLATE, "handling"),
        (PLATE, "source_grade"),
    ],
)
def test_bad_targets_show_none_of_it(cell: str, header: str, watch: Watch) -> None:
    made = watch.made
    columns = sites.TARGETS_HEADER.split(",")
    usual = "lk07xyz,LOGREF-77120,labour exploitation,suspect,P,3x5x2,1,B,2026-09-01,2026-10-02,"
    values = usual.split(",")
    values[columns.index(header)] = cell
    targets = write(made, "targets.csv", sites.TARGETS_HEADER + "\n" + (",".join(values) + "\n") * 12)
    request = made.root / "second.json"
    made.ask(out=request)

    watch.run("check", targets, "--profile", "plain-targets", "--rejects", made.root / "rejected.csv", site="lancs")
    good = ("--reads", made.root / "reads.csv", "--profile", "plain-reads")
    given = ("--targets", targets, "--targets-profile", "plain-targets")
    watch.run("export", "--request", request, *good, *given, "-o", made.root / "x.zip", site="lancs")

    assert watch.found == []


TYPED: dict[str, tuple[str | None, Words]] = {
    "as a command": (None, lambda _: [PLATE]),
    "as an option": ("uni", lambda _: ["status", f"--{PLATE}"]),
    "as a purpose": ("uni", lambda _: ["link", "--purpose", f"where is {PLATE}"]),
    "as a spaced purpose": ("uni", lambda _: ["link", "--purpose", "where is bk12 cde"]),
    "as an actor": ("uni", lambda _: ["--actor", PLATE, "link", "--purpose", "journeys"]),
    "as an authority": ("lancs", lambda made: [*export(made), "--authority", PLATE]),
    "as a window": ("lancs", lambda made: [*export(made), "--window", PLATE]),
    "as a profile": ("lancs", lambda made: ["check", made.root / "reads.csv", "--profile", PLATE]),
    "as a bundled profile": (None, lambda _: ["profile", "show", PLATE]),
    "as a format": ("uni", lambda _: ["link", "--purpose", "journeys", "--format", PLATE]),
    "as a number": ("uni", lambda _: ["ledger", "show", "--last", PLATE]),
    "as an agreement": ("uni", lambda _: ["agreement", "show", PLATE]),
    "as an agreement to ask under": ("uni", lambda made: ask(made, PLATE, "lancashire-police", str(DAYS[0]))),
    "as a force": ("uni", lambda made: ask(made, AGREEMENT, PLATE, str(DAYS[0]))),
    "as a day": ("uni", lambda made: ask(made, AGREEMENT, "lancashire-police", PLATE)),
    "as a partner": ("uni", lambda _: ["partner", "revoke", PLATE]),
    "as a fingerprint": (
        "uni",
        lambda made: ["partner", "add", made.root / "lancs/identity.json", "--fingerprint", PLATE],
    ),
    "as a role": (None, lambda made: ["init", made.root / "other", "--role", PLATE, "--name", "Other"]),
    "as an id": (None, lambda made: ["init", made.root / "other", "--role", "police", "--name", "O P", "--id", PLATE]),
    "as a document": ("uni", lambda made: ["load", write(made, "document", ROW)]),
    "as an identity": (
        "uni",
        lambda made: ["partner", "add", write(made, "document", f'{{"{PLATE}": "{CAMERAS[0]}"}}')],
    ),
    "as an agreement's text": ("uni", lambda made: sign(write(made, "document", f'{PLATE} = "{CAMERAS[0]}"\n'))),
    "as an agreement's field": ("uni", lambda made: sign(write(made, "document", f'id = "{PLATE}"\n'))),
    "as a receipt": ("lancs", lambda made: ["receipt", "accept", write(made, "document", ROW)]),
    "as a key share": ("wyp", lambda made: ["key", "accept", write(made, "document", ROW)]),
    "as a passphrase": ("uni", lambda made: ["--passphrase-file", write(made, "document", PLATE), "key", "list"]),
    "as an option for a passphrase": ("uni", lambda _: ["status", "--passphrase", sites.PASSPHRASE]),
}


def export(made: World) -> list[object]:
    reads = ("--reads", made.root / "reads.csv", "--profile", "plain-reads")
    return ["export", "--request", made.request, *reads, "-o", made.root / "x.zip"]


def ask(made: World, agreement: str, force: str, day: str) -> list[object]:
    return ["request", agreement, "--to", force, "--from", day, "--until", DAYS[-1], "-o", made.root / "second.json"]


def sign(draft: Path) -> list[object]:
    return ["agreement", "sign", draft, "-o", draft.with_name("signed"), "--yes"]


@pytest.mark.parametrize("json", [False, True], ids=["text", "json"])
@pytest.mark.parametrize("case", TYPED)
def test_a_plate_in_a_wrong_place_is_neither_repeated_nor_kept(case: str, json: bool, watch: Watch) -> None:
    site, typed = TYPED[case]
    argv = typed(watch.made)
    watch.inputs.add(watch.made.root / "document")

    done = watch.run(*(["--json"] if json else []), *argv, site=site)

    assert done.code in {2, 3, 4, 5, 6}, done
    assert watch.found == []


def test_a_refused_bundle_shows_nothing(watch: Watch) -> None:
    made = watch.made
    data = made.bundle.read_bytes()
    for at in range(10, len(data), len(data) // 12):
        refused = write(made, "refused.zip", data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        assert watch.run("load", refused, site="uni").code in {3, 4}
        assert watch.run("--json", "inspect", refused).code in {0, 3}
    assert watch.found == []


@pytest.mark.parametrize("json", [False, True], ids=["text", "json"])
def test_a_fault_of_ours_shows_no_text_of_it(json: bool, watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    import anpr_share.work.minimising as inner

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError(f"cannot convert {PLATE} of {CAMERAS[0]}: {watch.tokens[0]}")

    request = watch.made.root / "second.json"
    watch.made.ask(out=request)
    monkeypatch.setattr(inner, "prepare_reads", fail)
    given = ("--reads", watch.made.root / "reads.csv", "--profile", "plain-reads", "-o", watch.made.root / "x.zip")

    more = ["--json"] if json else []
    done = watch.made.run("export", "--request", request, *given, *more, site="lancs")

    assert done.code == 70
    assert "internal error (RuntimeError) at anpr_share/" in done.err
    watch.look("standard output", done.data)
    watch.look("standard error", done.err.encode())
    watch.folder(watch.made.root)
    assert watch.found == []
    assert watch.made.run("export", "--request", request, *given, site="lancs").code == 70
    monkeypatch.undo()
    assert watch.made.run("export", "--request", request, *given, site="lancs").code == 0


def test_a_library_that_quotes_a_cell_is_not_repeated(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    import polars as pl

    def quote(*_: object, **__: object) -> None:
        raise pl.exceptions.ComputeError(f"could not parse `{PLATE}` as dtype `i64`")

    monkeypatch.setattr(pl, "read_csv", quote)
    done = watch.made.run("check", watch.made.root / "reads.csv", "--profile", "plain-reads")

    watch.look("standard output", done.data)
    watch.look("standard error", done.err.encode())
    assert done.code != 0
    assert watch.found == []

"""No plate, camera name, reference, token, key or passphrase stands where it must not, whatever is typed or read.

Each test runs commands that fail, or that meet bad input, over extracts whose plates and names are known, and looks at
everything that was written: the terminal, every file of every site and beside them, files just before they are removed,
and the ledger. Only the extracts themselves, the passphrase file and the tests' own inputs are not looked at.
Commands that do their work are in ``test_leaks_commands.py``.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from tests.support import sites
from tests.support.sites import AGREEMENT, CAMERAS, DAYS, LOGS, World
from tests.support.watching import Watch, watching

Words = Callable[[World], list[object]]
PLATE = "BK12CDE"


def test_the_watch_sees_what_is_there(watch: Watch) -> None:
    vehicle = min(watch.tokens)
    for seen in (
        PLATE.lower().encode(),
        f"a,{CAMERAS[0]},b".encode(),
        LOGS[0].encode("utf-16-le"),
        base64.b64encode(LOGS[0].encode()),
        vehicle.upper().encode(),
        min(watch.secret),
        min(watch.secret).hex().encode(),
    ):
        before = len(watch.found)
        watch.look("here", seen)
        assert len(watch.found) > before, seen
    before = len(watch.found)
    watch.look("here", b"nothing of it")
    assert len(watch.found) == before


# --- failing commands


def write(made: World, name: str, text: str | bytes) -> Path:
    path = made.root / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def reads(text: str | bytes, profile: str = "plain-reads") -> Words:
    """`check` and then `export` of other reads than the usual."""
    return lambda made: ["--reads", write(made, "reads.csv", text), "--profile", profile]


def parquet(**columns: list[object]) -> bytes:
    """A Parquet extract whose cells and statistics hold plates and names; ``columns`` replace or add to the usual."""
    usual = dict(zip(HEADER.strip().split(","), map(list, zip(*sites.reads_rows(), strict=True)), strict=True))
    file = io.BytesIO()
    pl.DataFrame(usual | columns).write_parquet(file, compression="uncompressed")
    return file.getvalue()


def every(cell: object) -> list[object]:
    return [cell] * len(sites.reads_rows())


def changed_page(data: bytes) -> bytes:
    at = data.index(b"BK12CDE") - 4
    return data[:at] + b"\xff" * 12 + data[at + 12 :]


def parquet_without_camera() -> bytes:
    file = io.BytesIO()
    pl.DataFrame({"vrm": [PLATE], CAMERAS[0]: [PLATE], "captured_at": ["2026-10-01T10:00:00Z"]}).write_parquet(
        file, compression="uncompressed"
    )
    return file.getvalue()


def packed(data: Callable[[], bytes]) -> Words:
    """`reads` of a Parquet file, which is made when it is needed."""

    def words(made: World) -> list[object]:
        return reads(data())(made)

    return words


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
    "a parquet file cut short": packed(lambda: parquet()[:-200]),
    "a parquet file with a changed page": packed(lambda: changed_page(parquet())),
    "a parquet file without a column": packed(parquet_without_camera),
    "plates as times of a parquet file": packed(lambda: parquet(captured_at=every(PLATE))),
    "a parquet file with lists": packed(lambda: parquet(camera=every([PLATE, CAMERAS[0]]))),
    "a parquet file with a huge cell": packed(lambda: parquet(camera=every(f"{PLATE} " * 20_000))),
    "swapped columns of a parquet file": packed(lambda: parquet(camera=every(PLATE))),
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
    assert made.ask(force="west-yorkshire-police", out=request).code == 0

    checked = watch.run("check", given[1], *given[2:], "--rejects", made.root / "rejected.csv", *more, site="wyp")
    exported = watch.run("export", "--request", request, *given, "-o", made.root / "x.zip", *more, site="wyp")

    seen = ("--reads", *given[1:2], "--reads-profile", *given[3:])
    usual = ("--targets", made.root / "targets.csv", "--targets-profile", "plain-targets")
    looked_at = watch.run("feasibility", *usual, *seen, *more)

    assert looked_at.code in {1, 2, 3}, looked_at
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
    assert made.ask(force="west-yorkshire-police", out=request).code == 0

    watch.run("check", targets, "--profile", "plain-targets", "--rejects", made.root / "rejected.csv", site="wyp")
    good = ("--reads", made.root / "reads.csv", "--profile", "plain-reads")
    given = ("--targets", targets, "--targets-profile", "plain-targets")
    watch.run("export", "--request", request, *good, *given, "-o", made.root / "x.zip", site="wyp")
    watch.run("feasibility", *given)
    watch.run("--json", "feasibility", *given)

    assert watch.found == []


@pytest.mark.parametrize(
    ("profile", "rows"),
    [
        pytest.param("plain-cameras", [f"{CAMERAS[0]},{PLATE},{CAMERAS[1]},{PLATE}"], id="cells"),
        pytest.param("plain-cameras", [f"{CAMERAS[0]},fixed,,", f"{CAMERAS[0]},mobile,,"], id="contradicting"),
        pytest.param("plain-cameras", [f"{PLATE},fixed,,"], id="swapped"),
        pytest.param("plain-cameras", [f"{CAMERAS[0]},fixed,,,{PLATE},{PLATE}"], id="ragged"),
        pytest.param("plain-targets", [f"{CAMERAS[0]},fixed,,"], id="another profile"),
    ],
)
def test_bad_cameras_show_none_of_it(profile: str, rows: list[str], watch: Watch) -> None:
    made = watch.made
    cameras = write(made, "cameras.csv", "camera,kind,road_class,area_type\n" + "".join(f"{row}\n" for row in rows))
    request = made.root / "second.json"
    assert made.ask(force="west-yorkshire-police", out=request).code == 0

    watch.run("check", cameras, "--profile", profile, "--rejects", made.root / "rejected.csv", site="wyp")
    good = ("--reads", made.root / "reads.csv", "--profile", "plain-reads")
    given = ("--cameras", cameras, "--cameras-profile", profile)
    watch.run("export", "--request", request, *good, *given, "-o", made.root / "x.zip", site="wyp")

    assert watch.found == []


TARGETS = 'table = "targets"\n[columns]\nvrm = "vrm"\nlog = "log"\noffence = "offence"\n'
TYPED: dict[str, tuple[str | None, Words]] = {
    "as a command": (None, lambda _: [PLATE]),
    "as an option": ("uni", lambda _: ["status", f"--{PLATE}"]),
    "as a purpose": ("uni", lambda _: ["link", "--purpose", f"where is {PLATE}"]),
    "as a spaced purpose": ("uni", lambda _: ["link", "--purpose", "where is bk12 cde"]),
    "as an actor": ("uni", lambda _: ["--actor", PLATE, "link", "--purpose", "journeys"]),
    "as an authority": ("lancs", lambda made: [*export(made), "--authority", PLATE]),
    "as a window": ("lancs", lambda made: [*export(made), "--window", PLATE]),
    "as a profile": ("lancs", lambda made: ["check", made.root / "reads.csv", "--profile", PLATE]),
    "as a profile of targets": (
        None,
        lambda made: ["feasibility", "--targets", made.root / "targets.csv", "--targets-profile", PLATE],
    ),
    "as an offence in scope": (
        None,
        lambda made: [
            *("feasibility", "--targets", made.root / "targets.csv"),
            *("--targets-profile", write(made, "document", TARGETS + f'[feasibility]\noffences = ["{PLATE}"]\n')),
        ],
    ),
    "as a step": (
        None,
        lambda made: [
            *("feasibility", "--targets", made.root / "targets.csv"),
            *("--targets-profile", write(made, "document", TARGETS + f'[feasibility]\nsteps = ["{PLATE}"]\n')),
        ],
    ),
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
        raise RuntimeError(f"cannot convert {PLATE} of {CAMERAS[0]}: {min(watch.tokens)}")

    request = watch.made.root / "second.json"
    assert watch.made.ask(force="west-yorkshire-police", out=request).code == 0
    monkeypatch.setattr(inner, "prepare_reads", fail)
    given = ("--reads", watch.made.root / "reads.csv", "--profile", "plain-reads", "-o", watch.made.root / "x.zip")

    more = ["--json"] if json else []
    with watching(watch):
        done = watch.made.run("export", "--request", request, *given, *more, site="wyp")

    assert done.code == 70
    assert "internal error (RuntimeError) at anpr_share/" in done.err
    watch.look("standard output", done.data)
    watch.look("standard error", done.err.encode())
    watch.folder(watch.made.root)
    assert watch.found == []
    assert watch.made.run("export", "--request", request, *given, site="wyp").code == 70
    monkeypatch.undo()
    assert watch.made.run("export", "--request", request, *given, site="wyp").code == 0


def test_a_library_that_quotes_a_cell_is_not_repeated(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    import polars as pl

    def quote(*_: object, **__: object) -> None:
        raise pl.exceptions.ComputeError(f"could not parse `{PLATE}` as dtype `i64`")

    monkeypatch.setattr(pl, "read_csv", quote)
    with watching(watch):
        done = watch.made.run("check", watch.made.root / "reads.csv", "--profile", "plain-reads")

    watch.look("standard output", done.data)
    watch.look("standard error", done.err.encode())
    assert done.code != 0
    assert watch.found == []

"""Bad extracts at the command line: the exit code, what is said, and that nothing is left half-done.

What is wrong with bundles and key shares, and who may not send them, is tried at the command line by the tests of
verifying, of hostile senders and of agreements (`tests.support.exchange.refused`); disks in ``test_disk.py``, killed
commands in ``test_crash.py``, two at once in ``test_concurrency.py``.
"""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from pathlib import Path

import pytest

from anpr_share.tables.profile import profile_text
from tests.support import sites
from tests.support.sites import World

HEADER = "vrm,camera,captured_at,confidence\n"
TIME = "2026-10-01T10:00:00Z"
ROW = f"BK12CDE,Mill Lane Bridge,{TIME},90\n"
LOCAL = profile_text("plain-reads").replace("%SZ", "%S").replace('timezone = "UTC"', 'timezone = "Europe/London"')


@dataclass(frozen=True)
class Bad:
    """An extract, the error of `check` and `export`, and the rule by which `check` rejects its rows, if it does."""

    data: bytes
    error: str
    rule: str | None = None
    profile: str | None = None


def rows(text: str, error: str, header: str = HEADER) -> Bad:
    return Bad((header + text).encode(), error)


def rejected(text: str, rule: str, profile: str | None = None) -> Bad:
    return Bad((HEADER + text).encode(), f"no row is left: 1 {rule}", rule, profile)


CASES: dict[str, Bad] = {
    "a missing column": rows("BK12CDE,x\n", "reads.csv has no column camera, captured_at", "vrm,when\n"),
    "a doubled column": rows(ROW, "reads.csv has more than one column vrm", f"vrm,{HEADER}"),
    "the wrong delimiter": rows("a;b;c;d\n", "reads.csv has no column vrm, camera, capt", HEADER.replace(",", ";")),
    "the wrong encoding": Bad((HEADER + ROW.replace("Mill", "Mühle")).encode("cp1252"), "reads.csv is not utf-8 text"),
    "utf-16 as utf-8": Bad((HEADER + ROW).encode("utf-16"), "reads.csv is UTF-16 text"),
    "no rows": rows("", "the extract holds no rows"),
    "nothing at all": Bad(b"", "reads.csv has no header line"),
    "a cut gzip file": Bad(gzip.compress((HEADER + ROW * 999).encode())[:-20], "reads.csv is damaged or cut off"),
    "plates in the camera's column": rows(ROW.replace("Mill Lane Bridge", "LK07XYZ") * 5, "columns may be swapped"),
    "unreadable times": rejected(ROW.replace(TIME, "yesterday"), "time-unreadable"),
    "future times": rejected(ROW.replace("2026", "2027"), "time-future"),
    "ambiguous local times": rejected(
        ROW.replace("2026-10-01T10:00:00Z", "2025-10-26T01:30:00"), "time-ambiguous", LOCAL
    ),
    "plates that are none": rejected(ROW.replace("BK12CDE", "??"), "vrm-missing"),
    "no cameras": rejected(ROW.replace("Mill Lane Bridge", " "), "camera-missing"),
}


def export(made: World, profile: object, request: Path) -> sites.Done:
    given = ("--reads", made.root / "reads.csv", "--profile", profile, "--rejects", made.root / "rejects.csv")
    return made.run("export", "--request", request, *given, "-o", made.bundle, site="lancs")


def requires_nothing_left(made: World, before: list[str], events: list[str]) -> None:
    assert sites.listing(made.root) == before
    assert made.strays() == []
    assert made.events("lancs") == events
    sites.write_reads(made.root / "reads.csv")
    assert made.export().code == 0  # the window is still open


@pytest.mark.parametrize("case", CASES)
def test_a_bad_extract_is_told_and_leaves_nothing(case: str, tmp_path: Path) -> None:
    bad, made = CASES[case], sites.world("requested", tmp_path / "world")
    profile: object = "plain-reads"
    if bad.profile is not None:
        profile = made.root / "profile.toml"
        profile.write_text(bad.profile, encoding="utf-8")
    (made.root / "reads.csv").write_bytes(bad.data)
    before, events = sites.listing(made.root), made.events("lancs")

    checked = made.run("check", made.root / "reads.csv", "--profile", profile)
    exported = export(made, profile, made.request)

    assert (checked.code, exported.code) == (1, 1)
    assert exported.err.startswith(f"error: {bad.error}")
    assert "\nhint: " in exported.err
    if bad.rule is None:
        assert checked.err.startswith(f"error: {bad.error}")
    else:
        assert "0 accepted, 1 rejected" in checked.out
        assert f"\n{bad.rule} " in checked.out
    assert sites.secrets_in(checked.out + checked.err + exported.out + exported.err) == []
    requires_nothing_left(made, before, events)


def test_reads_older_than_the_limit_are_told_and_leave_nothing(tmp_path: Path) -> None:
    made = sites.world("requested", tmp_path / "world")
    request = made.root / "old.json"
    days = ("--from", "2025-10-01", "--until", "2025-10-31")
    made.ok("request", sites.AGREEMENT, "--to", "lancashire-police", *days, "-o", request, site="uni")
    (made.root / "reads.csv").write_text(HEADER + ROW.replace("2026", "2025"), encoding="utf-8")
    before, events = sites.listing(made.root), made.events("lancs")

    exported = export(made, "plain-reads", request)

    assert exported.code == 4
    assert exported.err.startswith("error: no row is left: 1 expired\n")
    requires_nothing_left(made, before, events)

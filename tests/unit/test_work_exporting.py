"""Exporting: what may not leave does not, every row is accounted for, and a refusal leaves nothing half-done."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from anpr_share.documents import manifest
from anpr_share.documents import request as requests
from anpr_share.documents.manifest import TableQuality
from anpr_share.documents.model import validate
from anpr_share.errors import InputError, PolicyError, StorageError, UsageError
from anpr_share.reports.exchange import account
from anpr_share.site import catalogue, holdings
from anpr_share.tables.extract import Input
from anpr_share.tables.profile import load_profile, profile_text
from anpr_share.work import agreements, exporting, inspecting
from anpr_share.work.pseudonymising import pseudonymise
from tests.support.exchange import (
    AGREEMENT,
    DAYS,
    LANCS,
    PLATES,
    READS,
    TARGETS,
    UNI,
    WYP,
    Read,
    World,
    reads_input,
    silent,
    targets_input,
)
from tests.support.exports import export, refused, written


def quality(result: exporting.ExportResult, table: str = "reads") -> TableQuality:
    return next(item for item in result.tables if item.table == table)


def local_reads(world: World) -> Input:
    """Reads in London time: of a day of the window, two of an hour that came twice, one of an hour left out."""
    times = ("2026-10-01T09:00:00", "2025-10-26T01:30:00", "2025-10-26T01:59:59", "2026-03-29T01:30:00")
    source = reads_input(world.free("reads.csv"), [("AB12CDE", "CAM-1", time) for time in times])
    profile = world.free("local.toml")
    profile.write_text(
        profile_text("plain-reads")
        .replace('"%Y-%m-%dT%H:%M:%SZ"', '"%Y-%m-%dT%H:%M:%S"')
        .replace('timezone = "UTC"', 'timezone = "Europe/London"\nambiguous = "earliest"\nnonexistent = "forward"'),
        encoding="utf-8",
    )
    return Input(source.paths, load_profile(str(profile)))


RESOLVED = {"time-ambiguous": 2, "time-nonexistent": 1}


def test_local_times_that_the_profile_resolves_are_counted_and_told_to_the_recipient(world: World) -> None:
    bundle = world.free("b.anpr.zip")
    result = export(world, world.request(), local_reads(world), bundle)
    assert (quality(result).rows_in, quality(result).rows_out) == (4, 1)
    assert quality(result).resolved == RESOLVED
    assert {(2, "local times resolved: time-ambiguous"), (1, "local times resolved: time-nonexistent")} <= {
        (row[1], row[2]) for row in account(quality(result))
    }
    world.load(bundle)
    known = holdings.bundle(world.uni.db, world.uni.vault, result.bundle)
    assert known is not None
    assert known.quality is not None
    sealed = validate(manifest.Quality, known.quality, "quality record").of("reads")
    assert sealed is not None
    assert sealed.resolved == RESOLVED


def test_pseudonymising_counts_the_local_times_that_the_profile_resolves(world: World) -> None:
    source = local_reads(world)
    result = pseudonymise(
        world.lancs, source.paths, source.profile, AGREEMENT, world.free("out.csv"), authority="ref", progress=silent
    )
    assert result.account.resolved == RESOLVED


def test_every_row_is_released_rejected_or_withheld_and_counted(world: World) -> None:
    rows = [
        *READS,
        ("AB12CDE", "CAM-1", "2026-10-04T08:00:00Z"),  # outside the window
        ("AB12CDE", "", "2026-10-01T08:00:00Z"),
        ("", "CAM-1", "2026-10-01T08:00:00Z"),
        ("AB12CDE", "CAM-1", "yesterday"),
        ("AB12CDE", "CAM-1", "2026-10-12T12:00:01Z"),
    ]
    result = export(world, world.request(), written(world, rows), world.free("b.anpr.zip"))
    found = quality(result)
    assert (found.rows_in, found.rows_out, found.duplicates) == (12, 6, 1)
    assert found.rejected == {
        "vrm-partial": 1,
        "camera-missing": 1,
        "vrm-missing": 1,
        "time-unreadable": 1,
        "time-future": 1,
    }
    assert found.withheld == {"outside-window": 1}
    assert found.families == {"current": 6}
    assert any("1 rows lie outside the window" in warning for warning in result.warnings)


def test_an_export_is_logged_as_alteration_and_disclosure_and_uses_its_window(world: World) -> None:
    request = world.request()
    result = export(world, request, written(world), world.free("b.anpr.zip"), authority="Inspector, reference 12")
    entries = list(world.lancs.ledger.lines())[-2:]
    assert [entry.event for entry in entries] == ["alteration", "disclosure"]
    assert entries[1].details["recipient"] == UNI
    assert entries[1].details["authority"] == "Inspector, reference 12"
    assert world.lancs.ledger.verify(world.lancs.identity.signing, LANCS).unsigned_tail == 0
    [window] = catalogue.windows(world.lancs.db, world.lancs.vault, requests.parse(request)[1].digest)
    assert (window.state, window.bundle) == ("used", result.bundle)
    assert {item.kind for item in holdings.registered(world.lancs.db, world.lancs.vault)} == {"extract", "output"}


def test_a_bundle_holds_no_plate_no_camera_and_no_order_of_the_source(world: World) -> None:
    bundle = world.export(targets=TARGETS)
    content = bundle.read_bytes()
    assert not any(text.encode() in content for text in (*PLATES, "CAM-1", "LOG-1"))
    forged = world.forge(bundle)
    for day in DAYS:
        frame = forged.frame("reads", day.isoformat())
        assert frame.equals(frame.sort("vehicle", "captured_at", "camera"))
    assert inspecting.inspect(bundle).tables[0].rows == 6
    assert inspecting.inspect(bundle).tables[1].rows is None


def test_victims_stay_in_the_force(world: World) -> None:
    source = targets_input(world.free("targets.csv"), TARGETS)
    result = export(world, world.request(), written(world), world.free("b.anpr.zip"), targets=source)
    assert (quality(result, "targets").rows_out, quality(result, "targets").withheld) == (2, {"victim": 1})


def test_reads_older_than_the_limit_stay_and_are_counted(world: World) -> None:
    world.agree(id="brief", reads__retention="P11D", targets=None)
    result = export(world, world.request(agreement="brief"), written(world), world.free("b.anpr.zip"))
    assert quality(result).withheld == {"expired": 3}
    limit = "the agreement keeps reads for 11 days, so only those from 2026-10-02 on may be shared now (Europe/London)"
    assert f"3 rows are too old and stay here: {limit}" in result.warnings
    request = world.request(agreement="brief")
    world.clock.now += timedelta(days=2)
    error = refused(world, request, written(world), PolicyError, "1 vrm-partial")
    assert error.hint is not None
    assert "for 11 days, so only those from 2026-10-04 on" in error.hint
    elsewhere = [*READS, ("AB12CDE", "CAM-1", "2026-10-13T08:00:00Z")]
    refused(world, request, written(world, elsewhere), InputError, "1 outside-window")
    refused(world, request, written(world, READS[5:6]), InputError, "1 vrm-partial")


def test_older_reads_leave_only_with_a_named_authority(world: World) -> None:
    world.agree(id="strict", authority_after="P11D", targets=None)
    result = export(world, world.request(agreement="strict"), written(world), world.free("b.anpr.zip"))
    assert quality(result).withheld == {"needs-authority": 3}
    assert result.warnings == ("withheld for want of an authority: 3 reads; --authority REF names one",)
    request = world.request(agreement="strict")
    error = refused(world, request, written(world, READS[:3]), PolicyError, "3 needs-authority")
    assert error.hint is not None
    assert "--authority REF" in error.hint
    result = export(world, request, written(world), world.free("b.anpr.zip"), authority="Inspector, reference 12")
    assert quality(result).withheld == {}
    for authority, kind in (("AB12CDE", PolicyError), (" ", UsageError), ("a\nb", UsageError), ("x" * 201, UsageError)):
        with pytest.raises(kind):
            export(world, request, written(world), world.free("b"), authority=authority)


def csv(world: World, text: str | bytes) -> Input:
    path = world.free("reads.csv")
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return Input((str(path),), load_profile("plain-reads"))


HEADER = "vrm,camera,captured_at,confidence\n"
ROW = "AB12CDE,CAM-1,2026-10-01T08:00:10Z,90\n"
EXTRACTS: dict[str, tuple[str | bytes, str]] = {
    "empty": ("", ""),
    "no rows": (HEADER, ""),
    "column missing": ("vrm,captured_at\nAB12CDE,2026-10-01T08:00:10Z\n", "camera"),
    "column doubled": ("vrm,vrm,camera,captured_at\nAB12CDE,AB12CDE,CAM-1,2026-10-01T08:00:10Z\n", ""),
    "wrong delimiter": ((HEADER + ROW).replace(",", ";"), ""),
    "wrong encoding": ((HEADER + ROW).encode("utf-16"), ""),
    "bytes that are no text": (HEADER.encode() + b"\xff\xfe\xfa" + ROW.encode(), ""),
    "no time readable": (HEADER + "AB12CDE,CAM-1,01/10/2026,90\n", "time-unreadable"),
    "all in the future": (HEADER + "AB12CDE,CAM-1,2026-11-01T08:00:10Z,90\n", "time-future"),
    "all too old": (HEADER + "AB12CDE,CAM-1,2024-10-01T08:00:10Z,90\n", ""),
    "columns swapped": (HEADER + "CAM-1,AB12CDE,2026-10-01T08:00:10Z,90\n" * 20, "swapped"),
    "compressed badly": (b"\x1f\x8b\x08\x00" + bytes(30), ""),
}


@pytest.mark.parametrize("fault", EXTRACTS)
def test_an_extract_that_cannot_be_used_is_exit_code_1_and_nothing_is_written(world: World, fault: str) -> None:
    text, match = EXTRACTS[fault]
    request = world.request()
    refused(world, request, csv(world, text), InputError, match)
    out, document = world.free("b.anpr.zip"), world.free("request.json")
    document.write_bytes(request)
    argv = ["--request", document, "--reads", *csv(world, text).paths, "--profile", "plain-reads", "-o", out]
    assert world.cli(LANCS, "export", *argv) == 1
    assert not out.exists()


def test_a_place_that_is_taken_or_an_extract_that_is_not_there_is_the_disks_fault(world: World) -> None:
    request = world.request()
    out = world.free("bundle.anpr.zip")
    out.write_text("mine")
    with pytest.raises(StorageError):
        export(world, request, written(world), out)
    assert out.read_text() == "mine"
    missing = Input((str(world.root / "none.csv"),), load_profile("plain-reads"))
    refused(world, request, missing, StorageError, "")


def test_profiles_of_the_other_table_are_wrong_usage(world: World) -> None:
    targets = targets_input(world.free("targets.csv"), TARGETS)
    refused(world, world.request(), targets, UsageError, "is for targets")
    refused(world, world.request(), written(world), UsageError, "is for reads", targets=written(world))


def test_targets_that_the_agreement_does_not_have_stay(world: World) -> None:
    world.agree(id="reads-only", targets=None)
    targets = targets_input(world.free("targets.csv"), TARGETS)
    refused(world, world.request(agreement="reads-only"), written(world), PolicyError, "no targets", targets=targets)


LONDON_PROFILE = """
table = "reads"
[columns]
vrm = "vrm"
camera = "camera"
[columns.captured_at]
columns = ["captured_at"]
format = "%Y-%m-%d %H:%M:%S"
timezone = "Europe/London"
"""


def test_local_times_that_are_two_or_none_are_rejected_and_counted(world: World) -> None:
    path = world.free("reads.csv")
    path.write_text(
        "vrm,camera,captured_at\n"
        "AB12CDE,CAM-1,2026-10-25 01:30:00\n"
        "AB12CDE,CAM-1,2026-03-29 01:30:00\n"
        "AB12CDE,CAM-1,2026-10-25 02:30:00\n"
    )
    profile = path.with_suffix(".toml")
    profile.write_text(LONDON_PROFILE)
    world.clock.now = datetime(2026, 11, 1, tzinfo=UTC)
    request = world.request(date(2026, 10, 25), date(2026, 10, 25))
    source = Input((str(path),), load_profile(str(profile)))
    result = export(world, request, source, world.free("b.anpr.zip"))
    assert quality(result).rejected == {"time-ambiguous": 1, "time-nonexistent": 1}
    assert quality(result).rows_out == 1


def test_a_sample_keeps_the_same_vehicles_in_both_forces_and_every_target(world: World) -> None:
    world.agree(id="sampled", reads__sample="0.3")
    plates = [f"AB{n:02}CD{letter}" for n in range(2, 30) for letter in "EFGH"]
    rows: list[Read] = [(plate, "CAM-1", "2026-10-01T08:00:00Z") for plate in plates]
    target = [("AB02CDE", "L", "Trafficking", "", "", "suspect"), ("AB02CDF", "L", "Trafficking", "", "", "suspect")]
    kept: dict[str, set[str]] = {}
    for by in (LANCS, WYP):
        bundle = world.export(world.request(to=by, agreement="sampled"), rows, target, by=by)
        frame = world.forge(bundle, by=by).frame("reads", "2026-10-01")
        kept[by] = set(frame["vehicle"].to_list())
    key = agreements.linkage_key(world.lancs, "sampled")
    below = {plate for plate in plates if key.sample(plate) < 0.3 * 2**64}
    expected: Callable[[str], str] = key.vrm
    assert kept[LANCS] == kept[WYP] == {expected(plate) for plate in below | {"AB02CDE", "AB02CDF"}}


def test_a_bundle_and_its_rejects_are_readable_by_their_owner_alone(world: World) -> None:
    before = os.umask(0)
    try:
        bundle, rejects = world.free("b.anpr.zip"), world.free("rejects.csv")
        export(world, world.request(), written(world), bundle, rejects=rejects)
    finally:
        os.umask(before)
    if os.name == "posix":
        assert [stat.S_IMODE(path.stat().st_mode) for path in (bundle, rejects)] == [0o600, 0o600]
    assert rejects.read_text(encoding="utf-8").splitlines() == ["file,row,rule", "reads.csv,6,vrm-partial"]


def test_the_rejects_never_take_the_place_of_the_extract(world: World) -> None:
    source = written(world)
    extract = Path(source.paths[0])
    before = extract.read_bytes()
    refused(world, world.request(), source, StorageError, "already", rejects=extract)
    assert extract.read_bytes() == before


def test_no_text_of_the_agreement_enters_the_ledger(world: World) -> None:
    export(world, world.request(), written(world), world.free("b.anpr.zip"))
    lines = b"\n".join(world.lancs.ledger.stored())
    assert b"Mapping modern slavery" not in lines


def test_targets_that_all_stay_are_still_accounted_for(world: World) -> None:
    victims = [row for row in TARGETS if row[-1] == "victim"]
    source = targets_input(world.free("targets.csv"), victims)
    bundle = world.free("b.anpr.zip")
    result = export(world, world.request(), written(world), bundle, targets=source)
    assert (quality(result, "targets").rows_out, quality(result, "targets").withheld) == (0, {"victim": 1})
    assert [table.table for table in inspecting.inspect(bundle).tables] == ["reads"]
    world.load(bundle)


def test_an_extract_of_several_files_is_registered_file_by_file_with_its_oldest_day(world: World) -> None:
    folder = world.free("x").parent
    for name, rows in (("a.csv", READS[:3]), ("b.csv", READS[3:])):
        reads_input(folder / name, rows)
    old = ("AB12CDE", "CAM-1", "2026-09-20T08:00:00Z")
    reads_input(folder / "c.csv", [old])
    source = Input((str(folder / "*.csv"),), load_profile("plain-reads"))
    export(world, world.request(), source, world.free("b.anpr.zip"))
    known = {Path(item.path).name: item for item in holdings.registered(world.lancs.db, world.lancs.vault)}
    assert {"a.csv", "b.csv", "c.csv"} <= set(known)
    assert (known["a.csv"].day, known["b.anpr.zip"].day) == (date(2026, 9, 20), DAYS[0])


def test_what_every_recipient_would_refuse_is_not_written(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifest, "LIMITS", manifest.Limits(rows=5))
    with pytest.raises(InputError, match="more rows than a bundle may have"):
        world.export()
    monkeypatch.setattr(manifest, "LIMITS", manifest.Limits(rows=6))
    assert world.export().is_file()


def test_the_size_of_a_bundle_does_not_say_how_many_targets_there_are(world: World) -> None:
    many = [("AB12CDE", f"LOG-{number}", "Trafficking", "", "", "suspect") for number in range(600)]
    sizes = set()
    for targets in (TARGETS[:1], many):
        forged = world.forge(world.export(targets=targets))
        assert forged.frame("targets", "undated").height == len(targets)
        sizes.add(len(forged.parts["data/targets/undated-0.parquet"]))
    assert sizes == {2**16}

"""Cameras' context at the force: what may leave, under which tokens, and where every other row is accounted for."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import polars as pl
import pytest

from anpr_share.documents.manifest import TableQuality
from anpr_share.errors import AnprShareError, InputError, PolicyError, UsageError
from anpr_share.site import holdings, records
from anpr_share.synthetic import Scenario, write_cameras_csv
from anpr_share.synthetic import cameras as made_up
from anpr_share.tables.extract import Input
from anpr_share.tables.profile import load_profile, parse_profile, profile_text
from anpr_share.wording import may_identify
from anpr_share.work import accounting, agreements, exporting, pseudonymising
from anpr_share.work.placing import COARSER, release_cameras
from anpr_share.work.targeting import Snapshot
from tests.support.exchange import (
    AGREEMENT,
    CAMERAS,
    CONTEXT,
    LANCS,
    NOW,
    READS,
    TARGETS,
    Camera,
    World,
    cameras_input,
    reads_input,
    silent,
)

PLACED = "placed-2026"
COLUMNS = ("camera", "kind", "road_class", "area_type")
NAMES = [row[0] for row in CAMERAS]


@pytest.fixture
def agreed(world: World) -> World:
    world.agree(id=PLACED, cameras=CONTEXT)
    return world


def released(world: World, *rows: Camera, agreement: str = PLACED, profile: str | None = None) -> Snapshot:
    source = cameras_input(world.free("cameras.csv"), rows)
    return release_cameras(
        source.paths,
        source.profile if profile is None else parse_profile(profile),
        agreements.current(world.lancs, agreement),
        agreements.linkage_key(world.lancs, agreement),
        LANCS,
    )


def tokens(world: World, *names: str, agreement: str = PLACED) -> list[str]:
    key = agreements.linkage_key(world.lancs, agreement)
    return [key.camera(LANCS, [name]) for name in names]


def account(found: Snapshot) -> TableQuality:
    """The account, which must add up to be one."""
    return accounting.account("cameras", found.tally, None)


def mapped(**columns: str) -> str:
    """A profile of these columns, besides the camera's."""
    lines = "".join(f'{field} = "{column}"\n' for field, column in columns.items())
    return f'table = "cameras"\n[columns]\ncamera = "camera"\n{lines}'


def test_every_combination_that_leaves_is_held_by_as_many_as_agreed(agreed: World) -> None:
    found = released(agreed, *CAMERAS)

    token = dict(zip(NAMES, tokens(agreed, *NAMES), strict=True))
    assert dict(zip(found.frame["camera"], found.frame.drop("camera").rows(), strict=True)) == {
        token["CAM-1"]: ("fixed", "a-road", "urban"),
        token["CAM-2"]: ("fixed", "a-road", "urban"),
        token["CAM-3"]: ("fixed", None, None),
        token["CAM-4"]: ("fixed", None, None),
        token["CAM-5"]: ("mobile", None, None),
        token["CAM-6"]: ("mobile", None, None),
    }
    assert (found.tally.rows_in, found.tally.rows_out, found.notes) == (6, 6, (COARSER,))


def test_rows_leave_in_the_order_of_their_columns_whatever_that_of_the_extract(agreed: World) -> None:
    found = released(agreed, *CAMERAS).frame

    assert found.equals(released(agreed, *reversed(CAMERAS)).frame)
    assert found.equals(found.sort(COLUMNS))
    assert found.schema == dict.fromkeys(COLUMNS, pl.String)


def test_a_camera_has_the_token_that_it_has_in_the_reads(agreed: World) -> None:
    forged = agreed.forge(agreed.export(agreed.request(agreement=PLACED), cameras=CAMERAS))

    seen = {
        token for day in ("2026-10-01", "2026-10-02", "2026-10-03") for token in forged.frame("reads", day)["camera"]
    }
    listed = set(forged.frame("cameras", "undated")["camera"])

    assert seen == set(tokens(agreed, "CAM-1", "CAM-2", "CAM-3"))
    assert listed == set(tokens(agreed, *NAMES)) > seen


def test_a_camera_of_three_parts_is_the_one_of_the_reads_too(agreed: World, tmp_path: Path) -> None:
    cameras, reads = tmp_path / "cameras.csv", tmp_path / "reads.csv"
    cameras.write_text("f,s,c,kind\n1, 007 ,2,fixed\n1,7,2,fixed\n,,,fixed\n", encoding="utf-8")
    reads.write_text("vrm,f,s,c,captured_at\nAB12CDE,1,007,2,2026-10-01T08:00:00Z\n", encoding="utf-8")
    parts = 'camera = "camera"', 'camera = ["f", "s", "c"]'
    profile = mapped(kind="kind").replace(*parts)
    whole = profile_text("plain-reads").replace('confidence = "confidence"', "# ").replace(*parts)
    out = tmp_path / "bundle.anpr.zip"

    exporting.export(
        agreed.lancs,
        agreed.request(agreement=PLACED),
        Input((str(reads),), parse_profile(whole)),
        out,
        cameras=Input((str(cameras),), parse_profile(profile)),
        progress=silent,
    )

    forged = agreed.forge(out)
    [seen] = forged.frame("reads", "2026-10-01")["camera"]
    assert seen in forged.frame("cameras", "undated")["camera"]
    assert forged.quality("cameras")["rejected"] == {"camera-missing": 1}


def test_rows_that_the_check_rejects_stay_and_are_counted(agreed: World) -> None:
    bad: list[Camera] = [
        ("", "fixed", "a-road", "urban"),
        ("CAM-7", "drone", "a-road", "urban"),
        ("CAM-8", "fixed", "avenue", "urban"),
        ("CAM-9", "fixed", "a-road", "space"),
    ]

    found = account(released(agreed, *CAMERAS, *bad))

    assert (found.rows_in, found.rows_out) == (10, 6)
    assert found.rejected == {
        "camera-missing": 1,
        "kind-unknown": 1,
        "road-class-unknown": 1,
        "area-type-unknown": 1,
    }


def test_words_are_those_of_the_vocabulary_however_they_are_written(agreed: World) -> None:
    found = released(agreed, ("a", "FIXED", "A road", "Urban"), ("b", "fixed", "a-road", " urban "))

    assert found.frame.drop("camera").rows() == [("fixed", "a-road", "urban")] * 2


def test_a_camera_is_counted_once_however_often_and_however_it_is_written(agreed: World) -> None:
    again: list[Camera] = [(" CAM-3 ", "fixed", "motorway", "rural"), ("CAM-3", "Fixed", "Motorway", "rural")]

    found = released(agreed, *CAMERAS, *again)

    # Were they three, the motorway would be held by enough.
    assert found.frame.equals(released(agreed, *CAMERAS).frame)
    assert account(found).withheld == {"repeated": 2}


def test_a_camera_of_which_two_rows_disagree_stays(agreed: World) -> None:
    found = released(agreed, *CAMERAS, ("CAM-1", "fixed", "a-road", ""), ("CAM-5", "mobile", "", ""))

    assert not set(tokens(agreed, "CAM-1")) & set(found.frame["camera"])
    assert account(found).withheld == {"contradicting": 2, "repeated": 1}
    # The other camera of its kind of place is now alone with it.
    assert found.frame.drop("camera").unique().sort("kind").rows() == [("fixed", None, None), ("mobile", None, None)]


def test_columns_that_are_not_agreed_are_not_read(world: World) -> None:
    world.agree(id="kinds", cameras={"columns": ["camera", "kind"], "k": 2})

    found = released(world, *CAMERAS, ("CAM-1", "fixed", "space", "space"), agreement="kinds")

    assert found.frame.columns == ["camera", "kind"]
    assert Counter(found.frame["kind"]) == {"fixed": 4, "mobile": 2}
    assert account(found).withheld == {"repeated": 1}
    assert found.notes == ()


def test_agreed_context_that_the_extract_has_not_is_unknown(agreed: World) -> None:
    found = released(agreed, *CAMERAS, profile=mapped(area_type="area_type"))

    assert found.frame.columns == list(COLUMNS)
    assert Counter(found.frame.drop("camera").rows()) == {
        (None, None, "urban"): 2,
        (None, None, "rural"): 2,
        (None, None, None): 2,
    }


@pytest.mark.parametrize(
    ("agreement", "profile", "kind", "words"),
    [
        pytest.param(AGREEMENT, None, PolicyError, "has no cameras, so none may leave", id="not agreed"),
        pytest.param("bare", None, PolicyError, "no column of the agreed context (none)", id="no context agreed"),
        pytest.param(
            PLACED, mapped(), PolicyError, "the agreed context (kind, road_class, area_type)", id="no context"
        ),
        pytest.param("kinds", mapped(area_type="area_type"), PolicyError, "context (kind)", id="other context"),
        pytest.param(PLACED, profile_text("plain-reads"), UsageError, "cameras is for reads", id="a profile of reads"),
    ],
)
def test_cameras_that_may_not_leave_are_refused(
    agreed: World, agreement: str, profile: str | None, kind: type[AnprShareError], words: str
) -> None:
    agreed.agree(id="bare", cameras={"columns": ["camera"], "k": 2})
    agreed.agree(id="kinds", cameras={"columns": ["camera", "kind"], "k": 2})

    with pytest.raises(kind) as caught:
        released(agreed, *CAMERAS, agreement=agreement, profile=profile)

    assert words in caught.value.message
    assert caught.value.hint


def test_columns_that_are_swapped_stop_the_export(agreed: World) -> None:
    plates: list[Camera] = [(plate, "fixed", "", "") for plate in ("AB12CDE", "FG34HJK", "LM56NPR")]

    with pytest.raises(InputError, match="columns may be swapped: of 3 cells mapped to camera, 3 are plates") as caught:
        released(agreed, *plates)

    assert "allow_plate_like" in (caught.value.hint or "")


def test_a_bundle_has_its_cameras_in_one_part_whose_size_says_nothing(agreed: World) -> None:
    many: list[Camera] = [(f"CAM-{number}", "fixed", "a-road", "urban") for number in range(600)]
    sizes = set()
    for cameras in (many[:2], many):
        forged = agreed.forge(agreed.export(agreed.request(agreement=PLACED), cameras=cameras))
        assert forged.frame("cameras", "undated").height == len(cameras)
        sizes.add(len(forged.parts["data/cameras/undated-0.parquet"]))
        [table] = [item for item in forged.manifest["tables"] if item["name"] == "cameras"]
        assert (table["columns"], table["parts"][0]["rows"]) == (list(COLUMNS), None)
    assert sizes == {2**16}


def test_cameras_come_in_several_files_named_by_patterns(agreed: World) -> None:
    folder, request, out = agreed.free("x").parent, agreed.free("request.json"), agreed.free("bundle.anpr.zip")
    request.write_bytes(agreed.request(agreement=PLACED))
    for number, rows in enumerate((CAMERAS[:3], CAMERAS[2:4], CAMERAS[4:])):
        cameras_input(folder / f"cameras-{number}.csv", rows)
    reads = reads_input(folder / "reads.csv", READS).paths[0]
    given = ("--cameras", folder / "cameras-[01].csv", "--cameras", folder / "cameras-2.csv")

    code = agreed.cli(
        LANCS,
        *("export", "--request", request, "--reads", reads, "--profile", "plain-reads", "-o", out),
        *(*given, "--cameras-profile", "plain-cameras"),
    )

    assert code == 0
    assert agreed.forge(out).frame("cameras", "undated").height == 6
    assert agreed.forge(out).quality("cameras")["withheld"] == {"repeated": 1}


def test_cameras_that_are_not_agreed_leave_no_bundle_and_no_used_window(world: World) -> None:
    request, out = world.free("request.json"), world.free("bundle.anpr.zip")
    request.write_bytes(world.request())
    reads = reads_input(world.free("reads.csv"), READS).paths[0]
    cameras = cameras_input(world.free("cameras.csv"), CAMERAS).paths[0]
    command = ("export", "--request", request, "--reads", reads, "--profile", "plain-reads", "-o", out)

    code, said = world.told(LANCS, *command, "--cameras", cameras, "--cameras-profile", "plain-cameras")

    assert code == 4
    assert "error: the agreement msv-2026 has no cameras, so none may leave\nhint: leave out --cameras" in said
    assert not out.exists()
    assert world.cli(LANCS, *command) == 0


def test_the_quality_record_tells_that_context_was_made_coarser_and_not_of_how_many(agreed: World) -> None:
    forged = agreed.forge(agreed.export(agreed.request(agreement=PLACED), targets=TARGETS, cameras=CAMERAS))

    assert COARSER in forged.sealed["quality"]["notes"]
    assert not may_identify(COARSER)
    assert not any(character.isdigit() for character in COARSER)
    assert [item["table"] for item in forged.sealed["quality"]["tables"]] == ["cameras", "reads", "targets"]


def test_where_too_few_cameras_are_given_none_leave_and_the_reads_do(agreed: World) -> None:
    out = agreed.free("bundle.anpr.zip")
    result = exporting.export(
        agreed.lancs,
        agreed.request(agreement=PLACED),
        reads_input(agreed.free("reads.csv"), READS),
        out,
        cameras=cameras_input(agreed.free("cameras.csv"), CAMERAS[:1]),
        progress=silent,
    )

    forged = agreed.forge(out)
    assert [item["name"] for item in forged.manifest["tables"]] == ["reads"]
    assert forged.quality("cameras")["withheld"] == {"too-few": 1}
    assert "no row of the cameras may leave: the bundle holds no cameras" in result.warnings
    assert agreed.load(out).rows == {"reads": 6}


def test_the_extract_and_the_bundle_are_registered_with_what_cameras_count_from(agreed: World) -> None:
    bundle = agreed.export(agreed.request(agreement=PLACED), cameras=CAMERAS)

    found = {
        (item.kind, item.path.rsplit("/", 1)[-1]): item.day
        for item in records.find(agreed.lancs.db, holdings.Registered, agreed.lancs.vault)
        if item.tbl == "cameras"
    }

    assert found == {("extract", "cameras.csv"): NOW.date(), ("output", bundle.name): NOW.date()}


def test_cameras_are_pseudonymised_for_use_inside_the_force_too(agreed: World, tmp_path: Path) -> None:
    source, out = cameras_input(tmp_path / "cameras.csv", CAMERAS), tmp_path / "cameras.parquet"

    result = pseudonymising.pseudonymise(agreed.lancs, source.paths, source.profile, PLACED, out, progress=silent)

    assert pl.read_parquet(out).equals(released(agreed, *CAMERAS).frame)
    assert (result.account.rows_out, result.warnings) == (6, (COARSER,))


def test_made_up_cameras_have_rare_places_and_are_those_of_the_made_up_reads(world: World, tmp_path: Path) -> None:
    world.agree(id="ten", cameras={"columns": list(COLUMNS), "k": 10})
    scenario = Scenario(cameras=60)
    path = tmp_path / "cameras.csv"
    assert write_cameras_csv(path, scenario) == 60 == made_up(scenario).height

    found = release_cameras(
        [str(path)],
        load_profile("plain-cameras"),
        agreements.current(world.lancs, "ten"),
        agreements.linkage_key(world.lancs, "ten"),
        LANCS,
    )

    before = Counter(made_up(scenario).select(COLUMNS[1:]).rows())
    after = Counter(found.frame.drop("camera").rows())
    assert sum(1 for count in before.values() if count < 10) > 3
    assert min(after.values()) >= 10
    assert sum(after.values()) == 60
    assert len(set(after) & set(before)) > 1  # something is left of it

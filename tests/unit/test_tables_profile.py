"""Profiles: what they say, and what they are refused for. One fault each."""

from __future__ import annotations

import re
import traceback
from pathlib import Path

import pytest

from anpr_share.errors import FormatError, StorageError, UsageError
from anpr_share.tables.profile import (
    STEPS,
    FeasibilitySettings,
    Profile,
    ReadsProfile,
    TargetsProfile,
    bundled_profiles,
    load_profile,
    parse_profile,
    profile_text,
)

READS = """
table = "reads"
[file]
delimiter = "|"
null_values = ["NA"]
[columns]
vrm = "plate"
camera = ["feed", "source", "camera"]
[columns.captured_at]
columns = ["dt"]
format = "%m/%d/%Y - %H:%M:%S"
timezone = "Europe/London"
"""
TARGETS = """
table = "targets"
[columns]
vrm = "v"
log = "l"
offence = "o"
"""


def with_time(text: str) -> str:
    return READS[: READS.index("[columns.captured_at]")] + "[columns.captured_at]\n" + text


def test_a_profile_says_which_columns_each_field_needs() -> None:
    profile = parse_profile(READS)

    assert profile.fields == ("vrm", "camera", "captured_at")
    assert profile.source_columns(["camera", "vrm"]) == ("feed", "source", "camera", "plate")
    assert profile.dated_columns == {"dt"}
    assert profile.file.delimiter == "|"
    assert isinstance(profile, ReadsProfile)
    assert profile.columns.captured_at.ambiguous == "reject"


def test_a_field_that_is_not_mapped_cannot_be_asked_for() -> None:
    with pytest.raises(UsageError, match="confidence"):
        parse_profile(READS).source_columns(["confidence"])


def test_every_bundled_profile_loads_by_name_and_by_its_text(tmp_path: Path) -> None:
    assert bundled_profiles() == ("nas-compact", "plain-cameras", "plain-reads", "plain-targets")
    for name in bundled_profiles():
        copy = tmp_path / "copy.toml"
        copy.write_text(profile_text(name), encoding="utf-8-sig")

        assert load_profile(name) == load_profile(copy)


def test_a_profile_that_is_not_there_is_the_disks_fault_and_names_the_bundled_ones(tmp_path: Path) -> None:
    with pytest.raises(StorageError) as caught:
        load_profile(tmp_path / "none.toml")
    assert "plain-reads" in str(caught.value.hint)
    with pytest.raises(UsageError):
        profile_text("../pyproject")


@pytest.mark.parametrize(
    ("text", "names"),
    [
        (READS.replace('table = "reads"', 'table = "rows"'), "key table"),
        (READS.replace('table = "reads"', ""), "key table"),
        (READS.replace('vrm = "plate"', ""), "columns.vrm is missing"),
        (READS.replace('vrm = "plate"', "vrm = 3"), "columns.vrm is wrong"),
        (READS.replace('vrm = "plate"', 'vrm = " "'), "columns.vrm"),
        (READS.replace('vrm = "plate"', 'vrm = "__ragged__"'), "columns.vrm"),
        (READS.replace('vrm = "plate"', 'vrm = "plate"\nlatitude = "x"'), "columns.latitude is not known"),
        (READS.replace('vrm = "plate"', 'vrm = "plate"\n"AB12 CDE" = "x"'), "columns.(a key) is not known"),
        (READS.replace('["feed", "source", "camera"]', "[]"), "columns.camera"),
        (READS.replace('["feed", "source", "camera"]', '["feed", "feed"]'), "columns.camera names a column twice"),
        (READS.replace('"|"', '"||"'), "file.delimiter"),
        (READS.replace('"|"', "'\"'"), "file.delimiter"),
        (READS.replace('"|"', '"a"'), "file.delimiter"),
        (READS.replace("[file]", '[file]\nencoding = "latin-1"'), "file.encoding"),
        (READS.replace("[file]", "[file]\nskip_rows = -1"), "file.skip_rows"),
        (READS.replace("[file]", '[file]\nheader = ["plate", "dt"]'), "a column is not in header"),
        (READS.replace("[file]", '[file]\noptional_header = ["x"]'), "optional_header needs header"),
        (READS.replace("table", 'allow_plate_like = ["vrm"]\ntable', 1), "allow_plate_like"),
        (with_time('columns = ["dt"]\nformat = "%d/%m/%Y %H:%M"'), "timezone is missing"),
        (with_time('columns = ["dt"]\nformat = "%d/%m/%Y %H:%M"\ntimezone = "Europe"'), "captured_at.timezone"),
        (with_time('columns = ["dt"]\nformat = "%d/%m/%Y %H:%M"\ntimezone = "../etc/passwd"'), "captured_at.timezone"),
        (with_time('columns = ["dt"]\nformat = "%d/%m/%Y"\ntimezone = "UTC"'), "does not tell a whole time"),
        (with_time('columns = ["dt"]\nformat = "%d/%m %H:%M"\ntimezone = "UTC"'), "does not tell a whole time"),
        (with_time('columns = ["dt"]\nformat = "%d/%m/%Y %I:%M"\ntimezone = "UTC"'), "does not tell a whole time"),
        (with_time('columns = ["dt"]\nformat = "%d/%m/%Y %H:%M:%S.%f"\ntimezone = "UTC"'), "directive"),
        (with_time('columns = ["dt"]\nformat = "%FT%TZ"\ntimezone = "Europe/London"'), "ends in Z"),
        (with_time('columns = ["dt"]\nformat = "%F %T"\ntimezone = "UTC"\nambiguous = "guess"'), "ambiguous"),
        (TARGETS.replace('log = "l"', ""), "columns.log is missing"),
        (TARGETS.replace('offence = "o"', ""), "columns.offence is missing"),
        (TARGETS + 'source_grade = "g"', "grades need grading_scheme"),
        (TARGETS + '[columns.convicted_on]\ncolumns = ["c"]\nformat = "%d/%m"', "convicted_on.format"),
        ("table = ]", "line 1"),
        ("x = " + "[" * 20_000, "nested too deeply"),
    ],
)
def test_a_bad_profile_is_refused_naming_the_key(text: str, names: str) -> None:
    with pytest.raises(FormatError) as caught:
        parse_profile(text)

    assert names in caught.value.message


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        (
            READS.replace("vrm =", "vrn =").replace("[columns]", "[columns]\nAB12CDE = 1"),
            "the profile's key columns.vrm is missing; columns.(a key) is not known; columns.vrn is not known",
            "profile show",
        ),
        (
            with_time('columns = ["d"]\nformat = "dd/mm/yyyy hh:mm"\ntimezone = "UTC"'),
            "whole time",
            "%d/%m/%Y %H:%M for",
        ),
        (with_time('columns = ["d"]\ntimezone = "UTC"'), "format is missing", "%d/%m/%Y %H:%M for"),
        (TARGETS + '[columns.convicted_on]\ncolumns = ["c"]\nformat = "dd/mm"', "whole time", "%d/%m/%Y for"),
        (with_time('columns = ["d"]\nformat = "%F %T"\ntimezone = "BST"'), "is not a time zone", '"Europe/London"'),
        (with_time('columns = ["d"]\nformat = "%F %T"'), "timezone is missing", '"Europe/London"'),
    ],
    ids=["slip", "words", "no format", "date in words", "zone", "no zone"],
)
def test_what_to_write_instead_is_said(text: str, message: str, hint: str) -> None:
    with pytest.raises(FormatError) as caught:
        parse_profile(text)

    assert message in caught.value.message
    assert hint in str(caught.value.hint)


@pytest.mark.parametrize("form", ["%FT%T%z", "%FT%T%#z", "%FT%T%.f%#z"])
def test_a_format_with_an_offset_needs_no_zone(form: str) -> None:
    assert parse_profile(with_time(f'columns = ["dt"]\nformat = "{form}"')).fields


def test_a_refusal_holds_nothing_of_the_profiles_values() -> None:
    secret = "AB12CDE"
    for text in (
        READS.replace('"plate"', f'["{secret}"]'),
        READS.replace("Europe/London", secret),
        READS.replace("%m/%d/%Y", secret),
        READS.replace('"|"', f'"{secret}"'),
        READS + f"\n{secret}",
    ):
        with pytest.raises(FormatError) as caught:
            parse_profile(text)
        told = "".join(traceback.format_exception(caught.value)) + str(caught.value.hint)
        assert secret not in told.replace(repr(text), "")


def test_a_profile_of_megabytes_is_not_parsed(tmp_path: Path) -> None:
    huge = tmp_path / "huge.toml"
    huge.write_text(READS + "# padding\n" * 10_000, encoding="utf-8")

    with pytest.raises(FormatError, match="64 KiB"):
        load_profile(huge)


def test_a_profile_that_is_not_text_is_refused(tmp_path: Path) -> None:
    binary = tmp_path / "binary.toml"
    binary.write_bytes(b"\xff\xfe\x00")

    with pytest.raises(FormatError, match="UTF-8"):
        load_profile(binary)


def test_a_profile_cannot_be_changed() -> None:
    profile: Profile = parse_profile(READS)

    with pytest.raises(ValueError, match="frozen"):
        profile.table = "targets"


def feasibility(text: str) -> FeasibilitySettings:
    profile = parse_profile(TARGETS + f"[feasibility]\n{text}")
    assert isinstance(profile, TargetsProfile)
    return profile.feasibility


def test_what_a_feasibility_check_goes_by_has_defaults() -> None:
    said = feasibility("")

    assert said.steps == STEPS
    assert said.offences is None
    assert (said.min_reads, said.retention, said.timezone) == (2, "P12M", "Europe/London")
    assert (said.vehicles_needed, said.paperwork_days, said.small_below) == (30, 90, 10)


def test_the_steps_of_a_feasibility_check_may_be_fewer_in_another_order_after_what_can_be_read() -> None:
    assert feasibility('steps = ["window", "offence"]').steps == ("readable", "window", "offence")
    assert feasibility('steps = ["seen", "readable", "offence"]').steps == ("readable", "seen", "offence")
    assert feasibility('steps = "often"').steps == ("readable", "often")


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("steps = []", "feasibility.steps"),
        ('steps = ["window", "window"]', "feasibility.steps names a step twice"),
        ('steps = ["guess"]', "feasibility.steps"),
        ("offences = []", "feasibility.offences"),
        ('offences = ["theft", "AB12 CDE"]', "feasibility.offences.1 is not 1 to 64 letters"),
        ("min_reads = 0", "feasibility.min_reads"),
        ("min_reads = true", "feasibility.min_reads"),
        ('retention = "12 months"', "feasibility.retention is not P1M to P12M"),
        ('retention = "P13M"', "feasibility.retention is not P1M to P12M"),
        ('timezone = "BST"', "feasibility.timezone is not a time zone"),
        ("vehicles_needed = 0", "feasibility.vehicles_needed"),
        ("paperwork_days = 366", "feasibility.paperwork_days"),
        ("small_below = 4", "feasibility.small_below"),
        ("forces = 2", "feasibility.forces is not known"),
    ],
)
def test_a_bad_setting_of_a_feasibility_check_is_refused_naming_the_key(text: str, names: str) -> None:
    with pytest.raises(FormatError) as caught:
        feasibility(text)

    assert names in caught.value.message


def test_only_targets_have_settings_of_a_feasibility_check() -> None:
    with pytest.raises(FormatError, match="feasibility is not known"):
        parse_profile(READS + "[feasibility]\n")


def test_the_settings_that_the_bundled_profile_shows_are_the_defaults() -> None:
    shown = re.sub(r"^# (\[feasibility\]|[a-z_]+ = )", r"\1", profile_text("plain-targets"), flags=re.MULTILINE)
    shown = re.sub(r"^allow_plate_like.*$|^offences.*$", "", shown, flags=re.MULTILINE)

    assert "\n[feasibility]\n" in shown
    assert parse_profile(shown) == load_profile("plain-targets")

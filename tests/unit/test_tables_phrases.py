"""What rules are called for people: each has a phrase, and none repeats what stands in an extract or a profile."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from anpr_share.periods import Duration, is_expired, oldest_kept
from anpr_share.tables.checks import RULES
from anpr_share.tables.phrases import PHRASES, expected
from anpr_share.tables.profile import load_profile, parse_profile
from anpr_share.wording import may_identify
from anpr_share.work import accounting
from tests.support.documents import changed, signed_agreement, terms

LONDON = ZoneInfo("Europe/London")
NOW = datetime(2026, 10, 8, 16, 30, tzinfo=UTC)
PROFILE = """
table = "reads"
[columns]
vrm = "plate"
camera = "camera"
[columns.captured_at]
columns = ["date", "time"]
format = "{}"
timezone = "Europe/London"
"""


def test_every_rule_has_a_phrase_and_no_other_has() -> None:
    assert set(PHRASES) == {rule for rules in RULES.values() for rule in rules}


def test_every_reason_to_withhold_has_a_phrase() -> None:
    names = {value for name, value in vars(accounting).items() if name.isupper() and isinstance(value, str)}

    assert set(accounting.WITHHELD) == names


@pytest.mark.parametrize("phrase", [*PHRASES.values(), *accounting.WITHHELD.values()], ids=str)
def test_a_phrase_is_short_plain_and_in_lower_case(phrase: tuple[str, str]) -> None:
    for text in phrase:
        assert text[0].islower() or text.startswith("anpr-share")
        assert not text.endswith(".")
        assert text.isascii()
        assert len(text) < 120


def test_a_time_is_expected_as_the_profile_says_with_a_made_up_one() -> None:
    profile = parse_profile(PROFILE.format("%d/%m/%Y %H:%M:%S%.f"))

    told = expected("time-unreadable", profile)

    assert told == "date and time, joined by a space: such as 23/11/2026 17:45:09 (format %d/%m/%Y %H:%M:%S%.f)"


@pytest.mark.parametrize("form", ["%Y-%m-%d AB12CDE %H:%M", "%Y-%m-%d 12 %H:%M"])
def test_text_of_a_profile_that_is_no_directive_is_not_repeated(form: str) -> None:
    told = expected("time-unreadable", parse_profile(PROFILE.format(form)))

    assert told == "date and time, joined by a space: the format of the profile"


@pytest.mark.parametrize("name", ["nas-compact", "plain-reads"])
def test_the_bundled_profiles_say_what_they_expect(name: str) -> None:
    told = expected("time-unreadable", load_profile(name))

    assert told is not None
    assert ": such as " in told


def test_lists_and_ranges_are_those_of_the_schema() -> None:
    profile = load_profile("plain-targets")

    assert expected("category-unknown", profile) == "suspect, convicted, victim, witness"
    assert expected("confidence-unreadable", load_profile("plain-reads")) == "0 to 100"
    assert expected("vrm-partial", profile) is None


@pytest.mark.parametrize("limit", ["P1M", "P2M", "P12M", *(f"P{days}D" for days in range(1, 366))])
def test_the_oldest_day_kept_is_the_first_that_has_not_expired(limit: str) -> None:
    found = oldest_kept(NOW, Duration.parse(limit), LONDON)

    assert not is_expired(found, NOW, Duration.parse(limit), LONDON)
    assert is_expired(found.fromordinal(found.toordinal() - 1), NOW, Duration.parse(limit), LONDON)


def test_what_is_said_of_expired_rows_may_stand_in_a_quality_record() -> None:
    for limit in ("P1M", "P12M", "P1D", "P9D", "P90D", "P365D"):
        agreement = signed_agreement(changed(terms(), "reads.retention", limit))

        told = accounting.expired_text(agreement, "reads", NOW)

        assert agreement.retention("reads").words in told
        assert "(Europe/London)" in told
        assert not may_identify(told)

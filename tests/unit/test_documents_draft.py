"""The draft of an agreement is ready to edit, explains itself, and is read as strictly as what is signed."""

from __future__ import annotations

import re
import tomllib
from datetime import date

import pytest

from anpr_share.documents import draft
from anpr_share.documents.agreement import AgreementPayload, party_of
from anpr_share.errors import AnprShareError, FormatError, UsageError, VerificationError
from tests.support.documents import (
    AGREEMENT,
    FORCE,
    STRANGER,
    TODAY,
    UNIVERSITY,
    Site,
    changed,
    signed_agreement,
    terms,
)

PARTIES = [FORCE.identity, UNIVERSITY.identity]
TEMPLATE = draft.draft_toml(PARTIES, TODAY, None)
ANSWERS = {"id": "msv-2026", "title": "A title", "purpose": "research", "legal_basis": "s.35"}


def filled(text: str = TEMPLATE) -> str:
    for name, answer in ANSWERS.items():
        text = text.replace(f'{name} = ""', f'{name} = "{answer}"', 1)
    return text


def put(name: str, value: str, text: str | None = None) -> str:
    """The filled draft with the first setting of this name changed, commented out or not."""
    found, times = re.subn(
        rf"^(# )?{name} = .*$", lambda _: f"{name} = {value}", text or filled(), count=1, flags=re.MULTILINE
    )
    assert times == 1
    return found


def refused(text: str) -> str:
    with pytest.raises(FormatError) as caught:
        draft.parse_draft(text)
    return caught.value.message


def test_only_the_blanks_have_to_be_filled_in() -> None:
    found = draft.parse_draft(filled())
    assert found == AgreementPayload.model_validate(
        {
            "format": 1,
            "supersedes": None,
            "version": 1,
            **ANSWERS,
            "starts": date(2026, 9, 1),
            "ends": date(2027, 8, 31),
            "timezone": "Europe/London",
            "authority_after": "P90D",
            "reads": {
                "columns": ("vehicle", "camera", "captured_at"),
                "resolution": "1m",
                "retention": "P12M",
                "sample": None,
            },
            "targets": {
                "columns": ("vehicle", "log", "offence", "offence_from", "offence_to", "convicted_on"),
                "date_resolution": "month",
                "handling": ("P",),
                "victims": False,
                "retention": "P12M",
            },
            "cameras": {"columns": ("camera", "kind", "road_class"), "k": 10},
            "risk": None,
            "parties": tuple(party_of(identity) for identity in PARTIES),
        }
    )


@pytest.mark.parametrize("blank", ANSWERS)
def test_a_blank_left_empty_is_named(blank: str) -> None:
    assert refused(put(blank, '""')) == f"the draft is not filled in: {blank} is empty"


def test_all_blanks_are_named_at_once() -> None:
    assert refused(TEMPLATE) == "the draft is not filled in: id, title, purpose, legal_basis are empty"


def test_what_stands_behind_a_comment_sign_can_be_used() -> None:
    text = re.sub(r"^# (\[\w+\]|\w+ = .+)$", r"\1", filled(), flags=re.MULTILINE)
    found = draft.parse_draft(text)
    assert found.reads.sample == "0.05"
    assert found.risk is not None
    assert found.risk.unicity4_max == "0.95"


def test_the_parties_come_last_and_each_is_whole() -> None:
    head, *tables = TEMPLATE.split("[[parties]]\n")
    assert tomllib.loads(head)
    assert [tomllib.loads(table) for table in tables] == [party_of(identity) for identity in PARTIES]


def settings_with_comments() -> dict[str, str]:
    """Each setting of the template outside the parties, and the comment block above it."""
    found: dict[str, str] = {}
    comments: list[str] = []
    section = ""
    for line in TEMPLATE.split("[[parties]]")[0].splitlines():
        if match := re.fullmatch(r"(?:# )?(\w+) = .+", line):
            found[f"{section}{match[1]}"] = " ".join(comments)
            comments = []
        elif match := re.fullmatch(r"(?:# )?\[(\w+)\]", line):
            section = f"{match[1]}."
        elif line.startswith("# "):
            comments.append(line.removeprefix("# "))
        elif not line:
            comments = []
    return found


def test_every_setting_is_explained_in_whole_sentences() -> None:
    explained = settings_with_comments()
    fields = AgreementPayload.model_json_schema()
    wanted = {name for name in fields["properties"] if name not in {"format", "supersedes", "parties", "ends"}}
    for section, model in {"reads": "ReadsTerms", "targets": "TargetsTerms", "cameras": "CamerasTerms"}.items():
        wanted |= {f"{section}.{name}" for name in fields["$defs"][model]["properties"]}
    wanted = wanted - {"reads", "targets", "cameras", "risk"} | {"risk.unicity4_max"}
    assert wanted <= explained.keys()
    for name in wanted:
        assert re.match(r"[A-Z1].{15,}[.:]$", explained[name]), name


def test_every_choice_that_the_rules_allow_is_named_in_the_comments() -> None:
    choices = AgreementPayload.model_json_schema()["$defs"]
    for model in ("ReadsTerms", "TargetsTerms", "CamerasTerms"):
        for field in choices[model]["properties"].values():
            for choice in (field.get("items") or field).get("enum", ()):
                assert f'"{choice}"' in TEMPLATE, choice


@pytest.mark.parametrize("word", ["DSSE", "HMAC", "hash", "null", "envelope", "payload", "schema", "parameter"])
def test_the_comments_are_for_analysts(word: str) -> None:
    assert word.lower() not in TEMPLATE.split("[[parties]]")[0].lower()


def test_lines_for_people_fit_a_screen() -> None:
    assert max(map(len, TEMPLATE.split("[[parties]]")[0].splitlines())) <= 120


# What is read


@pytest.mark.parametrize("text", ["0.05", '"0.05"'])
def test_a_number_with_a_point_is_the_text_that_stands_there(text: str) -> None:
    assert draft.parse_draft(put("sample", text)).reads.sample == "0.05"
    assert draft.parse_draft(put("sample", "0.050")).reads.sample == "0.050"


def test_a_text_may_run_over_lines() -> None:
    found = draft.parse_draft(put("purpose", '"""\nresearch into\n  slavery\u00a0routes\n"""'))
    assert found.purpose == "research into slavery routes"


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("\ufeff" + filled(), id="byte order mark"),
        pytest.param(filled().replace("\n", "\r\n"), id="line ends"),
    ],
)
def test_what_windows_editors_do_to_a_file_is_no_fault(text: str) -> None:
    assert draft.parse_draft(text) == draft.parse_draft(filled())


@pytest.mark.parametrize("section", ["targets", "cameras"])
def test_a_section_can_be_taken_out(section: str) -> None:
    text = re.sub(rf"^\[{section}\]\n(?:.+\n)+", "", filled(), flags=re.MULTILINE)
    assert getattr(draft.parse_draft(text), section) is None


@pytest.mark.parametrize("name", ["authority_after", "handling"])
def test_a_rule_that_does_not_apply_can_be_taken_out(name: str) -> None:
    found = draft.parse_draft(re.sub(rf"^{name} = .*\n", "", filled(), flags=re.MULTILINE))
    assert found.authority_after is None or (found.targets is not None and found.targets.handling is None)


@pytest.mark.parametrize(
    ("name", "value", "where"),
    [
        pytest.param("id", '"MSV 2026"', "id: must be lower-case", id="id"),
        pytest.param("starts", '"soon"', "starts: ", id="day in words"),
        pytest.param("starts", "2026-09-01T00:00:00Z", "starts: must be a day", id="day with a time"),
        pytest.param("starts", "12:00:00", "starts: must be a day", id="a time"),
        pytest.param("ends", "2026-08-31", "as a whole: ends lies before starts", id="ends before it starts"),
        pytest.param("timezone", '"London"', "timezone: must be a time zone", id="zone"),
        pytest.param("version", "1.0", "version: ", id="version with a point"),
        pytest.param("version", "2", "as a whole: a version above 1", id="second version of nothing"),
        pytest.param("resolution", '"2m"', "reads.resolution: must be '1s'", id="resolution"),
        pytest.param("retention", '"P2Y"', "reads.retention: a duration is not", id="retention"),
        pytest.param("sample", "5", "reads.sample: must be text, in quotes", id="sample above one"),
        pytest.param("sample", "1.5", "reads.sample: must be a decimal", id="sample of one and a half"),
        pytest.param("sample", "nan", "reads.sample: must be a decimal", id="sample not a number"),
        pytest.param("sample", "0.0", "reads.sample: a sample rate", id="sample of nothing"),
        pytest.param("victims", '"no"', "targets.victims: ", id="yes or no in words"),
        pytest.param("k", "1", "cameras.k: ", id="k"),
        pytest.param("role", '"judge"', "parties.0.role: must be 'police'", id="role"),
        pytest.param("fingerprint", f'"{"ab" * 32}"', "listed otherwise", id="fingerprint of somebody else"),
        pytest.param("identity", '"e30="', "not a signed document", id="no identity"),
        pytest.param("title", '"AB12CDE', "cannot be read as TOML at line", id="quote left open"),
        pytest.param("title", "“AB12CDE”", "cannot be read as TOML at line", id="curly quotes"),
        pytest.param("title", "1" + "0" * 5000, "cannot be read as TOML", id="number of 5,000 digits"),
        pytest.param("title", "1" + "0" * 30, "out of range", id="number of 30 digits"),
        pytest.param("title", "[" * 50_000, "nested too deep", id="fifty thousand brackets"),
        pytest.param("title", "[" * 20 + "]" * 20, "nested deeper", id="twenty brackets"),
    ],
)
def test_a_bad_value_is_refused_and_its_setting_named(name: str, value: str, where: str) -> None:
    message = refused(put(name, value))
    assert where in message
    assert "AB12CDE" not in message


@pytest.mark.parametrize(
    ("text", "where"),
    [
        pytest.param("", "missing", id="empty file"),
        pytest.param("surprise = 1\n" + filled(), "surprise: unknown field", id="unknown setting"),
        pytest.param("AB12CDE = 1\n" + filled(), "(a name): unknown field", id="setting that may be a plate"),
        pytest.param("format = 1\n" + filled(), "format: unknown field", id="format is not theirs to set"),
        pytest.param(filled() + "extra = 1\n", "parties.1.extra: unknown field", id="unknown setting of a party"),
        pytest.param("id = 'a'\n" + filled(), "cannot be read as TOML at line", id="a setting twice"),
        pytest.param(filled().split("[[parties]]")[0], "parties: missing", id="no parties"),
        pytest.param(filled().replace("[reads]", "[read]"), "reads: missing; read: unknown field", id="no reads"),
        pytest.param(
            filled().replace("\nvictims =", "\nvictim = 1\nAB12CDE ="),
            "targets.victims: missing; targets.(a name): unknown field; targets.victim: unknown field",
            id="a slip in a name",
        ),
        pytest.param("#" * (draft.MAX_CHARACTERS + 1), "longer than", id="half a megabyte"),
        pytest.param(".".join("a" * 100_000) + " = 1", "more than 200 dots", id="key of 100,000 parts"),
        pytest.param("\ud800", "", id="surrogate"),
        pytest.param("\0", "cannot be read as TOML", id="NUL"),
    ],
)
def test_a_bad_file_is_refused(text: str, where: str) -> None:
    message = refused(text)
    assert where in message
    assert "AB12CDE" not in message


def test_no_more_than_three_unknown_settings_are_told() -> None:
    many = "\n".join(f"{name} = 1" for name in "abcdefgh")
    assert refused(filled().replace("\nvictims =", f"\n{many}\nz =")).count("unknown") == 3


@pytest.mark.parametrize(
    ("parties", "fault"),
    [
        ([FORCE], "at least one police party and one university"),
        ([UNIVERSITY], "at least one police party and one university"),
        ([FORCE, UNIVERSITY, FORCE], "parties are listed twice"),
    ],
    ids=["no university", "no force", "one twice"],
)
def test_parties_that_can_have_no_agreement_get_no_draft(parties: list[Site], fault: str) -> None:
    with pytest.raises(UsageError, match=fault):
        draft.draft_toml([party.identity for party in parties], TODAY, None)


def test_a_party_whose_identity_was_tampered_with_is_refused_before_anybody_signs() -> None:
    text = draft.draft_toml([FORCE.identity, UNIVERSITY.identity], TODAY, None)
    broken = filled(text).replace(party_of(FORCE.identity)["identity"], party_of(STRANGER.identity)["identity"])
    with pytest.raises(VerificationError, match="listed otherwise"):
        draft.parse_draft(broken)


# Later versions


def test_the_next_version_keeps_the_terms_and_names_what_it_replaces() -> None:
    text = draft.draft_toml(AGREEMENT.identities, date(2027, 1, 1), AGREEMENT)
    assert draft.parse_draft(text) == AGREEMENT.terms.model_copy(update={"version": 2, "supersedes": AGREEMENT.digest})


@pytest.mark.parametrize("absent", ["targets", "cameras", "risk", "authority_after", "targets.handling"])
def test_the_next_version_leaves_out_what_was_left_out(absent: str) -> None:
    old = signed_agreement(changed(terms(), absent, None))
    found = draft.parse_draft(draft.draft_toml(old.identities, TODAY, old))
    assert found == old.terms.model_copy(update={"version": 2, "supersedes": old.digest})


def test_texts_with_quotes_and_backslashes_survive() -> None:
    old = signed_agreement(changed(terms(), "purpose", 'to "map" C:\\new {0} # routes = é'))
    assert draft.parse_draft(draft.draft_toml(old.identities, TODAY, old)).purpose == old.terms.purpose


def test_the_most_parties_with_the_longest_names_fit() -> None:
    longest = len(party_of(UNIVERSITY.identity)["identity"]) + 4 * 4 * (200 + 64) // 9 * 2 + 300
    assert 64 * longest + 8_000 < draft.MAX_CHARACTERS


def test_a_day_that_has_no_match_next_year_is_no_trouble() -> None:
    found = tomllib.loads(draft.draft_toml(PARTIES, date(2028, 2, 29), None))
    assert (found["starts"], found["ends"]) == (date(2028, 2, 29), date(2029, 2, 27))


def test_a_draft_that_parses_can_be_signed() -> None:
    fields = draft.parse_draft(filled()).model_dump(mode="json")
    try:
        signed_agreement(fields, FORCE, UNIVERSITY)
    except AnprShareError as error:  # pragma: no cover - the message is what a failure needs
        pytest.fail(error.message)


def test_without_parties_it_is_to_be_tried_and_not_to_be_signed() -> None:
    text = draft.draft_toml([], TODAY, None)

    assert "[[parties]]" not in text
    assert "No party is listed" in text
    with pytest.raises(FormatError, match="is not filled in: id, title, purpose, legal_basis are empty"):
        draft.read_any(text.encode())
    filled_in = text.replace('""', '"trial"')
    with pytest.raises(FormatError, match="parties: missing"):
        draft.read_any(filled_in.encode())
    tried = draft.read_any(text.encode(), trial=True)
    assert [item.role for item in tried.identities] == ["police", "university"]
    assert tried.envelope.signatures == ()
    assert (tried.id, tried.terms.reads) == ("draft", draft.parse_draft(filled()).reads)
    assert draft.read_any(filled_in.encode(), trial=True).id == "trial"


def test_on_trial_only_blanks_and_parties_stand_in() -> None:
    text = draft.draft_toml([], TODAY, None)

    for wrong in (
        text.replace('resolution = "1m"', 'resolution = "2m"'),
        text + "surprise = 1\n",
        filled() + "x = 1\n",
    ):
        with pytest.raises(FormatError):
            draft.read_any(wrong.encode(), trial=True)
    kept = draft.read_any(filled().encode(), trial=True)
    assert kept.terms == draft.parse_draft(filled())

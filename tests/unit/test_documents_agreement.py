"""An agreement is whole, names its parties by their keys, and counts only if exactly they have signed."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from anpr_share.documents import agreement as agreements
from anpr_share.documents import canonical
from anpr_share.documents import envelope as dsse
from anpr_share.documents.identity import Identity
from anpr_share.documents.keys import SigningKey
from anpr_share.errors import AnprShareError, FormatError, VerificationError
from anpr_share.periods import Duration
from tests.support.documents import (
    AGREEMENT,
    FORCE,
    OTHER_FORCE,
    PARTIES,
    STRANGER,
    UNIVERSITY,
    Site,
    changed,
    envelope,
    signed_agreement,
    site,
    terms,
)

PARTY = agreements.party_of(UNIVERSITY.identity)


def refused(path: str, value: object) -> FormatError:
    with pytest.raises(FormatError) as caught:
        signed_agreement(changed(terms(), path, value))
    return caught.value


def test_a_fully_signed_agreement_is_accepted_and_says_its_terms() -> None:
    agreement = agreements.parse(AGREEMENT.envelope.encode())
    agreements.require_signed(agreement)
    assert agreement.id == "msv-2026"
    assert agreement.digest == AGREEMENT.envelope.digest
    assert agreement.zone == ZoneInfo("Europe/London")
    assert (agreement.terms.starts, agreement.terms.ends) == (date(2026, 9, 1), date(2027, 8, 31))
    assert agreement.columns("reads") == ("vehicle", "camera", "captured_at")
    assert agreement.retention("reads") == agreement.retention("cameras") == Duration(months=12)
    assert agreement.retention("targets") == Duration(months=6)


def test_a_day_is_deleted_by_its_tables_limit_and_never_after_the_agreement() -> None:
    day = date(2026, 10, 1)
    due = AGREEMENT.delete_by("targets", day)
    assert due == datetime(2027, 4, 1, tzinfo=UTC) - timedelta(hours=1)  # 00:00 in London, where it is summer
    assert not AGREEMENT.is_expired("targets", day, due - timedelta(seconds=1))
    assert AGREEMENT.is_expired("targets", day, due)
    ends = datetime(2027, 8, 31, 23, tzinfo=UTC)
    assert AGREEMENT.delete_by("reads", day) == AGREEMENT.delete_by("cameras", day) == ends


def test_an_undated_part_counts_from_the_earlier_of_making_and_loading() -> None:
    made, loaded = datetime(2026, 10, 11, 22, tzinfo=UTC), datetime(2026, 10, 12, 12, tzinfo=UTC)
    assert AGREEMENT.counted_day("undated", made, loaded) == date(2026, 10, 11)
    assert AGREEMENT.counted_day("undated", loaded, made) == date(2026, 10, 11)
    assert AGREEMENT.counted_day("undated", loaded, datetime(2026, 10, 11, 23, tzinfo=UTC)) == date(2026, 10, 12)
    assert AGREEMENT.counted_day("2026-10-02", made, loaded) == date(2026, 10, 2)
    with pytest.raises(FormatError):
        AGREEMENT.counted_day("20261002", made, loaded)


def test_its_parties_are_found_by_fingerprint_site_and_role() -> None:
    assert AGREEMENT.identity(FORCE.identity.fingerprint) == AGREEMENT.party("lancashire-police") == FORCE.identity
    assert AGREEMENT.identity(STRANGER.identity.fingerprint) is AGREEMENT.party("stranger") is None
    assert AGREEMENT.of_role("police") == (FORCE.identity, OTHER_FORCE.identity)
    assert AGREEMENT.of_role("university") == (UNIVERSITY.identity,)


@pytest.mark.parametrize("table", ["targets", "cameras"])
def test_a_table_left_out_has_no_columns(table: str) -> None:
    assert signed_agreement(changed(terms(), table, None)).columns(table) == ()


def test_without_targets_reads_say_how_long() -> None:
    assert signed_agreement(changed(terms(), "targets", None)).retention("targets") == Duration(months=12)


@pytest.mark.parametrize(
    ("path", "value", "where"),
    [
        pytest.param("format", 2, "format", id="format to come"),
        pytest.param("format", True, "canonical", id="format is no number"),
        pytest.param("surprise", 1, "surprise: unknown field", id="unknown field"),
        pytest.param("reads.surprise", 1, "reads.surprise: unknown field", id="unknown field of reads"),
        pytest.param("title", ..., "title: missing", id="field missing"),
        pytest.param("title", "", "title: must not be empty", id="empty title"),
        pytest.param("title", "  ", "title: must not be empty", id="blank title"),
        pytest.param("title", "two\nlines", "title: must be one line", id="title of two lines"),
        pytest.param("title", "turned \u202e round", "title: must be one line", id="text that runs backwards"),
        pytest.param("title", "x" * 201, "title: string should have at most 200", id="long title"),
        pytest.param("purpose", "x" * 2001, "purpose", id="long purpose"),
        pytest.param("id", "MSV", "id: must be lower-case", id="id in capitals"),
        pytest.param("id", "lpt1", "id: must be lower-case", id="id is a Windows device"),
        pytest.param("id", "x" * 65, "id: must be lower-case", id="long id"),
        pytest.param("version", 0, "version", id="version zero"),
        pytest.param("version", "1", "version", id="version is text"),
        pytest.param("version", 2, "as a whole: a version above 1", id="second version of nothing"),
        pytest.param("supersedes", "ab" * 32, "as a whole: a version above 1", id="first version supersedes"),
        pytest.param("starts", "2027-09-01", "as a whole: ends lies before starts", id="ends before it starts"),
        pytest.param("starts", "2026-9-1", "starts", id="day without zeros"),
        pytest.param("starts", 20260901, "starts", id="day is a number"),
        pytest.param("starts", "2026-02-30", "starts", id="no such day"),
        pytest.param("ends", "9999-12-31", "ends: must lie between", id="end of the calendar"),
        pytest.param("timezone", "Europe/Lodnon", "timezone: must be a time zone", id="no such zone"),
        pytest.param("timezone", "localtime", "timezone: must be a time zone", id="zone of this computer"),
        pytest.param("timezone", "../../etc/passwd", "timezone: must be a time zone", id="zone is a path"),
        pytest.param("timezone", "Europe", "timezone: must be a time zone", id="zone is a folder"),
        pytest.param("timezone", "Europe/\0", "timezone: must be a time zone", id="zone with NUL"),
        pytest.param("authority_after", "90", "authority_after: a duration", id="authority without unit"),
        pytest.param("authority_after", ..., "authority_after: missing", id="authority missing"),
        pytest.param("reads.columns", ["vehicle"], "reads: columns lacks captured_at", id="a column lacks"),
        pytest.param("reads.columns.3", "vehicle", "reads: columns lists a column twice", id="a column twice"),
        pytest.param("reads.columns.3", "vrm", "reads.columns.3: must be", id="the plate itself"),
        pytest.param("reads.resolution", "1ms", "reads.resolution: must be", id="finer than a second"),
        pytest.param("reads.retention", "P13M", "reads.retention: a duration", id="kept too long"),
        pytest.param("reads.retention", "P366D", "reads.retention: a duration", id="kept a day too long"),
        pytest.param("reads.retention", "P1Y", "reads.retention: a duration", id="years"),
        pytest.param("reads.retention", None, "reads.retention: must be text", id="no retention"),
        pytest.param("reads.sample", "0.0", "reads.sample: a sample rate", id="sample of nothing"),
        pytest.param("reads.sample", "1.5", "reads.sample: must be a decimal", id="sample above one"),
        pytest.param("reads.sample", "5e-2", "reads.sample: must be a decimal", id="sample with an exponent"),
        pytest.param("reads.sample", "0.05\n", "reads.sample: must be a decimal", id="sample and a newline"),
        pytest.param("reads.sample", "٠.٠٥", "reads.sample: must be a decimal", id="sample in other digits"),
        pytest.param("targets.columns", ["vehicle", "log"], "targets: columns lacks offence", id="no offence"),
        pytest.param("targets.handling", [], "targets: handling lists each", id="no handling code"),
        pytest.param("targets.handling", ["P", "P"], "targets: handling lists each", id="handling code twice"),
        pytest.param("targets.handling", ["p"], "targets.handling.0: must be 1 to 4 capital", id="handling in small"),
        pytest.param("targets.victims", 0, "targets.victims", id="victims is a number"),
        pytest.param("targets.date_resolution", "year", "targets.date_resolution: must be", id="dates by the year"),
        pytest.param("cameras.columns", ["kind"], "cameras: columns lacks camera", id="no camera"),
        pytest.param("cameras.columns.3", "latitude", "cameras.columns.3: must be", id="coordinates"),
        pytest.param("cameras.k", 1, "cameras.k", id="k of one"),
        pytest.param("risk.unicity4_max", "95%", "risk.unicity4_max: must be a decimal", id="ceiling in per cent"),
        pytest.param("parties", [PARTY], "as a whole: an agreement needs", id="one party"),
        pytest.param("parties.3", PARTY, "as a whole: parties are listed twice", id="a party twice"),
        pytest.param("parties.1.role", "university", "listed otherwise", id="role other than the identity's"),
        pytest.param("parties.0.id", "kent-police", "listed otherwise", id="id other than the identity's"),
        pytest.param("parties.0.fingerprint", "ab" * 32, "listed otherwise", id="another fingerprint"),
        pytest.param("parties.0.fingerprint", "AB" * 32, "parties.0.fingerprint: must be 64", id="capitals"),
        pytest.param("parties.0.identity", "e30=", "not a signed document", id="no identity"),
        pytest.param("parties.0.identity", "e30", "parties.0.identity: a base64 field", id="identity is no base64"),
        pytest.param("parties.0.key", "", "parties.0.key: unknown field", id="unknown field of a party"),
    ],
)
def test_terms_outside_the_rules_are_refused_naming_the_field(path: str, value: object, where: str) -> None:
    assert where in refused(path, value).message


def test_a_message_repeats_neither_values_nor_foreign_names() -> None:
    for path in ("AB12CDE", "reads.AB12CDE", "title", "timezone", "reads.retention", "reads.resolution"):
        value = "AB12CDE\n" if path == "title" else "AB12CDE"
        assert "AB12CDE" not in refused(path, value).message.upper()


def test_every_default_is_spelt_out() -> None:
    assert "canonical" in refused("reads.sample", ...).message


def test_an_agreement_of_police_only_is_refused() -> None:
    fields = changed(terms(), "parties", [agreements.party_of(item.identity) for item in (FORCE, OTHER_FORCE)])
    with pytest.raises(FormatError, match="one university"):
        signed_agreement(fields, FORCE, OTHER_FORCE)


def test_a_party_whose_identity_another_key_signed_is_refused() -> None:
    payload = dsse.parse(FORCE.identity.envelope, "identity").payload
    (foreign,) = dsse.sign("identity", payload, STRANGER.signing).signatures
    renamed = dsse.Signature(dsse.key_id(FORCE.signing.public), foreign.value)
    forged = dsse.Envelope("identity", payload, (renamed,))
    with pytest.raises(VerificationError, match="does not verify"):
        signed_agreement(changed(terms(), "parties.0.identity", dsse.to_base64(forged.encode())))


def _sharing(signing: SigningKey | None, name: str) -> Site:
    mixed = Identity.make(
        name, "Kent Police", "police", signing or STRANGER.signing, STRANGER.opening if signing else UNIVERSITY.opening
    )
    return Site(mixed, signing or STRANGER.signing, UNIVERSITY.opening)


@pytest.mark.parametrize("other", [_sharing(FORCE.signing, "kent-police"), _sharing(None, "kent-police")])
def test_two_parties_with_one_key_are_refused(other: Site) -> None:
    with pytest.raises(FormatError, match="share a key"):
        signed_agreement(changed(terms(), "parties.3", agreements.party_of(other.identity)))


@pytest.mark.parametrize("absent", range(3))
def test_a_missing_signature_is_named(absent: int) -> None:
    signers = [party for number, party in enumerate(PARTIES) if number != absent]
    agreement = signed_agreement(None, *signers)
    assert set(agreements.signers(agreement)) == {item.identity for item in signers}
    with pytest.raises(VerificationError, match=f"lacks the signature of {PARTIES[absent].identity.site}"):
        agreements.require_signed(agreement)


def test_a_signature_of_nobody_listed_is_refused() -> None:
    with pytest.raises(VerificationError, match="none of its parties"):
        agreements.require_signed(signed_agreement(None, *PARTIES, STRANGER))


def test_a_signature_under_the_name_of_another_key_is_refused() -> None:
    signatures = {item.key_id: item for item in AGREEMENT.envelope.signatures}
    mine, yours = dsse.key_id(FORCE.signing.public), dsse.key_id(OTHER_FORCE.signing.public)
    signatures[mine] = dsse.Signature(mine, signatures[yours].value)
    forged = replace(AGREEMENT.envelope, signatures=tuple(signatures[name] for name in sorted(signatures)))
    with pytest.raises(VerificationError, match="does not verify"):
        agreements.require_signed(agreements.from_envelope(forged))


def test_the_same_party_cannot_sign_twice() -> None:
    twice = replace(AGREEMENT.envelope, signatures=AGREEMENT.envelope.signatures[:1] * 3)
    with pytest.raises(FormatError, match="twice"):
        agreements.parse(twice.encode())


def test_signatures_of_other_terms_do_not_count() -> None:
    later = canonical.encode(changed(terms(), "reads.retention", "P11M"))
    moved = agreements.from_envelope(replace(AGREEMENT.envelope, payload=later))
    with pytest.raises(VerificationError):
        agreements.require_signed(moved)


def test_the_most_parties_fit() -> None:
    many = [site(f"{number:02}-{'x' * 61}", "university" if number else "police") for number in range(64)]
    fields = changed(terms(), "parties", [agreements.party_of(item.identity) for item in many])
    agreement = agreements.parse(envelope("agreement", fields, *many).encode())
    agreements.require_signed(agreement)
    with pytest.raises(AnprShareError, match="at most 64"):
        signed_agreement(changed(fields, "parties.64", PARTY))

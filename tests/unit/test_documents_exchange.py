"""Identities, requests, key shares, manifests, sealed content and receipts: what each refuses."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import get_args
from zoneinfo import ZoneInfo

import pytest

from anpr_share import errors
from anpr_share.documents import canonical, keyshare, manifest, receipt, request
from anpr_share.documents import envelope as dsse
from anpr_share.documents import identity as identities
from anpr_share.documents import model as models
from anpr_share.documents.identity import Identity
from anpr_share.errors import AnprShareError, FormatError, UsageError, VerificationError
from anpr_share.periods import Window
from tests.support.documents import (
    BUNDLE,
    FORCE,
    KINDS,
    OTHER_FORCE,
    STRANGER,
    UNIVERSITY,
    Fields,
    Site,
    changed,
    envelope,
    identity_fields,
    manifest_fields,
    one_time_key,
    part,
    receipt_fields,
    request_fields,
    sealed_fields,
    secret,
)


def refused(kind: str, path: str, value: object) -> str:
    """What the reader of a kind says of one change, signed by whoever should sign it."""
    fields, signers, parse = KINDS[kind]
    with pytest.raises(FormatError) as caught:
        parse(envelope(kind, changed(fields(), path, value), *signers).encode())
    return caught.value.message


# Every kind


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_is_read_as_it_was_written(kind: str) -> None:
    fields, signers, parse = KINDS[kind]
    parse(envelope(kind, fields(), *signers).encode())


@pytest.mark.parametrize("kind", KINDS)
def test_no_kind_is_read_as_another(kind: str) -> None:
    fields, signers, _ = KINDS[kind]
    data = envelope(kind, fields(), *signers).encode()
    for other in KINDS.keys() - {kind}:
        with pytest.raises(FormatError, match="of the kind"):
            KINDS[other][2](data)


@pytest.mark.parametrize("kind", KINDS)
def test_no_kind_takes_fields_or_versions_that_it_does_not_know(kind: str) -> None:
    assert "surprise: unknown field" in refused(kind, "surprise", 1)
    assert "(a name): unknown field" in refused(kind, "AB12CDE", 1)
    assert "format: must be 1" in refused(kind, "format", 2)
    assert "format: missing" in refused(kind, "format", ...)


@pytest.mark.parametrize("kind", KINDS)
def test_a_payload_that_is_no_object_is_refused(kind: str) -> None:
    _, signers, parse = KINDS[kind]
    for payload in (b"[]", b"null", b"", b"{}", b'{"format":1}\n', b"\xff"):
        with pytest.raises(FormatError):
            parse(dsse.sign(kind, payload, signers[0].signing).encode())


@pytest.mark.parametrize("kind", ["key-share", "request", "manifest", "receipt"])
@pytest.mark.parametrize(
    ("path", "value", "where"),
    [
        pytest.param("agreement", "AB" * 32, "agreement: must be 64", id="digest in capitals"),
        pytest.param("agreement_id", "con", "agreement_id: must be", id="agreement is a Windows device"),
        pytest.param("sender", "ab" * 31, "sender: must be 64", id="short fingerprint"),
        pytest.param("recipient", None, "recipient: must be text", id="no recipient"),
        pytest.param("created", "2026-09-10T08:00:00.5Z", "created: must be a whole second", id="half a second"),
        pytest.param("created", "2026-09-10T08:00:00+01:00", "created: must be a whole second", id="not UTC"),
        pytest.param("created", "2026-09-10T08:00:00", "created: must be a whole second", id="no zone"),
        pytest.param("created", "2026-09-10T08:00:00+00:00", "canonical", id="UTC spelt otherwise"),
        pytest.param("created", "2026-09-10 08:00:00Z", "canonical", id="space for T"),
        pytest.param("created", 1789027200, "created: ", id="seconds since 1970"),
        pytest.param("created", "0001-01-01T00:00:00Z", "created: must lie between", id="year 1"),
        pytest.param("created", "9999-12-31T23:59:59Z", "created: must lie between", id="year 9999"),
        pytest.param("head.seq", -1, "head.seq", id="ledger before its beginning"),
        pytest.param("head.hash", "", "head.hash", id="ledger without hash"),
        pytest.param("head.more", 1, "head.more: unknown field", id="unknown field of the head"),
    ],
)
def test_what_all_exchanged_documents_carry_is_checked(kind: str, path: str, value: object, where: str) -> None:
    assert where in refused(kind, path, value)


# Identity


def test_an_identity_says_who_and_is_named_by_its_digest() -> None:
    identity = Identity.parse(FORCE.identity.envelope)
    assert identity == FORCE.identity
    assert (identity.site, identity.name, identity.role) == ("lancashire-police", "Lancashire Police", "police")
    assert (identity.signing, identity.encryption) == (FORCE.signing.public, FORCE.opening.public)
    assert identity.fingerprint == dsse.parse(identity.envelope, "identity").digest


@pytest.mark.parametrize(
    ("path", "value", "where"),
    [
        pytest.param("role", "judge", "role: must be 'police' or 'university'", id="role"),
        pytest.param("site", "Lancashire", "site: must be lower-case", id="site"),
        pytest.param("name", "", "name: must not be empty", id="no name"),
        pytest.param("name", "Lancashire\x1b[2J", "name: must be one line", id="name that clears the screen"),
        pytest.param("signing", dsse.to_base64(bytes(31)), "signing: a signing key is not 32", id="short key"),
        pytest.param("signing", dsse.to_base64(b"\1" + bytes(31)), "signing: a signing key is not valid", id="weak"),
        pytest.param("encryption", dsse.to_base64(bytes(32)), "encryption: an encryption key is not 1216", id="X25519"),
        pytest.param("encryption", "!", "encryption: a base64 field", id="no base64"),
    ],
)
def test_an_unusable_identity_is_refused(path: str, value: object, where: str) -> None:
    assert where in refused("identity", path, value)


@pytest.mark.parametrize("signers", [(STRANGER,), (FORCE, STRANGER)])
def test_an_identity_is_signed_by_its_own_key_alone(signers: tuple[Site, ...]) -> None:
    with pytest.raises(VerificationError):
        Identity.parse(envelope("identity", identity_fields(), *signers).encode())


def test_an_identity_of_megabytes_is_not_read() -> None:
    with pytest.raises(FormatError, match="larger than 65536"):
        Identity.parse(b"x" * 65537)


def test_a_bad_name_is_the_mistake_of_whoever_gave_it() -> None:
    with pytest.raises(UsageError, match="the identity would not be valid: name: must be one line"):
        Identity.make("kent-police", "Kent\nPolice", "police", FORCE.signing, FORCE.opening)


def test_a_fingerprint_is_read_out_in_groups_of_four() -> None:
    spoken = identities.spoken(FORCE.identity.fingerprint)
    assert [[len(group) for group in line.split(" ")] for line in spoken.splitlines()] == [[4] * 8] * 2
    for typed in (spoken, spoken.upper(), spoken.replace(" ", "-"), f" {spoken}\n"):
        assert identities.unspoken(typed) == FORCE.identity.fingerprint


@pytest.mark.parametrize("typed", ["", "ab", "ab" * 31, "ab" * 33, "xy" * 32, "٠" * 64])
def test_a_fingerprint_typed_wrongly_is_refused(typed: str) -> None:
    with pytest.raises(UsageError, match="64 hexadecimal digits"):
        identities.unspoken(typed)


# Request

KEY = dsse.to_base64(one_time_key(9).public)
FIRST_KEY = request_fields()["windows"][0]["key"]


@pytest.mark.parametrize(
    ("path", "value", "where"),
    [
        pytest.param("windows", [], "windows: ", id="no window"),
        pytest.param("windows.0.last", "2026-08-31", "windows.0: must not end before", id="ends before it begins"),
        pytest.param("windows.0.first", "2015-01-01", "windows.0: must not end before", id="more than ten years"),
        pytest.param("windows.0.last", "2026-09-08", "windows overlap", id="a day in two windows"),
        pytest.param("windows.1.first", "2026-08-01", "windows overlap", id="out of order"),
        pytest.param("windows.1.key", FIRST_KEY, "share a one-time key", id="one key for two windows"),
        pytest.param("windows.1.key", dsse.to_base64(bytes(32)), "windows.1.key: an encryption key", id="short key"),
        pytest.param("windows.1.key", KEY[:-4] + "AAA=", "windows.1.key: an encryption key", id="key a byte short"),
        pytest.param("windows.1.more", 1, "windows.1.more: unknown field", id="unknown field"),
    ],
)
def test_a_request_outside_the_rules_is_refused(path: str, value: object, where: str) -> None:
    assert where in refused("request", path, value)


def test_a_request_has_at_most_366_windows() -> None:
    windows = [
        {"first": f"{1980 + n // 12}-{n % 12 + 1:02}-01", "last": f"{1980 + n // 12}-{n % 12 + 1:02}-02", "key": KEY}
        for n in range(367)
    ]
    assert "windows: " in refused("request", "windows", windows)


def test_the_agreement_of_a_request_is_read_without_its_keys() -> None:
    fields = request_fields()
    made = envelope("request", fields | {"windows": "none"}, UNIVERSITY).encode()
    assert request.agreement_of(made) == fields["agreement"]
    wrongs: tuple[object, ...] = ({"agreement": 1}, [])
    for wrong in wrongs:
        with pytest.raises(FormatError, match="names no agreement"):
            request.agreement_of(dsse.sign("request", canonical.encode(wrong), UNIVERSITY.signing).encode())


def test_a_key_of_a_window_dies_thirty_days_after_the_window_or_the_request() -> None:
    ask, _ = request.parse(envelope("request", request_fields(), UNIVERSITY).encode())
    zone = ZoneInfo("Europe/London")
    assert ask.dies(ask.windows[0], zone) == datetime(2026, 10, 10, 8, tzinfo=UTC)  # created after the window
    assert ask.dies(ask.windows[1], zone) == datetime(2026, 10, 14, 23, tzinfo=UTC)  # summer time
    assert ask.windows[1].window == Window(date(2026, 9, 8), date(2026, 9, 14))


# Key share


def test_a_key_share_opens_for_its_recipient_alone() -> None:
    fields, signers, parse = KINDS["key-share"]
    share, found = parse(envelope("key-share", fields(), *signers).encode())
    dsse.verify(found, FORCE.signing.public)
    info = keyshare.info(share.sender, share.recipient, share.agreement)
    assert OTHER_FORCE.opening.open(dsse.from_base64(share.sealed), info) == secret("linkage")
    for key, bound in ((UNIVERSITY.opening, info), (OTHER_FORCE.opening, info[:-1])):
        with pytest.raises(VerificationError):
            key.open(dsse.from_base64(share.sealed), bound)


def test_a_key_check_is_16_digits() -> None:
    assert "key_check" in refused("key-share", "key_check", "0123456789ABCDEF")


# Manifest

UNDATED = part("undated", 0, None)


@pytest.mark.parametrize(
    ("path", "value", "where"),
    [
        pytest.param("bundle", BUNDLE.upper(), "bundle", id="bundle id in capitals"),
        pytest.param("bundle", "0b9f6f0e-6d0c-1f3e-9a51-0d5f0c6f7a11", "bundle", id="bundle id is not random"),
        pytest.param("window.last", "2026-08-31", "window: must not end before", id="window ends before it begins"),
        pytest.param("normaliser", "vrm-x", "normaliser", id="normaliser"),
        pytest.param("tables", [], "tables", id="no table"),
        pytest.param("tables.0.name", "secrets", "tables.0.name: must be", id="another table"),
        pytest.param("tables.0.name", "targets", "tables.0: parts of reads carry a day", id="targets by day"),
        pytest.param("tables.1.name", "reads", "tables.1: parts of reads carry a day", id="reads without days"),
        pytest.param("tables.1.parts.0.rows", 5, "tables.1: parts of reads carry", id="row count of targets"),
        pytest.param("tables.0.parts.0.rows", None, "tables.0: parts of reads carry", id="no row count of reads"),
        pytest.param("tables.0.columns", [], "tables.0.columns", id="no column"),
        pytest.param("tables.0.columns.0", "Vehicle", "tables.0.columns.0", id="column in capitals"),
        pytest.param("tables.0.parts", [], "tables.0.parts", id="no part"),
        pytest.param("tables.0.parts.2.day", "2026-08-01", "tables.0: parts are listed", id="parts out of order"),
        pytest.param("tables.0.parts.1.n", 0, "tables.0: parts are listed twice", id="a part twice"),
        pytest.param("tables.0.parts.1.n", 2, "tables.0: parts of a day are not numbered", id="a number missing"),
        pytest.param("tables.0.parts.2.n", 1, "tables.0: parts of a day are not numbered", id="first is not 0"),
        pytest.param("tables.0.parts.0.n", -1, "tables.0.parts.0.n", id="below zero"),
        pytest.param("tables.0.parts.2.day", "2026-9-2", "tables.0.parts.2.day: a day is not", id="day without zero"),
        pytest.param("tables.0.parts.2.day", "2026-09-31", "tables.0.parts.2.day: a day is not", id="no such day"),
        pytest.param("tables.0.parts.2.day", "../x", "tables.0.parts.2.day: a day is not", id="day is a path"),
        pytest.param("tables.0.parts.0.bytes", 0, "tables.0.parts.0.bytes", id="empty part"),
        pytest.param("tables.0.parts.0.bytes", 2**31 + 1, "tables.0.parts.0.bytes", id="part above 2 GiB"),
        pytest.param("tables.0.parts.0.rows", 10_000_001, "tables.0.parts.0.rows", id="part of too many rows"),
        pytest.param("tables.0.parts.0.sha256", "x", "tables.0.parts.0.sha256", id="digest"),
        pytest.param("keys.bytes", 16 * 2**20 + 1, "keys.bytes", id="sealed content above 16 MiB"),
        pytest.param("keys.more", 1, "keys.more: unknown field", id="unknown field"),
    ],
)
def test_a_manifest_outside_the_rules_is_refused(path: str, value: object, where: str) -> None:
    assert where in refused("manifest", path, value)


@pytest.mark.parametrize("order", [(1, 0), (0, 0), (1, 1)])
def test_tables_stand_once_and_in_order(order: tuple[int, int]) -> None:
    tables = manifest_fields()["tables"]
    assert "tables are listed twice or out of order" in refused("manifest", "tables", [tables[n] for n in order])


def test_a_bundle_has_at_most_20000_parts() -> None:
    fields = manifest_fields()
    parts = [part("undated", n, None) for n in range(10_000)]
    assert "parts" in refused("manifest", "tables.1.parts", [*parts, part("undated", 10_000, None)])
    many = [part(day, n, 1) for day in ("2026-09-01", "2026-09-02") for n in range(10_000)]
    tables = [fields["tables"][0] | {"parts": many}, fields["tables"][1] | {"parts": parts}]
    assert "too many parts" in refused("manifest", "tables", tables)


def test_cameras_are_one_part() -> None:
    fields = manifest_fields()
    cameras = {"name": "cameras", "columns": ["camera", "kind"], "parts": [part("undated", 0, None)]}
    manifest.from_envelope(envelope("manifest", fields | {"tables": [cameras, *fields["tables"]]}, FORCE))
    cameras["parts"] = [part("undated", n, None) for n in range(2)]
    assert "tables.0: cameras are one part" in refused("manifest", "tables", [cameras, *fields["tables"]])


@pytest.mark.parametrize(("most", "rows", "size"), [(400, 10_000_000, 1), (128, 0, 2**31)])
def test_a_bundle_is_bounded_in_all(most: int, rows: int, size: int) -> None:
    parts = [part("2026-09-01", n, rows) | {"bytes": size} for n in range(most + 1)]
    fields = manifest_fields()
    fields["tables"] = [fields["tables"][0] | {"parts": parts[:most]}]
    manifest.from_envelope(envelope("manifest", fields, FORCE))
    over = "too many rows" if rows else "too many bytes"
    assert over in refused("manifest", "tables", [fields["tables"][0] | {"parts": parts}])


def test_a_manifest_lists_its_members_in_the_order_of_the_container() -> None:
    found = manifest.from_envelope(envelope("manifest", manifest_fields(), FORCE))
    assert list(found.members()) == [
        "keys.sealed",
        "data/reads/2026-09-01-0.parquet",
        "data/reads/2026-09-01-1.parquet",
        "data/reads/2026-09-02-0.parquet",
        "data/targets/undated-0.parquet",
    ]
    assert found.members()["data/reads/2026-09-01-1.parquet"] == 901
    assert found.digests()["keys.sealed"] == "ef" * 32
    assert found.digests().keys() == found.members().keys()


# Sealed content


def sealed(fields: Fields) -> manifest.Sealed:
    return manifest.read_sealed(canonical.encode(fields))


def test_sealed_content_has_a_key_for_each_table_and_day() -> None:
    found = sealed(sealed_fields())
    assert found.by_day()["reads", "2026-09-02"] == secret("day key reads 2026-09-02")
    quality = found.quality.of("reads")
    assert quality is not None
    assert quality.rows_out == 18
    assert found.quality.of("targets") is None


@pytest.mark.parametrize(
    ("path", "value", "where"),
    [
        pytest.param("format", 2, "format: must be 1", id="format to come"),
        pytest.param("keys.3", sealed_fields()["keys"][0], "out of order", id="a day twice"),
        pytest.param("keys.0.day", "2026-09-03", "out of order", id="days out of order"),
        pytest.param("keys.0.key", dsse.to_base64(bytes(31)), "not 32 bytes", id="short day key"),
        pytest.param("keys.0.key", sealed_fields()["keys"][1]["key"], "used for two days", id="a day key twice"),
        pytest.param("quality.tables.0.rows_in", 23, "do not add up", id="a row lost"),
        pytest.param("quality.tables.0.split", 1, "do not add up", id="a row too many"),
        pytest.param(
            "quality.tables.0.resolved",
            {"time-ambiguous": 23},
            "more resolved times than rows",
            id="resolved too often",
        ),
        pytest.param("quality.tables.0.days.0.rows", 12, "days of the quality record", id="days"),
        pytest.param("quality.tables.0.rejected.vrm-missing", -1, "quality.tables.0.rejected", id="below zero"),
        pytest.param("quality.tables.0.rejected.AB12 CDE", 0, "(a name)", id="a plate among the reasons"),
        pytest.param("quality.notes.0", "two\nlines", "quality.notes.0: must be one line", id="note of two lines"),
        pytest.param("quality.authority", "x" * 201, "quality.authority", id="long authority"),
        pytest.param("quality.surprise", 1, "quality.surprise: unknown field", id="unknown field"),
    ],
)
def test_sealed_content_outside_the_rules_is_refused(path: str, value: object, where: str) -> None:
    with pytest.raises(FormatError) as caught:
        sealed(changed(sealed_fields(), path, value)).by_day()
    assert where in caught.value.message
    assert "AB12" not in caught.value.message


def test_sealed_content_has_one_spelling() -> None:
    with pytest.raises(FormatError, match="canonical"):
        manifest.read_sealed(canonical.encode(sealed_fields()) + b"\n")


def test_the_keys_are_sealed_to_one_bundle_of_one_request() -> None:
    assert manifest.sealed_info("s", "a", "r", "b") == b"17:anpr-share/1/keys,1:s,1:a,1:r,1:b,"


# Receipt


@pytest.mark.parametrize(
    ("path", "value", "where"),
    [
        pytest.param("loaded.0.bundle", "x", "loaded.0.bundle", id="bundle"),
        pytest.param("loaded.0.days.0.rows", -1, "loaded.0.days.0.rows", id="rows"),
        pytest.param("refused.0.step", 9, "refused.0.step", id="step"),
        pytest.param("refused.0.reason", "AB12CDE", "refused.0.reason: must be", id="reason in words"),
        pytest.param("deleted.0.due", ..., "deleted.0.due: missing", id="due"),
    ],
)
def test_a_receipt_outside_the_rules_is_refused(path: str, value: object, where: str) -> None:
    assert where in refused("receipt", path, value)


@pytest.mark.parametrize("name", ["loaded", "notices"])
def test_a_receipt_that_answers_one_thing_again_and_again_is_refused(name: str) -> None:
    twice = receipt_fields()[name] * 2
    assert "a bundle or a notice is answered twice" in refused("receipt", name, twice)


def test_the_reasons_of_a_refusal_are_the_codes_of_our_errors() -> None:
    codes = {item.code for item in vars(errors).values() if isinstance(item, type) and issubclass(item, AnprShareError)}
    assert set(get_args(receipt.Refused.model_fields["reason"].annotation)) == codes - {AnprShareError.code}


# What people type


def test_a_document_of_values_that_a_person_gave_names_the_bad_one() -> None:
    with pytest.raises(UsageError, match=r"the window would not be valid: last: ") as caught:
        models.build(models.WindowTerms, "window", {"first": date(2026, 9, 1), "last": "AB12CDE"})
    assert "AB12CDE" not in caught.value.message


@pytest.mark.parametrize("text", ["", " ", "two\nlines", "AB12CDE" * 29, "\x1b[2J"])
def test_a_text_that_no_document_could_hold_is_refused_before_the_work_begins(text: str) -> None:
    assert models.short_text("Inspector, reference 12", "authority") == "Inspector, reference 12"
    with pytest.raises(UsageError, match=r"the authority would not be valid: as a whole: ") as caught:
        models.short_text(text, "authority")
    assert "AB12CDE" not in caught.value.message

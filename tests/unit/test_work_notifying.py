"""Notices: a force takes back days that it had exported, the university destroys them, and both can show it."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Literal

import pytest

from anpr_share.documents import canonical
from anpr_share.documents import envelope as dsse
from anpr_share.documents import notice as notices
from anpr_share.documents import receipt as receipts
from anpr_share.documents.keys import SigningKey, seal
from anpr_share.errors import AnprShareError, FormatError, PolicyError, StorageError, UsageError, VerificationError
from anpr_share.site import holdings
from anpr_share.work import notifying, partners, purging, reading, receipting, status
from tests.support.documents import changed
from tests.support.exchange import AGREEMENT, DAYS, LANCS, NOW, READS, TARGETS, UNI, WYP, World
from tests.support.forgery import fields_of

WRONG = DAYS[1].isoformat()
REASON = "the clock of one feed was wrong"


def recall(
    world: World,
    *days: str,
    table: Literal["reads", "targets"] = "reads",
    by: str = LANCS,
    to: str = UNI,
    reason: str = REASON,
    agreement: str = AGREEMENT,
) -> Path:
    """A notice for these days, or for the wrong one, made a second after whatever came before."""
    world.clock.now += timedelta(seconds=1)
    out = world.free("notice.json")
    notifying.recall(world.site(by), agreement, to, table, days or (WRONG,), reason, out)
    world.clock.now += timedelta(seconds=1)
    return out


def apply(world: World, notice: Path) -> notifying.ApplyResult:
    return notifying.apply(world.uni, notice.read_bytes(), None)


def held(world: World, source: str = LANCS) -> list[str]:
    bundles = {item.id for item in holdings.bundles(world.uni.db, None, direction="loaded") if item.partner == source}
    return [place.day for place in holdings.key_places(world.uni.db) if place.bundle in bundles]


def altered(world: World, notice: Path, path: str, value: object, *, by: str = LANCS) -> bytes:
    """The notice as a force would sign it with another content."""
    fields = changed(fields_of(dsse.parse(notice.read_bytes(), notices.KIND).payload), path, value)
    return dsse.sign(notices.KIND, canonical.encode(fields), world.site(by).signing_key).encode()


def test_a_recalled_day_is_destroyed_and_nothing_else(world: World) -> None:
    world.load(world.export(targets=TARGETS))
    world.load(world.export(by=WYP))
    others = held(world, WYP)
    result = apply(world, recall(world))
    assert (result.destroyed, result.rows, result.again, result.reason) == ((WRONG,), 2, False, REASON)
    assert held(world) == [DAYS[0].isoformat(), DAYS[2].isoformat(), "undated"]
    assert held(world, WYP) == others
    assert not [part for part in holdings.parts(world.uni.db, None) if (part.source, part.day) == (LANCS, WRONG)]
    assert [path for path in world.uni.paths.store.glob(f"*/reads/{WRONG}/*") if path.is_file()] != []  # the other's
    days = {(item.source, item.day.isoformat()) for item in holdings.coverage(world.uni.db, None, AGREEMENT)}
    assert (LANCS, WRONG) not in days
    assert (WYP, WRONG) in days
    reads = reading.scan(world.uni, "reads", purpose="what is left").collect()
    assert sorted({(row["source"], row["day"]) for row in reads.to_dicts()}) == sorted(
        [(source, day) for source in (LANCS, WYP) for day in DAYS if (source, day.isoformat()) != (LANCS, WRONG)]
    )


def test_the_files_of_a_recalled_day_are_gone(world: World) -> None:
    world.load(world.export())
    apply(world, recall(world))
    assert not list(world.uni.paths.store.glob(f"*/reads/{WRONG}"))


def test_both_ledgers_and_the_receipt_say_what_was_recalled(world: World) -> None:
    bundle = world.load(world.export()).bundle
    notice = recall(world)
    digest = dsse.parse(notice.read_bytes(), notices.KIND).digest
    made = list(world.lancs.ledger.lines())[-1]
    assert (made.event, made.details["days"], made.details["reason"]) == ("notice-made", [WRONG], REASON)
    result = apply(world, notice)
    erasure, applied = list(world.uni.ledger.lines())[-2:]
    assert (erasure.event, erasure.subject, applied.event) == ("erasure", bundle, "notice-applied")
    told = [erasure.details[name] for name in ("days", "notice", "reason", "rows", "table")]
    assert told == [[WRONG], digest, "recalled", 2, "reads"]
    assert result.receipt == world.uni.paths.outbox / f"{digest[:16]}.receipt.json"
    receipt, envelope = receipts.parse(result.receipt.read_bytes())
    assert applied.details["receipt"] == envelope.digest
    assert (receipt.scope, [item.notice for item in receipt.notices]) == ("notice", [digest])
    assert [(item.day, item.rows, item.reason) for item in receipt.deleted] == [(WRONG, 2, "recalled")]
    witnessed = {item.document for item in holdings.witnesses(world.uni.db, world.uni.vault, LANCS)}
    assert digest in witnessed
    assert (receipt.loaded, receipt.refused) == ((), ())


def test_targets_are_recalled_as_a_whole(world: World) -> None:
    world.load(world.export(targets=TARGETS))
    result = apply(world, recall(world, "undated", table="targets"))
    assert (result.destroyed, result.rows) == (("undated",), 2)
    assert held(world) == [day.isoformat() for day in DAYS]
    assert receipting.accept(world.lancs, result.receipt.read_bytes()).discrepancies == ()


def test_days_that_are_not_held_are_no_fault(world: World) -> None:
    world.export()
    result = apply(world, recall(world))
    assert result.destroyed == ()
    assert receipts.parse(result.receipt.read_bytes())[0].deleted == ()
    assert receipting.accept(world.lancs, result.receipt.read_bytes()).discrepancies == ()


def test_a_day_that_had_expired_before_is_told_with_the_answer(world: World) -> None:
    world.agree(id="brief", reads__retention="P12D", targets=None)
    receipt = world.load(world.export(world.request(agreement="brief"))).receipt
    receipting.accept(world.lancs, receipt.read_bytes())
    notice = recall(world, *(day.isoformat() for day in DAYS), agreement="brief")
    world.clock.now = NOW + timedelta(days=1)
    assert purging.expire(world.uni)
    result = apply(world, notice)
    told = receipts.parse(result.receipt.read_bytes())[0].deleted
    assert [item.reason for item in told] == ["expired", "recalled", "recalled"]
    assert receipting.accept(world.lancs, result.receipt.read_bytes()).discrepancies == ()


def test_a_notice_applied_again_destroys_no_corrected_data(world: World) -> None:
    world.load(world.export())
    notice = recall(world)
    first = apply(world, notice)
    world.load(world.export(world.request(DAYS[1], DAYS[1])))
    lines, days = world.events(UNI), held(world)
    again = apply(world, notice)
    assert (again.again, again.destroyed, again.receipt) == (True, (), first.receipt)
    assert (world.events(UNI), held(world)) == (lines, days)
    assert WRONG in days
    elsewhere = world.free("receipt.json")
    notifying.apply(world.uni, notice.read_bytes(), elsewhere)
    assert elsewhere.read_bytes() == first.receipt.read_bytes()


def test_a_notice_that_comes_late_destroys_nothing_that_was_made_after_it(world: World) -> None:
    world.load(world.export())
    late, notice = recall(world), recall(world)
    apply(world, notice)
    world.load(world.export(world.request(DAYS[1], DAYS[1])))
    assert apply(world, late).destroyed == ()
    assert WRONG in held(world)


def test_what_was_recalled_before_it_was_loaded_is_not_loaded(world: World) -> None:
    bundle = world.export(targets=TARGETS)
    for notice in (recall(world), recall(world, "undated", table="targets")):
        apply(world, notice)
    result = world.load(bundle)
    assert (result.rows, result.expired) == ({"reads": 4, "targets": 0}, 4)
    assert "recalled" in result.notes[0]
    assert held(world) == [DAYS[0].isoformat(), DAYS[2].isoformat()]
    assert [item.day for item in holdings.coverage(world.uni.db, None, AGREEMENT)] == [DAYS[0], DAYS[2]]
    assert receipting.accept(world.lancs, result.receipt.read_bytes()).discrepancies == ()
    corrected = world.load(world.export(world.request(DAYS[1], DAYS[1])))
    assert corrected.rows == {"reads": 2}


def test_a_correction_of_the_very_second_of_the_notice_is_loaded(world: World) -> None:
    world.load(world.export())
    out = world.free("notice.json")
    notifying.recall(world.lancs, AGREEMENT, UNI, "reads", (WRONG,), REASON, out)
    result = apply(world, out)
    assert result.destroyed == (WRONG,)
    assert world.load(world.export(world.request(DAYS[1], DAYS[1]))).rows == {"reads": 2}
    for receipt in (result.receipt, _everything(world)):
        assert receipting.accept(world.lancs, receipt.read_bytes()).discrepancies == ()


def _everything(world: World) -> Path:
    out = world.free("receipt.json")
    receipting.create(world.uni, None, LANCS, out)
    return out


def test_the_next_receipt_says_it_once_more_and_the_force_sees_no_contradiction(world: World) -> None:
    load = world.load(world.export()).receipt
    answer = apply(world, recall(world)).receipt
    everything = _everything(world)
    told = receipts.parse(everything.read_bytes())[0]
    assert ([item.day for item in told.deleted], len(told.notices)) == ([WRONG], 1)
    for receipt in (load, answer, everything):
        assert receipting.accept(world.lancs, receipt.read_bytes()).discrepancies == ()
    again = receipts.parse(_everything(world).read_bytes())[0]
    assert (again.deleted, again.notices) == ((), ())


@pytest.mark.parametrize("of", ["notice", "everything"])
def test_a_notice_is_answered_by_its_receipt_or_by_the_next_one(world: World, of: str) -> None:
    world.load(world.export())
    notice = recall(world)
    [warning] = [text for text in status.status(world.lancs).warnings if "notice" in text]
    assert UNI in warning
    answer = apply(world, notice).receipt
    receipt = answer if of == "notice" else _everything(world)
    assert receipting.accept(world.lancs, receipt.read_bytes()).notices == 1
    assert not [text for text in status.status(world.lancs).warnings if "notice" in text]
    assert not [text for text in status.status(world.uni).warnings if "notice" in text]
    [known] = holdings.notices(world.lancs.db, world.lancs.vault)
    assert known.receipt == receipt.read_bytes()
    assert [item.notices for item in receipting.listed(world.uni)] == ([0, 1] if of == "notice" else [0, 1, 1])


def test_a_recall_outlives_the_agreement(world: World) -> None:
    world.load(world.export())
    world.clock.now += timedelta(days=900)
    assert apply(world, recall(world)).destroyed == (WRONG,)


@pytest.mark.parametrize(
    ("days", "table", "to", "by", "reason", "kind"),
    [
        ((WRONG, "2026-10-04"), "reads", UNI, LANCS, REASON, PolicyError),
        ((WRONG,), "reads", UNI, WYP, REASON, PolicyError),
        ((WRONG,), "reads", WYP, LANCS, REASON, PolicyError),
        ((WRONG,), "reads", "nobody", LANCS, REASON, PolicyError),
        ((WRONG,), "reads", UNI, UNI, REASON, PolicyError),
        (("undated",), "targets", UNI, LANCS, REASON, PolicyError),
        (("undated",), "reads", UNI, LANCS, REASON, UsageError),
        ((WRONG,), "targets", UNI, LANCS, REASON, UsageError),
        ((WRONG,), "reads", UNI, LANCS, " ", UsageError),
        ((WRONG,), "reads", UNI, LANCS, "x" * 201, UsageError),
        ((WRONG,), "reads", UNI, LANCS, "AB12 CDE was misread", PolicyError),
    ],
)
def test_what_cannot_be_recalled_is_refused_and_leaves_nothing(
    world: World,
    days: tuple[str, ...],
    table: Literal["reads", "targets"],
    to: str,
    by: str,
    reason: str,
    kind: type[AnprShareError],
) -> None:
    world.export()
    before = world.site(by).ledger.head()
    out = world.free("notice.json")
    with pytest.raises(kind) as caught:
        notifying.recall(world.site(by), AGREEMENT, to, table, days, reason, out)
    assert type(caught.value) is kind
    assert "AB12" not in caught.value.message
    assert (out.exists(), world.site(by).ledger.head()) == (False, before)


def test_the_day_that_was_never_exported_is_named(world: World) -> None:
    world.export()
    with pytest.raises(PolicyError, match="reads of 2026-10-04 and 1 more"):
        recall(world, WRONG, "2026-10-04", "2026-10-05")


def test_nothing_is_recalled_from_a_revoked_university(world: World) -> None:
    world.export()
    partners.revoke(world.lancs, UNI)
    with pytest.raises(PolicyError, match="revoked"):
        recall(world)


def test_a_notice_replaces_no_file(world: World) -> None:
    world.load(world.export())
    out = world.free("notice.json")
    out.write_text("mine")
    with pytest.raises(StorageError):
        notifying.recall(world.lancs, AGREEMENT, UNI, "reads", (WRONG,), REASON, out)
    notice = recall(world)
    with pytest.raises(StorageError):
        notifying.apply(world.uni, notice.read_bytes(), out)
    assert (out.read_text(), WRONG in held(world)) == ("mine", True)


@pytest.mark.parametrize(
    ("path", "value", "kind"),
    [
        ("recipient", "ab" * 32, PolicyError),
        ("sender", "ab" * 32, PolicyError),
        ("agreement", "ab" * 32, PolicyError),
        ("agreement_id", "another", PolicyError),
        ("created", "2026-10-12T13:00:00Z", PolicyError),
        ("format", 2, FormatError),
        ("remark", "AB12CDE", FormatError),
        ("sealed", "AAAA", VerificationError),
    ],
)
def test_a_notice_that_is_not_for_this_site_or_none_at_all_is_refused(
    world: World, path: str, value: object, kind: type[AnprShareError]
) -> None:
    world.load(world.export())
    data = altered(world, recall(world), path, value)
    _refused(world, data, kind)


def _refused(world: World, data: bytes, kind: type[AnprShareError]) -> None:
    """The notice is refused by the library and the command line, and nothing is destroyed, written or logged."""
    before = (world.uni.ledger.head(), held(world), world.stored(), sorted(world.uni.paths.outbox.iterdir()))
    with pytest.raises(kind) as caught:
        notifying.apply(world.uni, data, None)
    assert type(caught.value) is kind
    assert "AB12CDE" not in caught.value.message
    assert holdings.notices(world.uni.db, world.uni.vault) == ()
    file = world.free("notice.json")
    file.write_bytes(data)
    assert world.cli(UNI, "notice", "apply", file) == kind.exit_code
    assert before == (world.uni.ledger.head(), held(world), world.stored(), sorted(world.uni.paths.outbox.iterdir()))


@pytest.mark.parametrize(
    "content",
    [
        {"format": 1, "recall": {"table": "reads", "days": [], "reason": REASON}, "erase": None},
        {"format": 1, "recall": {"table": "reads", "days": ["undated"], "reason": REASON}, "erase": None},
        {"format": 1, "recall": {"table": "targets", "days": [WRONG], "reason": REASON}, "erase": None},
        {"format": 1, "recall": {"table": "reads", "days": [WRONG, WRONG], "reason": REASON}, "erase": None},
        {"format": 1, "recall": {"table": "reads", "days": [WRONG], "reason": "AB12 CDE was misread"}, "erase": None},
        {"format": 1, "recall": {"table": "reads", "days": [WRONG], "reason": REASON}},
        {"format": 1, "recall": None, "erase": {"tokens": []}},
    ],
)
def test_content_that_this_version_does_not_know_is_refused(world: World, content: object) -> None:
    world.load(world.export())
    notice = recall(world)
    fields = fields_of(dsse.parse(notice.read_bytes(), notices.KIND).payload)
    info = notices.info(fields["sender"], fields["recipient"], fields["agreement"])
    sealed = dsse.to_base64(seal(world.uni.identity.encryption, info, canonical.encode(content)))
    _refused(world, altered(world, notice, "sealed", sealed), FormatError)


def test_an_impostors_notice_is_refused(world: World) -> None:
    world.load(world.export())
    notice = recall(world)
    payload = dsse.parse(notice.read_bytes(), notices.KIND).payload
    for key in (SigningKey.generate(), world.wyp.signing_key):
        _refused(world, dsse.sign(notices.KIND, payload, key).encode(), VerificationError)
    _refused(world, b"PK\x03\x04", FormatError)


def test_what_was_sealed_for_another_sender_does_not_open(world: World) -> None:
    world.load(world.export())
    notice = recall(world)
    taken = altered(world, notice, "sender", world.wyp.identity.fingerprint, by=WYP)
    _refused(world, taken, VerificationError)


def test_a_force_recalls_nothing_of_another(world: World) -> None:
    world.load(world.export())
    world.export(by=WYP)
    assert apply(world, recall(world, by=WYP)).destroyed == ()
    assert WRONG in held(world)


def test_a_universitys_notice_and_a_revoked_forces_are_refused(world: World) -> None:
    world.load(world.export())
    notice = recall(world)
    with pytest.raises(PolicyError):
        notifying.apply(world.wyp, notice.read_bytes(), None)
    partners.revoke(world.uni, LANCS)
    _refused(world, notice.read_bytes(), PolicyError)


def test_a_party_that_is_a_university_recalls_nothing(world: World) -> None:
    world.create("york-university", "university")
    world.agree(LANCS, WYP, UNI, "york-university", id="two-unis")
    world.load(world.export(world.request(agreement="two-unis")))
    notice = recall(world, agreement="two-unis")
    york = world.site("york-university").identity.fingerprint
    _refused(world, altered(world, notice, "sender", york, by="york-university"), PolicyError)


def test_a_corrected_day_makes_the_whole_round_by_the_command_line(world: World) -> None:
    world.load(world.export())
    notice, answer, request = (world.free(name) for name in ("notice.json", "answer.json", "request.json"))
    days = ("--day", WRONG, "--day", DAYS[2].isoformat())
    given = ("--to", UNI, "--table", "reads", *days, "--reason", REASON, "-o", notice)
    world.clock.now += timedelta(minutes=1)
    window = ("--from", DAYS[1], "--until", DAYS[2])
    assert world.cli(UNI, "request", AGREEMENT, "--to", LANCS, *window, "-o", world.free("x.json")) == 4
    assert world.cli(LANCS, "notice", "recall", AGREEMENT, *given) == 0
    assert world.cli(UNI, "notice", "apply", notice, "--receipt", answer) == 0
    assert world.cli(UNI, "notice", "apply", notice, "--receipt", answer) == 0
    assert world.cli(LANCS, "receipt", "accept", answer) == 0
    assert world.cli(UNI, "request", AGREEMENT, "--to", LANCS, *window, "-o", request) == 0
    extract, bundle = world.free("reads.csv"), world.free("corrected.anpr.zip")
    rows = [row for row in READS if row[2] >= WRONG][1:]
    extract.write_text("\n".join(["vrm,camera,captured_at,confidence", *(f"{','.join(row)},90" for row in rows)]))
    reads = ("--reads", extract, "--profile", "plain-reads")
    assert world.cli(LANCS, "export", "--request", request, *reads, "-o", bundle) == 0
    assert world.cli(UNI, "load", bundle) == 0
    assert world.cli(UNI, "notice", "apply", notice, "--receipt", answer) == 0
    everything = world.free("everything.json")
    assert world.cli(UNI, "receipt", "create", "--to", LANCS, "-o", everything) == 0
    assert world.cli(LANCS, "receipt", "accept", everything) == 0
    assert world.cli(LANCS, "receipt", "list") == 0
    reads_now = reading.scan(world.uni, "reads", purpose="after the correction").collect()
    assert sorted(reads_now["day"].to_list()) == [DAYS[0]] * 3 + [DAYS[1], DAYS[2]]

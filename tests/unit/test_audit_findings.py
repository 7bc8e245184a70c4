"""Every rule of the audit finds its fault, and a site that kept the rules is clean."""

from __future__ import annotations

import atexit
import contextlib
import functools
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from anpr_share.audit.evidence import Evidence
from anpr_share.audit.findings import RULES, AuditResult
from anpr_share.audit.judge import judge
from anpr_share.documents import agreement as agreements
from anpr_share.documents import envelope as dsse
from anpr_share.documents import manifest as manifests
from anpr_share.documents.model import write
from anpr_share.site import database
from anpr_share.site.ledger import Ledger
from anpr_share.site.opened import OpenSite
from anpr_share.work import auditing, closing, notifying, purging, reading, receipting
from tests.support.exchange import DAYS, LANCS, NOW, PASSPHRASE, READS, TARGETS, UNI, WYP, World, settled, swift

FIRST_DUE = datetime(2026, 10, 12, 23, tzinfo=UTC)  # 12 days after 1 October, at midnight in London
DAY = timedelta(days=1)

Scenario = Callable[[World], list[Evidence]]


@functools.cache
def template() -> Path:
    """Three days of reads and the targets of one force, kept for twelve days and twelve months; its receipt is back."""
    root = Path(tempfile.mkdtemp(prefix="anpr-share-tests-"))
    atexit.register(shutil.rmtree, root, ignore_errors=True)
    with swift(), settled(root / "sites") as world:
        world.agree(id="brief", reads__retention="P12D")
        loaded = world.load(world.export(world.request(agreement="brief"), targets=TARGETS))
        receipting.accept(world.lancs, loaded.receipt.read_bytes())
    return root / "sites"


@pytest.fixture
def held(tmp_path: Path) -> Iterator[World]:
    """A copy of the template of this test alone; the extract and the bundle lie where the template is."""
    shutil.copytree(template(), tmp_path / "sites")
    with swift(), World(tmp_path / "sites") as world:
        yield world


def evidence(world: World, *names: str) -> list[Evidence]:
    """The evidence of some sites, as somebody without a passphrase sees it."""
    return [auditing.look(world.root / name, world.clock, None) for name in names]


def judged(found: list[Evidence], at: datetime | None = None) -> AuditResult:
    return judge(found, at or max(item.at for item in found))


def codes(found: list[Evidence], at: datetime | None = None) -> set[str]:
    return {item.rule.code for item in judged(found, at).findings}


def later(world: World, when: datetime, *names: str) -> list[Evidence]:
    world.clock.now = when
    return evidence(world, *names)


def forged(world: World, event: str, details: dict[str, str]) -> list[Evidence]:
    """A line that no command of ours wrote; the next one signs it."""
    uni = world.uni
    with database.transaction(uni.db):
        Ledger(uni.db, uni.config.fingerprint).append(event, "brief", details, now=world.clock.now)
    uni.checkpoint()
    return evidence(world, UNI)


def purged(world: World, when: datetime) -> None:
    world.clock.now = when
    world.close()
    with contextlib.closing(OpenSite.open(world.root / UNI, clock=world.clock)) as site:
        purging.purge(site)


def stored(world: World) -> list[Path]:
    return sorted((world.root / UNI / "store").rglob("*.parquet"))


SCENARIOS: dict[str, Scenario] = {}


def scenario(work: Scenario) -> Scenario:
    SCENARIOS[work.__name__.replace("_", "-")] = work
    return work


@scenario
def chain_broken(world: World) -> list[Evidence]:
    [uni] = evidence(world, UNI)
    altered = uni.lines[2].replace(b'"seq":3', b'"seq":4')
    return [replace(uni, lines=(*uni.lines[:2], altered, *uni.lines[3:]))]


@scenario
def signature_bad(world: World) -> list[Evidence]:
    uni, lancs = evidence(world, UNI, LANCS)
    return [replace(uni, checkpoints=lancs.checkpoints)]


@scenario
def record_altered(world: World) -> list[Evidence]:
    [uni] = evidence(world, UNI)
    [first, *others] = uni.manifests
    return [replace(uni, manifests=(replace(first, envelope=first.envelope[:-2] + b" }"), *others))]


@scenario
def history_rewritten(world: World) -> list[Evidence]:
    uni, lancs = evidence(world, UNI, LANCS)
    return [uni, replace(lancs, witnesses=tuple(replace(item, hash="0" * 64) for item in lancs.witnesses))]


@scenario
def history_truncated(world: World) -> list[Evidence]:
    uni, lancs = evidence(world, UNI, LANCS)
    return [replace(uni, lines=uni.lines[:3], checkpoints=()), lancs]


@scenario
def line_unproved(world: World) -> list[Evidence]:
    return forged(world, "consultation", {"purpose": "none of your business"})


@scenario
def tail_unsigned(world: World) -> list[Evidence]:
    purged(world, NOW + timedelta(hours=1))
    return evidence(world, UNI)


@scenario
def clock_leapt(world: World) -> list[Evidence]:
    world.clock.now = NOW + 40 * DAY
    reading.scan(world.uni, "targets", purpose="counting", agreement="brief").collect()
    return evidence(world, UNI)


@scenario
def clock_ahead(world: World) -> list[Evidence]:
    world.clock.now = NOW + timedelta(hours=1)
    reading.scan(world.uni, "targets", purpose="counting", agreement="brief").collect()
    world.clock.now = NOW + timedelta(minutes=54)
    return evidence(world, UNI)


@scenario
def clock_reset(world: World) -> list[Evidence]:
    return forged(world, "clock-reset", {"reason": "it was wrong"})


@scenario
def restored(world: World) -> list[Evidence]:
    world.close()
    (world.root / UNI / "keys.db").unlink()
    return evidence(world, UNI)


@scenario
def purpose_missing(world: World) -> list[Evidence]:
    return forged(world, "combination", {"tables": "reads"})


@scenario
def held_too_long(world: World) -> list[Evidence]:
    return later(world, FIRST_DUE + DAY + timedelta(seconds=1), UNI)


@scenario
def due_now(world: World) -> list[Evidence]:
    return later(world, FIRST_DUE, UNI)


@scenario
def destroyed_late(world: World) -> list[Evidence]:
    purged(world, FIRST_DUE + DAY + timedelta(seconds=1))
    return evidence(world, UNI)


@scenario
def gone_unlogged(world: World) -> list[Evidence]:
    world.uni.db.execute("DELETE FROM keys.day_key WHERE day = '2026-10-02'")
    return evidence(world, UNI)


@scenario
def closed_but_held(world: World) -> list[Evidence]:
    [uni] = evidence(world, UNI)
    return [replace(uni, agreements=tuple(replace(item, closed_at=NOW) for item in uni.agreements))]


@scenario
def key_without_data(world: World) -> list[Evidence]:
    stored(world)[0].unlink()
    return evidence(world, UNI)


@scenario
def data_without_key(world: World) -> list[Evidence]:
    world.uni.db.execute("DELETE FROM keys.day_key WHERE day = '2026-10-02'")
    return evidence(world, UNI)


@scenario
def file_unexplained(world: World) -> list[Evidence]:
    (world.root / UNI / "store" / "copy.parquet").write_bytes(b"PARE")
    return evidence(world, UNI)


@scenario
def part_altered(world: World) -> list[Evidence]:
    with stored(world)[0].open("r+b") as file:
        file.seek(20)
        file.write(b"!")
    return evidence(world, UNI)


@scenario
def extract_too_old(world: World) -> list[Evidence]:
    return later(world, FIRST_DUE + DAY + timedelta(seconds=1), LANCS)


@scenario
def window_key_too_old(world: World) -> list[Evidence]:
    world.request(agreement="brief", to=WYP)
    return later(world, NOW + 31 * DAY + timedelta(seconds=1), UNI)


@scenario
def purge_missing(world: World) -> list[Evidence]:
    return later(world, NOW + 7 * DAY + timedelta(seconds=1), UNI)


@scenario
def permissions_weak(world: World) -> list[Evidence]:
    (world.root / UNI / "vault.db").chmod(0o640)
    return evidence(world, UNI)


@scenario
def export_outside(world: World) -> list[Evidence]:
    [lancs] = evidence(world, LANCS)
    return [replace(lancs, requests=())]


@scenario
def export_unlogged(world: World) -> list[Evidence]:
    [lancs] = evidence(world, LANCS)
    return [replace(lancs, bundles=tuple(replace(item, manifest="0" * 64) for item in lancs.bundles))]


@scenario
def load_unverified(world: World) -> list[Evidence]:
    [uni] = evidence(world, UNI)
    return [replace(uni, manifests=())]


@scenario
def rows_unaccounted(world: World) -> list[Evidence]:
    [uni] = evidence(world, UNI)
    return [replace(uni, parts=tuple(replace(item, rows=item.rows + 1) for item in uni.parts))]


@scenario
def receipt_missing(world: World) -> list[Evidence]:
    [lancs] = later(world, NOW + 31 * DAY + timedelta(seconds=1), LANCS)
    return [replace(lancs, receipts=())]


@scenario
def deletion_unreported(world: World) -> list[Evidence]:
    purged(world, FIRST_DUE)
    return later(world, FIRST_DUE + 31 * DAY + timedelta(seconds=1), UNI)


@scenario
def notice_unanswered(world: World) -> list[Evidence]:
    notifying.recall(
        world.lancs, "brief", UNI, "reads", [DAYS[0].isoformat()], "a wrong clock", world.free("notice.json")
    )
    return later(world, NOW + 7 * DAY + timedelta(seconds=1), LANCS)


@scenario
def partner_differs(world: World) -> list[Evidence]:
    uni, lancs = evidence(world, UNI, LANCS)
    return [uni, replace(lancs, partners=tuple(replace(item, fingerprint="0" * 64) for item in lancs.partners))]


def test_there_is_a_scenario_for_every_rule() -> None:
    assert SCENARIOS.keys() == RULES.keys()


@pytest.mark.parametrize("code", SCENARIOS)
def test_each_rule_finds_its_fault(held: World, code: str) -> None:
    found = SCENARIOS[code](held)
    assert code in codes(found, held.clock.now)


def test_sites_that_kept_the_rules_are_clean(held: World) -> None:
    assert codes(evidence(held, UNI, LANCS, WYP)) == set()
    reading.link(held.uni, "brief", purpose="counting").collect()
    purged(held, FIRST_DUE + timedelta(hours=2))
    held.clock.now += timedelta(hours=7)
    out = held.free("receipt.json")
    receipting.create(held.uni, "brief", LANCS, out)
    receipting.accept(held.lancs, out.read_bytes())
    result = judged(evidence(held, UNI, LANCS, WYP))
    assert {item.rule.code for item in result.findings if item.rule.severity != "note"} == set()
    assert result.verdict == "clean"
    proved = auditing.look(held.root / UNI, held.clock, PASSPHRASE)
    assert proved.disk is not None
    assert proved.disk.proved
    assert judged([proved]).verdict == "clean"


def test_the_calendar_the_accounts_and_the_timeline_tell_one_story(held: World) -> None:
    purged(held, FIRST_DUE + timedelta(hours=2))
    result = judged(evidence(held, UNI, LANCS))
    states = {(item.table, item.day): item.state for item in result.days}
    assert states == {
        ("reads", "2026-10-01"): "destroyed",
        ("reads", "2026-10-02"): "held",
        ("reads", "2026-10-03"): "held",
        ("targets", "undated"): "held",
    }
    [gone] = [item for item in result.days if item.state == "destroyed"]
    assert (gone.rows, gone.due, gone.reason) == (3, FIRST_DUE, "expired")
    accounts = {item.table: item for item in result.accounts}
    reads = accounts["reads"]
    assert (reads.exported, reads.loaded, reads.not_kept, reads.live, reads.destroyed) == (6, 6, 0, 3, 3)
    assert (reads.sender, reads.recipient, reads.balanced) == (LANCS, UNI, True)
    assert accounts["targets"].live == accounts["targets"].exported == 2
    events = [(item.site, item.event) for item in result.exchanges]
    assert events == [
        (UNI, "request"),
        (LANCS, "export"),
        (UNI, "load"),
        (LANCS, "receipt"),
        (UNI, "destruction"),
    ]


def manifest_of(world: World, **changes: object) -> list[Evidence]:
    """The force's evidence, with a manifest that says something else, recorded and signed as the true one."""
    [lancs] = evidence(world, LANCS)
    [bundle] = lancs.bundles
    [known] = lancs.manifests
    plain = manifests.from_envelope(dsse.parse(known.envelope, manifests.KIND))
    made = dsse.sign(manifests.KIND, write(plain.model_copy(update=changes)), world.lancs.signing_key)
    return [
        replace(
            lancs,
            bundles=(replace(bundle, manifest=made.digest),),
            manifests=(replace(known, digest=made.digest, envelope=made.encode()),),
        )
    ]


def texts(found: list[Evidence], code: str) -> str:
    return "\n".join(item.text for item in judged(found).findings if item.rule.code == code)


def test_an_export_from_a_clock_that_is_ahead_is_told_of_and_five_minutes_are_not(held: World) -> None:
    [uni] = evidence(held, UNI)
    minutes = timedelta(minutes=5)
    assert "clock-ahead" not in codes([uni], uni.at - minutes)
    assert "clock-ahead" in codes([uni], uni.at - minutes - timedelta(seconds=1))


def test_a_site_beside_an_earlier_export_is_one_site_and_is_held_against_it(held: World) -> None:
    [before] = [replace(item, source="ledger", disk=None) for item in evidence(held, UNI)]
    reading.link(held.uni, "brief", purpose="counting").collect()
    [now] = evidence(held, UNI)
    for found in ([before, now], [now, before], [now, now]):
        result = judged(found)
        assert {item.rule.code for item in result.findings} == set()
    result = judged([before, now])
    assert [item.lines for item in result.sites] == [len(now.lines)]
    assert len(result.days) == len(judged([now]).days)

    after = replace(now, source="ledger", disk=None)
    cut = replace(now, lines=before.lines[:-1], checkpoints=before.checkpoints[:1])
    assert "history-truncated" in codes([cut, after])
    altered = now.lines[2].replace(b'"seq":3', b'"seq":4')
    rewritten = replace(now, lines=(*now.lines[:2], altered, *now.lines[3:]))
    assert "history-rewritten" in codes([rewritten, after])
    # What nobody signed may be anybody's.
    assert not {"history-truncated", "history-rewritten"} & codes([cut, replace(after, checkpoints=())])


def test_a_file_of_two_tables_is_one_finding_by_its_first_limit(held: World) -> None:
    found = later(held, FIRST_DUE + 400 * DAY, LANCS)
    [lancs] = found
    assert len({item.tbl for item in lancs.registered}) == 2
    told = [item.text for item in judged(found).findings if item.rule.code == "extract-too-old"]
    assert len(told) == len({item.path for item in lancs.registered})


def test_versions_that_differ_are_told_by_number_and_where(held: World) -> None:
    uni, lancs = evidence(held, UNI, LANCS)
    [known] = [item for item in uni.agreements if item.id == "brief"]
    signed = agreements.parse(known.envelope)
    held.agree(id="brief", version=2, supersedes=signed.digest, reads__retention="P12D")
    [newer] = evidence(held, UNI)
    text = texts([newer, lancs], "partner-differs")
    assert f"{UNI} has version 2" in text
    assert f"{LANCS} has version 1" in text
    [told] = [item.text for item in judge([newer], newer.at, signed).findings if item.rule.code == "partner-differs"]
    assert told == "brief: version 1 was given, and version 2 is in force"


def test_an_export_beyond_the_agreement_is_told_by_what_went_beyond_it(held: World) -> None:
    plain = manifests.from_envelope(dsse.parse(evidence(held, LANCS)[0].manifests[0].envelope, manifests.KIND))
    reads = next(table for table in plain.tables if table.name == "reads")
    wider = reads.model_copy(update={"columns": (*reads.columns, "confidence")})
    cases = {
        "columns that are not agreed: confidence": {"tables": (wider,)},
        "had expired": {"created": FIRST_DUE + DAY},
        "the agreement runs from": {"created": datetime(2026, 8, 31, 22, tzinfo=UTC)},
        "names a version of the agreement that was not accepted": {"agreement": "0" * 64},
        "manifest says something else than its record": {"request": "0" * 64},
    }
    for text, changes in cases.items():
        assert text in texts(manifest_of(held, **changes), "export-outside")  # type: ignore[arg-type]  # fields by name


def test_reads_that_needed_an_authority_are_found_without_one(world: World) -> None:
    world.agree(id="brief", authority_after="P9D")
    world.export(world.request(agreement="brief"), READS[3:], authority="Inspector, decision 17")
    [lancs] = evidence(world, LANCS)
    assert texts([lancs], "export-outside") == ""
    [bundle] = lancs.bundles
    assert bundle.quality is not None
    quality = bundle.quality.replace(b'"Inspector, decision 17"', b"null")
    found = [replace(lancs, bundles=(replace(bundle, quality=quality),))]
    assert "reads of 2026-10-02 needed a named authority" in texts(found, "export-outside")


def test_a_leap_is_measured_from_the_last_line_that_counts(held: World) -> None:
    for days in (40, 45):
        held.clock.now = NOW + days * DAY
        reading.scan(held.uni, "targets", purpose="counting", agreement="brief").collect()
    [leap] = [item for item in judged(evidence(held, UNI)).findings if item.rule.code == "clock-leapt"]
    assert (leap.text, len(leap.lines)) == ("2 lines, up to 45 days after the last one before", 2)


def test_a_closing_is_held_against_its_certificate_and_its_line(held: World) -> None:
    closing.close(held.uni, "brief", None)
    [uni] = evidence(held, UNI)
    assert codes([uni]) == set()
    [certificate] = uni.certificates
    opened = tuple(replace(item, closed_at=None) for item in uni.agreements)
    later_on = tuple(replace(item, closed_at=NOW + DAY) if item.closed_at else item for item in uni.agreements)
    for changed in (
        replace(uni, certificates=()),
        replace(uni, certificates=(replace(certificate, envelope=certificate.envelope[:-1]),)),
        replace(uni, agreements=opened),
        replace(uni, agreements=later_on),
        replace(uni, lines=uni.lines[:4], checkpoints=uni.checkpoints[:1]),
    ):
        assert "record-altered" in codes([changed])


def test_a_notice_that_its_force_did_not_sign_is_told(held: World) -> None:
    notice = held.free("notice.json")
    notifying.recall(held.lancs, "brief", UNI, "reads", [DAYS[0].isoformat()], "a wrong clock", notice)
    [lancs] = evidence(held, LANCS)
    assert codes([lancs]) == set()
    [known] = lancs.notices
    data = dsse.parse(known.envelope, "notice")
    foreign = dsse.sign("notice", data.payload, held.wyp.signing_key).encode()
    assert "record-altered" in codes([replace(lancs, notices=(replace(known, envelope=foreign),))])

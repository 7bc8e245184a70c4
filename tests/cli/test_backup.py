"""What the page on backups promises: a backup restored, a site moved, a passphrase lost, at the command line."""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import pytest

from anpr_share.documents import agreement as agreements
from anpr_share.documents.draft import draft_toml
from anpr_share.documents.identity import Identity
from anpr_share.site import holdings
from anpr_share.site.opened import OpenSite
from anpr_share.work import reading
from tests.support.sites import (
    AGREEMENT,
    FORCES,
    LINKED,
    NOW,
    PASSPHRASE,
    READS,
    SITES,
    UNIVERSITY,
    World,
    filled_in,
    quick_opening,
    world,
)

BACKUP = ("site.toml", "identity.json", "vault.db", "site.db")
PARTNERS = {"lancs": "lancashire-police", "wyp": "west-yorkshire-police", "uni": "university-of-x"}


@pytest.fixture
def loaded(tmp_path: Path) -> World:
    return world("loaded", tmp_path / "world")


def back_up(made: World, site: str) -> Path:
    """A backup of a site, made as the page says."""
    kept = made.root / f"backup-{site}"
    kept.mkdir(exist_ok=True)
    for name in BACKUP:
        shutil.copy(made.root / site / name, kept)
    return kept


def restore(made: World, site: str) -> None:
    """The site as its backup alone makes it."""
    shutil.rmtree(made.root / site)
    shutil.copytree(made.root / f"backup-{site}", made.root / site)


def linked(made: World, site: str = "uni") -> int:
    return len(made.ok("link", "--format", "csv", "--purpose", "counting", site=site).out.splitlines()) - 1


def vehicles(made: World) -> list[str]:
    passphrase = PASSPHRASE.encode()
    with quick_opening(), OpenSite.open(made.root / "uni", passphrase=passphrase, clock=lambda: made.now) as site:
        reads = reading.scan(site, "reads", purpose="counting").collect()
    return sorted(reads["vehicle"])


def shown(made: World, site: str, code: int = 0) -> Any:
    done = made.run("--json", "status", site=site, passphrase=False)
    assert done.code == code, done.err
    return done.result


def contradictions(made: World, site: str, partner: str) -> int:
    """How many heads of ``site`` that ``partner`` keeps are in no line of its ledger."""
    with OpenSite.open(made.root / site, clock=lambda: made.now) as opened:
        lines = {(entry.head.seq, entry.head.hash) for entry in opened.ledger.lines()}
    with OpenSite.open(made.root / partner, clock=lambda: made.now) as opened:
        heads = {(item.seq, item.hash) for item in holdings.witnesses(opened.db, None, PARTNERS[site])}
    return len(heads - lines)


def test_a_restored_university_has_its_records_no_data_and_gets_its_days_anew(loaded: World) -> None:
    before = loaded.events("uni")
    back_up(loaded, "uni")
    assert loaded.ask(force=PARTNERS["wyp"], out=loaded.root / "waiting.json").code == 0
    back_up(loaded, "uni")
    restore(loaded, "uni")

    found = shown(loaded, "uni")

    assert "this site was restored from a backup" in found["warnings"][0]
    assert [item["days"] for item in found["agreements"]] == [0]
    states = [window["state"] for request in found["requests"] for window in request["windows"]]
    assert sorted(states) == ["answered", "lost"]
    assert loaded.events("uni") == [*before, "request-made", "restored"]
    assert "1 lost" in loaded.ok("status", site="uni").out

    loaded.request.unlink()
    loaded.bundle.unlink()
    assert (loaded.ask().code, loaded.export().code) == (0, 0)
    loaded.ok("load", loaded.bundle, site="uni")

    assert shown(loaded, "uni")["warnings"] == []
    assert (linked(loaded), len(vehicles(loaded))) == (LINKED, READS)
    assert contradictions(loaded, "uni", "lancs") == 0


def test_a_backup_opens_no_day_even_with_the_passphrase_and_the_store(loaded: World) -> None:
    back_up(loaded, "uni")
    shutil.copytree(loaded.root / "uni" / "store", loaded.root / "backup-uni" / "store")
    restore(loaded, "uni")

    assert (linked(loaded), vehicles(loaded)) == (0, [])
    assert loaded.run("load", loaded.bundle, site="uni").code == 0  # which only writes the receipt again
    assert vehicles(loaded) == []


def test_a_restored_force_makes_the_same_tokens(loaded: World) -> None:
    check = loaded.ok("--json", "key", "list", site="lancs").result
    before = vehicles(loaded)
    back_up(loaded, "lancs")
    back_up(loaded, "uni")
    restore(loaded, "lancs")
    restore(loaded, "uni")

    found = shown(loaded, "lancs")

    assert (found["warnings"], [item["linkage_key"] for item in found["agreements"]]) == ([], [True])
    assert loaded.ok("--json", "key", "list", site="lancs").result == check
    loaded.request.unlink()
    loaded.bundle.unlink()
    assert (loaded.ask().code, loaded.export().code) == (0, 0)
    loaded.ok("load", loaded.bundle, site="uni")
    assert vehicles(loaded) == before


def test_a_restored_force_deletes_what_its_ledger_still_owes(tmp_path: Path) -> None:
    made = world("requested", tmp_path / "world")
    extract = made.root / "lancs" / "inbox" / "reads.csv"
    (made.root / "reads.csv").rename(extract)
    reads = ("--reads", extract, "--profile", "plain-reads")
    made.ok("export", "--request", made.request, *reads, "-o", made.bundle, site="lancs")
    back_up(made, "lancs")
    restore(made, "lancs")  # without an inbox

    late = replace(made, now=datetime(2027, 10, 2, 9, tzinfo=NOW.tzinfo))
    done = late.run("purge", "--confirm-date", "2027-10-02", site="lancs")

    assert (done.code, made.bundle.name in done.out) == (1, True)  # which lies elsewhere
    assert [item["name"] for item in shown(late, "lancs", code=1)["files"]] == [made.bundle.name]


def test_a_restore_from_before_the_last_exchange_contradicts_what_the_partner_holds(tmp_path: Path) -> None:
    made = world("agreed", tmp_path / "world")
    back_up(made, "uni")
    made.ok("agreement", "show", site="uni")
    assert made.ask().code == 0
    assert made.export().code == 0
    assert made.load().code == 0
    made.ok("receipt", "accept", made.receipt, site="lancs")
    assert contradictions(made, "uni", "lancs") == 0

    restore(made, "uni")
    made.ok("status", site="uni")

    assert contradictions(made, "uni", "lancs") == 1  # the receipt's: the request's is in both histories
    done = made.load()
    assert (done.code, "request" in done.err) == (4, True)


def test_a_force_restored_from_before_an_export_would_answer_again_and_the_university_refuses(tmp_path: Path) -> None:
    made = world("requested", tmp_path / "world")
    back_up(made, "lancs")
    assert made.export().code == 0
    assert made.load().code == 0
    restore(made, "lancs")

    second = made.root / "second.anpr.zip"
    assert made.export(out=second).code == 0

    assert made.run("load", second, site="uni").code == 4
    assert made.run("receipt", "accept", made.receipt, site="lancs").code == 1


def test_a_moved_site_is_whole_and_its_files_are_under_retention_where_they_are_now(tmp_path: Path) -> None:
    made = world("requested", tmp_path / "world")
    extract = made.root / "lancs" / "inbox" / "reads.csv"
    (made.root / "reads.csv").rename(extract)
    reads = ("--reads", extract, "--profile", "plain-reads")
    targets = ("--targets", made.root / "targets.csv", "--targets-profile", "plain-targets")
    made.ok("export", "--request", made.request, *reads, *targets, "-o", made.bundle, site="lancs")
    assert made.load().code == 0
    for site in ("lancs", "uni"):
        shutil.copytree(made.root / site, made.root / "elsewhere" / site)
        shutil.rmtree(made.root / site)

    assert linked(made, "elsewhere/uni") == LINKED
    assert shown(made, "elsewhere/uni")["warnings"] == []
    assert "reads.csv" in [item["name"] for item in shown(made, "elsewhere/lancs")["files"]]
    late = replace(made, now=datetime(2027, 10, 2, 9, tzinfo=NOW.tzinfo))
    done = late.run("purge", "--confirm-date", "2027-10-02", site="elsewhere/lancs")
    assert "deleted: reads.csv" in done.out
    assert not (made.root / "elsewhere" / "lancs" / "inbox" / "reads.csv").exists()


def test_a_revocation_that_the_backup_does_not_know_is_undone_by_restoring_it(loaded: World) -> None:
    back_up(loaded, "uni")
    loaded.ok("partner", "revoke", PARTNERS["wyp"], site="uni")
    restore(loaded, "uni")

    statuses = {item["id"]: item["status"] for item in loaded.ok("--json", "partner", "list", site="uni").result}

    assert statuses[PARTNERS["wyp"]] == "pinned"


def test_two_live_copies_both_load_what_comes_and_their_histories_part(tmp_path: Path) -> None:
    made = world("exported", tmp_path / "world")
    shutil.copytree(made.root / "uni", made.root / "copy")
    for site in ("uni", "copy"):
        made.ok("load", made.bundle, site=site)
    assert linked(made) == linked(made, "copy") == LINKED
    linked(made, "copy")

    for site in ("uni", "copy"):
        out = made.root / f"receipt-{site}.json"
        made.ok("receipt", "create", "--to", PARTNERS["lancs"], "-o", out, site=site)
        made.ok("receipt", "accept", out, site="lancs")

    assert contradictions(made, "uni", "lancs") == 1


def lose(made: World, site: str) -> str:
    """A site whose passphrase is lost: made anew, and pinned by the others. Its new fingerprint."""
    (made.root / site).rename(made.root / f"old-{site}")
    role, name = ("police", FORCES[site]) if site in FORCES else ("university", UNIVERSITY[1])
    done = made.ok("--json", "init", made.root / site, "--role", role, "--name", name)
    fingerprint: str = done.result["fingerprint"]
    for other in SITES:
        pinned = [item["id"] for item in made.ok("--json", "partner", "list", site=other).result]
        if other != site and PARTNERS[site] in pinned:
            file = made.root / site / "identity.json"
            made.ok("partner", "replace", file, "--fingerprint", fingerprint, site=other)
    return fingerprint


def renew(made: World, *parties: str) -> list[Path]:
    """The next version of the agreement, with the parties' identities of now, in force at all; the key shares made."""
    before = agreements.parse(made.agreement.read_bytes())
    identities = [Identity.parse((made.root / site / "identity.json").read_bytes()) for site in parties]
    signed = made.root / "next-draft.toml"
    signed.write_text(draft_toml(identities, NOW.date(), before), encoding="utf-8")
    for site in parties:
        out = made.root / f"next-{site}.json"
        made.ok("agreement", "sign", signed, "-o", out, "--yes", site=site)
        signed = out
    known = set(made.root.glob("*/outbox/*.keyshare.json"))
    for site in parties:
        made.ok("agreement", "accept", signed, site=site)
    return sorted(set(made.root.glob("*/outbox/*.keyshare.json")) - known)


def test_without_the_passphrase_nothing_opens_and_what_expires_is_destroyed_all_the_same(loaded: World) -> None:
    loaded.passphrase_file.write_text("another made up passphrase\n", encoding="ascii")

    assert loaded.run("link", "--purpose", "counting", site="uni").code == 5
    assert shown(loaded, "uni")["agreements"][0]["days"] == 3
    late = replace(loaded, now=datetime(2027, 10, 1, 9, tzinfo=NOW.tzinfo))
    assert late.run("purge", "--confirm-date", "2027-10-01", site="uni", passphrase=False).code == 0
    assert shown(late, "uni")["agreements"][0]["days"] == 2
    assert "erasure" in [entry["event"] for entry in late.ok("--json", "ledger", "show", site="uni").result]


def test_an_old_vault_opens_with_the_old_passphrase_and_the_data_are_there(loaded: World) -> None:
    back_up(loaded, "uni")
    newer = loaded.root / "newer"
    newer.write_text("another made up passphrase\n", encoding="ascii")
    newer.chmod(0o600)
    loaded.ok("passphrase", "change", "--new-passphrase-file", newer, site="uni")
    assert loaded.run("link", "--purpose", "counting", site="uni").code == 5

    shutil.copy(loaded.root / "backup-uni" / "vault.db", loaded.root / "uni")

    assert linked(loaded) == LINKED


def test_a_university_without_its_passphrase_begins_anew_and_asks_for_its_days_anew(loaded: World) -> None:
    before = vehicles(loaded)
    old = loaded.run("receipt", "create", "--to", PARTNERS["lancs"], "-o", loaded.root / "late.json", site="uni")
    assert old.code == 0
    lose(loaded, "uni")
    assert loaded.run("receipt", "accept", loaded.root / "late.json", site="lancs").code == 4  # of the old identity
    assert loaded.ask(out=loaded.root / "early.json").code == 4  # no agreement is in force here yet

    renew(loaded, *SITES)

    loaded.request.unlink()
    loaded.bundle.unlink()
    assert (loaded.ask().code, loaded.export().code) == (0, 0)
    loaded.ok("load", loaded.bundle, site="uni")
    assert vehicles(loaded) == before


@pytest.mark.parametrize("site", ["lancs", "wyp"])
def test_a_force_without_its_passphrase_gets_the_linkage_key_from_another(loaded: World, site: str) -> None:
    other = "wyp" if site == "lancs" else "lancs"
    check = loaded.ok("--json", "key", "list", site=other).result
    before = vehicles(loaded)
    lose(loaded, site)

    shares = [path for path in renew(loaded, *SITES) if PARTNERS[site] in path.name]

    assert [path.parent.parent.name for path in shares] == [other]
    assert loaded.run("--json", "key", "list", site=site).result == []
    loaded.ok("key", "accept", shares[0], site=site)
    assert loaded.ok("--json", "key", "list", site=site).result == check
    assert vehicles(loaded) == before
    out = loaded.root / "anew.json"
    days = ("--from", "2026-09-28", "--until", "2026-09-30")
    loaded.ok("request", AGREEMENT, "--to", PARTNERS[site], *days, "-o", out, site="uni")


def test_an_accept_that_was_killed_before_the_key_was_handed_on_hands_it_on_again(loaded: World) -> None:
    lose(loaded, "lancs")
    shares = renew(loaded, *SITES)
    [mine] = [path for path in shares if PARTNERS["lancs"] in path.name]
    mine.unlink()

    loaded.ok("agreement", "accept", loaded.root / "next-uni.json", site="wyp")

    loaded.ok("key", "accept", mine, site="lancs")


def test_the_only_force_without_its_passphrase_has_lost_the_linkage_key_and_needs_a_new_agreement(
    tmp_path: Path,
) -> None:
    made = world("new", tmp_path / "world")
    parties = ("lancs", "uni")
    _agree(made, parties, AGREEMENT)
    lose(made, "lancs")

    assert renew(made, *parties) == []
    assert made.ok("--json", "key", "list", site="lancs").result == []
    made.agreement.unlink()
    _agree(made, parties, "msv-2027")
    assert [item["agreement"] for item in made.ok("--json", "key", "list", site="lancs").result] == ["msv-2027"]


def _agree(made: World, parties: tuple[Literal["lancs", "uni"], ...] | tuple[str, ...], name: str) -> None:
    files = [word for site in parties for word in ("--party", made.root / site / "identity.json")]
    signed = made.root / f"{name}.toml"
    text = filled_in(made.ok("agreement", "draft", *files).out).replace(f'"{AGREEMENT}"', f'"{name}"')
    signed.write_text(text, encoding="utf-8")
    for site in parties:
        out = made.agreement if site == parties[-1] else made.root / f"{name}-{site}.json"
        made.ok("agreement", "sign", signed, "-o", out, "--yes", site=site)
        signed = out
    for site in parties:
        made.ok("agreement", "accept", signed, site=site)

"""The exit codes of the interface, one cause a line; whatever the cause, nothing is left behind and nothing shown."""

from __future__ import annotations

import itertools
import json
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from anpr_share.documents import canonical, receipt
from anpr_share.documents import envelope as dsse
from anpr_share.site.opened import OpenSite
from tests.support import sites
from tests.support.sites import AGREEMENT, DAYS, Stage, World

Words = Callable[[World], list[object]]


def words(*fixed: object) -> Words:
    return lambda _made: list(fixed)


def pseudonymise(made: World) -> list[object]:
    given = ("--profile", "plain-reads", "--agreement", AGREEMENT)
    return ["pseudonymise", made.root / "reads.csv", *given, "-o", made.root / "tokens.csv"]


def feasible(made: World) -> list[object]:
    return ["feasibility", "--targets", made.root / "targets.csv", "--targets-profile", "plain-targets"]


def ask(made: World) -> list[object]:
    days = ("--from", DAYS[0], "--until", DAYS[-1])
    return ["request", AGREEMENT, "--to", "lancashire-police", *days, "-o", made.request]


def amend(made: World) -> list[object]:
    return ["agreement", "amend", AGREEMENT, "--party", made.root / "lancs" / "identity.json"]


def export(made: World) -> list[object]:
    reads = ("--reads", made.root / "reads.csv", "--profile", "plain-reads")
    return ["export", "--request", made.request, *reads, "-o", made.bundle]


def load(made: World) -> list[object]:
    return ["load", made.bundle]


def risk(agreement: str) -> Words:
    """A look at risk under an agreement: an id, or a file of the world."""
    given = ("--profile", "plain-reads", "--agreement")
    return lambda made: [
        *("risk", "--reads", made.root / "reads.csv", *given),
        made.root / agreement if "." in agreement else agreement,
    ]


def low_ceiling(made: World) -> World:
    draft = made.root / "draft.toml"
    text = draft.read_text(encoding="utf-8").replace("# [risk]\n", "[risk]\n")
    draft.write_text(text.replace('# unicity4_max = "0.95"', 'unicity4_max = "0.1"'), encoding="utf-8")
    return made


def changed(made: World, path: Path, at: int = 400) -> World:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)
    return made


def keyless(made: World) -> World:
    made.ok("agreement", "accept", made.agreement, site="wyp")
    return made


def hostile(made: World) -> list[object]:
    profile = made.root / "draft.toml"
    profile.write_text("x = [", encoding="utf-8")
    return ["check", made.root / "reads.csv", "--profile", profile]


def other_passphrase(made: World) -> World:
    made.passphrase_file.write_text("another battery, another staple\n", encoding="ascii")
    return made


def cells(made: World, rows: str, header: str = "vrm,camera,captured_at,confidence") -> World:
    (made.root / "reads.csv").write_text(f"{header}\n{rows}\n", encoding="utf-8")
    return made


def later(made: World, days: int) -> World:
    return replace(made, now=made.now + timedelta(days=days))


def impostor(made: World) -> Path:
    made.ok("init", made.root / "other", "--role", "police", "--name", "Lancashire Police")
    return made.root / "other" / "identity.json"


def revoked(made: World) -> World:
    made.ok("partner", "revoke", "lancashire-police", site="uni")
    return made


def without(made: World, *files: str) -> World:
    for name in files:
        (made.root / name).unlink()
    return made


def forged(made: World) -> World:
    with sqlite3.connect(made.root / "lancs" / "site.db") as connection:
        lines = connection.execute("SELECT line FROM ledger WHERE seq = 3").fetchone()
        connection.execute("UPDATE ledger SET line = ? WHERE seq = 3", (lines[0].replace(b"pinned", b"penned"),))
    connection.close()
    return made


def changed_in_site_db(made: World, site: str, sql: str) -> World:
    with sqlite3.connect(made.root / site / "site.db") as connection:
        connection.execute(sql)
    connection.close()
    return made


def unsigned(made: World) -> World:
    return changed_in_site_db(made, "lancs", "DELETE FROM checkpoint WHERE seq = (SELECT max(seq) FROM checkpoint)")


def recounted(made: World) -> World:
    """The university signs a receipt for a row more than it was sent."""
    envelope = dsse.parse(made.receipt.read_bytes(), receipt.KIND)
    fields = json.loads(envelope.payload)
    fields["loaded"][0]["days"][0]["rows"] += 1
    with sites.quick_opening(), OpenSite.open(made.root / "uni", passphrase=sites.PASSPHRASE.encode()) as uni:
        signed = dsse.sign(receipt.KIND, canonical.encode(fields), uni.signing_key)
    made.receipt.write_bytes(signed.encode())
    return made


def counted_otherwise(made: World) -> World:
    assert recounted(made).run("receipt", "accept", made.receipt, site="lancs").code == 1
    return made


def recall(*, day: object = DAYS[0], to: str = "university-of-x", reason: str = "a clock was wrong") -> Words:
    given = ("--to", to, "--table", "reads", "--day", day, "--reason", reason)
    return lambda made: ["notice", "recall", AGREEMENT, *given, "-o", made.notice]


def noticed(made: World) -> World:
    made.recall()
    return made


def apply(made: World) -> list[object]:
    return ["notice", "apply", made.notice]


def closed(made: World) -> World:
    made.ok("close", AGREEMENT, site="uni")
    return made


def closed_with_files(made: World) -> World:
    assert made.run("close", AGREEMENT, site="lancs").code == 1
    return made


def destroyed(made: World) -> World:
    made.ok("key", "destroy", AGREEMENT, site="lancs")
    return made


def same(made: World) -> World:
    return made


PREPARE = Callable[[World], World]
FIRST = "BK12CDE,Mill Lane Bridge,2026-10-01T10:00:00Z,90"
CODES: list[tuple[str, int, str, Stage, str | None, PREPARE, Words]] = [
    ("an unsigned end of the ledger", 1, "", "exported", "lancs", unsigned, words("ledger", "verify")),
    (
        "a row is rejected",
        1,
        "",
        "new",
        None,
        same,
        lambda made: ["check", made.root / "reads.csv", "--profile", "plain-reads"],
    ),
    ("a release above the agreement's ceiling", 1, "", "drafted", None, low_ceiling, risk("draft.toml")),
    ("a release of no row", 1, "input", "drafted", None, lambda made: cells(made, ",x,,"), risk("draft.toml")),
    ("nothing to find", 1, "", "new", None, same, feasible),
    (
        "reads of which none passes the checks",
        1,
        "input",
        "new",
        None,
        lambda made: cells(made, "BK12CDE,Mill Lane Bridge,yesterday,90"),
        lambda made: [*feasible(made), "--reads", made.root / "reads.csv", "--reads-profile", "plain-reads"],
    ),
    ("an unknown sender", 1, "", "exported", None, same, lambda made: ["verify", made.bundle]),
    (
        "columns are missing",
        1,
        "input",
        "requested",
        "lancs",
        lambda made: cells(made, "BK12CDE,x", "vrm,when"),
        export,
    ),
    ("something overdue", 1, "", "loaded", "uni", lambda made: later(made, 400), words("status")),
    ("a force's files overdue", 1, "", "exported", "lancs", lambda made: later(made, 400), words("status")),
    (
        "a receipt that counts otherwise",
        1,
        "",
        "loaded",
        "lancs",
        recounted,
        lambda made: ["receipt", "accept", made.receipt],
    ),
    ("a receipt that counted otherwise", 1, "", "loaded", "lancs", counted_otherwise, words("receipt", "list")),
    ("a file that only a person may delete", 1, "", "exported", "lancs", closed_with_files, words("close", AGREEMENT)),
    ("a party that joins twice", 2, "usage", "agreed", "uni", same, amend),
    ("no such command", 2, "usage", "new", None, same, words("nothing")),
    ("no such option", 2, "usage", "new", None, same, words("status", "--nothing")),
    ("a missing option", 2, "usage", "agreed", "uni", same, words("request", AGREEMENT)),
    (
        "not a day",
        2,
        "usage",
        "agreed",
        "uni",
        same,
        lambda made: [
            "request",
            AGREEMENT,
            "--to",
            "x",
            "--from",
            "1/10/2026",
            "--until",
            DAYS[-1],
            "-o",
            made.request,
        ],
    ),
    (
        "days the wrong way round",
        2,
        "usage",
        "agreed",
        "uni",
        same,
        lambda made: [
            "request",
            AGREEMENT,
            "--to",
            "lancashire-police",
            "--from",
            DAYS[-1],
            "--until",
            DAYS[0],
            "-o",
            made.request,
        ],
    ),
    ("a risk by id without a site", 2, "usage", "new", "..", same, risk(AGREEMENT)),
    ("no site", 2, "usage", "new", "..", same, words("status")),
    (
        "a site's folder is in use",
        2,
        "usage",
        "new",
        None,
        same,
        lambda made: ["init", made.root / "uni", "--role", "police", "--name", "X Y"],
    ),
    (
        "targets without a profile",
        2,
        "usage",
        "requested",
        "lancs",
        same,
        lambda made: [*export(made), "--targets", made.root / "targets.csv"],
    ),
    (
        "cameras without a profile",
        2,
        "usage",
        "requested",
        "lancs",
        same,
        lambda made: [*export(made), "--cameras", made.root / "cameras.csv"],
    ),
    (
        "cameras by a profile of targets",
        2,
        "usage",
        "requested",
        "lancs",
        same,
        lambda made: [*export(made), "--cameras", made.root / "cameras.csv", "--cameras-profile", "plain-targets"],
    ),
    ("a recalled day that is none", 2, "usage", "loaded", "lancs", same, recall(day="1/10/2026")),
    ("reads without a day", 2, "usage", "loaded", "lancs", same, recall(day="undated")),
    ("a recall without a reason", 2, "usage", "loaded", "lancs", same, recall(reason=" ")),
    ("a feasibility check of nothing", 2, "usage", "new", None, same, words("feasibility")),
    (
        "reads without their profile",
        2,
        "usage",
        "new",
        None,
        same,
        lambda made: [*feasible(made), "--reads", made.root / "reads.csv"],
    ),
    (
        "a profile for another table",
        2,
        "usage",
        "new",
        None,
        same,
        lambda made: ["feasibility", "--targets", made.root / "reads.csv", "--targets-profile", "plain-reads"],
    ),
    ("an empty purpose", 2, "usage", "loaded", "uni", same, words("link", "--purpose", " ")),
    (
        "nobody to ask",
        2,
        "usage",
        "drafted",
        "lancs",
        same,
        lambda made: ["agreement", "sign", made.root / "draft.toml", "-o", made.root / "s.json"],
    ),
    (
        "nobody to ask for a fingerprint",
        2,
        "usage",
        "new",
        "lancs",
        same,
        lambda made: ["partner", "add", made.root / "wyp" / "identity.json"],
    ),
    (
        "an engine that is not there",
        2,
        "usage",
        "requested",
        "lancs",
        same,
        lambda made: [*export(made), "--engine", "spark", "--master", "local[2]"],
    ),
    (
        "no fingerprint at all",
        2,
        "usage",
        "new",
        "lancs",
        same,
        lambda made: ["partner", "add", made.root / "wyp" / "identity.json", "--fingerprint", "0000"],
    ),
    ("a damaged bundle", 3, "", "exported", "uni", lambda made: changed(made, made.bundle), load),
    ("a bundle's last byte changed", 3, "", "exported", "uni", lambda made: changed(made, made.bundle, -30), load),
    ("not a bundle", 3, "format", "exported", "uni", same, lambda made: ["load", made.agreement]),
    (
        "not a document",
        3,
        "format",
        "signed",
        "uni",
        same,
        lambda made: ["agreement", "accept", made.root / "lancs" / "identity.json"],
    ),
    ("a document changed", 3, "", "requested", "lancs", lambda made: changed(made, made.request), export),
    (
        "a signature is missing",
        3,
        "verification",
        "signed",
        "lancs",
        same,
        lambda made: ["agreement", "accept", made.root / "signed-2.json"],
    ),
    (
        "a hostile profile",
        3,
        "format",
        "new",
        None,
        same,
        hostile,
    ),
    (
        "a bundle signed by another than the one named",
        3,
        "verification",
        "exported",
        "uni",
        same,
        lambda made: ["verify", made.bundle, "--sender", made.root / "wyp" / "identity.json"],
    ),
    ("a risk under what is no agreement", 3, "format", "requested", None, same, risk("request.json")),
    ("a notice that is none", 3, "format", "loaded", "uni", same, lambda made: ["notice", "apply", made.bundle]),
    ("an altered notice", 3, "", "loaded", "uni", lambda made: changed(noticed(made), made.notice), apply),
    ("an altered ledger", 3, "", "agreed", "lancs", forged, words("ledger", "verify")),
    (
        "expired reads only",
        4,
        "policy",
        "agreed",
        "lancs",
        lambda made: cells(made, FIRST.replace("2026", "2024")),
        pseudonymise,
    ),
    ("a look at what was closed", 4, "policy", "loaded", "uni", closed, words("link", "--purpose", "journeys")),
    ("a bundle of what was closed", 4, "policy", "exported", "uni", closed, load),
    ("a request under what was closed", 4, "policy", "agreed", "uni", closed, ask),
    ("a closing of what was never agreed", 4, "policy", "agreed", "uni", same, words("close", "another")),
    (
        "a witness that may be a plate",
        4,
        "policy",
        "agreed",
        "uni",
        same,
        words("close", AGREEMENT, "--witness", "BK12CDE"),
    ),
    ("a linkage key at a university", 4, "policy", "agreed", "uni", same, words("key", "destroy", AGREEMENT)),
    ("a risk under an agreement of another site", 4, "policy", "new", "lancs", same, risk(AGREEMENT)),
    ("a risk by id at a university", 4, "policy", "agreed", "uni", same, risk(AGREEMENT)),
    ("a revoked sender", 4, "policy", "exported", "uni", revoked, load),
    ("a wrong recipient", 4, "policy", "exported", "wyp", same, load),
    ("a revoked sender of a notice", 4, "policy", "loaded", "uni", lambda made: revoked(noticed(made)), apply),
    ("a notice at another site", 4, "policy", "loaded", "wyp", noticed, apply),
    ("a recalled day that was never exported", 4, "policy", "loaded", "lancs", same, recall(day="2026-10-09")),
    ("a recall from another force", 4, "policy", "loaded", "lancs", same, recall(to="west-yorkshire-police")),
    ("a recall by another force", 4, "policy", "loaded", "wyp", same, recall()),
    ("a plate as reason", 4, "policy", "loaded", "lancs", same, recall(reason="BK12CDE was misread")),
    ("a request to another force", 4, "policy", "requested", "wyp", same, export),
    (
        "a used window",
        4,
        "policy",
        "exported",
        "lancs",
        same,
        lambda made: [*export(made)[:-1], made.root / "again.zip"],
    ),
    ("an expired window, at the force", 4, "policy", "requested", "lancs", lambda made: later(made, 31), export),
    ("an expired window, at the university", 4, "policy", "exported", "uni", lambda made: later(made, 31), load),
    ("an agreement that has ended", 4, "policy", "agreed", "uni", lambda made: later(made, 400), ask),
    ("a clock that went back", 4, "policy", "agreed", "uni", lambda made: later(made, -1), ask),
    ("a clock that is not behind", 4, "policy", "agreed", "uni", same, words("clock", "reset", "--reason", "checking")),
    (
        "a clock put back behind what a partner signed",
        4,
        "policy",
        "loaded",
        "uni",
        lambda made: later(made, -1),
        words("clock", "reset", "--reason", "checking"),
    ),
    (
        "a day confirmed that is not today",
        4,
        "policy",
        "loaded",
        "uni",
        same,
        words("purge", "--confirm-date", DAYS[0]),
    ),
    ("a plate as purpose", 4, "policy", "loaded", "uni", same, words("link", "--purpose", "where is BK12CDE")),
    (
        "a fingerprint that differs",
        4,
        "policy",
        "new",
        "lancs",
        same,
        lambda made: ["partner", "add", made.root / "wyp" / "identity.json", "--fingerprint", "0" * 64],
    ),
    (
        "an identity that is not the one pinned",
        4,
        "policy",
        "exported",
        "uni",
        same,
        lambda made: ["verify", made.bundle, "--sender", impostor(made)],
    ),
    ("a university that lists keys", 4, "policy", "agreed", "uni", same, words("key", "list")),
    ("a force that links", 4, "policy", "agreed", "lancs", same, words("link", "--purpose", "looking")),
    (
        "an agreement accepted twice",
        4,
        "policy",
        "agreed",
        "uni",
        same,
        lambda made: ["agreement", "accept", made.agreement],
    ),
    ("a linkage key that was destroyed", 5, "locked", "requested", "lancs", destroyed, export),
    ("a linkage key that never came", 5, "locked", "signed", "wyp", keyless, words("key", "destroy", AGREEMENT)),
    ("a risk without the linkage key", 5, "locked", "signed", "wyp", keyless, risk(AGREEMENT)),
    ("a wrong passphrase", 5, "locked", "exported", "uni", other_passphrase, load),
    ("no passphrase", 5, "locked", "exported", "uni", lambda made: without(made, "passphrase"), load),
    ("no one-time key", 5, "locked", "exported", "uni", lambda made: without(made, "uni/keys.db"), load),
    (
        "no linkage key",
        5,
        "locked",
        "signed",
        "wyp",
        keyless,
        pseudonymise,
    ),
    ("a risk under a file that is not there", 6, "storage", "new", None, same, risk("nothing.toml")),
    ("a file that is not there", 6, "storage", "agreed", "uni", same, lambda made: ["load", made.bundle]),
    ("a notice that is there", 6, "storage", "loaded", "lancs", noticed, recall()),
    ("an output that is there", 6, "storage", "requested", "uni", same, ask),
    (
        "a damaged text in a database",
        6,
        "storage",
        "agreed",
        "uni",
        lambda made: changed_in_site_db(made, "uni", "UPDATE partner SET name = CAST(x'4241ff' AS TEXT)"),
        words("status"),
    ),
    (
        "a site without a database",
        6,
        "storage",
        "agreed",
        "uni",
        lambda made: without(made, "uni/site.db"),
        words("status"),
    ),
]


@pytest.mark.parametrize(
    ("code", "error", "stage", "site", "prepare", "typed"),
    [case[1:] for case in CODES],
    ids=[case[0] for case in CODES],
)
def test_exit_codes(
    code: int, error: str, stage: Stage, site: str | None, prepare: PREPARE, typed: Words, tmp_path: Path
) -> None:
    made = prepare(sites.world(stage, tmp_path / "world"))
    argv = typed(made)
    before = sites.listing(made.root)

    done = made.run("--json", *argv, site=site)

    assert done.code == code, (done.out, done.err)
    told = done.json
    assert told["status"] == ("no" if code == 1 and not error else "error")
    if told["status"] == "error":
        assert set(told) == {"format", "command", "status", "error"}
        assert set(told["error"]) == {"code", "message", "hint", "step"}
        assert told["error"]["code"] == error or (not error and code == 3)
        assert told["error"]["hint"], "a refusal says what to do next"
        assert f"hint: {told['error']['hint']}\n" in done.err
        step = told["error"]["step"]
        assert f"error: {'' if step is None else f'step {step} of 8: '}{told['error']['message']}\n" in done.err
    after = [name for name in sites.listing(made.root) if name != "uni/keys.db"]
    assert after == [name for name in before if name != "uni/keys.db"]
    assert sites.secrets_in(done.out + done.err) == []


def test_the_table_has_every_exit_code() -> None:
    codes = [code for _, code, *_ in CODES]

    assert [code for code, _ in itertools.groupby(codes)] == [1, 2, 3, 4, 5, 6]


def test_whoever_cannot_be_asked_for_a_fingerprint_is_told_how_to_give_it(tmp_path: Path) -> None:
    made = sites.world("new", tmp_path / "world")
    for command in ("add", "replace"):
        other = made.root / "wyp" / "identity.json"
        if command == "replace":
            fingerprint = made.ok("--json", "status", site="wyp").result["fingerprint"]
            made.ok("partner", "add", other, "--fingerprint", fingerprint, site="lancs")
        done = made.run("partner", command, other, site="lancs")
        assert done.code == 2
        assert "hint: give --fingerprint" in done.err


def test_the_engine_may_be_named(tmp_path: Path) -> None:
    made = sites.world("requested", tmp_path / "world")
    assert made.export("--engine", "local").code == 0

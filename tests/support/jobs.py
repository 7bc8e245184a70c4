"""The commands of the crash and disk tests, and what must be true after one more run of each."""

from __future__ import annotations

import base64
import json
import shutil
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from tests.support import sites
from tests.support.sites import AGREEMENT, Done, World

_NEW_PASSPHRASE: Final = "another battery staple"


class WrongError(Exception):
    """What is not as it must be, in words."""


@dataclass(frozen=True)
class Job:
    """A command that writes at ``site`` and logs ``event``, once; without an event it is the same whenever it is run.

    ``again`` are the exit codes of a run after it has happened; ``truth`` is called after one more run, in its process,
    with what that run said.
    """

    command: Callable[[World], Done]
    truth: Callable[[World, Done], None]
    stage: sites.Stage
    site: str
    event: str | None
    again: tuple[int, ...]
    before: Callable[[World], object] = lambda _: None
    """What makes a world of the stage ready for the command."""


def require(condition: object, what: str) -> None:
    """Raise `WrongError` unless the condition holds."""
    if not condition:
        raise WrongError(what)


def table(made: World, site: str, sql: str, *parameters: object) -> list[tuple[Any, ...]]:
    """Rows of a site's databases, read beside the program."""
    connection = sqlite3.connect(made.root / site / "site.db")
    try:
        connection.execute("ATTACH ? AS keys", (str(made.root / site / "keys.db"),))
        return connection.execute(sql, parameters).fetchall()
    finally:
        connection.close()


def logged(made: World, job: Job) -> int:
    """How often the ledger has the event of a job; looking changes nothing, nor does it recover anything."""
    if not (made.root / job.site / "site.toml").is_file():
        return 0
    sql = "SELECT count(*) FROM ledger WHERE json_extract(CAST(line AS TEXT), '$.event') = ?"
    return int(table(made, job.site, sql, job.event)[0][0])


def settled(made: World, site: str) -> None:
    """Nothing is under way, nothing lies about, and the ledger holds together."""
    require(not made.strays(), f"left behind: {made.strays()}")
    require(not table(made, site, "SELECT * FROM publication"), "a file is still recorded as under way")
    checked = made.run("--json", "ledger", "verify", site=site)
    # Lines of a command that was killed before it signed are a finding until the next command that writes signs them.
    unsigned = checked.code == 1 and checked.result["out_of_place"] and checked.result["clock_resets"] == 0
    require(checked.code == 0 or unsigned, f"the ledger: {checked.code} {checked.err}")


def said(again: Done, words: str) -> None:
    """The second run worked, or was told that there was nothing left to do."""
    require(again.code == 0 or words in again.err, f"the second run was refused: {again.err}")


# --- retention

_A_YEAR_LATER: Final = timedelta(days=400)


def _purge(made: World) -> Done:
    later = replace(made, now=made.now + _A_YEAR_LATER)
    return later.run("purge", "--confirm-date", later.now.date(), site="uni")


def purged(made: World, again: Done) -> None:
    """Every day is gone: its key, its file, its record; and the ledger and the next receipt say so once."""
    require(again.code == 0, f"the second run: {again.code} {again.err}")
    settled(made, "uni")
    require(table(made, "uni", "SELECT * FROM keys.day_key") == [], "a key that should be dead is alive")
    require(table(made, "uni", "SELECT * FROM part") == [], "a part is still recorded")
    require(not list((made.root / "uni" / "store").rglob("*.parquet")), "a file of a destroyed day is there")
    sql = "SELECT sum(json_extract(CAST(line AS TEXT), '$.details.rows')) FROM ledger WHERE "
    sql += "json_extract(CAST(line AS TEXT), '$.event') = 'erasure'"
    told, noted = table(made, "uni", sql)[0][0], table(made, "uni", "SELECT sum(rows) FROM deletion")[0][0]
    require(told == noted and told >= sites.READS, f"the ledger tells of {told} rows, the next receipt of {noted}")


# --- the end of an agreement


def _close(site: str) -> Callable[[World], Done]:
    return lambda made: made.run("close", AGREEMENT, "--witness", "A. Hussain", site=site)


def closed(made: World, site: str, again: Done, *, rows: int, keys: tuple[int, int, bool]) -> None:
    """No key is alive, no part is left, the agreement is closed, and one certificate tells of it all."""
    require(again.code == 0, f"the second run: {again.code} {again.err}")
    settled(made, site)
    alive = "SELECT agreement FROM keys.day_key UNION ALL SELECT request FROM keys.onetime_key"
    require(table(made, site, alive) == [], "a key that should be dead is alive")
    if site == "lancs":
        (key,) = made.ok("--json", "key", "list", site=site).result
        require(key["check"] is None, "the linkage key is alive")
    require(table(made, site, "SELECT * FROM part") == [], "a part is still recorded")
    require(not list((made.root / site / "store").rglob("*.parquet")), "a file of a destroyed day is there")
    ((envelope,),) = table(made, site, "SELECT envelope FROM certificate")
    file = made.root / site / "outbox" / f"{AGREEMENT}.certificate.json"
    require(file.read_bytes() == envelope, "the file is another certificate than the record's")
    payload = json.loads(base64.b64decode(json.loads(envelope)["payload"]))
    require(sum(item["destroyed_now"] for item in payload["tables"]) == rows, f"certified: {payload['tables']}")
    destroyed = (payload["keys"]["day_keys"], payload["keys"]["onetime_keys"], payload["keys"]["linkage_key"])
    require(destroyed == keys, f"certified: {payload['keys']}")
    (item,) = made.ok("--json", "status", site=site).result["agreements"]
    require(item["closed_on"] == f"{made.now:%Y-%m-%d}" and not item["in_force"], f"status: {item}")
    gone = sum(row[0] for row in table(made, site, "SELECT rows FROM deletion"))
    require(gone == rows, f"the next receipt tells of {gone} rows")


def _open_window(made: World) -> None:
    done = made.ask(force="west-yorkshire-police", out=made.root / "second-request.json")
    require(done.code == 0, done.err)


def key_destroyed(made: World, again: Done) -> None:
    """The linkage key is gone, and its share does not bring it back."""
    require(again.code == 0, f"the second run: {again.code} {again.err}")
    settled(made, "wyp")
    (item,) = made.ok("--json", "key", "list", site="wyp").result
    require(item["check"] is None and item["destroyed_on"], f"key list: {item}")
    require(_accept_key(made).code == 4, "the share was taken in again")


# --- sites


def clock_is_reset(made: World, again: Done) -> None:
    """The site works, and its ledger says once, signed, that the clock was put back."""
    require(again.code == 0, f"the second run: {again.code} {again.err}")
    listed = made.run("key", "list", site="lancs")
    require(listed.code == 0, f"the site does not open: {listed.err}")
    found = made.run("--json", "ledger", "verify", site="lancs").result
    told = (found["clock_resets"], found["out_of_place"], found["unsigned_tail"])
    require(told == (1, [], 0), f"the ledger: {told}")


def _used_ahead(made: World) -> None:
    replace(made, now=made.now + timedelta(days=20)).ok("purge", site="lancs")


def initialised(made: World, again: Done) -> None:
    """There is one site, which opens, and it has its identity."""
    said(again, "not empty")
    settled(made, "new")
    listed = made.run("--json", "key", "list", site="new")
    require(listed.code == 0, f"the site does not open: {listed.err}")
    require(made.events("new") == ["site-created"], f"ledger: {made.events('new')}")


def _init(made: World) -> Done:
    root = made.root / "new"
    # As the message says that refuses a directory in use: what is no site yet may be removed.
    if root.exists() and not (root / "site.toml").exists():
        shutil.rmtree(root)
    return made.run("init", root, "--role", "police", "--name", "New Police")


def restored(made: World, again: Done) -> None:
    """The site has databases of keys again, and is otherwise what it was."""
    require(again.code == 0, f"the second run: {again.code} {again.err}")
    settled(made, "lancs")
    require(made.events("lancs").count("restored") == 1, f"ledger: {made.events('lancs')}")
    require(table(made, "lancs", "SELECT * FROM keys.day_key, keys.onetime_key") == [], "the keys are back")


def passphrase_changed(made: World, again: Done) -> None:
    """One passphrase opens the site: the new one."""
    said(again, "does not open this site")
    old = made.run("key", "list", site="lancs")
    require(old.code == 5, f"the old passphrase still opens it: {old.code}")
    shutil.copyfile(made.root / "new-passphrase", made.passphrase_file)
    settled(made, "lancs")
    new = made.run("key", "list", site="lancs")
    require(new.code == 0, f"the new passphrase does not open it: {new.err}")


def _write_new_passphrase(made: World) -> None:
    path = made.root / "new-passphrase"
    path.write_text(f"{_NEW_PASSPHRASE}\n", encoding="ascii")
    path.chmod(0o600)


# --- partners


def _fingerprint(identity: Path) -> str:
    # The site's own description, beside its identity.
    text = identity.with_name("site.toml").read_text(encoding="utf-8")
    return text.rpartition("fingerprint = ")[2].strip().strip('"')


def _pin(verb: str, name: str) -> Callable[[World], Done]:
    def command(made: World) -> Done:
        identity = made.root / name / "identity.json"
        return made.run("partner", verb, identity, "--fingerprint", _fingerprint(identity), site="lancs")

    return command


def _partner(made: World, name: str) -> dict[str, Any]:
    listed = made.run("--json", "partner", "list", site="lancs").result
    return next((item for item in listed if item["id"] == name), {})


def _partner_is(site: str, status: str) -> Callable[[World, Done], None]:
    def truth(made: World, again: Done) -> None:
        require(again.code == 0, f"the second run: {again.code} {again.err}")
        settled(made, "lancs")
        known = _partner(made, "west-yorkshire-police")
        require(known["status"] == status, f"the partner is {known['status']}")
        require(known["fingerprint"] == _fingerprint(made.root / site / "identity.json"), "it is another identity")

    return truth


def _another_identity(made: World) -> None:
    made.ok("init", made.root / "again", "--role", "police", "--name", "West Yorkshire Police")


# --- agreements and the linkage key


def _signed_once(made: World, site: str, out: Path, again: Done, signers: int) -> None:
    said(again, "a file is already where")
    settled(made, site)
    signatures = json.loads(out.read_bytes())["signatures"]
    require(len(signatures) == signers, f"{len(signatures)} signatures")
    pinned = table(made, site, "SELECT status FROM partner")
    require(pinned == [("pinned",)] * 2, f"partners: {pinned}")


def accepted(made: World, again: Done) -> None:
    """The agreement is in force once, with one linkage key, and the other force has its share."""
    said(again, "accepted already")
    settled(made, "lancs")
    events = made.events("lancs")
    require(events.count("linkage-key-made") == 1, f"ledger: {events}")
    shares = list((made.root / "lancs" / "outbox").iterdir())
    require(len(shares) == 1, f"{len(shares)} key shares for one other force")
    require(events.count("linkage-key-shared") == 1, f"ledger: {events}")
    for name in ("wyp", "uni"):
        made.ok("agreement", "accept", made.agreement, site=name)
    made.ok("key", "accept", shares[0], site="wyp")


def _both_accept(made: World) -> None:
    for name in ("lancs", "wyp"):
        made.ok("agreement", "accept", made.agreement, site=name)


def _accept_key(made: World) -> Done:
    (share,) = (made.root / "lancs" / "outbox").iterdir()
    return made.run("key", "accept", share, site="wyp")


def key_accepted(made: World, again: Done) -> None:
    """Both forces hold the same linkage key, and the receiving one keeps where the other's ledger stood."""
    require(again.code == 0, f"the second run: {again.code} {again.err}")
    settled(made, "wyp")
    checks = [made.ok("--json", "key", "list", site=name).result for name in ("lancs", "wyp")]
    require(checks[0] == checks[1] and len(checks[0]) == 1, f"linkage keys: {checks}")
    require(len(table(made, "wyp", "SELECT * FROM witness")) == 1, "the head of the other force's ledger is missing")


# --- the exchange


def pseudonymised(made: World, again: Done) -> None:
    """There is one output, whole, and it and its extract are registered."""
    said(again, "a file is already where")
    settled(made, "lancs")
    lines = _pseudonyms(made).read_text(encoding="ascii").splitlines()
    require(len(lines) == 1 + sites.READS, f"{len(lines) - 1} rows")
    kinds = table(made, "lancs", "SELECT kind, path FROM registered ORDER BY kind")
    files = [("extract", str(made.root / "reads.csv")), ("output", str(_pseudonyms(made)))]
    require(kinds == files, f"registered: {kinds}")


def _pseudonyms(made: World) -> Path:
    return made.root / "pseudonyms.csv"


def _pseudonymise(made: World) -> Done:
    words = ("--profile", "plain-reads", "--agreement", AGREEMENT, "-o", _pseudonyms(made))
    return made.run("pseudonymise", made.root / "reads.csv", *words, site="lancs")


def requested(made: World, again: Done) -> None:
    """One request, with one key for its window."""
    said(again, "a file is already where")
    settled(made, "uni")
    ((digest, envelope),) = table(made, "uni", "SELECT digest, envelope FROM request")
    require(made.request.read_bytes() == envelope, "the file is another request than the record's")
    keys = table(made, "uni", "SELECT request FROM keys.onetime_key")
    require(keys == [(digest,)], f"one-time keys: {len(keys)}")


def exported(made: World, again: Done) -> None:
    """The window was answered once: one bundle, in its place, disclosed once; and the rejects in theirs."""
    said(again, "answered already")
    settled(made, "lancs")
    require(made.events("lancs").count("alteration") == 1, f"ledger: {made.events('lancs')}")
    ((bundle, manifest),) = table(made, "lancs", "SELECT id, manifest FROM bundle")
    windows = table(made, "lancs", "SELECT state, bundle FROM request_window")
    require(windows == [("used", bundle)], f"windows: {windows}")
    verified = made.run("--json", "verify", made.bundle, "--sender", made.root / "lancs" / "identity.json")
    require(verified.code == 0, f"the bundle: {verified.err}")
    require(verified.result["bundle"] == bundle, "the file is another bundle than the record's")
    outputs = table(made, "lancs", "SELECT path FROM registered WHERE kind = 'output'")
    require((str(made.bundle),) in outputs, "the bundle is not registered under retention")
    require(len(manifest) == 64, "the record has no digest")
    rejects = _rejects(made).read_text(encoding="ascii").splitlines()
    require(len(rejects) == 1 + sites.REJECTED, f"{len(rejects) - 1} rejects")


def _rejects(made: World) -> Path:
    return made.root / "rejects.csv"


def loaded(made: World, again: Done) -> None:
    """The bundle was taken once: every row once, the one-time key gone, one receipt, and no file but the parts."""
    require(again.code == 0, f"the second run: {again.code} {again.err}")
    settled(made, "uni")
    events = made.events("uni")
    require(events.count("load-refused") <= made.refusals, "a killed load is in the ledger as a refusal")
    require(table(made, "uni", "SELECT * FROM keys.onetime_key") == [], "the one-time key is still here")
    parts = {path for (path,) in table(made, "uni", "SELECT path FROM part")}
    root = made.root / "uni"
    files = {path.relative_to(root).as_posix() for path in (root / "store").rglob("*") if path.is_file()}
    require(files == parts, f"store and records differ: {sorted(files ^ parts)}")
    receipt_printed(made, again)
    linked = made.run("--json", "link", "--purpose", "checking", site="uni")
    require(linked.code == 0, f"link: {linked.err}")
    require(linked.result["rows"] == sites.LINKED, f"link: {linked.result['rows']} rows")
    status = made.ok("--json", "status", site="uni").result
    (held,) = status["agreements"]
    require(held["rows"] == sites.READS + len(sites.TARGET_PLATES), f"rows held: {held['rows']}")


def receipt_printed(made: World, again: Done) -> None:
    """The receipt of the loaded bundle is where it should be, as it was recorded."""
    require(again.code == 0, f"the second run: {again.code} {again.err}")
    settled(made, "uni")
    require(made.receipt.is_file(), "there is no receipt")
    (receipt,) = table(made, "uni", "SELECT receipt FROM bundle")
    require(made.receipt.read_bytes() == receipt[0], "the receipt is another than the record's")


def receipt_made(made: World, again: Done) -> None:
    """There is one receipt, as it was recorded."""
    said(again, "a file is already where")
    settled(made, "uni")
    ((envelope,),) = table(made, "uni", "SELECT envelope FROM receipt WHERE direction = 'made'")
    require(_second_receipt(made).read_bytes() == envelope, "the file is another receipt than the record's")


def _second_receipt(made: World) -> Path:
    return made.root / "second-receipt.json"


def receipt_accepted(made: World, again: Done) -> None:
    """The receipt was recorded once, with where the university's ledger stood."""
    require(again.code == 0, f"the second run: {again.code} {again.err}")
    settled(made, "lancs")
    ((envelope,),) = table(made, "lancs", "SELECT envelope FROM receipt WHERE direction = 'received'")
    require(envelope == made.receipt.read_bytes(), "another receipt is recorded")
    documents = table(made, "lancs", "SELECT document FROM witness JOIN receipt ON document = digest")
    require(len(documents) == 1, "the head of the university's ledger is missing")


def recalled(made: World, again: Done) -> None:
    """There is one notice, as it was recorded."""
    said(again, "a file is already where")
    settled(made, "lancs")
    ((envelope,),) = table(made, "lancs", "SELECT envelope FROM notice WHERE direction = 'made'")
    require(made.notice.read_bytes() == envelope, "the file is another notice than the record's")


def _answer(made: World) -> Path:
    return made.root / "answer.json"


def applied(made: World, again: Done) -> None:
    """The day is gone, its key, its file and its record, and no other; ledger and receipt say so once."""
    require(again.code == 0, f"the second run: {again.code} {again.err}")
    settled(made, "uni")
    day = sites.DAYS[0].isoformat()
    require(table(made, "uni", "SELECT * FROM keys.day_key WHERE day = ?", day) == [], "its key is alive")
    require(table(made, "uni", "SELECT * FROM part WHERE day = ?", day) == [], "its part is still recorded")
    require(not list((made.root / "uni" / "store").rglob(f"{day}/*")), "its file is there")
    rows = table(made, "uni", "SELECT sum(rows) FROM part WHERE tbl = 'reads'")[0][0]
    require(rows == sites.READS - sites.READS_A_DAY, f"reads that are left: {rows}")
    require(made.events("uni").count("erasure") == 1, f"ledger: {made.events('uni')}")
    deleted = table(made, "uni", "SELECT tbl, day, rows, reason FROM deletion")
    require(deleted == [("reads", day, sites.READS_A_DAY, "recalled")], f"deletions: {deleted}")
    ((receipt,),) = table(made, "uni", "SELECT receipt FROM notice")
    require(_answer(made).read_bytes() == receipt, "the receipt is another than the record's")
    for document in (made.receipt, _answer(made)):
        accepted = made.run("receipt", "accept", document, site="lancs")
        require(accepted.code == 0, f"the force disagrees: {accepted.out}")


JOBS: Final = {
    "init": Job(_init, initialised, "new", "new", "site-created", (2,)),
    "restore": Job(
        lambda made: made.run("key", "list", site="lancs"),
        restored,
        "agreed",
        "lancs",
        None,
        (0,),
        before=lambda made: (made.root / "lancs" / "keys.db").unlink(),
    ),
    "passphrase change": Job(
        lambda made: made.run(
            "passphrase", "change", "--new-passphrase-file", made.root / "new-passphrase", site="lancs"
        ),
        passphrase_changed,
        "agreed",
        "lancs",
        "passphrase-changed",
        (5,),
        before=_write_new_passphrase,
    ),
    "clock reset": Job(
        lambda made: made.run("clock", "reset", "--reason", "the day was set wrong", site="lancs"),
        clock_is_reset,
        "agreed",
        "lancs",
        None,  # one commit, and no write after it: killed before, it has not happened; the truth counts its lines
        (0,),
        before=_used_ahead,
    ),
    "purge": Job(_purge, purged, "loaded", "uni", None, (0,)),
    "close": Job(
        _close("uni"),
        lambda made, again: closed(
            made, "uni", again, rows=sites.READS + len(sites.TARGET_PLATES), keys=(len(sites.DAYS) + 1, 1, False)
        ),
        "loaded",
        "uni",
        "agreement-closed",
        (0,),
        before=_open_window,
    ),
    "close, force": Job(
        _close("lancs"),
        lambda made, again: closed(made, "lancs", again, rows=0, keys=(0, 0, True)),
        "agreed",
        "lancs",
        "agreement-closed",
        (0,),
    ),
    "key destroy": Job(
        lambda made: made.run("key", "destroy", AGREEMENT, site="wyp"),
        key_destroyed,
        "agreed",
        "wyp",
        "linkage-key-destroyed",
        (0,),
    ),
    "partner add": Job(_pin("add", "wyp"), _partner_is("wyp", "pinned"), "new", "lancs", "partner-pinned", (0,)),
    "partner replace": Job(
        _pin("replace", "again"),
        _partner_is("again", "pinned"),
        "agreed",
        "lancs",
        "partner-replaced",
        (0,),
        before=_another_identity,
    ),
    "partner revoke": Job(
        lambda made: made.run("partner", "revoke", "west-yorkshire-police", site="lancs"),
        _partner_is("wyp", "revoked"),
        "agreed",
        "lancs",
        "partner-revoked",
        (0,),
    ),
    "agreement sign": Job(
        lambda made: made.run(
            "agreement", "sign", made.root / "draft.toml", "-o", made.root / "out.json", "--yes", site="lancs"
        ),
        lambda made, again: _signed_once(made, "lancs", made.root / "out.json", again, 1),
        "drafted",
        "lancs",
        "agreement-signed",
        (6,),
    ),
    "agreement sign, third": Job(
        lambda made: made.run(
            "agreement", "sign", made.root / "signed-2.json", "-o", made.root / "out.json", "--yes", site="uni"
        ),
        lambda made, again: _signed_once(made, "uni", made.root / "out.json", again, 3),
        "signed",
        "uni",
        "agreement-signed",
        (6,),
    ),
    "accept": Job(
        lambda made: made.run("agreement", "accept", made.agreement, site="lancs"),
        accepted,
        "signed",
        "lancs",
        "agreement-accepted",
        (0, 4),
    ),
    "key accept": Job(_accept_key, key_accepted, "signed", "wyp", "linkage-key-accepted", (0,), before=_both_accept),
    "pseudonymise": Job(_pseudonymise, pseudonymised, "agreed", "lancs", "alteration", (6,)),
    "request": Job(World.ask, requested, "agreed", "uni", "request-made", (6,)),
    "export": Job(
        lambda made: made.export("--rejects", _rejects(made)), exported, "requested", "lancs", "disclosure", (4,)
    ),
    "load": Job(World.load, loaded, "exported", "uni", "collection", (0,)),
    "load again": Job(
        World.load, receipt_printed, "loaded", "uni", None, (0,), before=lambda made: made.receipt.unlink()
    ),
    "receipt create": Job(
        lambda made: made.run(
            "receipt", "create", "--to", "lancashire-police", "-o", _second_receipt(made), site="uni"
        ),
        receipt_made,
        "loaded",
        "uni",
        "receipt-made",
        (6,),
    ),
    "receipt accept": Job(
        lambda made: made.run("receipt", "accept", made.receipt, site="lancs"),
        receipt_accepted,
        "loaded",
        "lancs",
        "receipt-accepted",
        (0,),
    ),
    "notice recall": Job(World.recall, recalled, "loaded", "lancs", "notice-made", (6,)),
    "notice apply": Job(
        lambda made: made.run("notice", "apply", made.notice, "--receipt", _answer(made), site="uni"),
        applied,
        "loaded",
        "uni",
        "notice-applied",
        (0,),
        before=World.recall,
    ),
}

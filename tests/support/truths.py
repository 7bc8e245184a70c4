"""What must be true after one more run of a command of the crash and disk tests: what is in its files and databases,
read beside the program, and what an audit says, of the site and of the partner who had a part in it.
"""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from tests.support import sites
from tests.support.sites import AGREEMENT, DAYS, Done, World


class WrongError(Exception):
    """What is not as it must be, in words."""


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
    # Never made by looking: of a file that SQLite makes the modes are not ours.
    places = {name: f"{(made.root / site / name).as_uri()}?mode=rw" for name in ("site.db", "keys.db")}
    connection = sqlite3.connect(places["site.db"], uri=True)
    try:
        connection.execute("ATTACH ? AS keys", (places["keys.db"],))
        return connection.execute(sql, parameters).fetchall()
    finally:
        connection.close()


def settled(made: World, site: str, *partners: str, findings: tuple[str, ...] = ()) -> None:
    """Nothing is under way, nothing lies about, what is alive belongs together, and an audit finds nothing but these.

    ``partners`` are the sites that are audited with it.
    """
    require(not made.strays(), f"left behind: {made.strays()}")
    require(not table(made, site, "SELECT * FROM publication"), "a file is still recorded as under way")
    _nothing_dead_is_alive(made, site)
    audited = made.run("--json", "audit", *(made.root / name for name in (site, *partners)))
    require(audited.code in (0, 1), f"audit: {audited.code} {audited.err}")
    found = {
        item["rule"]["code"]: item["text"] for item in audited.result["findings"] if item["rule"]["severity"] != "note"
    }
    require(sorted(found) == sorted(findings), f"audit: {found}")
    require(audited.code == (1 if findings else 0), f"audit ended with {audited.code}")


def _nothing_dead_is_alive(made: World, site: str) -> None:
    """Keys, records and files of the store are of the same days; and one-time keys are of windows that are open."""
    keys = table(made, site, "SELECT agreement, tbl, day, bundle FROM keys.day_key")
    parts = table(made, site, "SELECT agreement, tbl, day, bundle, path FROM part")
    places = {part[:4] for part in parts}
    require(places == set(keys), f"keys and records differ: {len(places - set(keys))}, {len(set(keys) - places)}")
    root = made.root / site
    files = {path.relative_to(root).as_posix() for path in (root / "store").rglob("*") if not path.is_dir()}
    require(files == {part[4] for part in parts}, f"store and records differ: {len(files)} files, {len(parts)} parts")
    gone = {tuple(row) for row in table(made, site, "SELECT agreement, tbl, day, bundle FROM deletion")}
    require(not gone & set(keys), "a key that was destroyed is alive")
    opened = table(made, site, "SELECT request, first FROM request_window WHERE state = 'open'")
    windows = table(made, site, "SELECT request, first FROM keys.onetime_key")
    require(set(windows) <= set(opened), "a one-time key of a window that was answered is alive")


def alive(made: World) -> list[tuple[str, str]]:
    """The tables and days that the university has keys of."""
    return sorted(table(made, "uni", "SELECT tbl, day FROM keys.day_key"))


HELD: Final = sites.READS + len(sites.TARGET_PLATES) + len(sites.LISTED)
"""Rows at the university, of all tables."""


def said(again: Done, words: str) -> None:
    """The second run worked, or was told that there was nothing left to do."""
    require(again.code == 0 or words in again.err, f"the second run was refused: {again.err}")


# --- retention

DUE: Final = datetime(2026, 11, 7, 10, tzinfo=UTC)
"""The second day was due at midnight, under the shorter limit, and the one-time key of an open window at 9 o'clock."""
ENDED: Final = datetime(2026, 10, 21, 2, tzinfo=UTC)
"""Three hours after the end of the agreement that ends earlier."""


def purged(made: World, again: Done) -> None:
    """The second day is gone, as the first was; the third is not, nor the targets and the cameras."""
    _purged(replace(made, now=DUE), again, [CAMERAS_HELD, ("reads", DAYS[2].isoformat()), TARGETS_HELD])
    require(made.events("uni").count("erasure") == 2, f"ledger: {made.events('uni')}")


def purged_at_the_end(made: World, again: Done) -> None:
    """Every day is gone, and the targets and the cameras."""
    _purged(replace(made, now=ENDED), again, [])


def _purged(made: World, again: Done, left: list[tuple[str, str]]) -> None:
    """Just this is left; ledger and records say once what went, and so does the next receipt, which the force takes."""
    require(again.code == 0, f"the second run: {again.code} {again.err}")
    require(alive(made) == left, f"alive: {alive(made)}")
    require(table(made, "uni", "SELECT * FROM keys.onetime_key") == [], "a one-time key that should be dead is alive")
    require(made.events("uni").count("onetime-keys-destroyed") == 1, f"ledger: {made.events('uni')}")
    sql = "SELECT sum(json_extract(CAST(line AS TEXT), '$.details.rows')) FROM ledger WHERE "
    sql += "json_extract(CAST(line AS TEXT), '$.event') = 'erasure'"
    told, noted = table(made, "uni", sql)[0][0], table(made, "uni", "SELECT sum(rows) FROM deletion")[0][0]
    ((rows,),) = table(made, "uni", "SELECT coalesce(sum(rows), 0) FROM part")
    require(told == noted == HELD - rows, f"the ledger tells of {told} rows, the next receipt of {noted}")
    made.ok("purge", site="lancs")
    for receipt in (made.receipt, second_receipt(made)):
        if receipt != made.receipt:
            made.ok("receipt", "create", "--to", "lancashire-police", "-o", receipt, site="uni")
        accepted = made.run("receipt", "accept", receipt, site="lancs")
        require(accepted.code == 0, f"the force disagrees: {accepted.out}")
    settled(made, "uni", "lancs")


def files_purged(made: World, again: Done) -> None:
    """The extract of reads, the bundle and the rejects are gone from the force, its targets and cameras are not."""
    require(again.code == 0, f"the second run: {again.code} {again.err}")
    settled(replace(made, now=DUE), "lancs")
    _kept_at_the_force(made, ["inbox/cameras.csv", "inbox/targets.csv"])
    require(made.events("lancs").count("erasure") == 1, f"ledger: {made.events('lancs')}")


def _kept_at_the_force(made: World, names: list[str]) -> None:
    """Of the files under retention these are there and recorded, and the others neither."""
    root = made.root / "lancs"
    found = [path for name in ("inbox", "outbox") for path in (root / name).iterdir() if path.suffix != ".json"]
    there = sorted(path.relative_to(root).as_posix() for path in found)
    require(there == names, f"in inbox and outbox: {there}")
    recorded = sorted({path for (path,) in table(made, "lancs", "SELECT path FROM registered")})
    require(recorded == names, f"registered: {recorded}")


# --- the end of an agreement


def closed(made: World, site: str, again: Done, *, rows: int, keys: tuple[int, int, bool]) -> None:
    """No key is alive, no part is left, the agreement is closed, and one certificate tells of it all."""
    require(again.code == 0, f"the second run: {again.code} {again.err}")
    settled(made, site, "lancs" if site == "uni" else "uni")
    keys_left = "SELECT agreement FROM keys.day_key UNION ALL SELECT request FROM keys.onetime_key"
    require(table(made, site, keys_left) == [], "a key that should be dead is alive")
    if site == "lancs":
        _kept_at_the_force(made, [])
        (key,) = made.ok("--json", "key", "list", site=site).result
        require(key["check"] is None, "the linkage key is alive")
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


def key_destroyed(made: World, again: Done) -> None:
    """The linkage key is gone, and its share does not bring it back."""
    require(again.code == 0, f"the second run: {again.code} {again.err}")
    settled(made, "wyp")
    (item,) = made.ok("--json", "key", "list", site="wyp").result
    require(item["check"] is None and item["destroyed_on"], f"key list: {item}")
    require(accept_key(made).code == 4, "the share was taken in again")


# --- sites


def clock_is_reset(made: World, again: Done) -> None:
    """The site works, and its ledger says once, signed, that the clock was put back."""
    require(again.code == 0, f"the second run: {again.code} {again.err}")
    listed = made.run("key", "list", site="lancs")
    require(listed.code == 0, f"the site does not open: {listed.err}")
    settled(made, "lancs", findings=("clock-reset",))
    found = made.run("--json", "ledger", "verify", site="lancs").result
    told = (found["clock_resets"], found["out_of_place"], found["unsigned_tail"])
    require(told == (1, [], 0), f"the ledger: {told}")


def initialised(made: World, again: Done) -> None:
    """There is one site, which opens, and it has its identity."""
    said(again, "not empty")
    settled(made, "new")
    listed = made.run("--json", "key", "list", site="new")
    require(listed.code == 0, f"the site does not open: {listed.err}")
    require(made.events("new") == ["site-created"], f"ledger: {made.events('new')}")


def restored(made: World, again: Done) -> None:
    """The site has databases of keys again, and is otherwise what it was."""
    require(again.code == 0, f"the second run: {again.code} {again.err}")
    settled(made, "lancs", findings=("restored",))
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


# --- partners


def fingerprint(identity: Path) -> str:
    # The site's own description, beside its identity.
    text = identity.with_name("site.toml").read_text(encoding="utf-8")
    return text.rpartition("fingerprint = ")[2].strip().strip('"')


def _partner(made: World, name: str) -> dict[str, Any]:
    listed = made.run("--json", "partner", "list", site="lancs").result
    return next((item for item in listed if item["id"] == name), {})


def partner_is(site: str, status: str) -> Callable[[World, Done], None]:
    def truth(made: World, again: Done) -> None:
        require(again.code == 0, f"the second run: {again.code} {again.err}")
        settled(made, "lancs")
        known = _partner(made, "west-yorkshire-police")
        require(known["status"] == status, f"the partner is {known['status']}")
        require(known["fingerprint"] == fingerprint(made.root / site / "identity.json"), "it is another identity")

    return truth


# --- agreements and the linkage key


def signed_once(made: World, site: str, out: Path, again: Done, signers: int) -> None:
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


def accept_key(made: World) -> Done:
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
    lines = pseudonyms(made).read_text(encoding="ascii").splitlines()
    require(len(lines) == 1 + sites.READS, f"{len(lines) - 1} rows")
    kinds = table(made, "lancs", "SELECT kind, path FROM registered ORDER BY kind")
    files = [("extract", str(made.root / "reads.csv")), ("output", str(pseudonyms(made)))]
    require(kinds == files, f"registered: {kinds}")


def pseudonyms(made: World) -> Path:
    return made.root / "pseudonyms.csv"


def requested(made: World, again: Done) -> None:
    """One request, with one key for its window."""
    said(again, "a file is already where")
    settled(made, "uni", "lancs")
    ((digest, envelope),) = table(made, "uni", "SELECT digest, envelope FROM request")
    require(made.request.read_bytes() == envelope, "the file is another request than the record's")
    keys = table(made, "uni", "SELECT request FROM keys.onetime_key")
    require(keys == [(digest,)], f"one-time keys: {len(keys)}")


def exported(made: World, again: Done) -> None:
    """The window was answered once: one bundle, in its place, disclosed once; and the rejects in theirs."""
    said(again, "answered already")
    settled(made, "lancs", "uni")
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
    lines = rejects(made).read_text(encoding="ascii").splitlines()
    require(len(lines) == 1 + sites.REJECTED, f"{len(lines) - 1} rejects")


def rejects(made: World) -> Path:
    return made.root / "rejects.csv"


def loaded(made: World, again: Done) -> None:
    """The bundle was taken once: every row once, the one-time key gone, and one receipt."""
    receipt_printed(made, again)
    require(made.events("uni").count("load-refused") <= made.refusals, "a killed load is in the ledger as a refusal")
    _taken(made, [CAMERAS_HELD, *READS_HELD, TARGETS_HELD], rows=HELD, linked=sites.LINKED)


READS_HELD: Final = [("reads", day.isoformat()) for day in DAYS]
TARGETS_HELD: Final = ("targets", "undated")
CAMERAS_HELD: Final = ("cameras", "undated")


def replaced(made: World, again: Done) -> None:
    """The second bundle was taken once; its targets and cameras stand in place of the older, whose keys are gone."""
    require(again.code == 0, f"the second run: {again.code} {again.err}")
    settled(made, "uni", "lancs")
    kept = table(made, "uni", "SELECT bundle FROM keys.day_key WHERE day = 'undated'")
    newer = table(made, "uni", "SELECT id FROM bundle WHERE first = ?", FOURTH_DAY.isoformat())
    require(kept == newer * 2, "what was replaced is alive, and what is newer is not")
    gone = table(made, "uni", "SELECT tbl, day, rows, reason FROM deletion ORDER BY tbl")
    older = [(CAMERAS_HELD, len(sites.LISTED)), (TARGETS_HELD, len(sites.TARGET_PLATES))]
    require(gone == [(*place, rows, "replaced") for place, rows in older], f"deletions: {gone}")
    require(made.events("uni").count("erasure") == 2, f"ledger: {made.events('uni')}")
    _taken(
        made,
        [CAMERAS_HELD, *READS_HELD, ("reads", FOURTH_DAY.isoformat()), TARGETS_HELD],
        rows=sites.READS + 2 + len(NEWER_TARGETS) + len(NEWER_CAMERAS),
        linked=NEWER_LINKED,
    )
    accepted = made.run("receipt", "accept", newer_receipt(made), site="lancs")
    require(accepted.code == 0, f"the force disagrees: {accepted.out}")


FOURTH_DAY: Final = DAYS[-1] + timedelta(days=1)
NEWER_TARGETS: Final = sites.TARGET_PLATES[1:]
NEWER_CAMERAS: Final = sites.LISTED[:2]
NEWER_LINKED: Final = 2 * len(DAYS) + 1
"""Only one of the newer targets is seen: twice on each of the first days, once on the fourth."""


def newer_receipt(made: World) -> Path:
    """The receipt for the bundle that brings newer targets and cameras."""
    return made.root / "newer-receipt.json"


def _taken(made: World, held: list[tuple[str, str]], *, rows: int, linked: int) -> None:
    require(alive(made) == held, f"alive: {alive(made)}")
    require(table(made, "uni", "SELECT * FROM keys.onetime_key") == [], "a one-time key is still here")
    found = made.run("--json", "link", "--purpose", "checking", site="uni")
    require(found.code == 0, f"link: {found.err}")
    require(found.result["rows"] == linked, f"link: {found.result['rows']} rows")
    (agreement,) = made.ok("--json", "status", site="uni").result["agreements"]
    require(agreement["rows"] == rows, f"rows held: {agreement['rows']}")


def receipt_printed(made: World, again: Done) -> None:
    """The receipt of the loaded bundle is where it should be, as it was recorded."""
    require(again.code == 0, f"the second run: {again.code} {again.err}")
    settled(made, "uni", "lancs")
    require(made.receipt.is_file(), "there is no receipt")
    (receipt,) = table(made, "uni", "SELECT receipt FROM bundle")
    require(made.receipt.read_bytes() == receipt[0], "the receipt is another than the record's")


def receipt_made(made: World, again: Done) -> None:
    """There is one receipt, as it was recorded."""
    said(again, "a file is already where")
    settled(made, "uni", "lancs")
    ((envelope,),) = table(made, "uni", "SELECT envelope FROM receipt WHERE direction = 'made'")
    require(second_receipt(made).read_bytes() == envelope, "the file is another receipt than the record's")


def second_receipt(made: World) -> Path:
    return made.root / "second-receipt.json"


def receipt_accepted(made: World, again: Done) -> None:
    """The receipt was recorded once, with where the university's ledger stood."""
    require(again.code == 0, f"the second run: {again.code} {again.err}")
    settled(made, "lancs", "uni")
    ((envelope,),) = table(made, "lancs", "SELECT envelope FROM receipt WHERE direction = 'received'")
    require(envelope == made.receipt.read_bytes(), "another receipt is recorded")
    documents = table(made, "lancs", "SELECT document FROM witness JOIN receipt ON document = digest")
    require(len(documents) == 1, "the head of the university's ledger is missing")


def recalled(made: World, again: Done) -> None:
    """There is one notice, as it was recorded."""
    said(again, "a file is already where")
    settled(made, "lancs", "uni")
    ((envelope,),) = table(made, "lancs", "SELECT envelope FROM notice WHERE direction = 'made'")
    require(made.notice.read_bytes() == envelope, "the file is another notice than the record's")


def answer(made: World) -> Path:
    return made.root / "answer.json"


def applied(made: World, again: Done) -> None:
    """The day is gone, its key, its file and its record, and no other; ledger and receipt say so once."""
    require(again.code == 0, f"the second run: {again.code} {again.err}")
    day = sites.DAYS[0].isoformat()
    require(alive(made) == [CAMERAS_HELD, *READS_HELD[1:], TARGETS_HELD], f"alive: {alive(made)}")
    rows = table(made, "uni", "SELECT sum(rows) FROM part WHERE tbl = 'reads'")[0][0]
    require(rows == sites.READS - sites.READS_A_DAY, f"reads that are left: {rows}")
    require(made.events("uni").count("erasure") == 1, f"ledger: {made.events('uni')}")
    deleted = table(made, "uni", "SELECT tbl, day, rows, reason FROM deletion")
    require(deleted == [("reads", day, sites.READS_A_DAY, "recalled")], f"deletions: {deleted}")
    ((receipt,),) = table(made, "uni", "SELECT receipt FROM notice")
    require(answer(made).read_bytes() == receipt, "the receipt is another than the record's")
    for document in (made.receipt, answer(made)):
        accepted = made.run("receipt", "accept", document, site="lancs")
        require(accepted.code == 0, f"the force disagrees: {accepted.out}")
    settled(made, "uni", "lancs")


# --- feasibility


def summary(made: World) -> Path:
    """What the first force shares of its feasibility check."""
    return made.root / "summary.json"


def shared(made: World, again: Done) -> None:
    """There is one summary, whole, and the ledger has its digest and no count."""
    said(again, "a file is already where")
    settled(made, "lancs")
    payload = base64.b64decode(json.loads(summary(made).read_bytes())["payload"])
    sql = "SELECT json_extract(CAST(line AS TEXT), '$.subject'), json_extract(CAST(line AS TEXT), '$.details') "
    sql += "FROM ledger WHERE json_extract(CAST(line AS TEXT), '$.event') = 'feasibility-shared'"
    ((subject, details),) = table(made, "lancs", sql)
    digest = hashlib.sha256(payload).hexdigest()
    require((subject, json.loads(details)) == (json.loads(payload)["id"], {"summary": digest}), f"ledger: {details}")


# --- reports


def remember(made: World) -> None:
    """Keep what the files of the university hold, for `reported`."""
    (made.root / "remembered.json").write_text(json.dumps(_digests(made)), encoding="utf-8")


def report(made: World) -> Path:
    """What a command about the university writes, and nobody else reads."""
    return made.root / "report"


def reported(*command: object) -> Callable[[World, Done], None]:
    """The report is whole, as one that nobody killed; and nothing of the site was changed."""

    def truth(made: World, again: Done) -> None:
        said(again, "a file is already where")
        whole = made.root / "whole"
        made.ok(*command, whole, site="uni")
        require(report(made).read_bytes() == whole.read_bytes(), "the report is not whole")
        kept = json.loads((made.root / "remembered.json").read_text(encoding="utf-8"))
        require(_digests(made) == kept, "the site was changed")
        settled(made, "uni", "lancs")

    return truth


def _digests(made: World) -> dict[str, str]:
    files = (path for path in (made.root / "uni").rglob("*") if path.is_file())
    return {str(path.relative_to(made.root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}

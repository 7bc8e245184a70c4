"""The commands of the crash and disk tests, and what makes a world ready for each of them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from tests.support import sites, truths
from tests.support.sites import AGREEMENT, Done, World
from tests.support.truths import accept_key, require, table


@dataclass(frozen=True)
class Job:
    """A command that writes at ``site`` and logs ``event``, once; without an event it is the same whenever it is run.

    ``again`` are the exit codes of a run after it has happened, and of one without an event; ``truth`` is called after
    one more run, in its process, with what that run said.
    """

    command: Callable[[World], Done]
    truth: Callable[[World, Done], None]
    stage: sites.Stage
    site: str
    event: str | None
    again: tuple[int, ...]
    before: tuple[Callable[[World], object], ...] = ()
    """What makes a world of the stage ready for the command, each in a process of its own: polars, once used, has
    threads, and a load forks."""


def logged(made: World, job: Job) -> int:
    """How often the ledger has the event of a job; looking changes nothing, nor does it recover anything."""
    if job.event is None or not (made.root / job.site / "site.toml").is_file():
        return 0
    sql = "SELECT count(*) FROM ledger WHERE json_extract(CAST(line AS TEXT), '$.event') = ?"
    return int(table(made, job.site, sql, job.event)[0][0])


# --- retention


def _purge(site: str, now: datetime) -> Callable[[World], Done]:
    return lambda made: replace(made, now=now).run("purge", site=site)


def _amend(made: World, old: str, new: str) -> None:
    """Put the next version of the agreement in force everywhere, with a field of its own."""
    text = made.ok("agreement", "amend", AGREEMENT, site="uni").out
    require(text.count(f"\n{old}\n") >= 1, f"the draft has no {old}")
    document = made.root / "draft-2.toml"
    document.write_text(text.replace(f"\n{old}\n", f"\n{new}\n", 1), encoding="utf-8")
    for name in sites.SITES:
        signed = made.root / f"amended-{name}.json"
        made.ok("agreement", "sign", document, "-o", signed, "--yes", site=name)
        document = signed
    for name in sites.SITES:
        made.ok("agreement", "accept", document, site=name)


_SHORTER: Final = ('retention = "P12M"', 'retention = "P36D"')  # the first in a draft is that of the reads
_ENDS: Final = ("ends = 2027-10-07", "ends = 2026-10-20")


def _about_to_expire(made: World, old: str, new: str) -> None:
    """The university loads the bundle; then a limit is shortened, and a window is open."""
    shutil.copyfile(made.root / "lancs" / "outbox" / made.bundle.name, made.bundle)
    done = made.load()
    require(done.code == 0, done.err)
    _amend(made, old, new)
    _open_window(made)


def _second_day_next(made: World) -> None:
    _about_to_expire(made, *_SHORTER)
    replace(made, now=truths.DUE - timedelta(days=1)).ok("purge", site="uni")


def _export_inside(made: World) -> None:
    """The first force exports from its inbox to its outbox."""
    inbox, outbox = (made.root / "lancs" / name for name in ("inbox", "outbox"))
    for name in ("reads.csv", "targets.csv", "cameras.csv"):
        shutil.move(made.root / name, inbox / name)
    made.ok(
        *("export", "--request", made.request, "--reads", inbox / "reads.csv", "--profile", "plain-reads"),
        *("--targets", inbox / "targets.csv", "--targets-profile", "plain-targets"),
        *("--cameras", inbox / "cameras.csv", "--cameras-profile", "plain-cameras"),
        *("-o", outbox / made.bundle.name, "--rejects", outbox / "rejects.csv"),
        site="lancs",
    )


# --- the end of an agreement


def _close(site: str) -> Callable[[World], Done]:
    return lambda made: made.run("close", AGREEMENT, "--witness", "A. Hussain", site=site)


def _open_window(made: World) -> None:
    done = made.ask(force="west-yorkshire-police", out=made.root / "second-request.json")
    require(done.code == 0, done.err)


# --- sites


def _used_ahead(made: World) -> None:
    replace(made, now=made.now + timedelta(days=20)).ok("purge", site="lancs")


def _init(made: World) -> Done:
    root = made.root / "new"
    # As the message says that refuses a directory in use: what is no site yet may be removed.
    if root.exists() and not (root / "site.toml").exists():
        shutil.rmtree(root)
    return made.run("init", root, "--role", "police", "--name", "New Police")


def _write_new_passphrase(made: World) -> None:
    path = made.root / "new-passphrase"
    path.write_text("another battery staple\n", encoding="ascii")
    path.chmod(0o600)


# --- partners, agreements and the linkage key


def _pin(verb: str, name: str) -> Callable[[World], Done]:
    def command(made: World) -> Done:
        identity = made.root / name / "identity.json"
        return made.run("partner", verb, identity, "--fingerprint", truths.fingerprint(identity), site="lancs")

    return command


def _another_identity(made: World) -> None:
    made.ok("init", made.root / "again", "--role", "police", "--name", "West Yorkshire Police")


def _both_accept(made: World) -> None:
    for name in ("lancs", "wyp"):
        made.ok("agreement", "accept", made.agreement, site=name)


# --- the exchange


def _pseudonymise(made: World) -> Done:
    words = ("--profile", "plain-reads", "--agreement", AGREEMENT, "-o", truths.pseudonyms(made))
    return made.run("pseudonymise", made.root / "reads.csv", *words, site="lancs")


def _newer_bundle(made: World) -> Path:
    return made.root / "newer.anpr.zip"


def _load_newer(made: World) -> Done:
    return made.run("load", _newer_bundle(made), "--receipt", truths.newer_receipt(made), site="uni")


def _export_newer_snapshots(made: World) -> None:
    """The force answers a request for one more day, and takes a target off its log and cameras off its register."""
    day, request = truths.FOURTH_DAY, made.root / "newer-request.json"
    days = ("--from", day, "--until", day)
    made.ok("request", AGREEMENT, "--to", "lancashire-police", *days, "-o", request, site="uni")
    reads, targets, cameras = (made.root / f"newer-{name}.csv" for name in ("reads", "targets", "cameras"))
    rows = (f"{plate},{sites.CAMERAS[0]},{day}T12:00:00Z,90" for plate in sites.TARGET_PLATES[:2])
    reads.write_text("\n".join(("vrm,camera,captured_at,confidence", *rows, "")), encoding="utf-8")
    lines = (made.root / "targets.csv").read_text(encoding="utf-8").splitlines(keepends=True)
    targets.write_text("".join([lines[0], *lines[2:]]), encoding="utf-8")
    sites.write_cameras(cameras, truths.NEWER_CAMERAS)
    made.ok(
        *("export", "--request", request, "--reads", reads, "--profile", "plain-reads"),
        *("--targets", targets, "--targets-profile", "plain-targets"),
        *("--cameras", cameras, "--cameras-profile", "plain-cameras", "-o", _newer_bundle(made)),
        site="lancs",
    )


# --- feasibility


def _share(made: World) -> Done:
    given = ("--targets", made.root / "targets.csv", "--targets-profile", made.root / "feasibility.toml")
    return made.run("feasibility", *given, "--share", truths.summary(made), site="lancs")


# --- reports

_AUDIT: Final = ("audit", "--html")
_LEDGER: Final = ("ledger", "export", "-o")


def _report(*command: object) -> Callable[[World], Done]:
    return lambda made: made.run(*command, truths.report(made), site="uni")


JOBS: Final = {
    "init": Job(_init, truths.initialised, "new", "new", "site-created", (2,)),
    "restore": Job(
        lambda made: made.run("key", "list", site="lancs"),
        truths.restored,
        "agreed",
        "lancs",
        None,
        (0,),
        before=(lambda made: (made.root / "lancs" / "keys.db").unlink(),),
    ),
    "passphrase change": Job(
        lambda made: made.run(
            "passphrase", "change", "--new-passphrase-file", made.root / "new-passphrase", site="lancs"
        ),
        truths.passphrase_changed,
        "agreed",
        "lancs",
        "passphrase-changed",
        (5,),
        before=(_write_new_passphrase,),
    ),
    "clock reset": Job(
        lambda made: made.run("clock", "reset", "--reason", "the day was set wrong", site="lancs"),
        truths.clock_is_reset,
        "agreed",
        "lancs",
        None,  # one commit, and no write after it: killed before, it has not happened; the truth counts its lines
        (0,),
        before=(_used_ahead,),
    ),
    "purge": Job(
        _purge("uni", truths.DUE),
        truths.purged,
        "requested",
        "uni",
        None,
        (0,),
        before=(_export_inside, _second_day_next),
    ),
    "purge, all": Job(
        _purge("uni", truths.ENDED),
        truths.purged_at_the_end,
        "requested",
        "uni",
        None,
        (0,),
        before=(_export_inside, lambda made: _about_to_expire(made, *_ENDS)),
    ),
    "purge, force": Job(
        _purge("lancs", truths.DUE),
        truths.files_purged,
        "requested",
        "lancs",
        None,
        (0,),
        before=(_export_inside, lambda made: _amend(made, *_SHORTER)),
    ),
    "close": Job(
        _close("uni"),
        lambda made, again: truths.closed(made, "uni", again, rows=truths.HELD, keys=(len(sites.DAYS) + 2, 1, False)),
        "loaded",
        "uni",
        "agreement-closed",
        (0,),
        before=(_open_window,),
    ),
    "close, force": Job(
        _close("lancs"),
        lambda made, again: truths.closed(made, "lancs", again, rows=0, keys=(0, 0, True)),
        "requested",
        "lancs",
        "agreement-closed",
        (0,),
        before=(_export_inside,),
    ),
    "key destroy": Job(
        lambda made: made.run("key", "destroy", AGREEMENT, site="wyp"),
        truths.key_destroyed,
        "agreed",
        "wyp",
        "linkage-key-destroyed",
        (0,),
    ),
    "partner add": Job(_pin("add", "wyp"), truths.partner_is("wyp", "pinned"), "new", "lancs", "partner-pinned", (0,)),
    "partner replace": Job(
        _pin("replace", "again"),
        truths.partner_is("again", "pinned"),
        "agreed",
        "lancs",
        "partner-replaced",
        (0,),
        before=(_another_identity,),
    ),
    "partner revoke": Job(
        lambda made: made.run("partner", "revoke", "west-yorkshire-police", site="lancs"),
        truths.partner_is("wyp", "revoked"),
        "agreed",
        "lancs",
        "partner-revoked",
        (0,),
    ),
    "agreement sign": Job(
        lambda made: made.run(
            "agreement", "sign", made.root / "draft.toml", "-o", made.root / "out.json", "--yes", site="lancs"
        ),
        lambda made, again: truths.signed_once(made, "lancs", made.root / "out.json", again, 1),
        "drafted",
        "lancs",
        "agreement-signed",
        (6,),
    ),
    "agreement sign, third": Job(
        lambda made: made.run(
            "agreement", "sign", made.root / "signed-2.json", "-o", made.root / "out.json", "--yes", site="uni"
        ),
        lambda made, again: truths.signed_once(made, "uni", made.root / "out.json", again, 3),
        "signed",
        "uni",
        "agreement-signed",
        (6,),
    ),
    "accept": Job(
        lambda made: made.run("agreement", "accept", made.agreement, site="lancs"),
        truths.accepted,
        "signed",
        "lancs",
        "agreement-accepted",
        (0, 4),
    ),
    "key accept": Job(
        accept_key, truths.key_accepted, "signed", "wyp", "linkage-key-accepted", (0,), before=(_both_accept,)
    ),
    "pseudonymise": Job(_pseudonymise, truths.pseudonymised, "agreed", "lancs", "alteration", (6,)),
    "request": Job(World.ask, truths.requested, "agreed", "uni", "request-made", (6,)),
    "export": Job(
        lambda made: made.export("--rejects", truths.rejects(made)),
        truths.exported,
        "requested",
        "lancs",
        "disclosure",
        (4,),
    ),
    "load": Job(World.load, truths.loaded, "exported", "uni", "collection", (0,)),
    "load, newer": Job(
        _load_newer, truths.replaced, "loaded", "uni", "collection", (0,), before=(_export_newer_snapshots,)
    ),
    "load again": Job(
        World.load,
        truths.receipt_printed,
        "loaded",
        "uni",
        None,
        (0,),
        before=(lambda made: made.receipt.unlink(),),
    ),
    "receipt create": Job(
        lambda made: made.run(
            "receipt", "create", "--to", "lancashire-police", "-o", truths.second_receipt(made), site="uni"
        ),
        truths.receipt_made,
        "loaded",
        "uni",
        "receipt-made",
        (6,),
    ),
    "receipt accept": Job(
        lambda made: made.run("receipt", "accept", made.receipt, site="lancs"),
        truths.receipt_accepted,
        "loaded",
        "lancs",
        "receipt-accepted",
        (0,),
    ),
    "notice recall": Job(World.recall, truths.recalled, "loaded", "lancs", "notice-made", (6,)),
    "notice apply": Job(
        lambda made: made.run("notice", "apply", made.notice, "--receipt", truths.answer(made), site="uni"),
        truths.applied,
        "loaded",
        "uni",
        "notice-applied",
        (0,),
        before=(World.recall,),
    ),
    "feasibility, share": Job(
        _share, truths.shared, "agreed", "lancs", "feasibility-shared", (6,), before=(sites.feasibility_profile,)
    ),
    "audit": Job(
        _report(*_AUDIT),
        truths.reported(*_AUDIT),
        "loaded",
        "uni",
        None,
        (0, 6),
        before=(truths.remember,),
    ),
    "ledger export": Job(
        _report(*_LEDGER),
        truths.reported(*_LEDGER),
        "loaded",
        "uni",
        None,
        (0, 6),
        before=(truths.remember,),
    ),
}

"""Every command does what its help says: exit code, both outputs, the JSON envelope, options on either side.

``HAPPY`` holds one good call of each command, and a test holds it against ``--help``: a new command needs its line.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from tests.support import sites, tree
from tests.support.sites import AGREEMENT, DAYS, Stage, World

Words = Callable[[World], list[object]]


def words(*fixed: object) -> Words:
    return lambda _made: list(fixed)


def check(made: World) -> list[object]:
    good = made.root / "good.csv"
    good.write_text("vrm,camera,captured_at,confidence\nBK12CDE,Mill Lane Bridge,2026-10-01T10:00:00Z,90\n")
    return ["check", good, "--profile", "plain-reads"]


def feasible(made: World) -> list[object]:
    given = ("--targets", made.root / "targets.csv", "--targets-profile", sites.feasibility_profile(made))
    return ["feasibility", *given, "--reads", made.root / "reads.csv", "--reads-profile", "plain-reads"]


def combine(made: World) -> list[object]:
    shared = {site: made.root / f"{site}.shared.json" for site in ("lancs", "wyp")}
    for site, path in shared.items():
        made.ok(*feasible(made), "--share", path, site=site)
    return ["feasibility", "combine", *shared.values()]


def risk(made: World) -> list[object]:
    reads = ("--reads", made.root / "reads.csv", "--profile", "plain-reads")
    return ["risk", *reads, "--agreement", made.agreement]


def pseudonymise(made: World) -> list[object]:
    given = ("--profile", "plain-reads", "--agreement", AGREEMENT)
    return ["pseudonymise", made.root / "reads.csv", *given, "-o", made.root / "tokens.csv"]


def ask(made: World) -> list[object]:
    days = ("--from", DAYS[0], "--until", DAYS[-1], "--every", "P1D")
    return ["request", AGREEMENT, "--to", "lancashire-police", *days, "-o", made.request]


def export(made: World) -> list[object]:
    reads = ("--reads", made.root / "reads.csv", "--profile", "plain-reads")
    return ["export", "--request", made.request, *reads, "-o", made.bundle]


def partner_add(made: World) -> list[object]:
    fingerprint = json.loads(made.ok("--json", "status", site="wyp").out)["result"]["fingerprint"]
    return ["partner", "add", made.root / "wyp" / "identity.json", "--fingerprint", fingerprint]


def partner_replace(made: World) -> list[object]:
    title, identifier = sites.FORCES["wyp"], "west-yorkshire-police"
    done = made.ok("--json", "init", made.root / "new", "--role", "police", "--name", title, "--id", identifier)
    return ["partner", "replace", done.result["identity"], "--fingerprint", done.result["fingerprint"]]


def passphrase_change(made: World) -> list[object]:
    new = made.root / "new-passphrase"
    new.write_text("another battery, another staple\n", encoding="ascii")
    new.chmod(0o600)
    return ["passphrase", "change", "--new-passphrase-file", new]


def clock_reset(made: World) -> list[object]:
    replace(made, now=made.now + timedelta(days=20)).ok("purge", site="lancs")
    return ["clock", "reset", "--reason", "the day was set wrong"]


def key_accept(made: World) -> list[object]:
    made.ok("agreement", "accept", made.agreement, site="lancs")
    made.ok("agreement", "accept", made.agreement, site="wyp")
    (share,) = (made.root / "lancs" / "outbox").glob("*.keyshare.json")
    return ["key", "accept", share]


def recall(made: World) -> list[object]:
    given = ("--to", "university-of-x", "--table", "reads", "--day", DAYS[0], "--reason", "a clock was wrong")
    return ["notice", "recall", AGREEMENT, *given, "-o", made.notice]


def notice_apply(made: World) -> list[object]:
    assert made.recall().code == 0
    return ["notice", "apply", made.notice]


# Command: how far along the world is, at which site, what is typed, and names in the result (None: it is a list).
HAPPY: dict[str, tuple[Stage, str | None, Words, set[str] | None]] = {
    "init": (
        "new",
        None,
        lambda made: ["init", made.root / "other", "--role", "police", "--name", "Other Police"],
        {"site", "fingerprint"},
    ),
    "demo": ("new", None, lambda made: ["demo", made.root / "demo"], {"directory"}),
    "purge": ("loaded", "uni", words("purge"), {"days", "later", "windows", "files", "elsewhere"}),
    "close": ("loaded", "uni", words("close", AGREEMENT), {"certificate", "closed_on", "again", "elsewhere"}),
    "schedule": ("loaded", "uni", words("schedule"), {"cron", "service", "timer", "windows"}),
    "status": ("loaded", "uni", words("status"), {"agreements", "overdue", "warnings"}),
    "partner add": ("new", "lancs", partner_add, {"id", "fingerprint"}),
    "partner list": ("agreed", "lancs", words("partner", "list"), None),
    "partner replace": ("agreed", "lancs", partner_replace, {"id", "fingerprint"}),
    "partner revoke": ("agreed", "lancs", words("partner", "revoke", "west-yorkshire-police"), {"id", "status"}),
    "passphrase change": ("new", "lancs", passphrase_change, {"site"}),
    "clock reset": ("agreed", "lancs", clock_reset, {"before", "now", "ahead"}),
    "agreement draft": (
        "new",
        None,
        lambda made: [
            *("agreement", "draft", "--party", made.root / "uni" / "identity.json"),
            *("--party", made.root / "lancs" / "identity.json"),
        ],
        {"text"},
    ),
    "agreement sign": (
        "drafted",
        "lancs",
        lambda made: ["agreement", "sign", made.root / "draft.toml", "-o", made.root / "s.json", "--yes"],
        {"agreement", "digest", "missing"},
    ),
    "agreement accept": (
        "signed",
        "lancs",
        lambda made: ["agreement", "accept", made.agreement],
        {"agreement", "key_made", "shares"},
    ),
    "agreement show": ("agreed", "uni", words("agreement", "show", AGREEMENT), None),
    "agreement amend": ("agreed", "uni", words("agreement", "amend", AGREEMENT), {"version", "replaced", "text"}),
    "key destroy": ("agreed", "lancs", words("key", "destroy", AGREEMENT), {"agreement", "destroyed_on", "again"}),
    "key accept": ("signed", "wyp", key_accept, {"agreement", "check"}),
    "key list": ("agreed", "wyp", words("key", "list"), None),
    "profile show": ("new", None, words("profile", "show", "plain-targets"), {"name", "text"}),
    "check": ("new", None, check, {"rows", "accepted", "rejected"}),
    "feasibility": ("new", None, feasible, {"funnel", "race", "base_rate", "verdict"}),
    "feasibility combine": ("agreed", "uni", combine, {"contributors", "combined"}),
    "risk": ("agreed", None, risk, {"release", "choices", "key", "recommendation"}),
    "pseudonymise": ("agreed", "lancs", pseudonymise, {"path"}),
    "request": ("agreed", "uni", ask, {"request", "windows", "path"}),
    "export": ("requested", "lancs", export, {"bundle", "tables", "warnings"}),
    "inspect": ("exported", None, lambda made: ["inspect", made.bundle], {"bundle", "tables"}),
    "verify": ("exported", "uni", lambda made: ["verify", made.bundle], {"bundle", "steps", "complete"}),
    "load": ("exported", "uni", lambda made: ["load", made.bundle], {"bundle", "rows", "expired"}),
    "receipt create": (
        "loaded",
        "uni",
        lambda made: ["receipt", "create", "--to", "lancashire-police", "-o", made.root / "r.json"],
        {"receipt", "loaded", "refused"},
    ),
    "receipt accept": ("loaded", "lancs", lambda made: ["receipt", "accept", made.receipt], {"discrepancies"}),
    "receipt list": ("loaded", "lancs", words("receipt", "list"), None),
    "notice recall": ("loaded", "lancs", recall, {"notice", "days", "path"}),
    "notice apply": ("loaded", "uni", notice_apply, {"notice", "destroyed", "rows", "receipt"}),
    "link": ("loaded", "uni", words("link", "--purpose", "journey regularity"), {"rows", "columns"}),
    "ledger show": ("agreed", "lancs", words("ledger", "show"), None),
    "ledger export": (
        "loaded",
        "uni",
        lambda made: ["ledger", "export", "-o", made.root / "u.jsonl"],
        {"path", "lines", "head"},
    ),
    "audit": ("loaded", "uni", words("audit"), {"verdict", "sites", "findings", "days", "accounts", "unchecked"}),
    "ledger verify": ("agreed", "lancs", words("ledger", "verify"), {"lines", "signed_to"}),
}
TALKS = {"agreement sign", "demo"}
"""Commands that tell a person more than their result."""
SLOW = {"demo"}


def test_every_command_is_in_the_table() -> None:
    assert set(HAPPY) == set(tree.commands())


@pytest.mark.parametrize("name", [name for name in HAPPY if name not in SLOW])
def test_for_a_person_the_result_is_on_standard_output_and_talk_is_not(name: str, tmp_path: Path) -> None:
    stage, site, typed, _ = HAPPY[name]
    made = sites.world(stage, tmp_path / "world")

    done = made.run(*typed(made), site=site)

    assert done.code == 0, done.err
    assert done.out
    assert not done.out.startswith("{")
    assert bool(done.err) == (name in TALKS)
    assert made.strays() == []


@pytest.mark.parametrize(
    ("name", "before"),
    [(name, before) for name in HAPPY for before in (True, False) if before or name not in SLOW],
    ids=lambda value: value if isinstance(value, str) else "before" if value else "after",
)
def test_for_a_machine_it_is_one_object_with_options_on_either_side(name: str, before: bool, tmp_path: Path) -> None:
    stage, site, typed, keys = HAPPY[name]
    made = sites.world(stage, tmp_path / "world")
    argv = [str(word) for word in typed(made)]
    common = ["--json", "--quiet", "--actor", "Ann Analyst", "--passphrase-file", str(made.passphrase_file)]
    common += ["--site", str(made.root / site)] if site else []

    done = sites.call([*common, *argv] if before else [*argv, *common])

    assert done.code == 0, done.err
    assert done.err == ""
    assert done.out.count("\n") == 1
    told = done.json
    assert set(told) == {"format", "command", "status", "result"}
    assert (told["format"], told["command"], told["status"]) == (1, name, "success")
    if keys is None:
        assert isinstance(told["result"], list)
    else:
        assert keys <= set(told["result"])


def test_the_actor_is_logged(tmp_path: Path) -> None:
    made = sites.world("agreed", tmp_path / "world")

    made.ok("partner", "revoke", "west-yorkshire-police", "--actor", "Ann Analyst", site="lancs")

    assert made.ok("--json", "ledger", "show", site="lancs").result[-1]["actor"] == "Ann Analyst"


def test_yes_shows_what_is_agreed_to_and_asks_nothing(tmp_path: Path) -> None:
    made = sites.world("drafted", tmp_path / "world")
    done = made.ok("agreement", "sign", made.root / "draft.toml", "-o", made.root / "s.json", "--yes", site="lancs")
    assert "purpose" in done.err
    assert "?" not in done.err


def test_quiet_leaves_the_result(tmp_path: Path) -> None:
    made = sites.world("drafted", tmp_path / "world")

    done = made.run(
        "agreement", "sign", made.root / "draft.toml", "-o", made.root / "s.json", "--yes", "--quiet", site="lancs"
    )

    assert done.code == 0
    assert done.out.startswith("signed ")


@pytest.mark.parametrize(("stage", "told"), [("agreed", True), ("loaded", False)])
def test_before_the_first_load_a_link_says_why_it_is_empty(stage: Stage, told: bool, tmp_path: Path) -> None:
    made = sites.world(stage, tmp_path / "world")

    done = made.ok("link", "--purpose", "journey regularity", site="uni")

    assert ("nothing is loaded yet" in done.err) == told
    assert done.out.endswith("no row\n") == told


@pytest.mark.parametrize("form", ["csv", "parquet", "arrow"])
def test_linked_rows_come_out_for_other_programs(form: str, tmp_path: Path) -> None:
    import polars as pl

    made = sites.world("loaded", tmp_path / "world")

    done = made.run("link", "--purpose", "journey regularity", "--format", form, site="uni")

    readers: dict[str, Callable[[bytes], pl.DataFrame]]
    readers = {"csv": pl.read_csv, "parquet": pl.read_parquet, "arrow": pl.read_ipc_stream}
    assert (done.code, done.err) == (0, "")
    assert readers[form](done.data).height == sites.LINKED

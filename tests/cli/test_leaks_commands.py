"""Every command, doing its work and failing, shows nothing that it must not: a list that is complete by a test."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest

from anpr_share.documents.identity import Identity
from examples.second_implementation import vrm_1
from tests.support import sites, tree
from tests.support.sites import AGREEMENT, CAMERAS, DAYS, Done, World
from tests.support.watching import Children, Watch

PLATE = "BK12CDE"
FORCE = "lancashire-police"


def commands() -> list[str]:
    """The names of all commands, as they are typed."""
    return sorted(tree.commands())


def name_of(argv: Sequence[object]) -> str:
    """The command among what is typed, which comes first."""
    words = [str(word) for word in argv if str(word) != "--json"]
    return next(name for name in (" ".join(words[:2]), words[0]) if name in commands())


@dataclass
class Run:
    """Runs commands that must work, each read-only one twice, and remembers which."""

    watch: Watch
    done: Counter[str]

    def __call__(self, *argv: object, site: str | None = None, code: int = 0, prints_rows: bool = False) -> Done:
        done = self.watch.run(*argv, site=site, prints_rows=prints_rows)
        assert done.code == code, (argv, done)
        self.done[name_of(argv)] += 1
        self.watch.learn()
        assert self.watch.found == [], argv
        return done

    def both(self, *argv: object, site: str | None = None, code: int = 0) -> None:
        """In words and as JSON."""
        self(*argv, site=site, code=code)
        self("--json", *argv, site=site, code=code)


def as_parquet(source: Path) -> Path:
    target = source.with_suffix(".parquet")
    pl.read_csv(source, infer_schema=False).write_parquet(target)
    return target


def agree(run: Run, made: World) -> None:
    """Sites, an agreement with every column of reads that may leave, and the linkage key at both forces."""
    for name, title in sites.FORCES.items():
        run("init", made.root / name, "--role", "police", "--name", title)
    run("--json", "init", made.root / "uni", "--role", "university", "--name", sites.UNIVERSITY[1])
    parties = [word for name in sites.SITES for word in ("--party", made.root / name / "identity.json")]
    run("--json", "agreement", "draft", *parties)
    draft = made.root / "draft.toml"
    draft.write_text(sites.filled_in(run("agreement", "draft", *parties).out), encoding="utf-8")
    before = draft
    for number, name in enumerate(sites.SITES):
        after = made.agreement if name == sites.SITES[-1] else made.root / f"signed-{number}.json"
        run("agreement", "sign", before, "-o", after, "--yes", site=name)
        before = after
    for name in sites.SITES:
        run("agreement", "accept", made.agreement, site=name)
    run.both("agreement", "show", site="uni")
    run.both("agreement", "show", AGREEMENT, site="lancs")
    (share,) = (made.root / "lancs" / "outbox").glob("*.keyshare.json")
    run("key", "accept", share, site="wyp")
    run.both("key", "list", site="wyp")


def trust(run: Run, made: World) -> None:
    """A partner who is no party comes, has a new identity, and goes."""
    for name in ("other", "again"):
        run("init", made.root / name, "--role", "police", "--name", "Other Police")
    for name, how in (("other", "add"), ("again", "replace")):
        identity = made.root / name / "identity.json"
        fingerprint = Identity.parse(identity.read_bytes()).fingerprint
        run("partner", how, identity, "--fingerprint", fingerprint, site="uni")
    run("partner", "revoke", "other-police", site="uni")
    run.both("partner", "list", site="uni")


def exchange(run: Run, made: World) -> None:
    """Two bundles, of a CSV and of a Parquet extract, from the request to the receipt."""
    extracts = [made.root / f"{name}.csv" for name in ("reads", "targets", "cameras")]
    reads, packed = extracts[0], [as_parquet(path) for path in extracts]
    pseudonymised = [made.root / f"tokens.{kind}" for kind in ("csv", "parquet")]
    run.watch.inputs |= {*packed, *pseudonymised}  # extracts, and outputs that are rows of tokens
    run.both("profile", "show", "plain-reads")
    for number, extract in enumerate((reads, packed[0])):
        rejects = ("--rejects", made.root / f"rejects-{number}.csv")
        run("check", extract, "--profile", "plain-reads", *rejects, code=1)
        run("--json", "check", extract, "--profile", "plain-reads", code=1)
    run("check", packed[1], "--profile", "plain-targets")
    run("check", packed[2], "--profile", "plain-cameras")
    for number, extract in enumerate((extracts[1], packed[1])):
        asked = ("feasibility", "--targets", extract, "--targets-profile", sites.feasibility_profile(made))
        run.both("feasibility", "--targets", extract, "--targets-profile", "plain-targets", code=1)
        run.both(*asked, "--reads", (reads, packed[0])[number], "--reads-profile", "plain-reads")
    shared = {site: made.root / f"shared-{site}.json" for site in ("lancs", "wyp")}
    for site, summary in shared.items():
        written = ("--html", made.root / f"{site}.html", "--share", summary)
        asked = ("feasibility", "--targets", extracts[1], "--targets-profile", sites.feasibility_profile(made))
        run(*asked, *written, site=site)
    run.both("feasibility", "combine", *shared.values(), site="uni")
    for extract, out in zip((reads, packed[0]), pseudonymised, strict=True):
        given = ("--profile", "plain-reads", "--agreement", AGREEMENT, "-o", out)
        run("pseudonymise", extract, *given, site="lancs")
        assert sites.secrets_in(out.read_bytes()) == []
        frame = pl.read_csv(out) if out.suffix == ".csv" else pl.read_parquet(out)
        assert set(frame["vehicle"]) <= run.watch.tokens
    for number, (first, last, (of_reads, of_targets, of_cameras)) in enumerate(
        ((DAYS[0], DAYS[1], extracts), (DAYS[2], DAYS[2], packed))
    ):
        request, bundle, receipt = (made.root / f"{number}.{name}" for name in ("request", "anpr.zip", "receipt"))
        days = ("--from", first, "--until", last)
        run("request", AGREEMENT, "--to", FORCE, *days, "-o", request, site="uni")
        sources: tuple[object, ...] = ("--reads", of_reads, "--profile", "plain-reads")
        sources += ("--targets", of_targets, "--targets-profile", "plain-targets")
        sources += ("--cameras", of_cameras, "--cameras-profile", "plain-cameras")
        rejected = made.root / f"export-rejects-{number}.csv"
        run("export", "--request", request, *sources, "--rejects", rejected, "-o", bundle, site="lancs")
        run.both("inspect", bundle)
        run.both("verify", bundle, site="uni")
        run("verify", bundle, "--sender", made.root / "lancs" / "identity.json")
        run("load", bundle, "--receipt", receipt, site="uni")
        run("receipt", "accept", receipt, site="lancs")
    # By its id, in words, after one day more than was exported; and by a file.
    run("risk", "--reads", reads, "--profile", "plain-reads", "--agreement", AGREEMENT, site="lancs")
    run("--json", "risk", "--reads", packed[0], "--profile", "plain-reads", "--agreement", made.agreement)
    run("--json", "load", made.root / "0.anpr.zip", site="uni")
    created = made.root / "created.json"
    run("receipt", "create", "--to", FORCE, "-o", created, site="uni")
    run("--json", "receipt", "accept", created, site="lancs")
    for site in ("uni", "lancs"):
        run.both("receipt", "list", site=site)


def correct(run: Run, made: World) -> None:
    """A day that was found wrong, and the targets, are taken back; in words and as JSON."""
    recalls: list[list[object]] = [
        ["--table", "reads", "--day", DAYS[0], "--reason", "the clock of one feed was wrong"],
        ["--table", "targets", "--day", "undated", "--reason", "a column was shifted"],
    ]
    for number, (recall, form) in enumerate(zip(recalls, ([], ["--json"]), strict=True)):
        notice, receipt = made.root / f"notice-{number}.json", made.root / f"notice-{number}.receipt.json"
        run(*form, "notice", "recall", AGREEMENT, "--to", "university-of-x", *recall, "-o", notice, site="lancs")
        run.both("status", site="lancs")
        run(*form, "notice", "apply", notice, "--receipt", receipt, site="uni")
        run.both("notice", "apply", notice, "--receipt", receipt, site="uni")
        run(*form, "receipt", "accept", receipt, site="lancs")


def research(run: Run, made: World) -> None:
    """Looking at linked rows, which are printed as tokens and nothing else."""
    run.both("link", "--purpose", "journeys", site="uni")
    for format_ in ("csv", "parquet", "arrow"):
        done = run("link", "--purpose", "journeys", "--format", format_, site="uni", prints_rows=True)
        if format_ == "csv":
            assert sum(token in done.out for token in run.watch.tokens) >= 2


def account(run: Run, made: World) -> None:
    """What each site says of itself; and a passphrase that changes."""
    for site in sites.SITES:
        run.both("status", site=site)
        run.both("ledger", "show", site=site)
        run.both("ledger", "verify", site=site)
        run.both("audit", site=site)
        for number, json in enumerate(([], ["--json"])):
            run(*json, "ledger", "export", "-o", made.root / f"{site}-{number}.ledger.jsonl", site=site)
    run.both("audit", *(made.root / f"{site}-0.ledger.jsonl" for site in sites.SITES))
    for site in sites.SITES:
        run.both("schedule", site=site)
        run.both("purge", "--dry-run", site=site)
        run("purge", site=site)
    replace(made, now=made.now + timedelta(days=20)).ok("purge", site="other")
    run("clock", "reset", "--reason", "the day was set wrong", site="other")
    run("--json", "clock", "reset", "--reason", "the day was set wrong", site="other", code=4)
    new = made.root / "new-passphrase"
    new.write_text("another horse battery staple\n", encoding="ascii")
    new.chmod(0o600)
    run.watch.inputs.add(new)
    run.watch.words = (*run.watch.words, "another horse battery staple")
    run("passphrase", "change", "--new-passphrase-file", new, site="other")


def end(run: Run, made: World) -> None:
    """A next version that nobody signs, the end of a linkage key, and of the agreement at every site."""
    run.both("agreement", "amend", AGREEMENT, site="uni")
    run.both("key", "destroy", AGREEMENT, site="wyp")
    run.both("key", "list", site="wyp")
    for site in sites.SITES:
        said = ("--witness", "A. Hussain", "--backups", "tapes were shredded")
        run.both("close", AGREEMENT, *said, site=site, code=0 if site != "lancs" else 1)
        run.both("status", site=site, code=0 if site != "lancs" else 1)


def demonstrate(run: Run, made: World) -> None:
    """The demonstration: plates of its own, each as its extracts spell it and as it is compared."""
    folder = made.root / "demo"
    run.watch.inputs.add(folder / "passphrase.txt")
    run("demo", folder)
    extracts = [path for path in folder.rglob("*.csv") if "vrm" in path.read_text("utf-8").partition("\n")[0]]
    assert extracts
    plates: set[str] = set()
    for path in extracts:
        with path.open(encoding="utf-8", newline="") as file:
            spelt = sorted({row["vrm"] for row in csv.DictReader(file)})
        # Shorter ones stand in keys and digests by chance.
        plates |= {raw for raw in spelt[:: len(spelt) // 100 + 1] if len(vrm_1(raw)[1] or "") == 7}
    plates |= {vrm_1(raw)[1] or "" for raw in plates}
    assert len(plates) > 100
    run.watch.inputs |= {*extracts, *folder.rglob("*.psv")}
    run.watch.words = (*run.watch.words, *sorted(plates))


def test_every_command_that_does_its_work_shows_nothing(tmp_path: Path, temporary: Path, children: Children) -> None:
    made = World(tmp_path / "world")
    made.root.mkdir()
    sites.write_inputs(made)
    watch = Watch(made)
    run = Run(watch, Counter())
    for step in (agree, trust, exchange, research, correct, account, end, demonstrate):
        step(run, made)
    watch.look_again()
    children.look(watch)
    assert watch.found == []
    assert sorted(run.done) == commands()
    assert {line.split()[-1] for line in children.lines("ran")} >= {
        "anpr_share.part_check",
        "anpr_share.tables.columnar_worker",
    }
    assert any("/uni/" in line for line in children.lines("wrote"))
    assert len(watch.tokens) > len(sites.PLATES)
    assert watch.looked > 1000


@pytest.mark.parametrize("name", commands())
def test_every_command_refuses_a_plate_as_an_option_and_does_not_repeat_it(name: str, watch: Watch) -> None:
    for json in ([], ["--json"]):
        done = watch.run(*json, *name.split(), f"--{PLATE}", f"--{CAMERAS[0]}={PLATE}", site="uni")
        assert done.code == 2, done
    assert watch.found == []


# Each command at a site, as it would work.
AT_A_SITE: dict[str, tuple[str, list[str]]] = {
    "agreement accept": ("uni", ["{root}/agreement.json"]),
    "agreement amend": ("uni", [AGREEMENT]),
    "agreement show": ("uni", []),
    "close": ("uni", [AGREEMENT]),
    "agreement sign": ("uni", ["{root}/draft.toml", "-o", "{root}/out", "--yes"]),
    "audit": ("uni", []),
    "clock reset": ("uni", ["--reason", "checking"]),
    "export": (
        "lancs",
        [
            *("--request", "{root}/request.json", "--reads", "{root}/reads.csv"),
            *("--profile", "plain-reads", "-o", "{root}/out"),
        ],
    ),
    "key accept": ("wyp", ["{root}/request.json"]),
    "key destroy": ("wyp", [AGREEMENT]),
    "key list": ("wyp", []),
    "ledger export": ("uni", ["-o", "{root}/out"]),
    "ledger show": ("uni", []),
    "ledger verify": ("uni", []),
    "link": ("uni", ["--purpose", "journeys"]),
    "load": ("uni", ["{root}/lancs.anpr.zip"]),
    "notice apply": ("uni", ["{root}/request.json"]),
    "notice recall": (
        "lancs",
        [
            *(AGREEMENT, "--to", "university-of-x", "--table", "reads", "--day", str(DAYS[0])),
            *("--reason", "wrong", "-o", "{root}/out"),
        ],
    ),
    "partner add": ("uni", ["{root}/lancs/identity.json", "--fingerprint", "ab" * 32]),
    "partner list": ("uni", []),
    "partner replace": ("uni", ["{root}/lancs/identity.json", "--fingerprint", "ab" * 32]),
    "partner revoke": ("uni", [FORCE]),
    "passphrase change": ("uni", ["--new-passphrase-file", "{root}/passphrase"]),
    "pseudonymise": (
        "lancs",
        ["{root}/reads.csv", "--profile", "plain-reads", "--agreement", AGREEMENT, "-o", "{root}/out.csv"],
    ),
    "purge": ("uni", ["--dry-run"]),
    "receipt accept": ("lancs", ["{root}/receipt.json"]),
    "receipt create": ("uni", ["--to", FORCE, "-o", "{root}/out"]),
    "receipt list": ("uni", []),
    "request": (
        "uni",
        [AGREEMENT, "--to", FORCE, "--from", str(DAYS[0]), "--until", str(DAYS[0]), "-o", "{root}/out"],
    ),
    "risk": ("lancs", ["--reads", "{root}/reads.csv", "--profile", "plain-reads", "--agreement", AGREEMENT]),
    "schedule": ("uni", []),
    "status": ("uni", []),
    "verify": ("uni", ["{root}/lancs.anpr.zip"]),
}
WITHOUT_A_SITE = {
    "agreement draft",
    "check",
    "demo",
    "feasibility",
    "feasibility combine",
    "init",
    "inspect",
    "profile show",
}
BROKEN = {
    "a description that holds a plate": ("site.toml", f'site = "{PLATE}"\nname = "{CAMERAS[0]}"\n'),
    "a database that is an extract": ("site.db", f"{PLATE},{CAMERAS[0]}\n" * 500),
    "keys that are an extract": ("keys.db", f"{PLATE},{CAMERAS[0]}\n" * 500),
    "a vault that is an extract": ("vault.db", f"{PLATE},{CAMERAS[0]}\n" * 500),
}


def test_every_command_is_among_those_that_meet_a_broken_site() -> None:
    assert sorted({*AT_A_SITE, *WITHOUT_A_SITE}) == commands()


@pytest.mark.parametrize("broken", BROKEN)
def test_at_a_broken_site_every_command_shows_none_of_it(broken: str, watch: Watch) -> None:
    file, text = BROKEN[broken]
    for name in sites.SITES:
        watch.inputs.add(watch.made.root / name / file)
        (watch.made.root / name / file).write_text(text, encoding="utf-8")
    codes = set()
    for command, (site, words) in AT_A_SITE.items():
        for json in ([], ["--json"]):
            typed = [word.format(root=watch.made.root) for word in words]
            codes.add(watch.run(*json, *command.split(), *typed, site=site).code)
    assert watch.found == []
    assert codes <= {0, 1, 3, 5, 6} if file == "vault.db" else codes <= {3, 6}, codes
    assert not list(watch.made.root.glob("out*"))

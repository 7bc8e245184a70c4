"""Sites with a history, which a forger who has no passphrase changes, and what audits of them then find.

:func:`scene` builds it once in a process: two forces and a university that exchanged, looked, destroyed, and hold heads
of one another's ledgers; and since the last exchange, the university has a tail that nobody else has seen. Every change
is undone by putting the files back.
"""

from __future__ import annotations

import atexit
import functools
import shutil
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Final
from unittest import mock

from anpr_share.audit import case as cases
from anpr_share.audit import judge as judging
from anpr_share.audit.evidence import Evidence
from anpr_share.documents import envelope, receipt, request
from anpr_share.errors import PolicyError, StorageError, VerificationError
from anpr_share.site.opened import OpenSite
from anpr_share.work import auditing, purging, reading, receipting
from tests.support.exchange import AGREEMENT, LANCS, PASSPHRASE, ROLES, TARGETS, UNI, WYP, Clock, World, settled, swift

BRIEF: Final = "brief"
"""The agreement whose reads are kept for twelve days."""
NIGHT: Final = datetime(2026, 10, 14, 9, tzinfo=UTC)
"""When the audits are made."""
BEFORE: Final = "before"
"""The directory of what :data:`UNI` was like before it destroyed anything, and asked for more."""
Found = frozenset[str]
"""The codes of breaches and questions; or ``refused-`` and the exit code, where no audit was to be had."""


def build(root: Path) -> None:
    """The history, in a directory that must not exist."""
    with swift(), settled(root) as world:
        world.agree(id=BRIEF, reads__retention="P12D")
        for by, agreement, targets in ((LANCS, BRIEF, TARGETS), (WYP, AGREEMENT, None), (LANCS, AGREEMENT, TARGETS)):
            request = world.request(to=by, agreement=agreement)
            if targets is None:
                _keep(world)  # while a window is open
            loaded = world.load(world.export(request, targets=targets, by=by))
            receipting.accept(world.site(by), loaded.receipt.read_bytes())
            world.clock.now += timedelta(minutes=10)
        reading.scan(world.uni, "reads", purpose="counting", agreement=BRIEF).collect()
        reading.link(world.uni, AGREEMENT, purpose="linking").collect()
        _keep(world, "keys.db", "store")
        world.clock.now += timedelta(days=1)  # the first of October is due in the night
        purging.purge(world.uni)
        newer = world.export(world.request(*_OCTOBER[:2]), _reads(*_OCTOBER[:2]), targets=TARGETS[:2])
        receipting.accept(world.lancs, world.load(newer).receipt.read_bytes())
        forged = world.forge(world.export(world.request(*_OCTOBER[2:4]), _reads(_OCTOBER[2])))
        forged.manifest["window"]["last"] = _OCTOBER[4].isoformat()
        with suppress(PolicyError):
            world.load(forged.write())  # is refused, and told of in the receipt
        for force, agreement in ((LANCS, BRIEF), (LANCS, AGREEMENT), (WYP, AGREEMENT)):
            out = world.free("receipt.json")
            receipting.create(world.uni, agreement, force, out)
            receipting.accept(world.site(force), out.read_bytes())
        world.request(*_OCTOBER[4:], to=WYP)
        world.clock.now += timedelta(minutes=10)
        # What nobody else has seen: signed lines, and then unsigned ones of the night's purge.
        reading.scan(world.uni, "reads", purpose="counting", agreement=AGREEMENT).collect()
        world.close()
        world.clock.now = NIGHT
        with OpenSite.open(root / UNI, clock=world.clock) as locked:
            purging.purge(locked)
        for item in world.lancs.db.rows("SELECT path FROM registered WHERE agreement = ?", BRIEF):
            Path(item[0]).unlink(missing_ok=True)  # the force does as a purge would tell it


_OCTOBER: Final = tuple(date(2026, 10, day) for day in (4, 5, 6, 7, 8, 9))


def _reads(*days: date) -> list[tuple[str, str, str]]:
    return [("AB12CDE", "CAM-1", f"{day}T08:00:10Z") for day in days]


def _keep(world: World, *names: str) -> None:
    """Keep files of the university as they are now: ``site.db``, or these."""
    (world.root / BEFORE).mkdir(exist_ok=True)
    for name in names or ("site.db",):
        path = world.root / UNI / name
        (shutil.copytree if path.is_dir() else shutil.copyfile)(path, world.root / BEFORE / name)


@functools.cache
def scene() -> Path:
    """The directory of the sites, to be copied."""
    root = Path(tempfile.mkdtemp(prefix="anpr-share-tests-"))
    atexit.register(shutil.rmtree, root, ignore_errors=True)
    build(root / "sites")
    return root / "sites"


@dataclass(frozen=True)
class Told:
    """What three audits found of one change: of the site alone, with its passphrase, and with what partners keep."""

    alone: Found
    proved: Found
    witnessed: Found

    @property
    def all(self) -> Found:
        """Whatever anyone found."""
        return self.alone | self.proved | self.witnessed


@dataclass
class Bench:
    """The sites in ``root``, to be changed and audited; ``tried`` counts the changes by their kind."""

    root: Path
    tried: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        shutil.copytree(scene(), self.root)
        self.clock = Clock(NIGHT)
        self.partners = {name: auditing.look(self.root / name, self.clock, None) for name in (LANCS, UNI)}
        # Of one force the ledger that it exported is all there is.
        with OpenSite.open(self.root / WYP, clock=self.clock) as site:
            auditing.export_ledger(site, self.root / "exported")
        self.partners[WYP] = auditing.read_export(self.root / "exported")
        self._files = {name: {path: path.read_bytes() for path in _files(self.root / name)} for name in ROLES}

    def database(self, site: str) -> sqlite3.Connection:
        """The three databases of a site, as one without the passphrase opens them: no rule of ours holds."""
        connection = sqlite3.connect(self.root / site / "site.db", isolation_level=None)
        for name in ("keys", "vault"):
            connection.execute("ATTACH ? AS " + name, (str(self.root / site / f"{name}.db"),))
        for pragma in ("foreign_keys = OFF", "ignore_check_constraints = ON"):
            connection.execute(f"PRAGMA {pragma}")
        for schema in ("main", "keys", "vault"):
            connection.execute(f"PRAGMA {schema}.journal_mode = MEMORY")
            connection.execute(f"PRAGMA {schema}.synchronous = OFF")
        return connection

    def after(self, kind: str, site: str, change: Callable[[sqlite3.Connection], object]) -> Told:
        """What is found after a change of a site, which is then undone."""
        with self.changed(kind, site, change):
            return self.told(site)

    def survives(self, kind: str, site: str, change: Callable[[sqlite3.Connection], object]) -> Found:
        """What the audit of the site alone finds after a change: that it ends with one of our outcomes at all."""
        with self.changed(kind, site, change):
            return _codes(self._evidence(site, None))

    @contextmanager
    def changed(self, kind: str, site: str, change: Callable[[sqlite3.Connection], object]) -> Iterator[None]:
        """Make a change of a site, and undo it in the end; ``kind`` is what it is counted under."""
        self.tried[kind] += 1
        try:
            with closing(self.database(site)) as connection:
                connection.execute("BEGIN")
                change(connection)
                connection.execute("COMMIT")
            yield
        finally:
            self._put_back(site)

    def _put_back(self, site: str) -> None:
        """Every file of a site as it was."""
        known = self._files[site]
        for path in _files(self.root / site):
            if path not in known or path.is_symlink() or not path.is_file():
                path.unlink()
        for path, content in known.items():
            if path.is_dir():
                path.rmdir()
            if not path.exists():
                path.touch(mode=0o600)
            if path.read_bytes() != content:
                path.write_bytes(content)

    def told(self, site: str) -> Told:
        """What is found of a site as it is now."""
        alone = self._evidence(site, None)
        others = [item for name, item in self.partners.items() if name != site]
        return Told(_codes(alone), self._proved(site), _codes(alone, *others))

    def _proved(self, site: str) -> Found:
        found = self._evidence(site, PASSPHRASE)
        if isinstance(found, Evidence) and found.disk is not None and not found.disk.proved:
            return frozenset({"refused-5"})  # the command says that the passphrase opens nothing
        return _codes(found)

    def _evidence(self, site: str, passphrase: bytes | None) -> Evidence | str:
        """What a site shows, or how it refuses to."""
        try:
            return auditing.look(self.root / site, self.clock, passphrase)
        except (VerificationError, StorageError) as error:  # and no other, nor a fault of ours
            return f"refused-{error.exit_code}"


def _codes(evidence: Evidence | str, *others: Evidence) -> Found:
    if isinstance(evidence, str):
        return frozenset({evidence})
    result = judging.judge([evidence, *others], NIGHT)
    return frozenset(item.rule.code for item in result.findings if item.rule.severity != "note")


def _files(directory: Path) -> list[Path]:
    return [path for path in directory.rglob("*") if path.is_symlink() or not path.is_dir()]


def quick() -> ExitStack:
    """While it is open, what the same bytes say is worked out once, as is whether a signature holds."""
    stack = swift()
    for module, names in (
        (cases, ("_agreement", "_manifest")),
        (receipt, ("parse",)),
        (request, ("parse",)),
        (envelope, ("verify_signature",)),
        (judging, ("case",)),
    ):
        for name in names:
            stack.enter_context(mock.patch.object(module, name, functools.cache(getattr(module, name))))
    return stack

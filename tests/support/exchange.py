"""Two forces and a university that have agreed, ready in a moment, and a sender who does not keep to the rules.

:func:`settled` copies sites that were made once in this process: Argon2 is slow on purpose. A :class:`World` opens them
under one clock that tests move.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import io
import json
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from unittest import mock

import pytest

from anpr_share import part_check
from anpr_share.cli import main
from anpr_share.documents import agreement as agreement_documents
from anpr_share.documents import canonical
from anpr_share.documents import envelope as dsse
from anpr_share.documents.agreement import Agreement
from anpr_share.errors import AnprShareError, VerificationError
from anpr_share.part_check import PartJob, PartLimits, PartResult
from anpr_share.site import holdings, vault
from anpr_share.site.opened import OpenSite
from anpr_share.tables.extract import Input
from anpr_share.tables.profile import load_profile
from anpr_share.work import agreements, arriving, exporting, loading, partners, requesting
from tests.support import documents
from tests.support.documents import Fields, changed
from tests.support.forgery import Forgery

PASSPHRASE = b"correct horse battery staple"
NOW = datetime(2026, 10, 12, 12, tzinfo=UTC)
LANCS, WYP, UNI = "lancashire-police", "west-yorkshire-police", "leeds-university"
ROLES = {LANCS: "police", WYP: "police", UNI: "university"}
AGREEMENT = "msv-2026"
DAYS = (date(2026, 10, 1), date(2026, 10, 2), date(2026, 10, 3))

Read = tuple[str, str, str]
# Plate, camera, time in UTC. London is an hour ahead; the third row is the second of the two that are alike.
READS: tuple[Read, ...] = (
    ("AB12 CDE", "CAM-1", "2026-10-01T08:00:10Z"),
    ("FG34HJK", "CAM-2", "2026-10-01T08:30:59Z"),
    ("FG34HJK", "CAM-2", "2026-10-01T08:30:59Z"),
    ("AB12CDE", "CAM-2", "2026-10-02T08:01:00Z"),
    ("LM56NPR", "CAM-1", "2026-10-02T17:45:30Z"),
    ("GH56?JK", "CAM-1", "2026-10-02T18:00:00Z"),
    ("FG34HJK", "CAM-3", "2026-10-03T12:00:00Z"),
)
PLATES = ("AB12CDE", "FG34HJK", "LM56NPR")
Target = tuple[str, str, str, str, str, str]
TARGETS: tuple[Target, ...] = (
    ("AB12CDE", "LOG-1", "Modern slavery", "2026-10-02", "2026-10-20", "suspect"),
    ("LM56NPR", "LOG-2", "Trafficking", "", "", "convicted"),
    ("FG34HJK", "LOG-3", "Trafficking", "2026-09-01", "2026-10-01", "victim"),
)

Camera = tuple[str, str, str, str]
# Name, kind, class of road, type of area: what k = 2 makes coarser. Only the first three have reads.
CAMERAS: tuple[Camera, ...] = (
    ("CAM-1", "fixed", "a-road", "urban"),
    ("CAM-2", "fixed", "a-road", "urban"),
    ("CAM-3", "fixed", "motorway", "rural"),
    ("CAM-4", "fixed", "b-road", "rural"),
    ("CAM-5", "mobile", "", ""),
    ("CAM-6", "mobile", "", ""),
)
CONTEXT = {"columns": ["camera", "kind", "road_class", "area_type"], "k": 2}
"""Terms that have these cameras leave: ``world.agree(cameras=CONTEXT)``."""


def silent(_text: str) -> None:
    """Progress for nobody."""


def terms(parties: Iterable[OpenSite]) -> Fields:
    """The payload of the agreement between these sites: the usual one, of what this version can exchange."""
    fields = documents.terms() | {
        "ends": "2027-12-31",
        "cameras": None,
        "risk": None,
        "parties": [agreement_documents.party_of(party.identity) for party in parties],
    }
    fields["targets"] |= {
        "columns": ["vehicle", "log", "offence", "offence_from", "offence_to"],
        "date_resolution": "day",
        "handling": None,
    }
    return fields


@dataclass
class Clock:
    """What all sites of a world take for the time."""

    now: datetime = NOW

    def __call__(self) -> datetime:
        return self.now


class World:
    """The sites under one directory, opened when they are first asked for."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.clock = Clock()
        self._open: dict[str, OpenSite] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        for site in self._open.values():
            site.close()
        self._open.clear()

    def site(self, name: str) -> OpenSite:
        if name not in self._open:
            self._open[name] = OpenSite.open(self.root / name, passphrase=PASSPHRASE, clock=self.clock)
        return self._open[name]

    @property
    def lancs(self) -> OpenSite:
        return self.site(LANCS)

    @property
    def wyp(self) -> OpenSite:
        return self.site(WYP)

    @property
    def uni(self) -> OpenSite:
        return self.site(UNI)

    def create(self, name: str, role: str) -> OpenSite:
        made = OpenSite.create(
            self.root / name,
            role=role,
            name=name.replace("-", " ").title(),
            site_id=name,
            passphrase=PASSPHRASE,
            clock=self.clock,
        )
        self._open[name] = made
        return made

    def signed(self, *names: str, **changes: object) -> Agreement:
        """An agreement of these sites, signed by all; ``reads__sample="0.5"`` changes the field reads.sample."""
        sites = [self.site(name) for name in names or tuple(ROLES)]
        fields = terms(sites)
        for path, value in changes.items():
            fields = changed(fields, path.replace("__", "."), value)
        made = dsse.sign(agreement_documents.KIND, canonical.encode(fields), sites[0].signing_key)
        for site in sites[1:]:
            made = dsse.add_signature(made, site.signing_key)
        return agreement_documents.from_envelope(made)

    def agree(self, *names: str, **changes: object) -> Agreement:
        """Such an agreement, in force at all of its sites, with its linkage key at every force."""
        agreement = self.signed(*names, **changes)
        parties = [self.site(item.site) for item in agreement.identities]
        shares = [path for site in parties for path in self._accept(site, agreement)]
        for path in shares:
            for site in parties[1:]:
                if site.identity.site in path.name:
                    agreements.accept_key(site, path.read_bytes())
        return agreement

    @staticmethod
    def _accept(site: OpenSite, agreement: Agreement) -> tuple[Path, ...]:
        for identity in agreement.identities:
            if identity.site != site.identity.site:
                partners.pin(site, identity, identity.fingerprint, refuse)
        return agreements.accept(site, agreement.envelope.encode()).shares

    def request(
        self, first: date = DAYS[0], last: date = DAYS[-1], *, to: str = LANCS, agreement: str = AGREEMENT
    ) -> bytes:
        """A request of the university for one window."""
        out = self.free("request.json")
        requesting.request(self.uni, agreement, to, first, last, None, out)
        return out.read_bytes()

    def export(
        self,
        request: bytes | None = None,
        reads: Sequence[Read] = READS,
        targets: Sequence[Target] | None = None,
        cameras: Sequence[Camera] | None = None,
        *,
        by: str = LANCS,
        **options: Any,
    ) -> Path:
        """A bundle of these rows in answer to the request, or to a new one for all three days."""
        out = self.free("bundle.anpr.zip")
        exporting.export(
            self.site(by),
            self.request(to=by) if request is None else request,
            reads_input(self.free("reads.csv"), reads),
            out,
            targets=None if targets is None else targets_input(self.free("targets.csv"), targets),
            cameras=None if cameras is None else cameras_input(self.free("cameras.csv"), cameras),
            progress=silent,
            **options,
        )
        return out

    def load(self, bundle: Path) -> loading.LoadResult:
        return loading.load(self.uni, bundle, None, silent)

    def forge(self, bundle: Path, *, by: str = LANCS) -> Forgery:
        """The bundle taken apart, as the sender can and the recipient, while the one-time key lives."""
        return Forgery(self, bundle, self.site(by).signing_key)

    def cli(self, site: str, *argv: object) -> int:
        """The exit code of a command at a site."""
        passphrase = self.root / "passphrase"
        if not passphrase.exists():
            passphrase.touch(mode=0o600)
            passphrase.write_bytes(PASSPHRASE)
        common = ["--site", str(self.root / site), "--passphrase-file", str(passphrase), "--quiet"]
        return main.run([*common, *map(str, argv)], clock=self.clock)

    def told(self, site: str, *argv: object) -> tuple[int, str]:
        """The exit code of a command at a site, and what it says on standard error."""
        said = io.StringIO()
        with contextlib.redirect_stderr(said):
            return self.cli(site, *argv), said.getvalue()

    def free(self, name: str) -> Path:
        """A path of this name in a directory of its own."""
        return Path(tempfile.mkdtemp(dir=self.root)) / name

    def stored(self) -> list[str]:
        """Everything in the university's store, temporary files included."""
        return sorted(path.name for path in (self.root / UNI / "store").rglob("*"))

    def events(self, name: str) -> list[str]:
        """The events of a site's ledger, in order."""
        return [entry.event for entry in self.site(name).ledger.lines()]


def refuse(_text: str) -> bool:
    """Nobody agrees."""
    return False


def reads_input(path: Path, rows: Sequence[Read]) -> Input:
    """An extract of reads in the bundled plain profile."""
    lines = ["vrm,camera,captured_at,confidence", *(f"{','.join(row)},90" for row in rows)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return Input((str(path),), load_profile("plain-reads"))


TARGETS_PROFILE = """
table = "targets"
[columns]
vrm = "vrm"
log = "log"
offence = "offence"
person_category = "person_category"
[columns.offence_from]
columns = ["offence_from"]
format = "%Y-%m-%d"
[columns.offence_to]
columns = ["offence_to"]
format = "%Y-%m-%d"
"""


def targets_input(path: Path, rows: Sequence[Target]) -> Input:
    """An extract of targets and its profile."""
    lines = ["vrm,log,offence,offence_from,offence_to,person_category", *(",".join(row) for row in rows)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    profile = path.with_suffix(".toml")
    profile.write_text(TARGETS_PROFILE, encoding="utf-8")
    return Input((str(path),), load_profile(str(profile)))


def cameras_input(path: Path, rows: Sequence[Camera]) -> Input:
    """An extract of cameras in the bundled plain profile."""
    lines = ["camera,kind,road_class,area_type", *(",".join(row) for row in rows)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return Input((str(path),), load_profile("plain-cameras"))


# Argon2 of one passphrase and one salt is the same each time, and the salts of copied sites are.
_stretched = functools.cache(vault._stretch)


@functools.cache
def template() -> Path:
    """The directory of the settled sites that tests copy."""
    root = Path(tempfile.mkdtemp(prefix="anpr-share-tests-"))
    atexit.register(shutil.rmtree, root, ignore_errors=True)
    with mock.patch.object(vault, "_stretch", _stretched), World(root / "sites") as world:
        for name, role in ROLES.items():
            world.create(name, role)
        world.agree()
    return root / "sites"


def settled(root: Path) -> World:
    """A world of its own in the directory ``root``, which must not exist yet."""
    shutil.copytree(template(), root)
    return World(root)


def swift() -> ExitStack:
    """While it is open, Argon2 is remembered, and parts are checked in this process instead of a child."""
    stack = ExitStack()
    stack.enter_context(mock.patch.object(vault, "_stretch", _stretched))
    stack.enter_context(mock.patch.object(arriving, "check_parts", check_parts_here))
    return stack


def check_parts_here(jobs: Iterable[PartJob], *, limits: PartLimits | None = None) -> Iterator[PartResult]:
    """What the child would answer, without the child."""
    seen = part_check.Seen()
    for job in jobs:
        line = json.dumps(part_check._message(job)).encode()
        try:
            yield part_check._result(job, part_check._answer(line, limits or PartLimits(), seen))
        except VerificationError:
            if job.rewrite is not None:
                job.rewrite.target.unlink(missing_ok=True)
            raise


def refused(
    world: World, bundle: Path, kind: type[AnprShareError], step: int | None, *, lapsed: bool = False
) -> AnprShareError:
    """Assert that ``verify`` and ``load`` refuse a bundle at this step, and that nothing is left half-done.

    Nothing of it is stored, its one-time key lives, its window is open, and the ledger has one entry more, by ``load``.
    The commands themselves destroy first what has ``lapsed``.
    """
    before = _state(world)
    lines = world.uni.ledger.head().seq
    with pytest.raises(AnprShareError) as at_verify:
        loading.verify(world.uni, bundle)
    assert world.uni.ledger.head().seq == lines
    with pytest.raises(AnprShareError) as caught:
        world.load(bundle)
    for error in (at_verify.value, caught.value):
        assert (type(error), getattr(error, "step", None)) == (kind, step), error.message
    assert world.events(UNI)[lines:] == ["load-refused"]
    assert _state(world) == before
    step_told = "" if step is None else f"step {step} of 8: "
    for command in ("verify", "load"):
        code, said = world.told(UNI, command, bundle)
        assert code == kind.exit_code
        assert f"error: {step_told}{caught.value.message}\n" in said
        assert not any(plate in said for plate in PLATES)
    assert (_state(world) == before) is not lapsed
    return caught.value


def _state(world: World) -> dict[str, object]:
    """Everything at the university that a refused bundle must leave as it is."""
    uni = world.uni
    tables = ("bundle", "part", "held_day", "coverage", "seen_key", "deletion", "receipt", "witness", "publication")
    return {
        "store": world.stored(),
        "outbox": sorted(path.name for path in uni.paths.outbox.iterdir()),
        "one-time keys": holdings.onetime_places(uni.db),
        "day keys": holdings.key_places(uni.db),
        "windows": uni.db.rows("SELECT request, first, state FROM request_window ORDER BY 1, 2"),
        **{name: uni.db.rows(f"SELECT count(*) FROM {name}") for name in tables},
    }

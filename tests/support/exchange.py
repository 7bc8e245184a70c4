"""Two forces and a university that have agreed, ready in a moment, and a sender who does not keep to the rules.

:func:`settled` copies sites that were made once in this process: Argon2 is slow on purpose. A :class:`World` opens them
under one clock that tests move. A :class:`Forgery` is a bundle taken apart with its keys, changed at will, and signed
and sealed anew, as only a partner who is malicious can.
"""

from __future__ import annotations

import atexit
import functools
import hashlib
import json
import shutil
import tempfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from unittest import mock

import polars as pl
import pytest

from anpr_share import container, part_check
from anpr_share.cli import main
from anpr_share.documents import agreement as agreement_documents
from anpr_share.documents import canonical
from anpr_share.documents import envelope as dsse
from anpr_share.documents import manifest as manifests
from anpr_share.documents import request as request_documents
from anpr_share.documents.agreement import Agreement
from anpr_share.documents.keys import OpeningKey, SigningKey, seal
from anpr_share.errors import AnprShareError, VerificationError
from anpr_share.parquet import part_key, read_part, write_part
from anpr_share.part_check import PartJob, PartLimits, PartResult
from anpr_share.site import holdings, vault
from anpr_share.site.opened import OpenSite
from anpr_share.tables.profile import load_profile
from anpr_share.work import agreements, exporting, loading, partners, requesting
from anpr_share.work.progress import silent
from tests.support.documents import Fields, changed

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


def terms(parties: Iterable[OpenSite]) -> Fields:
    """The payload of the agreement between these sites."""
    return {
        "format": 1,
        "id": AGREEMENT,
        "version": 1,
        "supersedes": None,
        "title": "Mapping modern slavery vehicular activity",
        "purpose": "research for the prevention of modern slavery",
        "legal_basis": "s.35 Data Protection Act 2018",
        "starts": "2026-09-01",
        "ends": "2027-12-31",
        "timezone": "Europe/London",
        "authority_after": "P90D",
        "reads": {
            "columns": ["vehicle", "camera", "captured_at"],
            "resolution": "1m",
            "retention": "P12M",
            "sample": None,
        },
        "targets": {
            "columns": ["vehicle", "log", "offence", "offence_from", "offence_to"],
            "date_resolution": "day",
            "handling": None,
            "victims": False,
            "retention": "P6M",
        },
        "cameras": None,
        "risk": None,
        "parties": [agreement_documents.party_of(party.identity) for party in parties],
    }


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
            progress=silent,
            **options,
        )
        return out

    def load(self, bundle: Path) -> loading.LoadResult:
        return loading.load(self.uni, bundle, None, silent)

    def forge(self, bundle: Path, *, by: str = LANCS) -> Forgery:
        """The bundle taken apart, as the sender can and the recipient, while the one-time key lives."""
        return Forgery(self, bundle, self.site(by).signing_key)

    def cli(self, site: str, *argv: str | Path) -> int:
        """The exit code of a command at a site."""
        passphrase = self.root / "passphrase"
        if not passphrase.exists():
            passphrase.touch(mode=0o600)
            passphrase.write_bytes(PASSPHRASE)
        common = ["--site", str(self.root / site), "--passphrase-file", str(passphrase), "--quiet"]
        return main.run([*common, *map(str, argv)], clock=self.clock)

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


def reads_input(path: Path, rows: Sequence[Read]) -> exporting.Input:
    """An extract of reads in the bundled plain profile."""
    lines = ["vrm,camera,captured_at,confidence", *(f"{','.join(row)},90" for row in rows)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return exporting.Input((str(path),), load_profile("plain-reads"))


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


def targets_input(path: Path, rows: Sequence[Target]) -> exporting.Input:
    """An extract of targets and its profile."""
    lines = ["vrm,log,offence,offence_from,offence_to,person_category", *(",".join(row) for row in rows)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    profile = path.with_suffix(".toml")
    profile.write_text(TARGETS_PROFILE, encoding="utf-8")
    return exporting.Input((str(path),), load_profile(str(profile)))


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
    stack.enter_context(mock.patch.object(loading, "check_parts", check_parts_here))
    return stack


def check_parts_here(jobs: Iterable[PartJob], *, limits: PartLimits | None = None) -> Iterator[PartResult]:
    """What the child would answer, without the child."""
    for job in jobs:
        line = json.dumps(part_check._message(job)).encode()
        try:
            yield part_check._result(job, part_check._answer(line, limits or PartLimits()))
        except VerificationError:
            if job.rewrite is not None:
                job.rewrite.target.unlink(missing_ok=True)
            raise


@dataclass
class Forgery:
    """A bundle in its pieces. ``manifest`` and ``sealed`` are payloads; ``parts`` are members' contents by name.

    :meth:`put` keeps the manifest in step with what it changes; everything else is the test's to break.
    """

    world: World
    source: Path
    signer: SigningKey
    manifest: Fields = field(init=False)
    sealed: Fields = field(init=False)
    parts: dict[str, bytes] = field(init=False)
    public: bytes = field(init=False)

    def __post_init__(self) -> None:
        contents = dict(members(self.source))
        self.manifest = fields_of(dsse.parse(contents.pop("manifest.json"), manifests.KIND).payload)
        opener = self._opener()
        self.public = opener.public
        self.sealed = fields_of(opener.open(contents.pop("keys.sealed"), self._info()))
        self.parts = contents

    def _opener(self) -> OpeningKey:
        uni = self.world.uni
        first = date.fromisoformat(self.manifest["window"]["first"])
        opener = holdings.onetime_key(uni.db, uni.require_vault(), self.manifest["request"], first)
        assert opener is not None
        return opener

    def _info(self) -> bytes:
        names = ("sender", "agreement", "request", "bundle")
        return manifests.sealed_info(*(self.manifest[name] for name in names))

    def key(self, table: str, day: str) -> bytes:
        return next(
            dsse.from_base64(item["key"])
            for item in self.sealed["keys"]
            if (item["table"], item["day"]) == (table, day)
        )

    def set_key(self, table: str, day: str, key: bytes) -> None:
        others = [item for item in self.sealed["keys"] if (item["table"], item["day"]) != (table, day)]
        fresh = {"table": table, "day": day, "key": dsse.to_base64(key)}
        self.sealed["keys"] = sorted([*others, fresh], key=lambda item: (item["table"], item["day"]))

    def frame(self, table: str, day: str, n: int = 0) -> pl.DataFrame:
        path = self.world.free("part")
        path.write_bytes(self.parts[manifests.member_name(table, day, n)])
        return read_part(path, self._part_key(table, day, n))

    def _part_key(self, table: str, day: str, n: int) -> bytes:
        return part_key(self.key(table, day), self.manifest["bundle"], table, day, n)

    def encrypt(self, frame: pl.DataFrame, table: str, day: str, n: int = 0) -> bytes:
        path = self.world.free("part")
        write_part(frame, path, self._part_key(table, day, n))
        return path.read_bytes()

    def put(self, table: str, day: str, content: bytes | pl.DataFrame, *, n: int = 0, rows: int | None = None) -> None:
        """Put a part in its place, and tell the manifest and the quality record of it."""
        if isinstance(content, pl.DataFrame):
            rows = content.height if rows is None else rows
            content = self.encrypt(content, table, day, n)
        self.parts[manifests.member_name(table, day, n)] = content
        found = next(item for item in self.manifest["tables"] if item["name"] == table)
        known = {(item["day"], item["n"]): item for item in found["parts"]}
        before = known.get((day, n), {"rows": 0})["rows"]
        known[day, n] = {
            "day": day,
            "n": n,
            "rows": (before if rows is None else rows) if table == "reads" else None,
            "bytes": len(content),
            "sha256": hashlib.sha256(content).hexdigest(),
        }
        found["parts"] = [known[place] for place in sorted(known)]
        self.parts = {
            name: self.parts[name]
            for item in self.manifest["tables"]
            for part in item["parts"]
            for name in [manifests.member_name(item["name"], part["day"], part["n"])]
            if name in self.parts
        }
        if table == "reads":
            self.recount()

    def recount(self) -> None:
        """Let the quality record say what the manifest says of reads."""
        table = next(item for item in self.manifest["tables"] if item["name"] == "reads")
        quality = self.quality("reads")
        days: dict[str, int] = {}
        for part in table["parts"]:
            days[part["day"]] = days.get(part["day"], 0) + part["rows"]
        quality["days"] = [{"day": day, "rows": rows, "rejected": 0} for day, rows in days.items()]
        quality["rows_out"] = sum(days.values())
        quality["rows_in"] = (
            quality["rows_out"]
            + sum(quality["rejected"].values())
            + sum(quality["withheld"].values())
            - quality["split"]
        )

    def quality(self, table: str) -> Fields:
        return next(item for item in self.sealed["quality"]["tables"] if item["table"] == table)

    def write(self, *, plaintext: bytes | None = None, info: bytes | None = None, public: bytes | None = None) -> Path:
        """Seal, sign and write. ``plaintext``, ``info`` and ``public`` are of what is sealed."""
        content = canonical.encode(self.sealed) if plaintext is None else plaintext
        box = seal(public or self.public, self._info() if info is None else info, content)
        self.manifest["keys"] = {"bytes": len(box), "sha256": hashlib.sha256(box).hexdigest()}
        envelope = dsse.sign(manifests.KIND, canonical.encode(self.manifest), self.signer)
        return self.pack([("manifest.json", envelope.encode()), ("keys.sealed", box), *self.parts.items()])

    def pack(self, contents: Sequence[tuple[str, bytes]]) -> Path:
        path = self.world.free("forged.anpr.zip")
        path.write_bytes(zipped(contents))
        return path


def fields_of(payload: bytes) -> Fields:
    found = canonical.decode(payload)
    assert isinstance(found, dict)
    return found


def members(path: Path) -> list[tuple[str, bytes]]:
    """Names and contents of a container, in order."""
    with path.open("rb") as file:
        return [(item.name, container.open_member(file, item).read()) for item in container.read(file)]


def zipped(contents: Sequence[tuple[str, bytes]]) -> bytes:
    """A container of any members in any order, correct in every header."""
    data, found = b"", []
    for name, content in contents:
        offset = len(data) + container._LOCAL.size + len(name)
        member = container.Member(name, offset, len(content), zlib.crc32(content))
        data += container._local_header(member) + content
        found.append(member)
    return data + container._ending(found)


def window_key(request: bytes) -> bytes:
    """The public one-time key of a request's first window."""
    return dsse.from_base64(request_documents.parse(request)[0].windows[0].key)


def refused(world: World, bundle: Path, kind: type[AnprShareError], step: int | None) -> AnprShareError:
    """Assert that ``verify`` and ``load`` refuse a bundle at this step, and that nothing is left half-done.

    Nothing of it is stored, its one-time key lives, its window is open, and the ledger has one entry more, by ``load``.
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
    assert world.cli(UNI, "load", bundle) == kind.exit_code
    text = f"{caught.value.message} {caught.value.hint}"
    assert not any(plate in text for plate in PLATES)
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

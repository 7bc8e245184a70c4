"""Child: makes a university's site that took in a bundle of every force each week for a year, up to yesterday.

    python -m benchmarks.make_store FOLDER PASSPHRASE_FILE --forces 10 --rows-per-day 27473 --lines 10000

The site is ``FOLDER/university``. Its first day of reads expired at today's first moment; everything else is held. All
its records are written by the product's own code under a clock that walks through the year: requests, loads with their
receipts, the transaction of each, ledger lines and checkpoints. Three things are left out, for they would take an hour:

- the forces have keys and identities but no sites, so nobody makes an extract, an export or a bundle file: of a bundle
  there are the signed manifest and the quality record, and the digests in the manifest are of nothing;
- steps 1 to 8 of loading are skipped, and the search for older targets, of which there are none; a part of the store is
  one made-up frame, moved to its day and encrypted under its own key by the product's writer;
- runs of purge that found nothing, and looks at the data, are lines of the ledger, signed once a week; the records of
  the site are sealed once, at the end.

Prints one JSON line: parts, rows and bytes of the store, lines of the ledger.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from unittest import mock
from zoneinfo import ZoneInfo

import polars as pl

from anpr_share import parquet
from anpr_share.documents import agreement as agreements
from anpr_share.documents import canonical, manifest
from anpr_share.documents import envelope as dsse
from anpr_share.documents import request as requests
from anpr_share.documents.identity import Identity
from anpr_share.documents.keys import OpeningKey, SigningKey
from anpr_share.documents.model import LedgerHead, WindowTerms, write
from anpr_share.part_check import PartResult, Rewrite
from anpr_share.periods import Duration, Window, oldest_kept
from anpr_share.site import sealing
from anpr_share.site.database import transaction
from anpr_share.site.ledger import Details
from anpr_share.site.opened import OpenSite
from anpr_share.work import agreements as accepting
from anpr_share.work import arriving, loading, partners, requesting, verifying

AGREEMENT = "benchmark"
ZONE = ZoneInfo("Europe/London")
WEEK = timedelta(days=7)
COLUMNS = ("vehicle", "camera", "captured_at")
QUARTER = 13


@dataclass(frozen=True)
class Force:
    """A party that has keys, and no site."""

    identity: Identity
    signing: SigningKey

    @classmethod
    def make(cls, number: int) -> Force:
        """A force of this number."""
        signing = SigningKey.generate()
        made = Identity.make(f"force-{number}", f"Force {number}", "police", signing, OpeningKey.generate())
        return cls(made, signing)


@dataclass
class Year:
    """The university's site, and what goes on in it. ``now`` is what it takes for the time."""

    today: date
    frame: pl.DataFrame
    now: datetime = field(init=False)
    requests: dict[str, requests.Request] = field(default_factory=dict)
    digests: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.at(self.first)

    @property
    def first(self) -> date:
        """The day that expired at midnight."""
        return oldest_kept(self.midday(self.today), Duration(months=12), ZONE) - timedelta(days=1)

    @property
    def weeks(self) -> range:
        """The whole weeks that were over yesterday."""
        return range((self.today - timedelta(days=1) - self.first) // WEEK)

    @staticmethod
    def midday(day: date) -> datetime:
        """The middle of a day, in UTC."""
        return datetime.combine(day, time(12), UTC)

    def at(self, day: date) -> None:
        """Set the clock."""
        self.now = self.midday(day)

    def agree(self, site: OpenSite, forces: list[Force]) -> agreements.Agreement:
        """An agreement of all, in force at the site."""
        fields = {
            "format": 1,
            "id": AGREEMENT,
            "version": 1,
            "supersedes": None,
            "title": "Benchmark on made-up data",
            "purpose": "measuring speed and memory",
            "legal_basis": "none needed: the data is made up",
            "starts": self.first.isoformat(),
            "ends": (self.today + timedelta(days=60)).isoformat(),
            "timezone": "Europe/London",
            "authority_after": None,
            "reads": {"columns": list(COLUMNS), "resolution": "1s", "retention": "P12M", "sample": None},
            "targets": None,
            "cameras": None,
            "risk": None,
            "parties": [agreements.party_of(item) for item in (*(f.identity for f in forces), site.identity)],
        }
        envelope = dsse.sign(agreements.KIND, canonical.encode(fields), site.signing_key)
        for force in forces:
            envelope = dsse.add_signature(envelope, force.signing)
            partners.pin(site, force.identity, force.identity.fingerprint, lambda _: False)
        accepting.accept(site, envelope.encode())
        return agreements.from_envelope(envelope)

    def ask(self, site: OpenSite, force: Force, week: int) -> None:
        """Ask a force for the quarter that began a week ago; for a quarter to come the keys wait."""
        first, out = self.first + week * WEEK, site.paths.outbox / "request.json"
        last = first + QUARTER * WEEK - timedelta(days=1)
        last = min(last, self.today + timedelta(days=58))
        requesting.request(site, AGREEMENT, force.identity.site, first, last, Duration(days=7), out)
        asked, envelope = requests.parse(out.read_bytes())
        self.requests[force.identity.site], self.digests[force.identity.site] = asked, envelope.digest
        out.unlink()

    def load(self, site: OpenSite, agreement: agreements.Agreement, force: Force, first: date) -> None:
        """Take in what a force would have sent for a week."""
        asked, digest = self.requests[force.identity.site], self.digests[force.identity.site]
        [window] = [item for item in asked.windows if item.first == first]
        days = Window(window.first, window.last).days()
        rows = self.frame.height
        parts = tuple(
            manifest.Part(day=day.isoformat(), n=0, rows=rows, bytes=40 * rows, sha256=secrets.token_hex(32))
            for day in days
        )
        said = manifest.Manifest(
            format=1,
            bundle=str(uuid.uuid4()),
            agreement=agreement.digest,
            agreement_id=agreement.id,
            request=digest,
            sender=force.identity.fingerprint,
            recipient=site.identity.fingerprint,
            window=WindowTerms(first=window.first, last=window.last),
            created=self.now,
            normaliser="vrm-1",
            key_check="0" * 16,
            tables=(manifest.Table(name="reads", columns=COLUMNS, parts=parts),),
            keys=manifest.SealedFile(bytes=1000, sha256=secrets.token_hex(32)),
            head=LedgerHead(seq=0, hash=force.identity.fingerprint),
        )
        counted = manifest.TableQuality(
            table="reads",
            rows_in=rows * len(days),
            split=0,
            rows_out=rows * len(days),
            rejected={},
            withheld={},
            resolved={},
            families={},
            ambiguous=0,
            duplicates=0,
            days=tuple(manifest.DayCount(day=day, rows=rows, rejected=0) for day in days),
        )
        quality = manifest.Quality(tables=(counted,), sample=None, authority=None, disclosure_risk=None, notes=())
        keys = {("reads", day.isoformat()): secrets.token_bytes(32) for day in days}
        listed = tuple(
            manifest.DayKey(table="reads", day=day.isoformat(), key=dsse.to_base64(keys["reads", day.isoformat()]))
            for day in days
        )
        envelope = dsse.sign(manifest.KIND, write(said), force.signing)
        verified = arriving.Verified(
            verifying.Opened((), envelope, said),
            verifying.Standing(
                agreement, site.identity, force.identity, asked, digest, None, frozenset(), {}, force.identity.site
            ),
            window,
            manifest.Sealed(format=1, keys=listed, quality=quality),
            keys,
        )
        with mock.patch.object(loading, "checked_parts", self._parts), site.writing():
            loading._store(site, Path(), arriving.Arrival(), verified, None, lambda _: None)  # noqa: SLF001
            site.checkpoint()

    def _parts(
        self, _path: Path, verified: arriving.Verified, rewrites: dict[tuple[str, str, int], Rewrite]
    ) -> Iterator[PartResult]:
        """In place of step 8: every part of the store from the one frame."""
        for part in verified.opened.manifest.tables[0].parts:
            rewrite, day = rewrites["reads", part.day, part.n], date.fromisoformat(part.day)
            # Noon of a day is of that day in London too.
            frame = self.frame.with_columns(captured_at=pl.lit(self.midday(day)).dt.cast_time_unit("us"))
            written = parquet.write_part(frame, rewrite.target, rewrite.key)
            yield PartResult("reads", day, written.rows, written)

    @staticmethod
    def note(site: OpenSite, agreement: agreements.Agreement, looks: int) -> None:
        """A week's nightly purges, which found nothing, and looks at the data; signed."""
        with site.transaction():
            for _ in range(7):
                site.record("purge", site.identity.site, {"days": 0, "files": 0, "windows": 0})
            for _ in range(looks):
                details: Details = {
                    "agreement": agreement.digest,
                    "purpose": "benchmark",
                    "rows": {"reads": 0},
                    "tables": ["reads"],
                }
                site.record("consultation", agreement.id, details)
        site.checkpoint()


@contextmanager
def _in_haste(site: OpenSite) -> Iterator[None]:
    """Wait for no disk, since a site to be measured may be lost, and seal its records once, at the end."""
    for schema in ("main", "keys", "vault"):
        site.db.execute(f"PRAGMA {schema}.synchronous = OFF")
    with (
        mock.patch.object(os, "fsync"),
        mock.patch.object(sealing, "seal"),
        mock.patch.object(sealing, "require_sealed"),
        mock.patch.object(loading, "_held_snapshot", return_value=loading._Held((), False)),  # noqa: SLF001, FBT003
    ):
        yield
    with transaction(site.db):
        sealing.seal(site.db, site.require_vault())


def frame_of(rows: int) -> pl.DataFrame:
    """Rows as large as real ones: tokens that do not compress, of one moment."""
    tokens = secrets.token_hex(16 * rows)
    cameras = [secrets.token_hex(16) for _ in range(300)]
    vehicles = [tokens[32 * n : 32 * (n + 1)] for n in range(rows)]
    return pl.DataFrame(
        {"vehicle": vehicles, "camera": [cameras[n * 7919 % 300] for n in range(rows)]},
    ).sort("vehicle")


def main() -> None:
    parser = argparse.ArgumentParser(description="make a year of a university's store")
    parser.add_argument("folder", type=Path)
    parser.add_argument("passphrase_file", type=Path)
    parser.add_argument("--today", type=date.fromisoformat, required=True)
    parser.add_argument("--forces", type=int, required=True)
    parser.add_argument("--rows-per-day", type=int, required=True)
    parser.add_argument("--lines", type=int, required=True, help="about how many the ledger is to have")
    wanted = parser.parse_args()

    year = Year(wanted.today, frame_of(wanted.rows_per_day))
    forces = [Force.make(number) for number in range(1, wanted.forces + 1)]
    looks = max(0, wanted.lines // len(year.weeks) - 7 - len(forces))
    passphrase = wanted.passphrase_file.read_bytes().strip()
    site = OpenSite.create(
        wanted.folder / "university",
        role="university",
        name="Benchmark University",
        site_id="benchmark-university",
        passphrase=passphrase,
        clock=lambda: year.now,
    )
    with site, _in_haste(site):
        agreement = year.agree(site, forces)
        for week in year.weeks:
            first = year.first + week * WEEK
            year.at(first + WEEK)
            for force in forces:
                if week % QUARTER == 0:
                    year.ask(site, force, week)
                year.load(site, agreement, force, first)
            year.note(site, agreement, looks)
        for force in forces:
            year.ask(site, force, len(year.weeks))
        found = site.db.row("SELECT count(*), sum(rows), sum(bytes) FROM part")
        assert found is not None
        parts, rows, size = found
        print(json.dumps({"parts": parts, "rows": rows, "bytes": size, "lines": site.ledger.head().seq}))


if __name__ == "__main__":
    main()

"""What a researcher sees: tables of the store as LazyFrames, and reads linked to targets.

Guarantees: at each collect, and not before, the clock is read, the agreement must be in force, expired days are left
out whether or not they have been purged, and the look is logged with its purpose: ``scan`` as a consultation, ``link``
as a combination. Nothing is written anywhere but the ledger.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache, partial

import polars as pl
from polars.io.plugins import register_io_source

from anpr_share import parquet
from anpr_share.documents import agreement as agreements
from anpr_share.documents import envelope as dsse
from anpr_share.documents import manifest as manifests
from anpr_share.documents.agreement import Agreement
from anpr_share.documents.manifest import SNAPSHOTS
from anpr_share.errors import InputError, PolicyError, UsageError, VerificationError
from anpr_share.site import catalogue, holdings, records
from anpr_share.site.database import Connection, transaction
from anpr_share.site.opened import OpenSite
from anpr_share.site.purpose import check_purpose
from anpr_share.site.store import LivePart, lazy_table, read_parts
from anpr_share.site.vault import Vault
from anpr_share.tables import schema as schemas
from anpr_share.work.agreements import current
from anpr_share.work.verifying import require_in_force, require_open

TABLES = ("reads", "targets", "cameras", "coverage")
DURING = "during_offence"
MAX_LINKED_ROWS = 50_000_000
"""Rows of one linking. A force whose targets repeat one vehicle hundreds of thousands of times must not stop a site."""
_JOINED_ROWS = 2_000_000
_ROWS = "__rows__"


@dataclass(frozen=True, slots=True)
class _Look:
    """One look at the data: what is logged, and the agreement that it is made under."""

    site: OpenSite
    agreement_id: str
    purpose: str
    event: str
    tables: tuple[str, ...]

    @contextmanager
    def _taken(self) -> Iterator[tuple[Connection, Agreement, datetime]]:
        """A connection, the agreement, which must be in force, and the clock, which is read once for a look."""
        with self.site.connection() as connection:
            self.site.require_sealed(connection)
            agreement = _agreement(connection, self.site, self.agreement_id)
            now = self.site.now(connection)
            require_in_force(agreement, now)
            yield connection, agreement, now

    def parts(self) -> dict[str, list[LivePart]]:
        """Take the clock, the live keys and the ledger entry, now."""
        with self._taken() as (connection, agreement, now):
            return self._logged_parts(connection, agreement, now)

    def to_link(self) -> tuple[dict[str, list[LivePart]], frozenset[str]]:
        """As `parts`, and the forces whose targets tell only the months of their dates."""
        with self._taken() as (connection, agreement, now):
            months = _by_month(connection, self.site, agreement)
            return self._logged_parts(connection, agreement, now), months

    def _logged_parts(self, connection: Connection, agreement: Agreement, now: datetime) -> dict[str, list[LivePart]]:
        found = {table: _live_parts(connection, self.site, agreement, table, now) for table in self.tables}
        self._log(connection, agreement, found)
        return found

    def still_live(self, table: str, parts: Sequence[LivePart]) -> list[LivePart]:
        """Those of the parts of a look that have not expired since; nothing new, so it is not logged again."""
        with self.site.connection() as connection:
            agreement = _agreement(connection, self.site, self.agreement_id)
            now = self.site.now(connection)
        return [part for part in parts if not agreement.is_expired(table, part.day, now)]

    def coverage(self) -> pl.DataFrame:
        """The days that came, live ones only, with the same clock and log."""
        with self._taken() as (connection, agreement, now):
            self._log(connection, agreement, {})
            rows = [
                (item.source, item.day, item.rows, item.rejected)
                for item in holdings.coverage(connection, self.site.require_vault(), agreement.id)
                if not agreement.is_expired("reads", item.day, now)
            ]
        return pl.DataFrame(rows, schema=_coverage_schema(), orient="row")

    def _log(self, connection: Connection, agreement: Agreement, parts: dict[str, list[LivePart]]) -> None:
        with transaction(connection):
            self.site.record(
                self.event,
                agreement.id,
                {
                    "agreement": agreement.digest,
                    "purpose": self.purpose,
                    "rows": {table: sum(part.rows for part in found) for table, found in parts.items()},
                    "tables": list(self.tables),
                },
                connection=connection,
            )
            self.site.checkpoint(connection)


def scan(site: OpenSite, table: str, *, purpose: str, agreement: str | None = None) -> pl.LazyFrame:
    """A table of the store: the agreed columns, ``source`` (String) and ``day`` (Date); its rows in any order.

    ``table`` is one of `TABLES`. Raises :class:`UsageError` for another name or where the agreement must be named,
    :class:`PolicyError` for a purpose that holds what may be a plate, or a table that the agreement has not.
    """
    if table not in TABLES:
        raise UsageError(f"there is no such table; there are {', '.join(TABLES)}", hint="name one of these")
    terms = _terms(site, agreement)
    look = _Look(site, terms.id, check_purpose(purpose), "consultation", (table,))
    if table == "coverage":
        return _lazy_coverage(look)
    columns = {name: dtype for name, dtype in _columns(terms, table).items() if name not in {"source", "day"}}
    return lazy_table(columns, lambda: look.parts()[table], table, partial(look.still_live, table))


def link(site: OpenSite, agreement: str | None = None, *, purpose: str) -> pl.LazyFrame:
    """One row for each read of a target vehicle and each of its target rows, of whichever force.

    The columns of reads, then those of targets but ``vehicle`` (``source`` and ``day`` of the target are
    ``target_source`` and ``target_day``), then the agreed context of the read's camera (String, null where it is not
    known; if cameras are agreed, and reads have ``camera``), and ``during_offence``: whether the read's day lies from
    ``offence_from`` to ``offence_to`` inclusive, the latter's whole month if the target came at month resolution, null
    if either is null.
    Targets and cameras are those that were live when it began; reads that expire meanwhile are left out.
    """
    terms = _terms(site, agreement)
    reads = _columns(terms, "reads")
    targets = _columns(terms, "targets")
    context = _context(terms)
    tables = ("reads", "targets", *(("cameras",) if context else ()))
    look = _Look(site, terms.id, check_purpose(purpose), "combination", tables)
    joined = {
        **reads,
        **{_target_name(name, reads): dtype for name, dtype in targets.items() if name != "vehicle"},
        **context,
        DURING: pl.Boolean(),
    }

    def source(
        with_columns: list[str] | None, predicate: pl.Expr | None, n_rows: int | None, _batch: int | None
    ) -> Iterator[pl.DataFrame]:
        frames = _linked(look, reads, targets, terms)
        yield from _asked(frames, with_columns or list(joined), predicate, n_rows)

    return register_io_source(source, schema=joined, is_pure=False, explain_name="linked")


def nothing_loaded(site: OpenSite, agreement: str | None = None) -> bool:
    """Whether no bundle of the agreement was ever loaded, so that every frame is empty."""
    return not holdings.bundles(site.db, site.require_vault(), agreement=_terms(site, agreement).id)


def _lazy_coverage(look: _Look) -> pl.LazyFrame:
    schema = _coverage_schema()

    def source(
        with_columns: list[str] | None, predicate: pl.Expr | None, n_rows: int | None, _batch: int | None
    ) -> Iterator[pl.DataFrame]:
        yield from _asked(iter([look.coverage()]), with_columns or list(schema), predicate, n_rows)

    return register_io_source(source, schema=schema, is_pure=False, explain_name="coverage")


def _linked(
    look: _Look, reads: dict[str, pl.DataType], columns: dict[str, pl.DataType], terms: Agreement
) -> Iterator[pl.DataFrame]:
    """Every read of a target vehicle, joined to its rows of targets, a group of parts at a time."""
    parts, months = look.to_link()
    targets = _whole(parts["targets"], columns)
    cameras = _whole(parts["cameras"], _columns(terms, "cameras")).drop("day") if "cameras" in parts else None
    targets = targets.rename({name: _target_name(name, reads) for name in columns if name != "vehicle"})
    sought = pl.col("vehicle").is_in(targets["vehicle"].unique().implode())
    each = targets["vehicle"].value_counts(name=_ROWS)
    total = 0
    for frame in read_parts(parts["reads"], reads, None, sought, None, partial(look.still_live, "reads")):
        sized = frame.join(each, on="vehicle", how="inner")
        total += int(sized[_ROWS].sum())
        if total > MAX_LINKED_ROWS:
            raise InputError(
                f"linking gives more than {MAX_LINKED_ROWS:,} rows: some vehicles have far too many rows of targets",
                hint="see which force's: scan the targets, and count by source and vehicle",
            )
        piece = (sized[_ROWS].cum_sum() // _JOINED_ROWS).alias(_ROWS)
        for some in sized.with_columns(piece).partition_by(_ROWS, include_key=False):
            linked = some.join(targets, on="vehicle", how="inner")
            if cameras is not None:
                linked = linked.join(cameras, on=["source", "camera"], how="left")
            yield linked.with_columns(_during(months, targets.columns))


def _whole(parts: Sequence[LivePart], columns: dict[str, pl.DataType]) -> pl.DataFrame:
    """All of a table that is few: there are so many rows of it that memory holds them."""
    frames = list(read_parts(parts, columns, None, None, None))
    return pl.concat(frames) if frames else pl.DataFrame(schema=columns)


def _asked(
    frames: Iterator[pl.DataFrame], wanted: Sequence[str], predicate: pl.Expr | None, n_rows: int | None
) -> Iterator[pl.DataFrame]:
    """What a query asks for of such frames."""
    left = n_rows
    for frame in frames:
        found = frame if predicate is None else frame.filter(predicate)
        found = found.select(wanted)
        if left is not None:
            found = found.head(left)
            left -= found.height
        yield found
        if left == 0:
            return


def _during(months: frozenset[str], columns: Sequence[str]) -> pl.Expr:
    if not {"offence_from", "offence_to"} <= set(columns):
        return pl.lit(None, dtype=pl.Boolean).alias(DURING)
    by_month = pl.col("target_source").is_in(list(months))
    last = pl.when(by_month).then(pl.col("offence_to").dt.month_end()).otherwise(pl.col("offence_to"))
    inside = (pl.col("day") >= pl.col("offence_from")) & (pl.col("day") <= last)
    known = pl.col("offence_from").is_not_null() & pl.col("offence_to").is_not_null()
    return pl.when(known).then(inside).alias(DURING)


def _target_name(name: str, reads: dict[str, pl.DataType]) -> str:
    return f"target_{name}" if name in reads else name


def _context(terms: Agreement) -> dict[str, pl.DataType]:
    """The columns of context that a read can be given by its camera's token."""
    if "camera" not in terms.columns("reads") or terms.terms.cameras is None:
        return {}
    return {name: pl.String() for name in terms.columns("cameras") if name != "camera"}


def _columns(terms: Agreement, table: str) -> dict[str, pl.DataType]:
    agreed = terms.columns(table)
    if not agreed:
        raise PolicyError(
            f"the agreement {terms.id} has no {table}", hint="anpr-share agreement show says what is shared"
        )
    return {**schemas.load("release", table).polars(agreed), "source": pl.String(), "day": pl.Date()}


def _terms(site: OpenSite, agreement: str | None) -> Agreement:
    if site.identity.role != "university":
        raise PolicyError("only a university has a store to read", hint="a force looks at its own extracts")
    site.require_vault()
    return current(site, agreement)


def _agreement(connection: Connection, site: OpenSite, identifier: str) -> Agreement:
    record = catalogue.agreement(connection, site.require_vault(), identifier)
    if record is None:
        raise PolicyError("this site has accepted no such agreement", hint="anpr-share agreement show lists them")
    agreement = _parsed(record.envelope)
    require_open(agreement, record.closed_at)
    return agreement


@lru_cache(maxsize=8)
def _parsed(envelope: bytes) -> Agreement:
    # The bytes alone say what they mean; that they are the accepted ones is checked at every look.
    return agreements.parse(envelope)


def _live_parts(
    connection: Connection, site: OpenSite, agreement: Agreement, table: str, now: datetime
) -> list[LivePart]:
    """The parts of a table that have not expired and whose keys are alive, in order of day and source."""
    vault = site.require_vault()
    keys = holdings.wrapped_day_keys(connection, agreement.id, table)
    bundles = {item.id: item for item in holdings.bundles(connection, vault, agreement=agreement.id)}
    if table in SNAPSHOTS:
        newest = holdings.newest_snapshots(bundles.values(), table)
        bundles = {key: item for key, item in bundles.items() if item.created == newest.get(item.partner)}
    found = []
    for part in holdings.parts(connection, vault, agreement=agreement.id, tbl=table):
        wrapped = keys.get(part.place)
        bundle = bundles.get(part.bundle)
        if wrapped is None or bundle is None:
            continue
        day = agreement.counted_day(part.day, bundle.created, bundle.at)
        if agreement.is_expired(table, day, now):
            continue
        found.append(
            LivePart(
                path=site.paths.root / part.path,
                key=partial(_part_key, vault, part.place, wrapped, part.n),
                source=part.source,
                day=day,
                rows=part.rows,
                bytes=part.bytes,
                sha256=part.sha256,
            )
        )
    return found


def _by_month(connection: Connection, site: OpenSite, agreement: Agreement) -> frozenset[str]:
    """The forces whose targets came under a version that tells months: a later one does not make them finer."""
    vault = site.require_vault()
    versions = [_parsed(item.envelope) for item in catalogue.agreement_versions(connection, vault, agreement.id)]
    months = {item.digest for item in versions if item.terms.targets and item.terms.targets.date_resolution == "month"}
    if not months:
        return frozenset()
    bundles = holdings.bundles(connection, vault, agreement=agreement.id)
    newest = holdings.newest_snapshots(bundles, "targets")
    brought = [item for item in bundles if item.created == newest.get(item.partner)]
    if len(months) < len(versions):
        brought = [item for item in brought if _made_under(connection, item) in months]
    return frozenset(item.partner for item in brought)


def _made_under(connection: Connection, bundle: holdings.Bundle) -> str:
    """The digest of the version of its agreement that a bundle was made under."""
    known = records.one(connection, holdings.KnownManifest, None, "digest = ?", bundle.manifest)
    envelope = None if known is None else dsse.parse(known.envelope, manifests.KIND)
    if envelope is None or envelope.digest != bundle.manifest:
        raise VerificationError(
            "the manifest of a bundle is not the one that was recorded", hint="anpr-share audit says what else is wrong"
        )
    return manifests.from_envelope(envelope).agreement


def _part_key(vault: Vault, place: holdings.KeyPlace, wrapped: bytes, n: int) -> bytes:
    day_key = holdings.unwrap_day_key(vault, place, wrapped)
    return parquet.part_key(day_key, place.bundle, place.tbl, place.day, n)


def _coverage_schema() -> dict[str, pl.DataType]:
    schema = schemas.load("release", "coverage")
    return schema.polars(schema.names)

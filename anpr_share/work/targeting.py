"""Targets of an extract, checked, minimised and pseudonymised. They are few, so they are held in memory.

Guarantees: victims' vehicles and handling codes that are not agreed stay in the force, counted; free text is never
read; dates leave at the agreed resolution; rows leave ordered by all their columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from anpr_share.documents.agreement import Agreement, TargetsTerms
from anpr_share.documents.manifest import LIMITS
from anpr_share.errors import InputError, PolicyError
from anpr_share.pseudonyms import LinkageKey
from anpr_share.risk.figures import Context
from anpr_share.tables.checks import SwappedColumns, Vocabulary, prepare_targets, split_plates, vrm_cells
from anpr_share.tables.extract import open_extract, require_table
from anpr_share.tables.profile import Profile
from anpr_share.tables.schema import DATES
from anpr_share.token_tables import PlateTable
from anpr_share.work.accounting import CATEGORY_MISSING, HANDLING, VICTIM, Tally


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What may leave of a table without days. ``frame`` has the agreed columns, ``paths`` are the files that were read,
    ``notes`` go into the quality record, and ``context`` says what the k rule made of cameras.
    """

    frame: pl.DataFrame
    tally: Tally
    paths: tuple[Path, ...]
    notes: tuple[str, ...] = ()
    context: Context | None = None


def release_targets(
    paths: Sequence[str],
    profile: Profile,
    agreement: Agreement,
    key: LinkageKey,
    site: str,
) -> Snapshot:
    """Read targets and keep what may leave.

    Raises :class:`PolicyError` if the agreement has no targets or the profile lacks a column that a rule of it needs,
    :class:`InputError` for an extract that cannot be used.
    """
    require_agreed(agreement, profile, "targets")
    terms = agreement.terms.targets
    assert terms is not None
    fields = _needed(terms.columns, profile, victims=terms.victims, handling=terms.handling is not None)
    extract = open_extract(paths, profile, fields)
    plates = PlateTable(key, alike="vehicle_alike" in terms.columns, sample=None)
    offences, swapped, tally = Vocabulary(), SwappedColumns(profile, "log"), Tally()
    frames = []
    for batch in extract.batches():
        split = split_plates(batch, profile)
        ids = plates.ids(vrm_cells(split, profile))
        prepared = prepare_targets(split, profile, plate_status=plates.facts["status"].gather(ids), offences=offences)
        (log,) = profile.columns.sources("log")
        swapped.add_cells(batch.frame[log])
        tally.rows_in += batch.frame.height
        tally.split += split.frame.height - batch.frame.height
        tally.rejected.update(prepared.frame["rule"].drop_nulls().to_list())
        frames.append(prepared.frame.with_columns(ids.alias("plate")).filter(pl.col("rule").is_null()))
    swapped.refuse()
    kept = _withhold(pl.concat(frames), terms, tally)
    frame = _pseudonymised(kept, plates.tokens, key, site, month=terms.date_resolution == "month").select(terms.columns)
    tally.rows_out = frame.height
    require_few(frame, "targets")
    tally.duplicates = frame.height - frame.n_unique()
    judged = plates.facts.select(pl.all().gather(kept["plate"]))
    tally.families.update(judged["family"].cast(pl.String).to_list())
    tally.ambiguous = int(judged["ambiguous"].sum())
    return Snapshot(frame.sort(terms.columns), tally, extract.paths)


def require_agreed(agreement: Agreement, profile: Profile, table: str) -> None:
    """Raise :class:`PolicyError` if the agreement has no such table, :class:`UsageError` for a profile of another."""
    if not agreement.columns(table):
        raise PolicyError(
            f"the agreement {agreement.id} has no {table}, so none may leave",
            hint=f"leave out --{table} and --{table}-profile",
        )
    require_table(profile, table)


def require_few(frame: pl.DataFrame, table: str) -> None:
    """Raise :class:`InputError` if more rows would leave than a recipient takes of a table without days."""
    if frame.height > LIMITS.uncounted_rows:
        raise InputError(
            f"more than {LIMITS.uncounted_rows:,} {table} would leave, and no recipient takes more",
            hint=f"give the {table} of this agreement alone",
        )


def _needed(columns: Sequence[str], profile: Profile, *, victims: bool, handling: bool) -> tuple[str, ...]:
    """The profile's fields to read: what leaves, and what decides about leaving."""
    fields = ["vrm", "log", "offence", *(name for name in columns if name in profile.fields)]
    for needed, name, rule in ((not victims, "person_category", "victims = false"), (handling, "handling", "handling")):
        if needed and name not in profile.fields:
            raise PolicyError(
                f"the agreement says {rule}, and the profile does not map {name}",
                hint=f"add {name} to [columns] of the targets' profile",
            )
        if needed:
            fields.append(name)
    lacking = [name for name in columns if name not in (*profile.fields, "vehicle", "vehicle_alike", *DATES)]
    if lacking:
        raise PolicyError(
            f"the agreement lists {', '.join(lacking)}, and the profile does not map them",
            hint="add them to [columns] of the targets' profile",
        )
    return tuple(dict.fromkeys(fields))


def _withhold(accepted: pl.DataFrame, terms: TargetsTerms, tally: Tally) -> pl.DataFrame:
    if not terms.victims:
        category = pl.col("person_category")
        tally.withheld[VICTIM] += accepted.filter(category == "victim").height
        # A row without a category may be a victim's: it stays.
        tally.withheld[CATEGORY_MISSING] += accepted.filter(category.is_null()).height
        accepted = accepted.filter(category != "victim")
    if terms.handling is not None:
        kept = accepted.filter(pl.col("handling").is_in(terms.handling))
        tally.withheld[HANDLING] += accepted.height - kept.height
        accepted = kept
    return accepted


def _pseudonymised(
    kept: pl.DataFrame, plates: pl.DataFrame, key: LinkageKey, site: str, *, month: bool
) -> pl.DataFrame:
    tokens = plates.select(pl.exclude("order").gather(kept["plate"]))
    frame = kept.drop("vrm", "log").with_columns(*tokens, key.logs(site, kept["log"]).alias("log"))
    for name in DATES:
        if name not in frame.columns:
            frame = frame.with_columns(pl.lit(None, dtype=pl.Date).alias(name))
        elif month:
            frame = frame.with_columns(pl.col(name).dt.month_start())
    return frame

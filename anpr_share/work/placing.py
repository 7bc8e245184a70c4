"""The context of a force's cameras: checked, made coarse by the k rule, pseudonymised. They are few: held in memory.

Guarantees: columns that are not agreed are never read; a camera has the token that it has in the reads; every
combination of context that leaves is held by at least as many cameras as agreed; rows leave ordered by all their
columns.
"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from anpr_share.documents.agreement import Agreement
from anpr_share.errors import PolicyError
from anpr_share.pseudonyms import LinkageKey
from anpr_share.risk.contexts import CONTEXT, coarsened, context_of, one_row_each
from anpr_share.tables.checks import SwappedColumns, camera_cells, prepare_cameras
from anpr_share.tables.extract import open_extract
from anpr_share.tables.profile import Profile
from anpr_share.token_tables import CameraTable
from anpr_share.work.accounting import CONTRADICTING, REPEATED, TOO_FEW, Tally
from anpr_share.work.targeting import Snapshot, require_agreed, require_few

# Of how many is not said: it would help to tell context that was taken out from context that was never known.
COARSER = "context of some cameras was made coarser, so that each combination is held by as many as agreed"


def release_cameras(
    paths: Sequence[str],
    profile: Profile,
    agreement: Agreement,
    key: LinkageKey,
    site: str,
) -> Snapshot:
    """Read cameras and keep what may leave: none if there are fewer than must be alike.

    Raises :class:`PolicyError` if the agreement has no cameras or the profile maps none of their agreed context,
    :class:`InputError` for an extract that cannot be used.
    """
    require_agreed(agreement, profile, "cameras")
    terms = agreement.terms.cameras
    assert terms is not None
    mapped = tuple(name for name in context_of(terms.columns) if name in profile.fields)
    if not mapped:
        agreed = ", ".join(context_of(terms.columns)) or "none"
        raise PolicyError(
            f"the profile of the cameras maps no column of the agreed context ({agreed})",
            hint=f"add one of {', '.join(CONTEXT)} to [columns] of the profile, if it is agreed; "
            "else leave out --cameras",
        )
    extract = open_extract(paths, profile, ("camera", *mapped))
    cameras, swapped, tally = CameraTable(key, site), SwappedColumns(profile, "camera"), Tally()
    frames = []
    for batch in extract.batches():
        ids = cameras.ids(camera_cells(batch, profile))
        tokens = cameras.frame["camera"].gather(ids)
        missing = tokens.is_null()
        swapped.add(~missing, cameras.frame["plate_like"].gather(ids))
        prepared = prepare_cameras(batch, profile, camera_missing=missing)
        tally.rows_in += batch.frame.height
        tally.rejected.update(prepared.frame["rule"].drop_nulls().to_list())
        frames.append(prepared.frame.select(tokens, *mapped, "rule").filter(pl.col("rule").is_null()).drop("rule"))
    swapped.refuse()
    found = one_row_each(pl.concat(frames))
    unknown = [pl.lit(None, dtype=pl.String).alias(name) for name in terms.columns if name not in found.frame.columns]
    kept = coarsened(found.frame.with_columns(unknown), terms.k)
    tally.withheld[REPEATED], tally.withheld[CONTRADICTING] = found.repeated, found.contradicting
    tally.withheld[TOO_FEW] = kept.figures.left_out
    tally.rows_out = kept.frame.height
    require_few(kept.frame, "cameras")
    notes = (COARSER,) if kept.figures.coarser else ()
    return Snapshot(kept.frame.select(terms.columns).sort(terms.columns), tally, extract.paths, notes, kept.figures)

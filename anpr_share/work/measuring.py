"""The disclosure risk of a bundle: what goes into its quality record, and whether the agreement lets it through.

Guarantees: what is measured are the very rows of the bundle, at their own resolution and with their own columns; above
the agreement's ceiling a bundle is neither exported, before anything of it is published, nor loaded.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from anpr_share.errors import PolicyError
from anpr_share.risk.figures import above, rounded

if TYPE_CHECKING:
    from collections.abc import Mapping

    from anpr_share.documents.agreement import Agreement
    from anpr_share.risk.figures import Unicity


def disclosure_risk(found: Unicity) -> dict[str, str]:
    """The figures of the quality record, as decimal text.

    ``unicity1`` … ``unicity6`` are the shares of all vehicles that so many random points identify, ``known4`` that of
    those with four points or more, ``low4`` and ``high4`` the 95 % interval of the greater of the two, which is held
    against the ceiling, and ``measured`` how many vehicles were drawn.
    """
    figures = {f"unicity{item.points}": _text(item.vehicles.share) for item in found.curve}
    known = found.by_four.known
    if known is not None:
        figures["known4"] = _text(known.share)
    held = found.four
    return figures | {"low4": _text(held.low), "high4": _text(held.high), "measured": str(found.measured)}


def require_below_ceiling(figures: Mapping[str, str] | None, agreement: Agreement, *, step: int | None = None) -> None:
    """Raise :class:`PolicyError` if the figures of a bundle's reads are above the agreement's ``unicity4_max``.

    ``figures`` is None for a bundle whose sender measured nothing, which is refused where there is a ceiling; ``step``
    is that of verifying.
    """
    ceiling = agreement.terms.risk.unicity4_max if agreement.terms.risk is not None else None
    if ceiling is None:
        return
    if figures is None or "unicity4" not in figures:
        raise PolicyError(
            "the agreement sets a ceiling on disclosure risk, and the sender has not measured it",
            step=step,
            hint="ask the force to export the days anew with this version of anpr-share",
        )
    whose, share = "the vehicles", float(figures["unicity4"])
    if float(figures.get("known4", "0")) > share:
        whose, share = "the vehicles seen so often", float(figures["known4"])
    if above(share, ceiling):
        raise PolicyError(
            f"four reads would single out {rounded(share) * 100:.2f}% of {whose}, and the agreement allows "
            f"{Decimal(ceiling) * 100:f}%",
            step=step,
            hint="agree on coarser times or fewer columns: anpr-share risk shows what each would give",
        )


def _text(share: float) -> str:
    return str(rounded(share))

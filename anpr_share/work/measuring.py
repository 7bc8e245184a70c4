"""The disclosure risk of one export: what goes into its quality record, and whether the agreement lets it leave.

Guarantees: what is measured are the very rows of the bundle, at their own resolution and with their own columns; an
export above the agreement's ceiling is refused before anything of it is published.
"""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from typing import TYPE_CHECKING

from anpr_share.errors import PolicyError
from anpr_share.words import percent

if TYPE_CHECKING:
    from anpr_share.documents.agreement import Agreement
    from anpr_share.risk.figures import Unicity


def disclosure_risk(found: Unicity, agreement: Agreement) -> dict[str, str]:
    """The figures of the quality record, as decimal text.

    ``unicity1`` … ``unicity6`` are the shares of all vehicles that so many random points identify, ``known4`` that of
    those with four points or more, ``low4`` and ``high4`` the 95 % interval of the greater of the two, which is held
    against the ceiling, and ``measured`` how many vehicles were drawn.

    Raises :class:`PolicyError` if that share is above the agreement's ``unicity4_max``.
    """
    ceiling = agreement.terms.risk.unicity4_max if agreement.terms.risk is not None else None
    held = found.four
    if ceiling is not None and Fraction(round(held.share * held.of), max(held.of, 1)) > Fraction(ceiling):
        raise PolicyError(
            f"four reads would single out {percent(held.share)} of the vehicles, measured on {held.of:,} of them, and "
            f"the agreement allows {percent(float(ceiling))}",
            hint="agree on coarser times, fewer columns or a sample: anpr-share risk shows what each would give",
        )
    figures = {f"unicity{item.points}": _text(item.vehicles.share) for item in found.curve}
    known = found.curve[3].known
    if known is not None:
        figures["known4"] = _text(known.share)
    return figures | {"low4": _text(held.low), "high4": _text(held.high), "measured": str(found.measured)}


def _text(share: float) -> str:
    return str(Decimal(share).quantize(Decimal("0.0001"), ROUND_HALF_UP))

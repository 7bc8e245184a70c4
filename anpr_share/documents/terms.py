"""The terms of an agreement in words, whole, for a person to read before signing."""

from __future__ import annotations

from anpr_share.documents.agreement import Agreement
from anpr_share.documents.identity import spoken
from anpr_share.periods import Duration
from anpr_share.words import RESOLUTIONS


def describe(agreement: Agreement) -> list[str]:
    """The terms and parties of an agreement, for a person to read before signing."""
    terms = agreement.terms
    limits = {table: agreement.retention(table).words for table in ("reads", "targets")}
    lines = [
        f"{terms.title} ({terms.id}, version {terms.version})",
        f"purpose      {terms.purpose}",
        f"legal basis  {terms.legal_basis}",
        f"in force     {terms.starts} to {terms.ends}, days as in {terms.timezone}",
        f"reads        {', '.join(terms.reads.columns)}",
        f"             times to {RESOLUTIONS[terms.reads.resolution]}, kept for {limits['reads']}"
        + (f", a sample of {terms.reads.sample} of vehicles" if terms.reads.sample else ""),
    ]
    if terms.authority_after:
        lines.append(
            f"             older than {Duration.parse(terms.authority_after).words} only with a named authority"
        )
    if terms.targets is not None:
        lines += [
            f"targets      {', '.join(terms.targets.columns)}",
            f"             dates to the {terms.targets.date_resolution}, kept for {limits['targets']}",
            f"             {'with' if terms.targets.victims else 'without'} victims' vehicles",
        ]
        if terms.targets.handling is not None:
            lines.append(f"             handling codes {', '.join(terms.targets.handling)} only")
    if terms.cameras is not None:
        lines.append(f"cameras      {', '.join(terms.cameras.columns)}, at least {terms.cameras.k} alike")
        lines.append(f"             kept for {limits['reads']}")
    if terms.risk is not None and terms.risk.unicity4_max is not None:
        lines += [
            f"risk         at most {terms.risk.unicity4_max} of vehicles singled out by four reads",
            "             (an export above that is refused, and so is a load)",
        ]
    for party in agreement.identities:
        lines += [
            f"{party.role:<12} {party.name} ({party.site})",
            f"             {spoken(party.fingerprint, indent=13)}",
        ]
    return lines

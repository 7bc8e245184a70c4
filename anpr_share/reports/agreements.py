"""What the commands about agreements and keys say to a person."""

from __future__ import annotations

from typing import TYPE_CHECKING

from anpr_share.reports.retention import gone_lines
from anpr_share.reports.terminal import near

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anpr_share.reports.terminal import Line
    from anpr_share.work.agreements import AcceptResult, AgreementTerms, KeyResult, SignResult
    from anpr_share.work.closing import DestroyedKey


def sign_lines(result: SignResult) -> list[Line]:
    """Who signs next, or that nobody is missing."""
    lines: list[Line] = [f"signed {result.agreement} version {result.version}, wrote {near(result.path)}"]
    if result.missing:
        following, *others = result.missing
        lines.append(f"next: send it to {following}, to be signed there in the same way")
        if others:
            lines.append(f"after that it needs: {', '.join(others)}")
    else:
        lines.append("every party has signed")
        lines.append("next: send it to every party; each site does: anpr-share agreement accept FILE")
    return lines


def accept_lines(result: AcceptResult) -> list[Line]:
    """What is in force, and which key shares are to be handed on."""
    lines: list[Line] = [f"{result.agreement} version {result.version} is in force here"]
    if result.key_made:
        lines.append("made its linkage key: back up vault.db")
    if result.expired is not None:
        lines += ["of what its limits allow no more:", *gone_lines(result.expired)]
    lines += [f"wrote a key share for another force: {near(path)}" for path in result.shares]
    if result.shares:
        lines.append("next: send each share to its force, which does: anpr-share key accept FILE")
    else:
        lines.append("next: anpr-share status says what is to be done here")
    return lines


def terms_lines(found: Sequence[AgreementTerms]) -> list[Line]:
    """The terms of each agreement."""
    lines: list[Line] = []
    for item in found:
        lines += [*([""] if lines else []), *item.lines, f"digest       {item.digest}"]
        if item.closed_on is not None:
            lines.append(f"closed       on {item.closed_on}: it is in force at this site no more")
    return lines or ["no agreement yet", "next: anpr-share agreement sign FILE -o OUT, and then accept it"]


def key_lines(found: Sequence[KeyResult]) -> list[Line]:
    """The linkage keys that are held, by their checks."""
    if not found:
        return [
            "no linkage key is held here",
            "next: anpr-share key accept FILE, with the share that the first force of an agreement sends",
        ]
    lines: list[Line] = [
        f"{item.agreement}: the linkage key is held here, check {item.check}"
        if item.destroyed_on is None
        else f"{item.agreement}: the linkage key was destroyed here on {item.destroyed_on}"
        for item in found
    ]
    if any(item.destroyed_on is None for item in found):
        lines.append("two forces hold the same key exactly if their checks are the same")
    return lines


def destroyed_lines(result: DestroyedKey) -> list[Line]:
    """A linkage key that is no more, and what that does not do."""
    if result.again:
        return [f"the linkage key of {result.agreement} was destroyed here on {result.destroyed_on} already"]
    return [
        f"destroyed the linkage key of {result.agreement} at this site, for good",
        "what was shared under it stays what it was: pseudonymised personal data at whoever holds it",
        "next: delete key shares that lie about, and copies of vault.db in backups: they hold the key still",
        "other forces of the agreement destroy theirs themselves",
    ]

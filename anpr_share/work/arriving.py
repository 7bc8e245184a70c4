"""A bundle at its recipient: the eight steps put to what this site knows, up to where nothing is written yet.

Guarantees: nothing is written; a part's content is decoded in another process, and only after steps 1 to 7.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import BinaryIO

from anpr_share import container, parquet, periods
from anpr_share.documents import agreement as agreements
from anpr_share.documents import envelope as dsse
from anpr_share.documents import request as requests
from anpr_share.documents.identity import Identity
from anpr_share.documents.manifest import KEYS_NAME, LIMITS, Manifest, Sealed, member_name
from anpr_share.documents.request import RequestedWindow
from anpr_share.errors import LockedError, PolicyError, VerificationError
from anpr_share.files import open_regular
from anpr_share.part_check import PartJob, PartResult, PartRules, Rewrite, check_parts
from anpr_share.periods import UNDATED
from anpr_share.site import catalogue, holdings
from anpr_share.site.opened import OpenSite
from anpr_share.work import measuring, verifying
from anpr_share.work.verifying import Opened, Standing


@dataclass(frozen=True, slots=True)
class VerifyResult:
    """How far a bundle was verified: ``steps`` are those that passed now.

    ``complete`` if all eight passed, now or, of one that is loaded already, when it was loaded.
    """

    bundle: str
    sender: str | None
    steps: tuple[int, ...]
    complete: bool
    note: str | None


@dataclass(slots=True)
class Arrival:
    """What is known of a bundle so far: a refusal reports it."""

    digest: str = ""
    opened: Opened | None = None
    sender: Identity | None = None


@dataclass(frozen=True, slots=True)
class Verified:
    """A bundle after step 7, with its parts still to be checked."""

    opened: Opened
    standing: Standing
    window: RequestedWindow
    sealed: Sealed
    keys: dict[tuple[str, str], bytes]


def verify_alone(path: Path, sender: Identity | None) -> VerifyResult:
    """Verify what needs no secret and no site: steps 1, 3, 4 and 6, and 2 where the sender's identity is given."""
    with open_regular(path, "the bundle") as file:
        members, envelope = verifying.read_container(file)
        if sender is not None:
            verifying.check_signature(envelope, sender)
        manifest = verifying.parse_manifest(envelope)
        if sender is not None and manifest.sender != sender.fingerprint:
            raise PolicyError(
                "the bundle names another sender than the one given",
                step=5,
                hint="give the identity.json of the force that made the bundle",
            )
        verifying.check_members(members, manifest)
        verifying.check_digests(file, members, manifest)
    steps = (1, 2, 3, 4, 6) if sender is not None else (1, 3, 4, 6)
    note = "steps 5, 7 and 8 need the recipient's site"
    if sender is None:
        note = f"who signed it was not checked: name the sender with --sender IDENTITY; {note}"
    return VerifyResult(manifest.bundle, sender.site if sender else None, steps, complete=False, note=note)


def verify(site: OpenSite, path: Path, given: Identity | None = None) -> VerifyResult:
    """All eight steps at the recipient's site; writes nothing. Of a bundle that is loaded already, steps 1 to 6.

    Its step 5 may pass no more, because the agreement or the window has ended since: then the note says so. Of one that
    this site made, what needs no secret of the recipient. ``given`` is who a person says has sent it: it must be pinned
    here, and have signed.
    """
    with open_regular(path, "the bundle") as file:
        _, envelope = verifying.read_container(file)
        if given is not None:
            _require_pin(site, given)
            verifying.check_signature(envelope, given)
        if _signed_by(envelope, site.identity):
            found = verify_alone(path, site.identity)
            return replace(found, note=f"this very site made it; {found.note}")
        opened, sender = open_bundle(site, file, Arrival())
        if (known := known_bundle(site, opened)) is not None:
            return _verify_loaded(site, file, opened, sender, known)
        verified = verify_to_keys(site, file, opened, sender)
        for _ in checked_parts(path, verified, {}):
            pass
    return VerifyResult(opened.manifest.bundle, sender.site, tuple(range(1, 9)), complete=True, note=None)


def _verify_loaded(
    site: OpenSite, file: BinaryIO, opened: Opened, sender: Identity, known: holdings.Bundle
) -> VerifyResult:
    """What can still be verified of a bundle whose manifest is the one recorded when it was loaded."""
    note = f"this bundle was loaded on {known.at:%Y-%m-%d}, and its one-time key is gone: "
    now = site.now()
    try:
        verifying.check_standing(opened.manifest, _standing(site, opened.manifest, sender), now)
    except PolicyError as error:
        steps: tuple[int, ...] = (1, 2, 3, 4, 6)
        note += f"steps 5, 7 and 8 passed then; step 5 would not pass now, because {error.message}"
    else:
        steps = (1, 2, 3, 4, 5, 6)
        note += "steps 7 and 8 passed then"
    verifying.check_digests(file, opened.members, opened.manifest)
    return VerifyResult(opened.manifest.bundle, sender.site, steps, complete=True, note=note)


def open_bundle(site: OpenSite, file: BinaryIO, state: Arrival) -> tuple[Opened, Identity]:
    """Steps 1 to 4, with the sender found among the pinned partners by the key that signed.

    ``state`` learns what is known at each step, for the report of a refusal.
    """
    members, envelope = verifying.read_container(file)
    sender = _sender_of(site, envelope)
    verifying.check_signature(envelope, sender)
    state.sender = sender
    opened = Opened(members, envelope, verifying.parse_manifest(envelope))
    state.opened = opened
    verifying.check_members(members, opened.manifest)
    return opened, sender


def _signed_by(envelope: dsse.Envelope, identity: Identity) -> bool:
    return envelope.signatures[0].key_id == dsse.key_id(identity.signing)


def _require_pin(site: OpenSite, given: Identity) -> None:
    """Raise :class:`PolicyError` unless an identity is this site's own or the very one pinned here, revoked or not."""
    known = catalogue.partner(site.db, site.require_vault(), given.site)
    mine = site.identity.fingerprint
    if given.fingerprint not in (mine, None if known is None else known.fingerprint):
        raise PolicyError(
            f"the identity given for {given.site} is not the one that this site has pinned",
            hint="leave out --sender to go by what is pinned, which anpr-share partner list shows",
            step=2,
        )


def _sender_of(site: OpenSite, envelope: dsse.Envelope) -> Identity:
    for partner in catalogue.partners(site.db, site.require_vault()):
        identity = Identity.parse(partner.identity)
        if _signed_by(envelope, identity):
            if partner.status == "revoked":
                raise PolicyError(
                    f"the sender {partner.id} was revoked",
                    step=2,
                    hint="if the partner is to be trusted again: anpr-share partner replace FILE",
                )
            return identity
    raise PolicyError(
        "the bundle is signed by nobody whom this site has pinned",
        hint="if you know the sender: anpr-share partner add FILE",
        step=2,
    )


def known_bundle(site: OpenSite, opened: Opened) -> holdings.Bundle | None:
    """The record of this bundle, if it was loaded. Raises :class:`PolicyError` if another one took its id."""
    known = holdings.bundle(site.db, site.require_vault(), opened.manifest.bundle)
    if known is not None and known.manifest != opened.envelope.digest:
        raise PolicyError(
            "another bundle with this id is known here", step=5, hint="do not use this file; tell the sender"
        )
    return known if known is not None and known.direction == "loaded" else None


def verify_to_keys(site: OpenSite, file: BinaryIO, opened: Opened, sender: Identity) -> Verified:
    """Steps 5 to 7."""
    manifest, vault = opened.manifest, site.require_vault()
    standing = _standing(site, manifest, sender)
    window = verifying.check_standing(manifest, standing, site.now())
    verifying.check_digests(file, opened.members, manifest)
    key = holdings.onetime_key(site.db, vault, manifest.request, window.first)
    if key is None:
        raise LockedError(
            "the one-time key of this window is not here",
            step=7,
            hint="it was destroyed, or this site was restored from a backup: ask for the days anew",
        )
    [box] = [member for member in opened.members if member.name == KEYS_NAME]
    sealed = verifying.open_keys(container.read_member(file, box), manifest, key)
    keys = sealed.by_day()
    if any(holdings.key_was_seen(site.db, vault, item) for item in keys.values()):
        raise VerificationError(
            "a day key of the bundle has been used before",
            step=7,
            hint="tell the sender, and ask for the days anew with a new request",
        )
    if "reads" in {table.name for table in manifest.tables}:
        measuring.require_below_ceiling(sealed.quality.disclosure_risk, standing.agreement, step=7)
    return Verified(opened, standing, window, sealed, keys)


def _standing(site: OpenSite, manifest: Manifest, sender: Identity) -> Standing:
    """What this site knows of the agreement and request that a manifest names. Raises :class:`PolicyError`.

    The days that this very bundle brought, if it is loaded already, do not stand in its way.
    """
    vault = site.require_vault()
    record = catalogue.agreement(site.db, vault, manifest.agreement_id)
    if record is None:
        raise PolicyError(
            "the bundle was made under an agreement that this site has not accepted",
            step=5,
            hint="anpr-share agreement accept FILE, once every party has signed it",
        )
    agreement = agreements.parse(record.envelope)
    verifying.require_open(agreement, record.closed_at, step=5)
    known = catalogue.request(site.db, vault, manifest.request)
    if known is None or known.direction != "made":
        raise PolicyError(
            "the bundle answers a request that this site never made",
            step=5,
            hint="see whether this is the right site, or whether it was restored from a backup",
        )
    request, envelope = requests.parse(known.envelope)
    windows = {item.first: item for item in catalogue.windows(site.db, vault, envelope.digest)}
    window = windows.get(manifest.window.first)
    first = agreements.parse(catalogue.agreement_versions(site.db, vault, agreement.id)[0].envelope)
    return Standing(
        agreement=agreement,
        recipient=site.identity,
        sender=sender,
        request=request,
        request_digest=envelope.digest,
        window_used=window.bundle if window is not None and window.state == "used" else None,
        held=frozenset(
            periods.parse_day(item.day)
            for item in holdings.held_days(site.db, vault, agreement.id, sender.site, "reads")
            if item.bundle != manifest.bundle
        ),
        key_checks=_key_checks(site, agreement.id),
        key_maker=first.of_role("police")[0].site,
    )


def _key_checks(site: OpenSite, agreement: str) -> dict[str, frozenset[str]]:
    """The key checks under which data are held, with their forces; a bundle of which nothing is left binds nobody."""
    held = holdings.held_bundles(site.db, agreement)
    forces: defaultdict[str, set[str]] = defaultdict(set)
    for item in holdings.bundles(site.db, site.require_vault(), direction="loaded", agreement=agreement):
        if item.id in held:
            forces[item.key_check].add(item.partner)
    return {check: frozenset(found) for check, found in forces.items()}


def _jobs(path: Path, verified: Verified, rewrites: dict[tuple[str, str, int], Rewrite]) -> Iterator[PartJob]:
    manifest = verified.opened.manifest
    places = {member.name: member for member in verified.opened.members}
    for table in manifest.tables:
        rules = _rules(verified.standing.agreement, table.name)
        for part in table.parts:
            member = places[member_name(table.name, part.day, part.n)]
            yield PartJob(
                path=path,
                offset=member.offset,
                size=member.size,
                key=parquet.part_key(
                    verified.keys[table.name, part.day], manifest.bundle, table.name, part.day, part.n
                ),
                table=table.name,
                day=None if part.day == UNDATED else date.fromisoformat(part.day),
                rows=part.rows,
                columns=table.columns,
                zone=verified.standing.agreement.zone,
                window=manifest.window.window,
                sha256=part.sha256,
                rules=rules,
                rewrite=rewrites.get((table.name, part.day, part.n)),
            )


def _rules(agreement: agreements.Agreement, table: str) -> PartRules:
    """What the agreement lets leave of a table's rows, beyond its columns."""
    reads, targets = agreement.terms.reads, agreement.terms.targets
    if table == "reads":
        return PartRules(resolution=reads.resolution)
    if table == "targets" and targets is not None:
        return PartRules(date_resolution=targets.date_resolution, victims=targets.victims)
    if table == "cameras" and agreement.terms.cameras is not None:
        return PartRules(alike=agreement.terms.cameras.k)
    return PartRules()


def checked_parts(
    path: Path, verified: Verified, rewrites: dict[tuple[str, str, int], Rewrite]
) -> Iterator[PartResult]:
    """Step 8: each part, and the rows of the tables whose manifest counts none against the quality record."""
    uncounted: dict[str, int] = {
        table.name: 0 for table in verified.opened.manifest.tables if table.parts[0].rows is None
    }
    for result in check_parts(_jobs(path, verified, rewrites)):
        if result.table in uncounted:
            uncounted[result.table] += result.rows
            if uncounted[result.table] > LIMITS.uncounted_rows:
                raise VerificationError(f"there are more {result.table} than a bundle may hold", step=8)
        yield result
    for table, rows in uncounted.items():
        quality = verified.sealed.quality.of(table)
        if quality is None or quality.rows_out != rows:
            raise VerificationError(f"the parts of {table} have another number of rows than the quality record", step=8)

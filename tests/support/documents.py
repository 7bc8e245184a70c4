"""Made-up parties and one real document of each kind, the same on every run."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import Any

from anpr_share.documents import (
    agreement,
    canonical,
    certificate,
    keyshare,
    manifest,
    notice,
    receipt,
    request,
    summary,
)
from anpr_share.documents import envelope as dsse
from anpr_share.documents.agreement import Agreement
from anpr_share.documents.envelope import Envelope
from anpr_share.documents.identity import Identity
from anpr_share.documents.keys import OpeningKey, SigningKey, seal
from anpr_share.documents.model import Role

BUNDLE = "0b9f6f0e-6d0c-4f3e-9a51-0d5f0c6f7a11"
HEAD = {"seq": 7, "hash": "ab" * 32}
TODAY = date(2026, 9, 1)

Fields = dict[str, Any]


def secret(label: str) -> bytes:
    """32 bytes that are secret to nobody."""
    return hashlib.sha256(label.encode()).digest()


@dataclass(frozen=True)
class Site:
    """A party with its keys."""

    identity: Identity
    signing: SigningKey
    opening: OpeningKey


def site(name: str, role: Role) -> Site:
    signing, opening = SigningKey(secret(f"{name} signing")), OpeningKey(secret(f"{name} opening"))
    words = name.replace("-", " ").title()
    return Site(Identity.make(name, words, role, signing, opening), signing, opening)


FORCE = site("lancashire-police", "police")
OTHER_FORCE = site("west-yorkshire-police", "police")
UNIVERSITY = site("leeds-university", "university")
STRANGER = site("stranger", "police")
PARTIES = (FORCE, OTHER_FORCE, UNIVERSITY)


def terms() -> Fields:
    """The payload of an agreement, to be changed at will."""
    return {
        "format": 1,
        "id": "msv-2026",
        "version": 1,
        "supersedes": None,
        "title": "Mapping modern slavery vehicular activity",
        "purpose": "research for the prevention of modern slavery",
        "legal_basis": "s.35 Data Protection Act 2018",
        "starts": "2026-09-01",
        "ends": "2027-08-31",
        "timezone": "Europe/London",
        "authority_after": "P90D",
        "reads": {
            "columns": ["vehicle", "camera", "captured_at"],
            "resolution": "1m",
            "retention": "P12M",
            "sample": None,
        },
        "targets": {
            "columns": ["vehicle", "log", "offence", "offence_from", "offence_to", "convicted_on"],
            "date_resolution": "month",
            "handling": ["P"],
            "victims": False,
            "retention": "P6M",
        },
        "cameras": {"columns": ["camera", "kind", "road_class"], "k": 10},
        "risk": {"unicity4_max": "0.95"},
        "parties": [agreement.party_of(party.identity) for party in PARTIES],
    }


def envelope(kind: str, fields: Fields, *signers: Site) -> Envelope:
    """The fields as a signed document."""
    first, *others = signers
    made = dsse.sign(kind, canonical.encode(fields), first.signing)
    for other in others:
        made = dsse.add_signature(made, other.signing)
    return made


def signed_agreement(fields: Fields | None = None, *signers: Site) -> Agreement:
    return agreement.from_envelope(envelope(agreement.KIND, fields or terms(), *(signers or PARTIES)))


AGREEMENT = signed_agreement()


def _common(sender: Site, recipient: Site) -> Fields:
    return {
        "format": 1,
        "agreement": AGREEMENT.digest,
        "agreement_id": AGREEMENT.id,
        "sender": sender.identity.fingerprint,
        "recipient": recipient.identity.fingerprint,
        "created": "2026-09-10T08:00:00Z",
        "head": dict(HEAD),
    }


def one_time_key(number: int) -> OpeningKey:
    return OpeningKey(secret(f"one-time {number}"))


def request_fields() -> Fields:
    days = (("2026-09-01", "2026-09-07"), ("2026-09-08", "2026-09-14"))
    windows = [
        {"first": first, "last": last, "key": dsse.to_base64(one_time_key(number).public)}
        for number, (first, last) in enumerate(days)
    ]
    return _common(UNIVERSITY, FORCE) | {"windows": windows}


def key_share_fields() -> Fields:
    info = keyshare.info(FORCE.identity.fingerprint, OTHER_FORCE.identity.fingerprint, AGREEMENT.digest)
    sealed = seal(OTHER_FORCE.opening.public, info, secret("linkage"))
    return _common(FORCE, OTHER_FORCE) | {"key_check": "0123456789abcdef", "sealed": dsse.to_base64(sealed)}


def part(day: str, n: int, rows: int | None) -> Fields:
    digest = hashlib.sha256(f"{day} {n}".encode()).hexdigest()
    return {"day": day, "n": n, "rows": rows, "bytes": 900 + n, "sha256": digest}


def manifest_fields() -> Fields:
    return _common(FORCE, UNIVERSITY) | {
        "bundle": BUNDLE,
        "request": "cd" * 32,
        "window": {"first": "2026-09-01", "last": "2026-09-07"},
        "normaliser": "vrm-1",
        "key_check": "0123456789abcdef",
        "tables": [
            {
                "name": "reads",
                "columns": ["vehicle", "camera", "captured_at"],
                "parts": [part("2026-09-01", 0, 5), part("2026-09-01", 1, 6), part("2026-09-02", 0, 7)],
            },
            {"name": "targets", "columns": ["vehicle", "log", "offence"], "parts": [part("undated", 0, None)]},
        ],
        "keys": {"bytes": 1500, "sha256": "ef" * 32},
    }


def sealed_fields() -> Fields:
    days = [("reads", "2026-09-01"), ("reads", "2026-09-02"), ("targets", "undated")]
    return {
        "format": 1,
        "keys": [
            {"table": table, "day": day, "key": dsse.to_base64(secret(f"day key {table} {day}"))} for table, day in days
        ],
        "quality": {
            "tables": [
                {
                    "table": "reads",
                    "rows_in": 22,
                    "split": 0,
                    "rows_out": 18,
                    "rejected": {"vrm-missing": 3},
                    "withheld": {"sampled": 1},
                    "resolved": {"time-ambiguous": 2},
                    "families": {"current": 15, "prefix": 3},
                    "ambiguous": 1,
                    "duplicates": 2,
                    "days": [
                        {"day": "2026-09-01", "rows": 11, "rejected": 2},
                        {"day": "2026-09-02", "rows": 7, "rejected": 1},
                    ],
                }
            ],
            "sample": "0.05",
            "authority": "Inspector, reference 12",
            "disclosure_risk": None,
            "notes": ["the extract does not reach the end of the window"],
        },
    }


def receipt_fields() -> Fields:
    day = {"table": "reads", "day": "2026-09-01"}
    gone = {"bundle": BUNDLE, "rows": 11, "due": "2027-08-31T23:00:00Z", "at": "2027-09-01T00:10:00Z"}
    return _common(UNIVERSITY, FORCE) | {
        "scope": "all",
        "loaded": [
            {
                "bundle": BUNDLE,
                "manifest": "12" * 32,
                "at": "2026-09-11T09:00:00Z",
                "days": [day | {"rows": 11, "expired": 0}],
            }
        ],
        "refused": [
            {
                "file": "34" * 32,
                "bundle": None,
                "manifest": None,
                "at": "2026-09-11T09:00:00Z",
                "step": 2,
                "reason": "verification",
            }
        ],
        "deleted": [day | gone | {"reason": "expired"}],
        "notices": [{"notice": "56" * 32, "at": "2026-09-12T09:00:00Z"}],
    }


def notice_content_fields() -> Fields:
    recall = {"table": "reads", "days": ["2026-09-01", "2026-09-02"], "reason": "the clock of one feed was wrong"}
    return {"format": 1, "recall": recall, "erase": None}


def notice_fields() -> Fields:
    info = notice.info(FORCE.identity.fingerprint, UNIVERSITY.identity.fingerprint, AGREEMENT.digest)
    sealed = seal(UNIVERSITY.opening.public, info, canonical.encode(notice_content_fields()))
    return _common(FORCE, UNIVERSITY) | {"sealed": dsse.to_base64(sealed)}


def certificate_fields() -> Fields:
    return {
        "format": 1,
        "agreement": AGREEMENT.digest,
        "agreement_id": AGREEMENT.id,
        "version": 1,
        "site": UNIVERSITY.identity.site,
        "role": "university",
        "fingerprint": UNIVERSITY.identity.fingerprint,
        "created": "2027-09-01T09:00:00Z",
        "bundles": [{"bundle": BUNDLE, "manifest": "12" * 32, "partner": FORCE.identity.site}],
        "first": "2026-09-01",
        "last": "2026-09-07",
        "tables": [{"table": "reads", "rows": 18, "destroyed_before": 11, "destroyed_now": 7}],
        "keys": {"day_keys": 2, "onetime_keys": 1, "linkage_key": False},
        "files": {"deleted": 0, "elsewhere": 0},
        "method": certificate.METHOD,
        "backups": "tapes were shredded",
        "person": {"account": "alice", "actor": None},
        "witness": "A. Hussain",
        "head": dict(HEAD),
    }


def summary_fields() -> Fields:
    def step(name: str, rows: int | None, vehicles: int | None, *reasons: tuple[str, int | None, int | None]) -> Fields:
        told = [{"code": code, "rows": rows, "vehicles": vehicles} for code, rows, vehicles in reasons]
        return {"name": name, "judged": True, "rows": rows, "vehicles": vehicles, "reasons": told}

    return {
        "format": 1,
        "id": BUNDLE,
        "identity": dsse.to_base64(FORCE.identity.envelope),
        "created": "2026-09-10T08:00:00Z",
        "at": "2026-09-10T07:59:00Z",
        "first": "2025-09-11",
        "last": "2026-09-10",
        "settings": {
            "steps": ["readable", "window", "seen"],
            "offences": ["labour exploitation"],
            "min_reads": 2,
            "retention": "P12M",
            "timezone": "Europe/London",
            "vehicles_needed": 30,
            "paperwork_days": 90,
            "small_below": 10,
        },
        "reads": 100_000,
        "vehicles_in_reads": 40_000,
        "rows": 300,
        "vehicles": 250,
        "steps": [
            step("readable", 300, 250),
            step("window", None, None, ("dates-missing", 12, 11), ("ended-before", None, None)),
            step("seen", 150, 120, ("not-in-reads", None, None)),
        ],
        "basis": "reads",
        "points": [
            {"days": days, "vehicles": vehicles}
            for days, vehicles in ((0, 120), (30, 120), (60, None), (90, 80), (120, 80), (180, 0))
        ],
        "code": "go",
        "conditions": [],
    }


def identity_fields() -> Fields:
    return {
        "format": 1,
        "site": "lancashire-police",
        "name": "Lancashire Police",
        "role": "police",
        "signing": dsse.to_base64(FORCE.signing.public),
        "encryption": dsse.to_base64(FORCE.opening.public),
    }


def changed(fields: Fields, path: str, value: object) -> Fields:
    """A copy with the value at a dotted path replaced, added, or (for ``...``) taken out."""
    result = copy.deepcopy(fields)
    at: Any = result
    *parents, last = [int(step) if step.isdigit() else step for step in path.split(".")]
    for step in parents:
        at = at[step]
    if value is ...:
        del at[last]
    elif last == len(at) and isinstance(at, list):
        at.append(value)
    else:
        at[last] = value
    return result


# How each kind is made, signed and parsed.
KINDS: dict[str, tuple[Callable[[], Fields], tuple[Site, ...], Callable[[bytes], Any]]] = {
    "identity": (identity_fields, (FORCE,), Identity.parse),
    "agreement": (terms, PARTIES, agreement.parse),
    "key-share": (key_share_fields, (FORCE,), keyshare.parse),
    "request": (request_fields, (UNIVERSITY,), request.parse),
    "manifest": (
        manifest_fields,
        (FORCE,),
        lambda data: manifest.from_envelope(dsse.parse(data, manifest.KIND)),
    ),
    "receipt": (receipt_fields, (UNIVERSITY,), receipt.parse),
    "notice": (notice_fields, (FORCE,), notice.parse),
    "certificate": (certificate_fields, (UNIVERSITY,), certificate.parse),
    "feasibility-summary": (summary_fields, (FORCE,), summary.parse),
}

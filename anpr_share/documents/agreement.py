"""The data-sharing agreement as a signed document: what it does not allow can be neither exported nor loaded.

Guarantees: a parsed :class:`Agreement` lists every party with its whole identity; :func:`require_signed` passes only if
every listed party, and nobody else, has signed it with the listed key.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import Field, model_validator

from anpr_share import periods
from anpr_share.documents import envelope as dsse
from anpr_share.documents.identity import Identity
from anpr_share.documents.model import (
    Base64,
    Day,
    Document,
    DurationText,
    FormatVersion,
    Hex256,
    Identifier,
    LongText,
    Role,
    ShortText,
    ZoneName,
    checked,
    matching,
    pattern_schema,
    read,
)
from anpr_share.errors import FormatError, VerificationError
from anpr_share.periods import UNDATED, Duration
from anpr_share.pseudonyms import sample_threshold

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anpr_share.documents.envelope import Envelope

KIND = "agreement"
MAX_PARTIES = 64
_MAX_BYTES = 1024 * 1024

Resolution = Literal["1s", "1m", "15m", "1h", "1d"]
ReadsColumn = Literal["vehicle", "camera", "captured_at", "vehicle_alike", "vrm_family", "confidence"]
TargetsColumn = Literal[
    "vehicle",
    "log",
    "offence",
    "offence_from",
    "offence_to",
    "convicted_on",
    "vehicle_alike",
    "person_category",
    "grading_scheme",
    "source_grade",
    "information_grade",
]
CamerasColumn = Literal["camera", "kind", "road_class", "area_type"]
_SHARE = r"(0\.[0-9]{1,12}|1)"
Share = Annotated[
    str, matching(_SHARE, "must be a decimal from 0 to 1 in plain digits, such as 0.05"), pattern_schema(_SHARE)
]
_CODE = "[A-Z0-9]{1,4}"
HandlingCode = Annotated[str, matching(_CODE, "must be 1 to 4 capital letters or digits"), pattern_schema(_CODE)]


class ReadsTerms(Document):
    """What may leave of the reads, how fine, and for how long."""

    columns: tuple[ReadsColumn, ...]
    resolution: Resolution
    retention: DurationText
    sample: Annotated[Share, checked(sample_threshold)] | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        _require_columns(self.columns, ("vehicle", "captured_at"))
        return self


class TargetsTerms(Document):
    """What may leave of the targets. Victims' vehicles and handling codes that are not listed stay in the force."""

    columns: tuple[TargetsColumn, ...]
    date_resolution: Literal["day", "month"]
    handling: tuple[HandlingCode, ...] | None = None
    victims: bool
    retention: DurationText

    @model_validator(mode="after")
    def _check(self) -> Self:
        _require_columns(self.columns, ("vehicle", "log", "offence"))
        if self.handling is not None and (not self.handling or len(set(self.handling)) != len(self.handling)):
            raise ValueError("handling lists each code once, or is left out")
        return self


class CamerasTerms(Document):
    """What coarse context of the cameras may leave, and the k of its k-anonymity rule."""

    columns: tuple[CamerasColumn, ...]
    k: Annotated[int, Field(ge=2, le=10_000)]

    @model_validator(mode="after")
    def _check(self) -> Self:
        _require_columns(self.columns, ("camera",))
        return self


class RiskTerms(Document):
    """Ceilings of disclosure risk above which an export is refused."""

    unicity4_max: Share | None = None


class Party(Document):
    """One organisation: its whole identity is part of what everybody signs."""

    id: Identifier
    role: Role
    fingerprint: Hex256
    identity: Base64


class AgreementPayload(Document):
    """The payload of an agreement."""

    format: FormatVersion
    id: Identifier
    version: Annotated[int, Field(ge=1, le=10_000)]
    supersedes: Hex256 | None
    title: ShortText
    purpose: LongText
    legal_basis: LongText
    starts: Day
    ends: Day
    timezone: ZoneName
    authority_after: DurationText | None
    reads: ReadsTerms
    targets: TargetsTerms | None
    cameras: CamerasTerms | None
    risk: RiskTerms | None
    parties: tuple[Party, ...]

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.ends < self.starts:
            raise ValueError("ends lies before starts")
        if (self.version == 1) != (self.supersedes is None):
            raise ValueError("a version above 1, and only such, names the agreement that it supersedes")
        if fault := party_fault([(party.id, party.role, party.fingerprint) for party in self.parties]):
            raise ValueError(fault)
        return self


def party_fault(parties: Sequence[tuple[str, str, str]]) -> str | None:
    """What is wrong with these parties together, each an id, a role and a fingerprint; None if nothing is."""
    ids, roles, fingerprints = ({party[part] for party in parties} for part in range(3))
    if not len(ids) == len(fingerprints) == len(parties):
        return "parties are listed twice"
    if len(parties) > MAX_PARTIES or not roles >= {"police", "university"}:
        return f"an agreement needs at least one police party and one university, at most {MAX_PARTIES} in all"
    return None


def _require_columns(columns: tuple[str, ...], needed: tuple[str, ...]) -> None:
    if len(set(columns)) != len(columns):
        raise ValueError("columns lists a column twice")
    if missing := [name for name in needed if name not in columns]:
        raise ValueError(f"columns lacks {', '.join(missing)}")


@dataclass(frozen=True)
class Agreement:
    """A parsed agreement; who has signed it is for :func:`require_signed` to say."""

    terms: AgreementPayload
    envelope: Envelope
    identities: tuple[Identity, ...]

    @property
    def id(self) -> str:
        """The identifier, the same in all versions."""
        return self.terms.id

    @property
    def digest(self) -> str:
        """SHA-256 of the payload bytes, lower-case hex."""
        return self.envelope.digest

    @cached_property
    def zone(self) -> ZoneInfo:
        """The zone that says what a day is."""
        return ZoneInfo(self.terms.timezone)

    @cached_property
    def ended(self) -> datetime:
        """When it is over: 00:00 after its last day."""
        return periods.day_end(self.terms.ends, self.zone)

    def identity(self, fingerprint: str, role: Role | None = None) -> Identity | None:
        """The party with this fingerprint, if it is one, and of this role."""
        found = (item for item in self.identities if role in (None, item.role))
        return next((item for item in found if item.fingerprint == fingerprint), None)

    def party(self, site: str, role: Role | None = None) -> Identity | None:
        """The party with this site id, if it is one, and of this role."""
        found = (item for item in self.identities if role in (None, item.role))
        return next((item for item in found if item.site == site), None)

    def of_role(self, role: Role) -> tuple[Identity, ...]:
        """The parties of one role, in the order of the agreement."""
        return tuple(item for item in self.identities if item.role == role)

    def retention(self, table: str) -> Duration:
        """How long rows of a table may be kept (cameras, which have no limit of their own: as long as reads)."""
        if table == "targets" and self.terms.targets is not None:
            return Duration.parse(self.terms.targets.retention)
        return Duration.parse(self.terms.reads.retention)

    def delete_by(self, table: str, day: date) -> datetime:
        """When a day of a table must be gone: never later than 00:00 after the agreement's end."""
        return periods.delete_by(day, self.retention(table), self.zone, self.terms.ends)

    def is_expired(self, table: str, day: date, now: datetime) -> bool:
        """Whether a day of a table may no longer be held, loaded, exported or seen."""
        return periods.is_expired(day, now, self.retention(table), self.zone, self.terms.ends)

    def oldest_kept(self, table: str, now: datetime) -> date:
        """The earliest day of a table that is within its limit now; the agreement's end is another matter."""
        return periods.oldest_kept(now, self.retention(table), self.zone)

    def counted_day(self, day: str, created: datetime, loaded: datetime) -> date:
        """The day that retention counts from: a part's capture day, or for ``undated`` the earlier of the two times.

        Raises :class:`FormatError` for a text that is neither a day nor ``undated``.
        """
        if day == UNDATED:
            return periods.undated_day(created, loaded, self.zone)
        return periods.parse_day(day)

    def columns(self, table: str) -> tuple[str, ...]:
        """The agreed columns of a table; none if the table is not part of the agreement."""
        terms = {"reads": self.terms.reads, "targets": self.terms.targets, "cameras": self.terms.cameras}[table]
        return terms.columns if terms is not None else ()


def deadline(versions: Sequence[tuple[Agreement, datetime]], table: str, day: date) -> datetime:
    """By when a day had to be gone at a site that accepted ``versions``, each when it says: none counts before that."""
    return min(max(version.delete_by(table, day), accepted) for version, accepted in versions)


def parse(data: bytes) -> Agreement:
    """Parse an agreement, signed by however many. Raises :class:`FormatError` or :class:`VerificationError`."""
    return from_envelope(dsse.parse(data, KIND, limit=_MAX_BYTES))


def from_envelope(envelope: Envelope) -> Agreement:
    """The agreement in an envelope. Raises as :func:`identities_of` does."""
    terms = read(AgreementPayload, envelope)
    return Agreement(terms, envelope, identities_of(terms))


def identities_of(terms: AgreementPayload) -> tuple[Identity, ...]:
    """The parties' identities: whole, self-signed, as listed, and no key of two parties.

    A shared signing key would let one party sign for another; a shared encryption key would let a university open what
    is sealed to a force. Raises :class:`FormatError` or :class:`VerificationError`.
    """
    identities = tuple(_identity(party) for party in terms.parties)
    for keys in ({item.signing for item in identities}, {item.encryption for item in identities}):
        if len(keys) != len(identities):
            raise FormatError("two parties of the agreement share a key")
    return identities


def _identity(party: Party) -> Identity:
    identity = Identity.parse(dsse.from_base64(party.identity))
    if (identity.site, identity.role, identity.fingerprint) != (party.id, party.role, party.fingerprint):
        raise FormatError("a party of the agreement is listed otherwise than its identity says")
    return identity


def party_of(identity: Identity) -> dict[str, str]:
    """The entry of a party in an agreement's payload."""
    return {
        "id": identity.site,
        "role": identity.role,
        "fingerprint": identity.fingerprint,
        "identity": dsse.to_base64(identity.envelope),
    }


def signers(agreement: Agreement) -> tuple[Identity, ...]:
    """The parties that have signed; each signature is checked. Raises :class:`VerificationError` for any other."""
    by_key = {dsse.key_id(item.signing): item for item in agreement.identities}
    found = []
    for signature in agreement.envelope.signatures:
        identity = by_key.get(signature.key_id)
        if identity is None:
            raise VerificationError("the agreement is signed by a key that is none of its parties'")
        dsse.verify_one(agreement.envelope, signature, identity.signing)
        found.append(identity)
    return tuple(found)


def require_signed(agreement: Agreement) -> None:
    """Raise :class:`VerificationError` unless exactly every party has signed."""
    done = {item.site for item in signers(agreement)}
    if missing := [item.site for item in agreement.identities if item.site not in done]:
        raise VerificationError(
            f"the agreement lacks the signature of {', '.join(missing)}",
            hint="each party adds its own with: anpr-share agreement sign FILE -o OUT",
        )

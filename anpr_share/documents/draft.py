"""The draft of an agreement: a commented TOML file that people edit before anybody signs.

Guarantees: a draft that :func:`parse_draft` accepts is an agreement's whole payload, checked as strictly as a signed
one, parties' identities included. Errors name the field and never its value. Numbers with a point are read as the text
that stands in the file, so that what is signed is what was written.
"""

from __future__ import annotations

import json
from datetime import date, datetime, time, timedelta
from typing import TYPE_CHECKING

from anpr_share.documents import agreement as agreements
from anpr_share.documents import canonical
from anpr_share.documents import envelope as dsse
from anpr_share.documents.agreement import AgreementPayload, identities_of, party_fault, party_of
from anpr_share.documents.identity import Identity
from anpr_share.documents.keys import OpeningKey, SigningKey
from anpr_share.documents.model import path_text, validate, write
from anpr_share.errors import FormatError, UsageError
from anpr_share.periods import Duration
from anpr_share.toml import read_toml

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anpr_share.documents.agreement import (
        Agreement,
        CamerasTerms,
        ReadsTerms,
        RiskTerms,
        TargetsTerms,
    )
    from anpr_share.documents.model import Role

MAX_CHARACTERS = 512 * 1024
"""Room for 64 parties with the longest names."""

_FREE_TEXT = ("title", "purpose", "legal_basis")
_OPTIONAL = ("supersedes", "authority_after", "targets", "cameras", "risk")

_HEAD = """\
# A data-sharing agreement, to be edited here and then signed by every party.
#
# Lines that begin with # are explanations. Fill in what stands empty between quotes, read the rest and change what
# does not fit. Then sign it:   anpr-share agreement sign THIS-FILE -o agreement.json
# What this file does not allow can be neither exported by a force nor loaded by a university.
# Once the first party has signed, every later change needs a new version and new signatures.
"""

_DAYS_AND_PLACES = """\
# What a day is. Data are asked for, counted and deleted by days of this zone, so use the zone by which the forces
# cut their extracts.
timezone = {timezone}

# Reads older than this may leave a force only if someone with the authority has agreed: the export then names the
# reference of that decision. P90D is 90 days. Take the line out if no such rule applies.
{authority_after}
"""

_READS = """
# Reads: one row for each time that a camera saw a vehicle.
[reads]
# The columns that may leave the force. Number plates and camera names never leave: `vehicle` and `camera` are tokens,
# the same for one vehicle in all forces of this agreement, and meaningless in any other.
# May be added: "vehicle_alike" (a second token, the same for plates that a camera easily confuses: it finds misreads,
# and takes more vehicles for one), "vrm_family" (kind of plate, such as current or northern_ireland), "confidence"
# (how sure the camera was, in five bands).
columns = {columns}
# How exact the times are: "1s", "1m", "15m", "1h" or "1d". Coarser times identify fewer people.
resolution = {resolution}
# How long a read may be kept, counted from the day on which it was captured: P1M to P12M (months) or P1D to P365D
# (days). From then on anpr-share shows it to nobody, and destroys it.
retention = {retention}
# To keep only some of the vehicles, chosen by chance: 0.05 keeps 1 vehicle in 20, the same ones in every force, and
# every vehicle of the targets table.
{sample}
"""

_TARGETS = """
# Targets: vehicles named in intelligence logs or convictions. Take this section out if none are shared.
[targets]
# The columns that may leave. `log` is a token of the log's reference; free text never leaves.
# May be added: "vehicle_alike" (as for reads), "person_category" (suspect, convicted, victim or witness),
# "grading_scheme", "source_grade" and "information_grade" (how the intelligence was graded).
columns = {columns}
# How exact the dates are: "day" or "month".
date_resolution = {date_resolution}
# The handling codes whose rows may leave; rows with any other code stay in the force and are counted. Take the line
# out if the extracts have no handling codes.
{handling}
# Whether vehicles of victims may leave. false keeps them in the force, and the extract then needs person categories.
victims = {victims}
# How long targets may be kept, counted from the day on which their bundle was made or, if earlier, loaded.
retention = {retention}
"""

_CAMERAS = """
# Cameras: what sort of place a camera stands at, never where. Take this section out if it is not needed. What leaves
# is kept for as long as reads.
[cameras]
# The columns that may leave. Kinds are fixed and mobile. May be added: "area_type" (urban, suburban or rural).
columns = {columns}
# Each combination of these descriptions is shared by at least this many cameras of a force. Where it is not, the type
# of area is left out, then the class of road, then the kind; a force with fewer cameras in all gives none.
k = {k}
"""

_RISK = """
# A ceiling on how identifying an export may be: the share of vehicles that four of their reads would single out.
# An export above it is refused. For people and vehicles that share is mostly above 0.9, whatever is done to the times:
# anpr-share risk measures it on an extract and shows what helps. Without this section nothing is refused for it.
{header}
{unicity4_max}
"""

_PARTIES = """
# The parties: who must sign. Written from their identity files, not to be edited. Compare each fingerprint with the
# party over the telephone or on paper before you sign: it is the only proof that this is them.
"""


_NO_PARTIES = """
# No party is listed: these terms can be tried out with anpr-share risk, and not be signed. A draft to be signed lists
# the parties here: anpr-share agreement draft --party IDENTITY --party IDENTITY.
"""


def draft_toml(parties: Sequence[Identity], today: date, supersedes: Agreement | None) -> str:
    """A commented draft for these parties, to be edited: a first version that starts today and runs for a year.

    With ``supersedes`` it is that agreement's next version, with its terms: ``parties`` is then the whole new list.
    Without parties it is one to try terms with, which nobody can sign. Raises :class:`UsageError` if these parties can
    have no agreement.
    """
    if parties and (fault := party_fault([(party.site, party.role, party.fingerprint) for party in parties])):
        raise UsageError(fault, hint="give --party once for each force, and once for the university")
    old = supersedes.terms if supersedes else None
    first = [
        _HEAD,
        "# A short name, the same in all versions: lower-case words joined by hyphens. It becomes part of every token.",
        f"id = {_toml(old.id if old else '')}",
        "# 1 for a new agreement; each change of the terms is a new version, signed anew by everybody.",
        f"version = {old.version + 1 if old else 1}",
    ]
    if supersedes:
        first += ["# Which version this one replaces. Not to be edited.", f"supersedes = {_toml(supersedes.digest)}"]
    first += [
        "# What people call it.",
        f"title = {_toml(old.title if old else '')}",
        "# What the data are for. Use for anything else is not allowed.",
        f"purpose = {_toml(old.purpose if old else '')}",
        "# The law that allows it, and the documents that show it: the section relied on, the impact assessment.",
        f"legal_basis = {_toml(old.legal_basis if old else '')}",
        "# The first and the last day on which data may be asked for, exported, loaded and read. They do not limit",
        "# when the reads were captured. From the day after the last one nobody is shown any of the data,",
        "# and they must be destroyed.",
        f"starts = {(old.starts if old else today).isoformat()}",
        f"ends = {(old.ends if old else Duration(months=12).after(today) - timedelta(days=1)).isoformat()}",
        "",
        _DAYS_AND_PLACES.format(
            timezone=_toml(old.timezone if old else "Europe/London"),
            authority_after=_line("authority_after", old.authority_after if old else "P90D", "P90D"),
        ),
    ]
    sections = [
        _reads(old.reads if old else None),
        _targets(old.targets if old else None) if not old or old.targets else "",
        _cameras(old.cameras if old else None) if not old or old.cameras else "",
        _risk(old.risk if old else None),
        _PARTIES if parties else _NO_PARTIES,
    ]
    listed = [
        "[[parties]]\n" + "".join(f"{name} = {_toml(value)}\n" for name, value in party_of(party).items())
        for party in parties
    ]
    return "\n".join(first).rstrip("\n") + "\n" + "".join(sections) + "\n".join(listed)


def parse_draft(text: str, *, trial: bool = False) -> AgreementPayload:
    """Read an edited draft. Raises :class:`FormatError` that names the field, or :class:`VerificationError`.

    On ``trial``, to look at the terms alone, blanks may be left, and so may the parties: others stand in for them.
    """
    if len(text) > MAX_CHARACTERS:
        raise FormatError(
            f"the draft is longer than {MAX_CHARACTERS} characters",
            hint="shorten title, purpose and legal basis, or list fewer parties",
        )
    values = read_toml(text, "the draft", parse_float=str)
    try:
        fields = {name: _plain(value, (name,)) for name, value in values.items()}
    except RecursionError:
        raise FormatError(
            "the draft is nested too deeply", hint="begin with a new draft: anpr-share agreement draft --party IDENTITY"
        ) from None
    if "format" in fields:
        raise FormatError(
            "the draft is not valid: format: unknown field", hint="take the line out: the format is not for you to set"
        )
    for name in _FREE_TEXT:
        if isinstance(value := fields.get(name), str):
            fields[name] = " ".join(value.split())
    filled = dict.fromkeys(_OPTIONAL) | fields | {"format": 1}
    if trial:
        fields = filled = _stood_in(filled)
    if blank := [name for name in ("id", *_FREE_TEXT) if not str(fields.get(name, "?")).strip()]:
        raise FormatError(
            f"the draft is not filled in: {', '.join(blank)} {'is' if len(blank) == 1 else 'are'} empty",
            hint="open it in an editor, and write between the quotes",
        )
    try:
        terms = validate(AgreementPayload, canonical.encode(filled), "draft")
    except FormatError as error:
        raise FormatError(error.message, hint="change it in the draft, where a comment explains it") from None
    identities_of(terms)
    return terms


def read_any(data: bytes, *, trial: bool = False) -> Agreement:
    """An agreement as a draft (TOML), or signed by some or all of its parties; each signature is checked.

    A draft may be on ``trial``, as :func:`parse_draft` says: never where it is to be signed.

    Raises :class:`FormatError` and :class:`VerificationError`.
    """
    if data.lstrip()[:1] == b"{":
        agreement = agreements.parse(data)
        agreements.signers(agreement)
        return agreement
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise FormatError(
            "the draft of the agreement is not UTF-8 text", hint="save it as UTF-8 in your editor"
        ) from None
    return agreements.from_envelope(dsse.Envelope(agreements.KIND, write(parse_draft(text, trial=trial)), ()))


def _stood_in(fields: dict[str, object]) -> dict[str, object]:
    """The fields of a draft on trial, with what stands in for blanks and for parties."""
    blanks = {"id": "draft"} | dict.fromkeys(_FREE_TEXT, "not written yet")
    filled: dict[str, object] = {name: text for name, text in blanks.items() if not str(fields.get(name, "")).strip()}
    if "parties" not in fields:
        roles: tuple[Role, ...] = ("police", "university")
        filled["parties"] = [party_of(_somebody(role)) for role in roles]
    return fields | filled


def _somebody(role: Role) -> Identity:
    return Identity.make(f"some-{role}", f"some {role}", role, SigningKey.generate(), OpeningKey.generate())


def _plain(value: object, path: tuple[int | str, ...]) -> object:
    """What TOML gave, as JSON can say it."""
    if isinstance(value, dict):
        return {name: _plain(item, (*path, name)) for name, item in value.items()}
    if isinstance(value, list):
        return [_plain(item, (*path, number)) for number, item in enumerate(value)]
    if isinstance(value, datetime | time):
        raise FormatError(
            f"the draft is not valid: {path_text(path)}: must be a day as YYYY-MM-DD, without a time",
            hint="such as 2026-10-01, without quotes",
        )
    return value.isoformat() if isinstance(value, date) else value


def _toml(value: object) -> str:
    """JSON spells text, numbers, booleans and lists of our fields, which are printable, as TOML does."""
    return json.dumps(value, ensure_ascii=False)


def _line(name: str, value: object, example: object) -> str:
    """A setting, or where there is none an example of it behind a comment sign."""
    return f"# {name} = {_toml(example)}" if value is None else f"{name} = {_toml(value)}"


def _reads(old: ReadsTerms | None) -> str:
    sample = old.sample if old else None
    return _READS.format(
        columns=_toml(old.columns if old else ["vehicle", "camera", "captured_at"]),
        resolution=_toml(old.resolution if old else "1m"),
        retention=_toml(old.retention if old else "P12M"),
        sample=f"sample = {_toml(sample)}" if sample else "# sample = 0.05",
    )


def _targets(old: TargetsTerms | None) -> str:
    usual = ["vehicle", "log", "offence", "offence_from", "offence_to", "convicted_on"]
    return _TARGETS.format(
        columns=_toml(old.columns if old else usual),
        date_resolution=_toml(old.date_resolution if old else "month"),
        handling=_line("handling", old.handling if old else ["P"], ["P"]),
        victims=_toml(old.victims if old else False),
        retention=_toml(old.retention if old else "P12M"),
    )


def _cameras(old: CamerasTerms | None) -> str:
    return _CAMERAS.format(
        columns=_toml(old.columns if old else ["camera", "kind", "road_class"]), k=old.k if old else 10
    )


def _risk(old: RiskTerms | None) -> str:
    ceiling = old.unicity4_max if old else None
    return _RISK.format(header="[risk]" if old else "# [risk]", unicity4_max=_line("unicity4_max", ceiling, "0.95"))

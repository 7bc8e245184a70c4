"""A profile: how one system's extract maps onto our tables, written by the force in TOML.

- A profile is read strictly: an unknown key, a wrong type or a format that cannot tell a whole time is refused.
- Nothing about dates is guessed: order, format and time zone are declared.
- A refusal names the key, never what the file holds there: a profile may be hostile, and its text may be data.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final, Literal, Self, get_args
from zoneinfo import ZoneInfo

import polars as pl
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from anpr_share.errors import FormatError, StorageError, UsageError
from anpr_share.files import open_regular
from anpr_share.periods import Duration
from anpr_share.tables.schema import load
from anpr_share.toml import read_toml

MAX_PROFILE_BYTES = 64 * 1024
MAX_COLUMNS = 10_000
"""More columns than this in an extract are a hostile file or a wrong delimiter."""

RESERVED = frozenset({"__ragged__", "__row__"})
"""Names that batches use for themselves."""

_FOLDER = Path(__file__).resolve().parents[1] / "profiles"
_DIRECTIVE = re.compile(r"%(?:[YmdHMSyjbBhaAIpFTRDze%]|[#:]z|\.[369]?f|[369]f)")
_SAMPLE = datetime(2026, 11, 23, 17, 45, tzinfo=UTC)  # an afternoon, a day past the 12th: a format must bring it back


def _tuple(value: object) -> object:
    if isinstance(value, str):
        return (value,)
    return tuple(value) if isinstance(value, list) else value


def _column_name(name: str) -> str:
    name = name.strip()
    if not name or len(name) > 256 or name in RESERVED or any(character < " " for character in name):
        raise ValueError("is not a column name")
    return name


def _distinct(names: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(names)) != len(names):
        raise ValueError("names a column twice")
    return names


def _zone_name(value: str) -> str:
    try:
        ZoneInfo(value)
        pl.Series([_SAMPLE.replace(tzinfo=None)]).dt.replace_time_zone(value)
    except (KeyError, ValueError, OSError, pl.exceptions.PolarsError):
        raise ValueError("is not a time zone") from None
    return value


ColumnName = Annotated[str, AfterValidator(_column_name)]
ColumnNames = Annotated[
    tuple[ColumnName, ...],
    BeforeValidator(_tuple),
    Field(min_length=1, max_length=MAX_COLUMNS),
    AfterValidator(_distinct),
]
Texts = Annotated[tuple[str, ...], BeforeValidator(_tuple), Field(max_length=1000)]


class _Model(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", hide_input_in_errors=True)


class FileFormat(_Model):
    """How the file is written.

    ``header`` names the columns of a file that has no header line, and ``optional_header`` those after them that a row
    may leave out. ``quote = ""`` says that the file quotes nothing, so that a quotation mark is only a character.
    """

    delimiter: str = ","
    encoding: Literal["utf-8", "utf-16", "cp1252"] = "utf-8"
    quote: Literal['"', ""] = '"'
    null_values: Texts = ()
    skip_rows: Annotated[int, Field(ge=0, le=1000)] = 0
    header: ColumnNames | None = None
    optional_header: ColumnNames | None = None

    @field_validator("delimiter")
    @classmethod
    def _one_character(cls, value: str) -> str:
        divides = value == "\t" or (value.isascii() and value.isprintable() and not value.isalnum())
        if len(value) != 1 or not divides or value in '"\\':
            raise ValueError("is one character such as , ; | or a tab")
        return value

    @model_validator(mode="after")
    def _optional_needs_header(self) -> Self:
        if self.optional_header is not None and self.header is None:
            raise ValueError("optional_header needs header")
        if set(self.header or ()) & set(self.optional_header or ()):
            raise ValueError("header and optional_header share a name")
        return self


class DateColumn(_Model):
    """The columns of a date, joined with a space if several, and their format in polars' directives."""

    columns: ColumnNames
    format: Annotated[str, Field(min_length=2, max_length=100)]

    @field_validator("format")
    @classmethod
    def _known_directives(cls, value: str) -> str:
        if "%" in _DIRECTIVE.sub("", value) or any(character < " " and character != "\t" for character in value):
            raise ValueError("holds a directive that is not known (a fraction of a second is %.f)")
        if not cls._brings_back(value):
            raise ValueError("does not tell a whole time")
        return value

    @classmethod
    def _brings_back(cls, value: str) -> bool:
        day = pl.Series([_SAMPLE.date()], dtype=pl.Date)
        try:
            written = pl.Series([_SAMPLE]).dt.strftime(value)
            return written.str.strptime(pl.Date, value, strict=False).equals(day)
        except pl.exceptions.PolarsError:
            return False


class TimeColumn(DateColumn):
    """The columns of a time, and how a local time becomes UTC.

    A format with an offset (``%z``, or ``%#z`` where it may be ``Z``) needs no ``timezone``.
    """

    timezone: str | None = None
    ambiguous: Literal["reject", "earliest", "latest"] = "reject"
    nonexistent: Literal["reject", "forward"] = "reject"

    @property
    def has_offset(self) -> bool:
        """Whether the cells say themselves how far they are from UTC."""
        return re.search(r"%[#:]?z", self.format.replace("%%", "")) is not None

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, value: str | None) -> str | None:
        return value if value is None else _zone_name(value)

    @classmethod
    def _brings_back(cls, value: str) -> bool:
        try:
            written = pl.Series([_SAMPLE]).dt.strftime(value.replace("%#z", "%z"))
            read = written.str.to_datetime(value, time_unit="us", strict=False)
        except pl.exceptions.PolarsError:
            return False
        return read.dt.replace_time_zone("UTC").to_list() == [_SAMPLE]

    @model_validator(mode="after")
    def _zone_is_said_once(self) -> Self:
        if not self.has_offset and self.timezone is None:
            raise ValueError("timezone is missing")
        if self.format.endswith("Z") and self.timezone != "UTC":
            raise ValueError('a format that ends in Z needs timezone = "UTC"')
        return self


StepName = Literal["readable", "offence", "convicted", "has-vrm", "whole-vrm", "victim", "window", "seen", "often"]
STEPS: Final[tuple[StepName, ...]] = get_args(StepName)
"""The steps of `feasibility`, in their usual order. What cannot be read is told first, whatever the order."""


def _steps(steps: tuple[StepName, ...]) -> tuple[StepName, ...]:
    if len(set(steps)) != len(steps):
        raise ValueError("names a step twice")
    return ("readable", *(step for step in steps if step != "readable"))


def _limit(text: str) -> str:
    try:
        Duration.parse(text)
    except FormatError:
        raise ValueError("is not P1M to P12M or P1D to P365D") from None
    return text


def _offence(text: str) -> str:
    # Anything else is no offence of an extract, and so would bring nothing into scope; and it may be data.
    pattern = load("extract", "targets").field("offence").pattern
    if pattern is None or re.fullmatch(pattern, text) is None:
        raise ValueError("is not 1 to 64 letters, spaces and hyphens")
    return text


Offences = Annotated[
    tuple[Annotated[str, AfterValidator(_offence)], ...], BeforeValidator(_tuple), Field(min_length=1, max_length=100)
]


class FeasibilitySettings(_Model):
    """What ``feasibility`` goes by: which offences are in scope, in which order steps are taken, how few is too few.

    ``steps`` may leave out what a project does not ask for. ``offences`` are compared without case; all are in scope if
    there are none. ``retention`` and ``timezone`` say which reads are still there. A vehicle needs ``min_reads`` reads,
    a project ``vehicles_needed`` vehicles after ``paperwork_days`` days. Counts under ``small_below`` are not shared.
    """

    steps: Annotated[tuple[StepName, ...], BeforeValidator(_tuple), Field(min_length=1), AfterValidator(_steps)] = STEPS
    offences: Offences | None = None
    min_reads: Annotated[int, Field(ge=1, le=1000)] = 2
    retention: Annotated[str, AfterValidator(_limit)] = "P12M"
    timezone: Annotated[str, AfterValidator(_zone_name)] = "Europe/London"
    vehicles_needed: Annotated[int, Field(ge=1, le=1_000_000)] = 30
    paperwork_days: Annotated[int, Field(ge=0, le=365)] = 90
    small_below: Annotated[int, Field(ge=5, le=1000)] = 10


class Columns(_Model):
    """Which columns of the extract each field of a table comes from."""

    def sources(self, field: str) -> tuple[str, ...]:
        """The extract's columns that make up a field; empty if the profile does not map it."""
        value = getattr(self, field, None) if field in type(self).model_fields else None
        if value is None:
            return ()
        if isinstance(value, DateColumn):
            return value.columns
        return (value,) if isinstance(value, str) else tuple(value)


class ReadsColumns(Columns):
    """Where the fields of a read are."""

    vrm: ColumnName
    camera: ColumnNames
    captured_at: TimeColumn
    confidence: ColumnName | None = None


class TargetsColumns(Columns):
    """Where the fields of a target are."""

    vrm: ColumnName
    log: ColumnName
    offence: ColumnName
    offence_from: DateColumn | None = None
    offence_to: DateColumn | None = None
    convicted_on: DateColumn | None = None
    person_category: ColumnName | None = None
    handling: ColumnName | None = None
    grading_scheme: ColumnName | None = None
    source_grade: ColumnName | None = None
    information_grade: ColumnName | None = None

    @model_validator(mode="after")
    def _grades_need_their_scheme(self) -> Self:
        if (self.source_grade or self.information_grade) and not self.grading_scheme:
            raise ValueError("grades need grading_scheme")
        return self


class CamerasColumns(Columns):
    """Where the fields of a camera are."""

    camera: ColumnNames
    kind: ColumnName | None = None
    road_class: ColumnName | None = None
    area_type: ColumnName | None = None


class Profile(_Model):
    """What `load_profile` returns: one of `ReadsProfile`, `TargetsProfile` and `CamerasProfile`."""

    table: str
    file: FileFormat = FileFormat()
    columns: Columns
    allow_plate_like: Annotated[tuple[Literal["camera", "log"], ...], BeforeValidator(_tuple), Field(max_length=2)] = ()

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields that the profile maps, in the table's order."""
        return tuple(name for name in type(self.columns).model_fields if self.columns.sources(name))

    @property
    def dated_columns(self) -> frozenset[str]:
        """The extract's columns that times and days come from."""
        values = (getattr(self.columns, field) for field in self.fields)
        return frozenset(name for value in values if isinstance(value, DateColumn) for name in value.columns)

    def source_columns(self, fields: tuple[str, ...] | list[str]) -> tuple[str, ...]:
        """The extract's columns that these fields come from, each once.

        Raises:
            UsageError: the profile maps no such field.
        """
        needed: dict[str, None] = {}
        for field in fields:
            sources = self.columns.sources(field)
            if not sources:
                raise UsageError(f"the profile maps no column to {field}", hint=f"add {field} under [columns]")
            needed.update(dict.fromkeys(sources))
        return tuple(needed)

    @model_validator(mode="after")
    def _headerless_columns_are_named(self) -> Self:
        if self.file.header is not None:
            named = {*self.file.header, *(self.file.optional_header or ())}
            if not named.issuperset(self.source_columns(self.fields)):
                raise ValueError("a column is not in header or optional_header")
        return self


class ReadsProfile(Profile):
    """A profile of reads."""

    table: Literal["reads"]
    columns: ReadsColumns


class TargetsProfile(Profile):
    """A profile of targets."""

    table: Literal["targets"]
    columns: TargetsColumns
    feasibility: FeasibilitySettings = FeasibilitySettings()


class CamerasProfile(Profile):
    """A profile of cameras."""

    table: Literal["cameras"]
    columns: CamerasColumns


_UNKNOWN = "extra_forbidden"
_MOST_TOLD = 3
_TEMPLATE = "compare it with a bundled one: anpr-share profile show NAME"
_BY_TABLE: dict[str, type[Profile]] = {"reads": ReadsProfile, "targets": TargetsProfile, "cameras": CamerasProfile}


def bundled_profiles() -> tuple[str, ...]:
    """The names of the profiles that come with the package."""
    return tuple(sorted(path.stem for path in _FOLDER.glob("*.toml")))


def profile_text(name: str) -> str:
    """The text of a bundled profile, to start from.

    Raises:
        UsageError: there is none of that name.
    """
    if name not in bundled_profiles():
        raise UsageError("there is no bundled profile of that name", hint=f"there are {', '.join(bundled_profiles())}")
    return (_FOLDER / f"{name}.toml").read_text(encoding="utf-8")


def load_profile(name_or_path: str | Path) -> Profile:
    """A bundled profile by its name, or the profile in a file.

    Raises:
        StorageError: the file cannot be read.
        FormatError: it is not a profile; the message names the key.
    """
    if name_or_path in bundled_profiles():
        return parse_profile(profile_text(str(name_or_path)))
    try:
        with open_regular(Path(name_or_path), "the profile") as file:
            raw = file.read(MAX_PROFILE_BYTES + 1)
    except (OSError, StorageError):
        raise StorageError(
            "the profile cannot be read", hint=f"give a file, or one of {', '.join(bundled_profiles())}"
        ) from None
    if len(raw) > MAX_PROFILE_BYTES:
        raise FormatError(
            "the profile is larger than 64 KiB",
            hint="was another file meant? anpr-share profile show NAME prints one to start from",
        )
    try:
        return parse_profile(raw.decode("utf-8-sig"))  # Windows' editor writes the mark
    except UnicodeDecodeError:
        raise FormatError("the profile is not UTF-8 text", hint="save it as UTF-8 in your editor") from None


def parse_profile(text: str) -> Profile:
    """The profile that a TOML text holds.

    Raises:
        FormatError: it is not a profile; the message names the line or the key.
    """
    raw = read_toml(text, "the profile")
    table = raw.get("table")
    if not isinstance(table, str) or table not in _BY_TABLE:
        raise FormatError("the profile's key table is wrong", hint=f"it is one of {', '.join(_BY_TABLE)}")
    try:
        return _BY_TABLE[table].model_validate(raw)
    except ValidationError as error:
        raise _explain(error) from None


def _explain(error: ValidationError) -> FormatError:
    found = error.errors(include_url=False, include_context=False, include_input=False)
    first = found[0]
    hint = _hint(first["loc"], first["msg"])
    if not first["loc"]:
        return FormatError(f"the profile is wrong: {_why(first['type'], first['msg'])}", hint=hint)
    # Beside a key that is missing an unknown one may be a slip for it.
    beside = [item for item in found[1:] if item["type"] == _UNKNOWN and item["loc"][:-1] == first["loc"][:-1]]
    told = [first, *beside[:_MOST_TOLD]] if first["type"] == "missing" else [first]
    faults = [f"{_key(item['loc'], item['type'])} {_why(item['type'], item['msg'])}" for item in told]
    return FormatError(f"the profile's key {'; '.join(faults)}", hint=hint)


def _key(location: tuple[int | str, ...], kind: str) -> str:
    *above, last = map(str, location)
    # An unknown key is the writer's text: it is named only if it could be a key.
    return ".".join([*above, "(a key)" if kind == _UNKNOWN and not re.fullmatch(r"[a-z_]{1,32}", last) else last])


def _why(kind: str, message: str) -> str:
    told = {_UNKNOWN: "is not known", "missing": "is missing", "value_error": message.removeprefix("Value error, ")}
    return told.get(kind, f"is wrong: {message[:1].lower()}{message[1:]}")


def _hint(location: tuple[int | str, ...], message: str) -> str:
    if "format" in location:
        time = "captured_at" in location
        return "write %d/%m/%Y %H:%M for 31/12/2026 17:45" if time else "write %d/%m/%Y for 31/12/2026"
    if "timezone" in location or message.endswith("timezone is missing"):
        return 'such as timezone = "Europe/London"'
    return _TEMPLATE

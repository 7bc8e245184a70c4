"""The base of every document's payload: strict, closed, immutable, and silent about values in its errors.

Guarantees: :func:`read` accepts a payload only if it is canonical JSON of exactly the declared fields, in exactly the
one spelling that :func:`write` gives them. Every error names the field that is wrong and never its value.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Literal, Self, TypeVar
from zoneinfo import ZoneInfo

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    StringConstraints,
    TypeAdapter,
    ValidationError,
    WithJsonSchema,
    model_validator,
)

from anpr_share.documents import canonical
from anpr_share.documents.envelope import Envelope, from_base64, spoken_kind
from anpr_share.documents.keys import require_encryption_key, require_signing_key
from anpr_share.errors import AnprShareError, FormatError, UsageError
from anpr_share.periods import MAX_WINDOW_DAYS, Duration, Window, utc_text
from anpr_share.pseudonyms import is_identifier

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

_YEARS = range(1970, 3000)
_ZONE = re.compile(r"UTC|[A-Z][A-Za-z_]{1,30}(/[A-Za-z0-9_+-]{1,30}){1,2}", re.ASCII)
_PLAIN_NAME = re.compile(r"[a-z_]{1,40}", re.ASCII)
_MOST_TOLD = 3


class Document(BaseModel):
    """Base of payloads and their parts."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        hide_input_in_errors=True,
        validate_default=True,
        json_schema_serialization_defaults_required=True,
    )


def checked(check: Callable[[str], object]) -> AfterValidator:
    """A validator of a field that passes the text on if ``check`` raises none of our errors."""

    def validator(value: str) -> str:
        try:
            check(value)
        except AnprShareError as error:
            raise ValueError(error.message) from None
        return value

    return AfterValidator(validator)


def matching(pattern: str, otherwise: str) -> AfterValidator:
    """A validator of a text field that must match ``pattern`` as a whole; ``otherwise`` is what the error says."""
    compiled = re.compile(pattern, re.ASCII)

    def validator(value: str) -> str:
        if not compiled.fullmatch(value):
            raise ValueError(otherwise)
        return value

    return AfterValidator(validator)


def pattern_schema(pattern: str, **more: object) -> WithJsonSchema:
    """What the published JSON Schema says of a text field that is validated by code."""
    return WithJsonSchema({"type": "string", "pattern": f"^{pattern}$", **more})


def _identifier(value: str) -> str:
    if not is_identifier(value):
        raise ValueError("must be lower-case words and digits joined by hyphens, at most 64 characters")
    return value


def _day(value: date) -> date:
    if value.year not in _YEARS:
        raise ValueError("must lie between the years 1970 and 2999")
    return value


def _utc(value: datetime) -> datetime:
    if value.utcoffset() != timedelta(0) or value.microsecond:
        raise ValueError("must be a whole second in UTC")
    _day(value.date())
    return value.astimezone(UTC)


def _line(value: str) -> str:
    if not value.strip():
        raise ValueError("must not be empty")
    if not value.isprintable():
        raise ValueError("must be one line of printable text")
    return value


def _zone(value: str) -> str:
    # The pattern keeps out names such as localtime, which mean another zone on another computer.
    try:
        if _ZONE.fullmatch(value):
            ZoneInfo(value)
            return value
    except (KeyError, ValueError, OSError):
        pass
    raise ValueError("must be a time zone of the IANA database, such as Europe/London")


_IDENTIFIER_PATTERN = "[a-z0-9]+(-[a-z0-9]+)*"
_BASE64_PATTERN = "([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?"

Identifier = Annotated[str, AfterValidator(_identifier), pattern_schema(_IDENTIFIER_PATTERN, maxLength=64)]
Hex256 = Annotated[
    str, matching("[0-9a-f]{64}", "must be 64 lower-case hexadecimal digits"), pattern_schema("[0-9a-f]{64}")
]
BundleId = Annotated[
    str, StringConstraints(pattern=r"^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$")
]
Day = Annotated[date, AfterValidator(_day)]
UtcTime = Annotated[
    datetime,
    AfterValidator(_utc),
    PlainSerializer(utc_text, return_type=str, when_used="json"),
    pattern_schema("[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z"),
]
DurationText = Annotated[str, checked(Duration.parse), pattern_schema("P[1-9][0-9]{0,2}[MD]")]
ShortText = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_line)]
LongText = Annotated[str, Field(min_length=1, max_length=2000), AfterValidator(_line)]
_SHORT_TEXT: TypeAdapter[str] = TypeAdapter(ShortText, config=ConfigDict(hide_input_in_errors=True))
ZoneName = Annotated[str, AfterValidator(_zone), pattern_schema(f"({_ZONE.pattern})")]
Base64 = Annotated[str, checked(from_base64), pattern_schema(_BASE64_PATTERN, contentEncoding="base64")]
SigningPublic = Annotated[Base64, checked(lambda text: require_signing_key(from_base64(text)))]
EncryptionPublic = Annotated[Base64, checked(lambda text: require_encryption_key(from_base64(text)))]
Count = Annotated[int, Field(ge=0, le=canonical.MAX_INTEGER)]
Role = Literal["police", "university"]
FormatVersion = Literal[1]


class LedgerHead(Document):
    """Where a site's ledger stood before the entry of the document that carries it."""

    seq: Count
    hash: Hex256


class Addressed(Document):
    """What every document from one party of an agreement to another begins with; ``sender`` is who must have signed."""

    format: FormatVersion
    agreement: Hex256
    agreement_id: Identifier
    sender: Hex256
    recipient: Hex256
    created: UtcTime


class WindowTerms(Document):
    """The first and last capture day of a window, both included: at most 3660 days."""

    first: Day
    last: Day

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if not 0 <= (self.last - self.first).days < MAX_WINDOW_DAYS:
            raise ValueError(f"must not end before it begins, and hold at most {MAX_WINDOW_DAYS} days")
        return self

    @property
    def window(self) -> Window:
        """The window as the pure rules know it."""
        return Window(self.first, self.last)


T = TypeVar("T", bound=Document)


def write(document: Document) -> bytes:
    """The canonical payload of a document."""
    return canonical.encode(document.model_dump(mode="json"))


def read(model: type[T], envelope: Envelope) -> T:
    """Parse the payload of an envelope. Raises :class:`FormatError` that names the field and never its value."""
    return read_payload(model, envelope.payload, spoken_kind(envelope.kind))


def read_payload(model: type[T], payload: bytes, what: str) -> T:
    """Parse a payload; ``what`` is its name in messages. Raises :class:`FormatError`."""
    canonical.decode(payload)
    document = validate(model, payload, what)
    if write(document) != payload:
        raise FormatError(f"the {what} spells a value in a form that is not the canonical one")
    return document


def validate(model: type[T], payload: bytes, what: str) -> T:
    """Validate JSON bytes against a model. Raises :class:`FormatError` that names the field and never its value."""
    try:
        return model.model_validate_json(payload, strict=True)
    except ValidationError as error:
        raise FormatError(f"the {what} is not valid: {_first_fault(error)}") from None


def build(model: type[T], what: str, fields: Mapping[str, object]) -> T:
    """Make a document of values that a person gave. Raises :class:`UsageError` that names the field, not its value."""
    try:
        return model.model_validate(dict(fields), strict=True)
    except ValidationError as error:
        raise _unusable(what, error) from None


def short_text(text: str, what: str) -> str:
    """The text, if a document can hold it as a :data:`ShortText`. Raises :class:`UsageError`.

    For what a person gives at the start of a long command and is put into a document at its end.
    """
    try:
        return _SHORT_TEXT.validate_python(text)
    except ValidationError as error:
        raise _unusable(what, error) from None


def _unusable(what: str, error: ValidationError) -> UsageError:
    return UsageError(f"the {what} would not be valid: {_first_fault(error)}", hint="put it in another way")


def _first_fault(error: ValidationError) -> str:
    found = error.errors(include_input=False, include_url=False, include_context=False)
    # Beside a field that is missing an unknown one may be a slip for it.
    beside = [
        item for item in found[1:] if item["type"] == "extra_forbidden" and item["loc"][:-1] == found[0]["loc"][:-1]
    ]
    told = [found[0], *beside[:_MOST_TOLD]] if found[0]["type"] == "missing" else found[:1]
    return "; ".join(f"{path_text(item['loc'])}: {_reason(item['type'], item['msg'])}" for item in told)


def path_text(location: tuple[int | str, ...]) -> str:
    """A field's path. A name that is not ours is repeated only if it is too plain to be a plate or a token."""
    ours = set(_field_names(Document))
    parts = [
        str(part) if isinstance(part, int) or part in ours or _PLAIN_NAME.fullmatch(part) else "(a name)"
        for part in location
    ]
    return ".".join(parts) or "as a whole"


def _field_names(model: type[Document]) -> Iterator[str]:
    yield from model.model_fields
    for child in model.__subclasses__():
        yield from _field_names(child)


_REASONS = {
    "extra_forbidden": "unknown field",
    "missing": "missing",
    "string_type": "must be text, in quotes",
    "string_too_short": "must not be empty",
}


def _reason(kind: str, message: str) -> str:
    text = _REASONS.get(kind) or message.removeprefix("Value error, ").replace("Input should be", "must be", 1)
    return text[:1].lower() + text[1:]

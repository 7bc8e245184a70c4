"""How a row of ``site.db`` becomes a frozen object and back, and how it is authenticated.

Guarantees: an authenticated record carries a MAC over its table and every one of its columns; with an open vault it is
checked at every read, so a row that was edited, or moved from another place, is refused. With the vault closed
(``vault`` None) rows are read unchecked, for commands that show, count or destroy, and authenticated ones cannot be
written.

A record is a frozen dataclass whose fields are the columns of its table, in order. Days are stored as ``YYYY-MM-DD``
and times as ``YYYY-MM-DDTHH:MM:SSZ``.
"""

from __future__ import annotations

from dataclasses import fields
from datetime import date, datetime
from functools import cache
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, TypeVar, get_args, get_origin, get_type_hints

from anpr_share.documents.envelope import from_base64, to_base64
from anpr_share.errors import FormatError, LockedError
from anpr_share.periods import parse_day, parse_utc, utc_text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from anpr_share.site.database import Connection
    from anpr_share.site.vault import RecordValue, Vault


class Record(Protocol):
    """What a record class declares besides its fields."""

    TABLE: ClassVar[str]
    KEY: ClassVar[tuple[str, ...]]
    AUTHENTICATED: ClassVar[bool]
    __dataclass_fields__: ClassVar[dict[str, Any]]


R = TypeVar("R", bound=Record)
_MAX_TEXT = 4096

_READERS: dict[str, Callable[[str], object]] = {"date": parse_day, "datetime": parse_utc}


def add(connection: Connection, record: Record, vault: Vault | None = None) -> None:
    """Insert a record. Raises :class:`StorageError` if its key is taken, :class:`LockedError` without the vault."""
    _write(connection, record, vault)


def put(connection: Connection, record: Record, vault: Vault | None = None) -> None:
    """Insert a record, or rewrite the one with the same key. Raises :class:`LockedError` without the vault."""
    columns = [item.name for item in fields(record)] + (["mac"] if record.AUTHENTICATED else [])
    changes = ", ".join(f'"{name}" = excluded."{name}"' for name in columns if name not in record.KEY)
    action = f"UPDATE SET {changes}" if changes else "NOTHING"
    _write(connection, record, vault, f" ON CONFLICT ({', '.join(record.KEY)}) DO {action}")


def find(
    connection: Connection, kind: type[R], vault: Vault | None, where: str = "1", *parameters: object, order: str = ""
) -> list[R]:
    """The records that meet ``where`` (SQL of ours, with ``?`` for the parameters), ordered by key or by ``order``.

    Raises :class:`VerificationError` if the vault is given and a record does not carry its MAC.
    """
    names = [name for name, _ in _columns(kind)] + (["mac"] if kind.AUTHENTICATED else [])
    listed = ", ".join(f'"{name}"' for name in names)
    rows = connection.rows(
        f"SELECT {listed} FROM {kind.TABLE} WHERE {where} ORDER BY {order or ', '.join(kind.KEY)}",  # noqa: S608
        *parameters,
    )
    return [_read(kind, row, vault) for row in rows]


def one(connection: Connection, kind: type[R], vault: Vault | None, where: str, *parameters: object) -> R | None:
    """The first record that meets ``where``, as :func:`find` has it, or None."""
    found = find(connection, kind, vault, where, *parameters)
    return found[0] if found else None


def spelt(record: Record) -> dict[str, str | int | None]:
    """A record as JSON can say it: bytes in base64."""
    values = {item.name: _stored(getattr(record, item.name)) for item in fields(record)}
    return {name: to_base64(value) if isinstance(value, bytes) else value for name, value in values.items()}


def unspelt(kind: type[R], values: Mapping[str, object]) -> R:
    """The record that :func:`spelt` made these values of. Raises :class:`FormatError` for any others."""
    hints = _hints(kind)
    if values.keys() != hints.keys():
        raise FormatError(f"a {kind.TABLE} record does not have exactly the fields of one")
    return kind(**{name: _unspelt(kind, hint, values[name]) for name, hint in hints.items()})


@cache
def _hints(kind: type[Record]) -> dict[str, Any]:
    # Where a record is declared, these two are imported for type checkers alone.
    hints = get_type_hints(kind, localns={"date": date, "datetime": datetime})
    return {item.name: hints[item.name] for item in fields(kind)}


def _unspelt(kind: type[Record], hint: Any, value: object) -> object:
    plain, *more = get_args(hint) if isinstance(hint, UnionType) else (hint,)
    if value is None and more == [NoneType]:
        return None
    if plain is int and type(value) is int and value >= 0:
        return value
    if plain is not int and isinstance(value, str):
        if plain is bytes:
            return from_base64(value)
        if plain is date or plain is datetime:
            return _READERS[plain.__name__](value)
        allowed = value in get_args(plain) if get_origin(plain) is Literal else True
        if allowed and value.isprintable() and len(value) <= _MAX_TEXT:
            return value
    raise FormatError(f"a {kind.TABLE} record has a field of the wrong type")


def _write(connection: Connection, record: Record, vault: Vault | None, conflict: str = "") -> None:
    values = {item.name: _stored(getattr(record, item.name)) for item in fields(record)}
    columns, stored = list(values), list(values.values())
    if record.AUTHENTICATED:
        if vault is None:
            raise LockedError(
                "this needs the passphrase: what is recorded here is authenticated",
                hint="give it with --passphrase-file, or when asked",
            )
        columns.append("mac")
        stored.append(vault.mac(record.TABLE, values))
    listed = ", ".join(f'"{name}"' for name in columns)
    places = ", ".join("?" * len(columns))
    connection.execute(f"INSERT INTO {record.TABLE} ({listed}) VALUES ({places}){conflict}", stored)  # noqa: S608


def _read(kind: type[R], row: tuple[Any, ...], vault: Vault | None) -> R:
    columns = _columns(kind)
    if kind.AUTHENTICATED and vault is not None:
        values = {name: value for (name, _), value in zip(columns, row, strict=False)}
        vault.check_mac(kind.TABLE, values, row[-1])
    return kind(
        **{
            name: value if reader is None or value is None else reader(value)
            for (name, reader), value in zip(columns, row, strict=False)
        }
    )


@cache
def _columns(kind: type[Record]) -> tuple[tuple[str, Callable[[str], object] | None], ...]:
    # Annotations are text here, because every module postpones their evaluation.
    return tuple((item.name, _READERS.get(str(item.type).removesuffix(" | None"))) for item in fields(kind))


def _stored(value: object) -> RecordValue:
    if isinstance(value, datetime):
        return utc_text(value)
    if isinstance(value, date):
        return value.isoformat()
    if value is None or isinstance(value, str | bytes | int):
        return value
    raise TypeError(f"{type(value).__name__} has no place in a record")

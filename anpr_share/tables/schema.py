"""What each table's columns are: read from the Frictionless Table Schemas in ``schemas/``.

- ``extract`` schemas name the fields that a profile maps: what a force's rows must hold.
- ``release`` schemas are the tables that leave a force and that a university loads.
- A release frame has exactly one polars type for each column: text ``String``, times ``Datetime("us", "UTC")``, days
  ``Date``, numbers ``Float64``, counts ``Int64``.
- `check_release` never raises on what a frame holds; it counts, by rule.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import polars as pl

from anpr_share.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

DATES = ("offence_from", "offence_to", "convicted_on")
"""The columns of targets that hold days."""

Kind = Literal["extract", "release"]

_PACKAGE = Path(__file__).resolve().parents[1]
_FOLDERS = (_PACKAGE / "schemas", _PACKAGE.parent / "schemas")  # installed; in the repository
_TYPES: Mapping[str, pl.DataType] = {
    "string": pl.String(),
    "datetime": pl.Datetime("us", "UTC"),
    "date": pl.Date(),
    "number": pl.Float64(),
    "integer": pl.Int64(),
}


@dataclass(frozen=True, slots=True)
class Field:
    """One column: its type and constraints for the machine, its description for people."""

    name: str
    type: str
    title: str
    description: str
    provenance: str
    caveats: str | None
    required: bool
    pattern: str | None
    enum: tuple[str, ...] | None
    minimum: float | None
    maximum: float | None

    @property
    def dtype(self) -> pl.DataType:
        """The column's type in a frame."""
        return _TYPES[self.type]


@dataclass(frozen=True, slots=True)
class TableSchema:
    """The columns of one table, in their order."""

    kind: Kind
    table: str
    title: str
    description: str
    fields: tuple[Field, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all columns, in order."""
        return tuple(field.name for field in self.fields)

    @property
    def required(self) -> tuple[str, ...]:
        """The names of the columns that no row may leave empty."""
        return tuple(field.name for field in self.fields if field.required)

    def field(self, name: str) -> Field:
        """The column of that name.

        Raises:
            UsageError: there is none.
        """
        for field in self.fields:
            if field.name == name:
                return field
        raise UsageError(f"the table {self.table} has no such column", hint=f"its columns are {', '.join(self.names)}")

    def polars(self, columns: Iterable[str]) -> dict[str, pl.DataType]:
        """The polars type of each of the columns, in the order given."""
        return {name: self.field(name).dtype for name in columns}


@lru_cache
def load(kind: Kind, table: str) -> TableSchema:
    """The schema of a table.

    Raises:
        UsageError: there is no such table.
    """
    for folder in _FOLDERS:
        path = folder / kind / f"{table}.json"
        if table in tables(kind) and path.is_file():
            raw = json.loads(path.read_text(encoding="utf-8"))
            return TableSchema(
                kind, table, raw["title"], raw["description"], tuple(_field(entry) for entry in raw["fields"])
            )
    raise UsageError(f"there is no {kind} table of that name", hint=f"the tables are {', '.join(tables(kind))}")


def tables(kind: Kind) -> tuple[str, ...]:
    """The names of the tables of a kind."""
    return ("reads", "targets", "cameras", "coverage") if kind == "release" else ("reads", "targets", "cameras")


def check_release(frame: pl.DataFrame, schema: TableSchema, columns: Sequence[str]) -> dict[str, int]:
    """Hold a frame against the columns that were agreed.

    Args:
        frame: the rows of a part.
        schema: the release schema of its table.
        columns: the agreed columns, in the order that the frame must have them.

    Returns:
        How many rows break each rule (how many columns, for ``columns`` and ``<column>:type``); empty if none does.
        Rules: ``columns``, and ``<column>:type``, ``:required``, ``:pattern``, ``:enum``, ``:range``.
    """
    agreed = schema.polars(columns)
    if frame.columns != list(columns):
        return {"columns": len(set(frame.columns) ^ set(columns)) or len(columns)}
    wrong = {f"{name}:type": 1 for name, dtype in agreed.items() if frame.schema[name] != dtype}
    if wrong:
        return wrong
    rules: list[pl.Expr] = []
    for name in columns:
        field, cell = schema.field(name), pl.col(name)
        if field.required:
            rules.append(cell.is_null().alias(f"{name}:required"))
        if field.pattern is not None:
            rules.append((~cell.str.contains(_whole(field.pattern))).alias(f"{name}:pattern"))
        if field.enum is not None:
            rules.append((~cell.is_in(field.enum)).alias(f"{name}:enum"))
        bounds = []
        if field.minimum is not None:
            bounds.append(cell < field.minimum)
        if field.maximum is not None:
            bounds.append(cell > field.maximum)
        if bounds:
            rules.append(pl.any_horizontal(bounds).alias(f"{name}:range"))
    if not rules:
        return {}
    counts = frame.select(rule.fill_null(value=False).sum() for rule in rules).row(0, named=True)
    return {rule: count for rule, count in counts.items() if count}


def _whole(pattern: str) -> str:
    # A "$" of Rust's expressions is the very end of the text, as in the schema language; only make sure of it.
    return rf"\A(?:{pattern.removeprefix('^').removesuffix('$')})\z"


def _field(entry: dict[str, object]) -> Field:
    constraints = entry.get("constraints", {})
    assert isinstance(constraints, dict)
    enum = constraints.get("enum")
    return Field(
        name=str(entry["name"]),
        type=str(entry["type"]),
        title=str(entry["title"]),
        description=str(entry["description"]),
        provenance=str(entry["provenance"]),
        caveats=None if entry.get("caveats") is None else str(entry["caveats"]),
        required=bool(constraints.get("required", False)),
        pattern=constraints.get("pattern"),
        enum=None if enum is None else tuple(enum),
        minimum=constraints.get("minimum"),
        maximum=constraints.get("maximum"),
    )

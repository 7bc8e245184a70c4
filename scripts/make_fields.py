"""Writes docs/fields.md, the field dictionary, from the table schemas in schemas/.

python scripts/make_fields.py            writes it
python scripts/make_fields.py --check    fails if it is not current
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from anpr_share.tables.schema import load, tables

if TYPE_CHECKING:
    from collections.abc import Iterator

    from anpr_share.tables.schema import Field, Kind, TableSchema

TARGET = Path(__file__).resolve().parents[1] / "docs" / "fields.md"

_OPENING = """\
# Field dictionary

Written by `scripts/make_fields.py` from the Frictionless Table Schemas in `schemas/`: change those, not this page.

Release tables are what leaves a force and what a university loads; which of their columns leave, the agreement says.
Extract tables are what a profile maps a force's own columns to; they never leave as they are.
"""


def dictionary() -> str:
    """The whole page."""
    parts = [_OPENING]
    kinds: tuple[tuple[Kind, str], ...] = (("release", "Release tables"), ("extract", "Extract tables"))
    for kind, title in kinds:
        parts.append(f"## {title}\n")
        parts.extend(_table(load(kind, table)) for table in tables(kind))
    return "\n".join(parts)


def _table(schema: TableSchema) -> str:
    lines = [f"### `{schema.table}`: {schema.title[0].lower()}{schema.title[1:]}", "", schema.description, ""]
    lines += [line for field in schema.fields for line in _field(field)]
    return "\n".join(lines) + "\n"


def _field(field: Field) -> Iterator[str]:
    need = "always there" if field.required else "may be empty"
    yield f"- **`{field.name}`** ({field.type}, {need}): {field.description}"
    if field.enum is not None:
        yield f"  - One of: {', '.join(f'`{value}`' for value in field.enum)}."
    if field.pattern is not None:
        yield f"  - Form: `{field.pattern}`."
    if field.minimum is not None:
        upper = "" if field.maximum is None else f" to {field.maximum:g}"
        yield f"  - From {field.minimum:g}{upper}."
    yield f"  - From where: {field.provenance}"
    if field.caveats is not None:
        yield f"  - Beware: {field.caveats}"


def main() -> int:
    if "--check" in sys.argv[1:]:
        return 0 if TARGET.is_file() and TARGET.read_text(encoding="utf-8") == dictionary() else 1
    TARGET.write_text(dictionary(), encoding="utf-8", newline="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""The specification says what the code does: limits, fields, patterns, bytes and hashes are compared."""

from __future__ import annotations

import dataclasses
import importlib
import io
import re
from datetime import date, datetime, timedelta
from pathlib import Path
from types import MemberDescriptorType
from typing import Literal, get_args

import polars as pl
import pytest

from anpr_share import container, vrm
from anpr_share.audit import evidence
from anpr_share.documents import agreement, canonical, identity, keyshare, manifest, notice, receipt, request, summary
from anpr_share.documents.model import Document
from anpr_share.risk import contexts
from anpr_share.site import database, holdings, ledger, records
from anpr_share.tables import checks, profile, schema

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "anpr_share"
LIMIT = re.compile(r"^\| .+ \| ([0-9,]+) \| .* \| `(anpr_share\.[A-Za-z_.]+)` \|$", re.MULTILINE)
PAYLOADS: dict[str, type[Document]] = {
    "identity": identity.IdentityPayload,
    "agreement": agreement.AgreementPayload,
    "key-share": keyshare.KeyShare,
    "request": request.Request,
    "manifest": manifest.Manifest,
    "sealed": manifest.Sealed,
    "receipt": receipt.Receipt,
    "notice": notice.Notice,
    "notice-content": notice.NoticeContent,
    "feasibility-summary": summary.FeasibilitySummary,
}


def page(name: str) -> str:
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


def block(text: str, kind: str) -> str:
    found = re.search(rf"^ *```{kind}\n(.*?)^ *```$", text, re.MULTILINE | re.DOTALL)
    assert found is not None
    return found[1]


def fields_of(kind: str) -> list[str]:
    section = re.split(r"^### ", page("spec/documents-v1.md"), flags=re.MULTILINE)
    (text,) = [part for part in section if part.startswith(f"`{kind}`")]
    return re.findall(r"^\| `([a-z_]+)` \|", text, re.MULTILINE)


def value_in_code(dotted: str) -> object:
    parts = dotted.split(".")
    size = next(n for n in range(len(parts), 0, -1) if (PACKAGE.parent / Path(*parts[:n])).with_suffix(".py").is_file())
    found: object = importlib.import_module(".".join(parts[:size]))
    for name in parts[size:]:
        owner, found = found, getattr(found, name)
        if isinstance(found, MemberDescriptorType):  # a field of a dataclass with slots
            assert isinstance(owner, type)
            assert dataclasses.is_dataclass(owner)
            found = next(item.default for item in dataclasses.fields(owner) if item.name == name)
    return found.total_seconds() if isinstance(found, timedelta) else found


LIMITS = {dotted: int(value.replace(",", "")) for value, dotted in LIMIT.findall(page("spec/limits.md"))}


@pytest.mark.parametrize("dotted", LIMITS)
def test_a_limit_is_the_one_in_the_code(dotted: str) -> None:
    assert value_in_code(dotted) == LIMITS[dotted]


def test_every_row_of_the_limits_is_compared() -> None:
    rows = re.findall(r"^\| (?!limit|---)", page("spec/limits.md"), re.MULTILINE)

    assert len(rows) == len(LIMITS)


def test_every_limit_that_the_code_names_is_published() -> None:
    named = set()
    for path in PACKAGE.rglob("*.py"):
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for name in re.findall(r"^(MAX_[A-Z_]+)\b.*=", path.read_text(encoding="utf-8"), re.MULTILINE):
            named.add(f"{module}.{name}")

    assert named - set(LIMITS) == set()


def test_the_limits_of_the_checking_process_are_those_of_a_manifest() -> None:
    assert value_in_code("anpr_share.part_check.PartLimits.rows") == manifest.LIMITS.rows_of_a_part
    assert value_in_code("anpr_share.part_check.PartLimits.size") == manifest.LIMITS.bytes_of_a_part
    assert value_in_code("anpr_share.part_check.PartLimits.bundle_rows") == manifest.LIMITS.rows
    assert manifest.LIMITS.sealed_bytes == container.MAX_SMALL


@pytest.mark.parametrize("kind", PAYLOADS)
def test_the_fields_of_a_document_are_those_of_its_model(kind: str) -> None:
    assert fields_of(kind) == list(PAYLOADS[kind].model_fields)


def test_the_fields_of_a_checkpoint_are_those_that_are_read() -> None:
    assert set(fields_of("ledger-checkpoint")) == ledger._CHECKPOINT_KEYS


@pytest.mark.parametrize(
    "model",
    [
        *(agreement.ReadsTerms, agreement.TargetsTerms, agreement.CamerasTerms, agreement.RiskTerms, agreement.Party),
        *(request.RequestedWindow, manifest.Table, manifest.Part, manifest.SealedFile, manifest.DayKey),
        *(manifest.Quality, manifest.TableQuality, manifest.DayCount),
        *(receipt.Loaded, receipt.LoadedDay, receipt.Refused, receipt.Deleted, receipt.Answered, notice.Recall),
        *(summary.SummarySettings, summary.SummaryStep, summary.SummaryReason, summary.SummaryPoint),
    ],
)
def test_the_fields_of_a_part_of_a_document_are_named(model: type[Document]) -> None:
    text = page("spec/documents-v1.md")

    assert [name for name in model.model_fields if f"`{name}`" not in text] == []


@pytest.mark.parametrize(
    ("columns", "table"),
    [(agreement.ReadsColumn, "reads"), (agreement.TargetsColumn, "targets"), (agreement.CamerasColumn, "cameras")],
)
def test_an_agreement_can_name_exactly_the_columns_that_can_leave(columns: object, table: str) -> None:
    assert set(get_args(columns)) == {field.name for field in schema.load("release", table).fields}


def test_the_patterns_of_plates_are_those_of_the_code() -> None:
    lines = block(page("spec/rules-v1.md"), "families").splitlines()

    assert [tuple(line.split()) for line in lines] == list(vrm._PATTERNS.items())


def test_the_placeholders_are_those_of_the_code() -> None:
    assert frozenset(block(page("spec/rules-v1.md"), "placeholders").split()) == vrm._PLACEHOLDERS


def test_the_examples_of_plates_are_true() -> None:
    rows = re.findall(
        r"^\| `(.+?)` \| (ok|partial|missing|malformed) \| (.*?) ?\| ?(.*?) ?\|$",
        page("spec/rules-v1.md"),
        re.MULTILINE,
    )

    assert len(rows) == 5
    for raw, status, plate, family in rows:
        found = vrm.canonicalise(raw)
        assert (found.status, found.vrm or "", found.family or "") == (status, plate.strip("`"), family)


def test_the_bytes_of_the_smallest_container_are_those_that_are_written() -> None:
    out = io.BytesIO()
    container.write(out, [("manifest.json", b"{}"), ("keys.sealed", b"x")])

    assert bytes.fromhex(block(page("spec/bundle-v1.md"), "hex")) == out.getvalue()


def test_the_eight_steps_are_numbered_in_order() -> None:
    assert re.findall(r"^\| (\d) \|", page("spec/bundle-v1.md"), re.MULTILINE) == list("12345678")


def test_the_ledger_line_has_its_hash() -> None:
    line, digest = block(page("spec/site-v1.md"), "ledger").splitlines()

    assert ledger.parse_line(line.encode()).hash == digest


EXPORT = page("spec/ledger-export-v1.md")
TYPES = {
    "count": int,
    "bytes": bytes,
    "time": datetime,
    "day": date,
    **dict.fromkeys(("identifier", "hash", "UUID", "table", "text", "line", "day or `undated`"), str),
    "16 hexadecimal digits": str,
}
"""What each type of a record is in the code; whatever else is written is a choice of words."""


def type_in_code(text: str) -> object:
    plain = text.removesuffix(", *key*").removesuffix(" or null")
    found = TYPES.get(plain) or Literal[tuple(re.findall(r"`(\w+)`", plain))]
    return found if " or null" not in text else found | None


def test_the_kinds_of_record_of_an_export_are_those_of_the_code_in_their_order() -> None:
    assert re.findall(r"^### `(\w+)`$", EXPORT, re.MULTILINE) == [kind.TABLE for kind in evidence.RECORDS]


@pytest.mark.parametrize("kind", evidence.RECORDS, ids=lambda kind: kind.TABLE)
def test_the_fields_of_an_exported_record_are_those_of_the_code(kind: type[records.Record]) -> None:
    section = re.split(r"^#+ ", EXPORT, flags=re.MULTILINE)
    (text,) = [part for part in section if part.startswith(f"`{kind.TABLE}`")]
    rows = re.findall(r"^\| `(\w+)` \| (.+?) \| .*\|$", text, re.MULTILINE)

    assert {name: type_in_code(told) for name, told in rows} == records._hints(kind)
    keys = tuple(name for name, told in rows if told.endswith(", *key*"))
    assert keys == (() if kind is holdings.Registered else kind.KEY)
    assert [name for name, _ in rows][: len(keys)] == list(keys)


def test_the_kinds_of_line_of_an_export_are_those_that_are_written() -> None:
    told = re.findall(r"^\| `\{(.+?)\}` \|", EXPORT, re.MULTILINE)
    names = [set(re.findall(r'"(\w+)"', item)) for item in told]
    between = [{"record", "values"}, *({name} for name in evidence._ORDER[len(evidence.RECORDS) :])]

    assert names == [{"at", "export", "identity"}, *between, {"end", "sha256"}]


def test_the_examples_of_lines_of_an_export_are_lines_of_one() -> None:
    reader = evidence._Reader()
    for line in block(EXPORT, "lines").splitlines():
        reader._add(canonical.decode(line.encode()))  # type: ignore[arg-type]

    assert (len(reader._records), len(reader._keys), len(reader._onetime)) == (1, 1, 1)


def test_the_lengths_of_texts_of_an_export_are_those_of_the_code() -> None:
    told = " ".join(EXPORT.split())

    assert (
        f"longer than {records._MAX_TEXT:,} characters (in a `day_key` or `onetime_key` {evidence._MAX_NAME})" in told
    )


def test_every_table_of_a_site_is_listed() -> None:
    text = page("spec/site-v1.md")
    for schema_name, file in (("main", "site.db"), ("keys", "keys.db"), ("vault", "vault.db")):
        (row,) = re.findall(rf"^\| `{re.escape(file)}` \| (`[a-z_` ]+`) \|$", text, re.MULTILINE)
        made = re.findall(r"CREATE TABLE (\w+)", " ".join(database.SCHEMAS[schema_name]))
        assert re.findall(r"`(\w+)`", row) == made


def test_every_event_that_is_logged_is_explained() -> None:
    text = page("spec/site-v1.md")
    logged = set(ledger.STATUTORY)
    for path in (*(PACKAGE / "work").glob("*.py"), *(PACKAGE / "site").glob("*.py")):
        logged.update(re.findall(r'\.record\(\s*"([a-z-]+)"', path.read_text(encoding="utf-8")))

    assert {event for event in logged if f"`{event}`" not in text} == set()


@pytest.mark.parametrize("table", checks.RULES)
def test_the_rules_of_checks_are_listed_in_their_order(table: str) -> None:
    text = page("profiles.md").split("## Rules of the report")[1]
    (row,) = re.findall(rf"^\| `{table}` \| (.+) \|$", text, re.MULTILINE)

    assert re.findall(r"`([a-z-]+)`", row) == list(checks.RULES[table])


def test_every_key_of_a_profile_and_every_bundled_profile_is_explained() -> None:
    text = page("profiles.md")
    keys = {*profile.FileFormat.model_fields, *profile.TimeColumn.model_fields, "table", "allow_plate_like"}
    for columns in (profile.ReadsColumns, profile.TargetsColumns, profile.CamerasColumns):
        keys.update(columns.model_fields)

    assert {name for name in keys if not re.search(rf"\b{name}\b", text)} == set()
    assert [name for name in profile.bundled_profiles() if f"| `{name}` |" not in text] == []


def test_the_examples_of_the_k_rule_are_what_the_code_makes_of_them() -> None:
    section = page("spec/rules-v1.md").split("**Cameras.**")[1]
    cell = re.compile(r"([0-9]+) `([a-z–-]+) ([a-z–-]+) ([a-z–-]+)`")
    rows = re.findall(r"^\| ([0-9].+) \| (.+) \|$", section, re.MULTILINE)
    for given, expected in rows:
        held, left = (
            {tuple(None if word == "–" else word for word in words): int(count) for count, *words in cell.findall(text)}
            for text in (given, expected)
        )
        numbered = [context for context, count in held.items() for _ in range(count)]
        frame = pl.DataFrame(numbered, schema=dict.fromkeys(contexts.CONTEXT, pl.String), orient="row")

        found = contexts.coarsened(frame, 10).frame

        assert {row[:3]: row[3] for row in contexts.combinations(found).iter_rows()} == left
    assert [expected for _, expected in rows].index("none") == len(rows) - 1 == 3

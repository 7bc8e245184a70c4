"""The published JSON Schemas are those of the models, and say what the models do."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.support.documents import KINDS, changed, notice_content_fields, part, sealed_fields

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "schemas" / "documents"
FIELDS = {kind: fields for kind, (fields, _, _) in KINDS.items()} | {
    "sealed": sealed_fields,
    "notice-content": notice_content_fields,
}


def script() -> Any:
    path = ROOT / "scripts" / "make_document_schemas.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def validator(kind: str) -> Any:
    schema = json.loads((FOLDER / f"{kind}.json").read_text(encoding="utf-8"))
    cls = jsonschema.validators.validator_for(schema)
    cls.check_schema(schema)
    return cls(schema, format_checker=cls.FORMAT_CHECKER)


def test_the_schemas_are_current() -> None:
    """If this fails: python scripts/make_document_schemas.py."""
    made = script()
    assert {path.stem for path in FOLDER.iterdir()} == set(made.MODELS) == set(FIELDS)
    for kind in made.MODELS:
        assert (FOLDER / f"{kind}.json").read_text(encoding="utf-8") == made.schema(kind)


@pytest.mark.parametrize("kind", FIELDS)
def test_a_real_document_fits_its_schema(kind: str) -> None:
    validator(kind).validate(FIELDS[kind]())


@pytest.mark.parametrize("kind", FIELDS)
def test_a_real_document_fits_no_other_schema(kind: str) -> None:
    for other in FIELDS.keys() - {kind}:
        assert not validator(other).is_valid(FIELDS[kind]())


@pytest.mark.parametrize(
    ("kind", "path", "value"),
    [
        pytest.param("identity", "surprise", 1, id="unknown field"),
        pytest.param("identity", "site", "Lancashire", id="identifier"),
        pytest.param("identity", "signing", "e30", id="base64"),
        pytest.param("identity", "name", "", id="empty text"),
        pytest.param("agreement", "format", 2, id="format"),
        pytest.param("agreement", "reads.sample", ..., id="a default left out"),
        pytest.param("agreement", "reads.columns.0", "vrm", id="column"),
        pytest.param("agreement", "reads.retention", "P1Y", id="duration"),
        pytest.param("agreement", "starts", "2026-02-30", id="day"),
        pytest.param("agreement", "timezone", "localtime", id="zone"),
        pytest.param("request", "created", "2026-09-10", id="time"),
        pytest.param("request", "windows", [], id="no window"),
        pytest.param("request", "sender", "AB" * 32, id="fingerprint"),
        pytest.param("key-share", "key_check", "x", id="key check"),
        pytest.param("manifest", "tables.0.parts.0", part("2026-9-1", 0, 5), id="day of a part"),
        pytest.param("manifest", "tables.0.parts.0.rows", "5", id="rows as text"),
        pytest.param("manifest", "bundle", "x", id="bundle id"),
        pytest.param("sealed", "quality.tables.0.rejected.AB12 CDE", 1, id="name of a count"),
        pytest.param("receipt", "refused.0.reason", "because", id="reason"),
        pytest.param("notice", "sealed", "e30", id="sealed"),
        pytest.param("notice-content", "recall.days", [], id="no day"),
        pytest.param("notice-content", "recall", None, id="nothing recalled"),
        pytest.param("feasibility-summary", "steps.0.name", "vrm", id="step"),
        pytest.param("feasibility-summary", "points.0.days", 45, id="milestone"),
        pytest.param("feasibility-summary", "settings.small_below", 1, id="the least that is shared"),
        pytest.param("feasibility-summary", "rows", -1, id="a negative count"),
        pytest.param("notice-content", "erase", {}, id="what this version does not know"),
    ],
)
def test_what_the_model_refuses_for_its_form_the_schema_refuses_too(kind: str, path: str, value: object) -> None:
    assert not validator(kind).is_valid(changed(FIELDS[kind](), path, value))


@pytest.mark.parametrize("kind", FIELDS)
def test_every_schema_says_what_it_is_and_takes_no_more(kind: str) -> None:
    schema = json.loads((FOLDER / f"{kind}.json").read_text(encoding="utf-8"))
    assert schema["$id"] == f"urn:anpr-share:document:{kind}:1"
    for name, part_of in [("", schema), *schema.get("$defs", {}).items()]:
        assert part_of["description"], name
        assert part_of["additionalProperties"] is False, name
        assert set(part_of["required"]) == set(part_of["properties"]), name

"""Write the JSON Schemas of the signed documents' payloads from the models that read them.

    python scripts/make_document_schemas.py

They are for people who write a reader or a sender in another language: a payload that breaks its schema is refused. Not
all of our rules can be said in JSON Schema (canonical form, sums, order, keys): docs/spec has those.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from anpr_share.documents.agreement import AgreementPayload
from anpr_share.documents.certificate import Certificate
from anpr_share.documents.identity import IdentityPayload
from anpr_share.documents.keyshare import KeyShare
from anpr_share.documents.manifest import Manifest, Sealed
from anpr_share.documents.notice import Notice, NoticeContent
from anpr_share.documents.receipt import Receipt
from anpr_share.documents.request import Request
from anpr_share.documents.summary import FeasibilitySummary

if TYPE_CHECKING:
    from anpr_share.documents.model import Document

FOLDER = Path(__file__).resolve().parents[1] / "schemas" / "documents"

MODELS: dict[str, type[Document]] = {
    "identity": IdentityPayload,
    "agreement": AgreementPayload,
    "key-share": KeyShare,
    "request": Request,
    "manifest": Manifest,
    "sealed": Sealed,
    "receipt": Receipt,
    "notice": Notice,
    "notice-content": NoticeContent,
    "certificate": Certificate,
    "feasibility-summary": FeasibilitySummary,
}


def schema(kind: str) -> str:
    """The text of the schema of one kind of document."""
    # As written, not as read: every field is spelt out in a payload, defaults too.
    body = MODELS[kind].model_json_schema(mode="serialization")
    head = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:anpr-share:document:{kind}:1",
    }
    return json.dumps(head | body, indent=2, ensure_ascii=False) + "\n"


def main() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    for kind in MODELS:
        (FOLDER / f"{kind}.json").write_text(schema(kind), encoding="utf-8", newline="\n")
        print(f"wrote schemas/documents/{kind}.json")


if __name__ == "__main__":
    main()

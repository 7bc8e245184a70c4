"""A force signs what may be shared of a check; several forces' summaries are added up, or refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings

from anpr_share.documents import envelope as dsse
from anpr_share.documents import summary
from anpr_share.documents.identity import Identity
from anpr_share.documents.model import write
from anpr_share.errors import AnprShareError, FormatError, PolicyError, StorageError, UsageError
from anpr_share.feasibility.figures import Shared
from anpr_share.feasibility.suppression import suppress
from anpr_share.tables.profile import STEPS
from anpr_share.work import feasibility_sharing, partners
from tests.support import documents
from tests.support.documents import FORCE, OTHER_FORCE, STRANGER, Fields, Site, changed, envelope, summary_fields
from tests.support.exchange import LANCS, NOW, WYP, World
from tests.support.suppressing import Table, any_tables, real


def checked(truth: Table | None = None, **changes: Any) -> Shared:
    result = (truth or real(victim_0=(3, 2))).result()
    return suppress(replace(result, at=NOW, **changes))


def signed(by: Site, **changes: object) -> bytes:
    """A summary of this force, with fields at paths such as ``settings__min_reads`` changed."""
    fields: Fields = summary_fields() | {"identity": dsse.to_base64(by.identity.envelope)}
    for path, value in changes.items():
        fields = changed(fields, path.replace("__", "."), value)
    return envelope(summary.KIND, fields, by).encode()


def test_what_is_shared_is_signed_and_logged_without_a_count(world: World) -> None:
    out = world.free("summary.json")
    made = feasibility_sharing.share(world.lancs, checked(), out)
    document, identity, signature = summary.parse(out.read_bytes())

    assert identity.fingerprint == made.fingerprint == world.lancs.identity.fingerprint
    assert (made.path, made.id, made.digest, made.earlier) == (out, document.id, signature.digest, 0)
    *_, entry = world.lancs.ledger.lines()
    assert (entry.event, entry.subject, entry.details) == ("feasibility-shared", made.id, {"summary": made.digest})
    assert world.lancs.ledger.is_signed
    assert feasibility_sharing.share(world.lancs, checked(), world.free("again.json")).earlier == 1


def test_a_university_shares_no_check_and_nothing_is_overwritten(world: World) -> None:
    out = world.free("summary.json")
    before = world.lancs.ledger.head()
    with pytest.raises(PolicyError):
        feasibility_sharing.share(world.uni, checked(), out)
    assert not out.exists()
    out.write_text("mine")
    with pytest.raises(StorageError):
        feasibility_sharing.share(world.lancs, checked(), out)
    assert out.read_text() == "mine"
    assert world.lancs.ledger.head() == before


def test_an_offence_that_reads_as_a_plate_is_not_shared_nor_repeated(world: World) -> None:
    shared = checked()
    shared = replace(shared, settings=replace(shared.settings, offences=("theft of AB12 CDE",)))
    out = world.free("summary.json")
    with pytest.raises(UsageError) as refused:
        feasibility_sharing.share(world.lancs, shared, out)
    assert "AB12" not in str(refused.value)
    assert not list(out.parent.iterdir())


@settings(max_examples=60)
@given(any_tables())
def test_whatever_may_be_shared_is_a_document_and_is_read_back(truth: Table) -> None:
    shared = checked(truth)
    document = feasibility_sharing._document(shared, FORCE.identity, NOW)
    data = dsse.sign(summary.KIND, write(document), FORCE.signing).encode()
    read, *_ = feasibility_sharing._read(data)

    assert feasibility_sharing._shared(read) == shared


def test_summaries_are_added_up_whoever_has_a_site(world: World) -> None:
    files = []
    for site in (world.wyp, world.lancs):
        files.append(world.free("summary.json"))
        feasibility_sharing.share(site, checked(), files[-1])
    data = [path.read_bytes() for path in files]

    alone = feasibility_sharing.combine(data)
    assert [(item.site, item.known) for item in alone.contributors] == [(LANCS, None), (WYP, None)]
    assert [item.known for item in feasibility_sharing.combine(data, world.lancs).contributors] == [True, True]
    assert [item.known for item in feasibility_sharing.combine(data, world.uni).contributors] == [True, True]
    stranger = world.create("new-police", "police")
    assert [item.known for item in feasibility_sharing.combine(data, stranger).contributors] == [False, False]
    assert alone.combined.rows.low == alone.combined.rows.high == 2 * (checked().rows or 0) > 0


def test_a_force_with_another_identity_than_the_pinned_one_is_refused(world: World) -> None:
    """The made-up forces have the ids of the world's, and other keys."""
    with pytest.raises(PolicyError, match="another identity than the one that is known here"):
        feasibility_sharing.combine([signed(FORCE), signed(STRANGER)], world.uni)
    with pytest.raises(PolicyError, match="another identity than the one that is known here"):
        feasibility_sharing.combine([signed(FORCE), signed(STRANGER)], world.lancs)


def test_a_revoked_partners_summary_is_refused(world: World) -> None:
    out = world.free("summary.json")
    feasibility_sharing.share(world.wyp, checked(), out)
    partners.revoke(world.uni, WYP)
    with pytest.raises(PolicyError, match="was revoked"):
        feasibility_sharing.combine([out.read_bytes(), signed(STRANGER)], world.uni)


def test_a_summary_from_the_future_is_refused(world: World) -> None:
    late = "2026-10-13T12:00:00Z"
    with pytest.raises(PolicyError, match="in the future"):
        feasibility_sharing.combine([signed(STRANGER, created=late), signed(FORCE, created=late)], world.uni)


@pytest.mark.parametrize(
    ("files", "kind", "said"),
    [
        pytest.param([], UsageError, "nothing to add up", id="none"),
        pytest.param([signed(FORCE)], UsageError, "nothing to add up", id="one"),
        pytest.param([signed(FORCE), signed(FORCE, created="2026-09-11T08:00:00Z")], UsageError, "one force", id="two"),
        pytest.param(
            [signed(FORCE), signed(OTHER_FORCE, settings__min_reads=3, settings__retention="P6M")],
            UsageError,
            "settings differ in min_reads, retention",
            id="settings",
        ),
        pytest.param(
            [
                signed(FORCE),
                signed(
                    OTHER_FORCE,
                    basis="offence-dates",
                    reads=None,
                    vehicles_in_reads=None,
                    code="go-if",
                    conditions=["look-at-reads"],
                ),
            ],
            UsageError,
            "dates of offences alone",
            id="basis",
        ),
        pytest.param([signed(FORCE), signed(OTHER_FORCE, code="go-if")], FormatError, "another verdict", id="verdict"),
        pytest.param(
            [signed(FORCE), signed(OTHER_FORCE, settings__vehicles_needed=81)],
            FormatError,
            "another verdict",
            id="a verdict that the figures do not prove",
        ),
        pytest.param([signed(FORCE), b"{}"], FormatError, "not a signed document", id="no summary"),
    ],
)
def test_what_cannot_be_added_up_is_refused(files: list[bytes], kind: type[AnprShareError], said: str) -> None:
    with pytest.raises(kind, match=said):
        feasibility_sharing.combine(files)


def test_the_same_id_with_another_key_is_the_same_force() -> None:
    again = documents.Site(
        Identity.make("lancashire-police", "Other", "police", STRANGER.signing, STRANGER.opening),
        STRANGER.signing,
        STRANGER.opening,
    )
    with pytest.raises(UsageError, match="of one force: lancashire-police"):
        feasibility_sharing.combine([signed(FORCE), signed(again)])


def test_no_file_of_a_summary_holds_a_float(world: World) -> None:
    out: Path = world.free("summary.json")
    feasibility_sharing.share(world.lancs, checked(), out)
    payload = dsse.parse(out.read_bytes(), summary.KIND).payload
    json.loads(payload, parse_float=lambda text: pytest.fail(f"a float of {len(text)} characters"))
    assert tuple(step["name"] for step in json.loads(payload)["steps"]) == STEPS

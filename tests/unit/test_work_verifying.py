"""Steps 1 to 4 and 6: whatever is done to a bundle on its way is found, whoever does it."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from anpr_share import container
from anpr_share.documents import canonical
from anpr_share.documents import envelope as dsse
from anpr_share.documents import manifest as manifests
from anpr_share.documents.identity import Identity
from anpr_share.documents.keys import OpeningKey, SigningKey
from anpr_share.errors import FormatError, PolicyError, StorageError, VerificationError
from anpr_share.site import catalogue
from anpr_share.work import inspecting, loading, partners
from tests.support.documents import changed
from tests.support.exchange import LANCS, READS, TARGETS, UNI, World, refuse, refused, silent
from tests.support.forgery import Forgery, members, zipped

Contents = list[tuple[str, bytes]]
READS_1, READS_2 = "data/reads/2026-10-01-0.parquet", "data/reads/2026-10-02-0.parquet"


def repacked(world: World, contents: Contents) -> Path:
    path = world.free("changed.anpr.zip")
    path.write_bytes(zipped(contents))
    return path


def test_an_untouched_bundle_passes_all_eight_steps_and_writes_nothing(world: World) -> None:
    bundle = world.export(targets=TARGETS)
    before = world.uni.ledger.head()
    result = loading.verify(world.uni, bundle)
    assert (result.steps, result.complete, result.sender) == (tuple(range(1, 9)), True, LANCS)
    assert world.uni.ledger.head() == before
    assert world.stored() == []


def test_a_forgery_that_changes_nothing_passes_too(world: World) -> None:
    assert loading.verify(world.uni, world.forge(world.export(targets=TARGETS)).write()).complete


def test_without_a_site_the_steps_that_need_no_secret_are_done(world: World) -> None:
    bundle = world.export()
    assert loading.verify_alone(bundle, None).steps == (1, 3, 4, 6)
    assert loading.verify_alone(bundle, world.lancs.identity).steps == (1, 2, 3, 4, 6)
    assert not loading.verify_alone(bundle, world.lancs.identity).complete


def test_without_a_site_another_sender_than_the_one_named_is_refused(world: World) -> None:
    bundle = world.export()
    with pytest.raises(VerificationError) as caught:
        loading.verify_alone(bundle, world.wyp.identity)
    assert caught.value.step == 2
    forged = world.forge(bundle)
    forged.manifest["sender"] = world.wyp.identity.fingerprint
    with pytest.raises(PolicyError):
        loading.verify_alone(forged.write(), world.lancs.identity)


def test_at_a_site_the_sender_named_must_be_the_one_pinned(world: World) -> None:
    bundle = world.export()
    assert loading.verify(world.uni, bundle, world.lancs.identity).complete
    for sender, kind in ((world.wyp.identity, VerificationError), (other_identity(LANCS), PolicyError)):
        with pytest.raises(kind) as caught:
            loading.verify(world.uni, bundle, sender)
        assert type(caught.value) is kind
        assert caught.value.step == 2
    partners.revoke(world.uni, LANCS)
    with pytest.raises(PolicyError, match="revoked"):
        loading.verify(world.uni, bundle, world.lancs.identity)


def test_a_force_verifies_what_it_made_as_far_as_needs_no_secret(world: World) -> None:
    bundle = world.export()
    for given in (None, world.lancs.identity):
        result = loading.verify(world.lancs, bundle, given)
        assert (result.steps, result.complete, result.sender) == ((1, 2, 3, 4, 6), False, LANCS)
        assert result.note == "this very site made it; steps 5, 7 and 8 need the recipient's site"
    with pytest.raises(PolicyError, match="only a university loads bundles"):
        loading.load(world.lancs, bundle, None, silent)


def other_identity(name: str) -> Identity:
    return Identity.make(name, "Another", "police", SigningKey.generate(), OpeningKey.generate())


def test_any_changed_byte_is_found_without_any_secret(world: World) -> None:
    bundle = world.export(reads=READS[:1])
    data = bytearray(bundle.read_bytes())
    with bundle.open("rb") as file:
        contents = [range(item.offset, item.offset + item.size) for item in container.read(file)]
    sampled = [place for part in contents for place in part[::29]]
    structure = sorted(set(range(len(data))).difference(*contents))
    changed_file = world.free("changed")
    changed_file.write_bytes(data)
    with changed_file.open("r+b", buffering=0) as file:
        for place in structure + sampled:
            file.seek(place)
            file.write(bytes([data[place] ^ (1 << place % 8)]))
            with pytest.raises(VerificationError):
                loading.verify_alone(changed_file, world.lancs.identity)
            file.seek(place)
            file.write(data[place : place + 1])
    assert loading.verify_alone(changed_file, world.lancs.identity).steps


def swapped(contents: Contents) -> Contents:
    both = dict(contents)
    return [(name, both[{READS_1: READS_2, READS_2: READS_1}.get(name, name)]) for name, _ in contents]


CHANGES: dict[str, tuple[Callable[[Contents], Contents], type[VerificationError], int]] = {
    "removed part": (lambda found: [item for item in found if item[0] != READS_1], VerificationError, 4),
    "removed last part": (lambda found: found[:-1], VerificationError, 4),
    "removed keys": (lambda found: [found[0], *found[2:]], FormatError, 1),
    "removed manifest": (lambda found: found[1:], FormatError, 1),
    "manifest only": (lambda found: found[:1], FormatError, 1),
    "added part": (lambda found: [*found, ("data/reads/2026-10-03-1.parquet", found[-1][1])], VerificationError, 4),
    "added file": (lambda found: [*found, ("readme.txt", b"hello")], FormatError, 1),
    "added path upwards": (lambda found: [*found, ("../evil.parquet", b"hello")], FormatError, 1),
    "repeated part": (lambda found: [*found, found[-1]], FormatError, 1),
    "repeated manifest": (lambda found: [found[0], *found], FormatError, 1),
    "renamed part": (
        lambda found: [*found[:-1], ("data/reads/2026-10-04-0.parquet", found[-1][1])],
        VerificationError,
        4,
    ),
    "renamed to another table": (
        lambda found: [*found[:-1], ("data/targets/undated-0.parquet", found[-1][1])],
        VerificationError,
        4,
    ),
    "moved part": (lambda found: [*found[:2], *reversed(found[2:])], FormatError, 1),
    "emptied part": (lambda found: [*found[:-1], (found[-1][0], b"")], VerificationError, 4),
    "longer part": (lambda found: [*found[:-1], (found[-1][0], found[-1][1] + b"0")], VerificationError, 4),
    "other content": (lambda found: [*found[:-1], (found[-1][0], bytes(len(found[-1][1])))], VerificationError, 6),
    "other keys": (
        lambda found: [found[0], (found[1][0], bytes(len(found[1][1]))), *found[2:]],
        VerificationError,
        6,
    ),
    "manifest of another kind": (
        lambda found: [(found[0][0], found[0][1].replace(b".manifest.", b".receipts.")), *found[1:]],
        FormatError,
        1,
    ),
    "no JSON": (lambda found: [(found[0][0], b"\xff"), *found[1:]], FormatError, 1),
}


@pytest.mark.parametrize("what", CHANGES)
def test_what_is_done_to_a_bundle_on_its_way_is_found(world: World, what: str) -> None:
    change, kind, step = CHANGES[what]
    refused(world, repacked(world, change(members(world.export()))), kind, step)


def test_two_parts_that_were_swapped_are_found(world: World) -> None:
    found = members(world.export(reads=[READS[0], ("AB12CDE", "CAM-2", "2026-10-02T08:01:00Z")]))
    assert swapped(found) != found
    sizes = {len(content) for name, content in found if name in {READS_1, READS_2}}
    refused(world, repacked(world, swapped(found)), VerificationError, 6 if len(sizes) == 1 else 4)


@pytest.mark.parametrize("damage", [b"", b"PK\x05\x06" + bytes(18), b"not a bundle"])
def test_a_file_that_is_no_bundle_is_refused(world: World, damage: bytes) -> None:
    path = world.free("other")
    path.write_bytes(damage)
    refused(world, path, FormatError, 1)


@pytest.mark.parametrize(
    "change",
    [lambda data: data[:-1], lambda data: data + b"\0", lambda data: b"\0" + data],
    ids=["cut short", "longer", "later"],
)
def test_a_bundle_with_bytes_lost_or_added_is_refused(world: World, change: Callable[[bytes], bytes]) -> None:
    path = world.free("other")
    path.write_bytes(change(world.export().read_bytes()))
    refused(world, path, FormatError, 1)


def test_a_compressed_bomb_is_refused_before_anything_is_unpacked(world: World) -> None:
    bundle = world.free("bomb.anpr.zip")
    with zipfile.ZipFile(bundle, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("manifest.json", dict(members(world.export()))["manifest.json"])
        file.writestr("keys.sealed", bytes(64 * 1024 * 1024))
    refused(world, bundle, FormatError, 1)


def test_a_bundle_that_is_not_there_is_the_fault_of_the_disk(world: World) -> None:
    with pytest.raises(StorageError):
        loading.verify_alone(world.root / "none", None)
    with pytest.raises(StorageError):
        inspecting.inspect(world.root / "none")
    before = world.uni.ledger.head()
    with pytest.raises(StorageError):
        world.load(world.root / "none")
    assert world.uni.ledger.head() == before


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes")
def test_nobody_waits_for_a_pipe_that_is_given_as_a_bundle(world: World) -> None:
    pipe = world.free("pipe")
    os.mkfifo(pipe)
    with pytest.raises(StorageError, match="not a file"):
        loading.verify_alone(pipe, None)


def test_an_unknown_sender_is_refused(world: World) -> None:
    forged = world.forge(world.export())
    forged.signer = SigningKey.generate()
    refused(world, forged.write(), PolicyError, 2)


def test_a_revoked_sender_is_refused(world: World) -> None:
    bundle = world.export()
    partners.revoke(world.uni, LANCS)
    refused(world, bundle, PolicyError, 2)


def test_a_sender_whose_identity_was_replaced_is_unknown_under_the_old_one(world: World) -> None:
    bundle = world.export()
    fresh = Identity.make(LANCS, "Lancashire", "police", SigningKey.generate(), OpeningKey.generate())
    partners.replace(world.uni, fresh, fresh.fingerprint, refuse)
    refused(world, bundle, PolicyError, 2)


def impostor(forged: Forgery) -> Path:
    """A bundle that claims the sender's key id, signed by somebody else."""
    claimed = dsse.key_id(forged.signer.public)
    forged.signer = SigningKey.generate()
    contents = members(forged.write())
    envelope = dsse.parse(contents[0][1], manifests.KIND)
    signature = dsse.Signature(claimed, envelope.signatures[0].value)
    disguised = dsse.Envelope(envelope.kind, envelope.payload, (signature,)).encode()
    return forged.pack([(contents[0][0], disguised), *contents[1:]])


def test_an_impostor_who_claims_a_partners_key_is_refused(world: World) -> None:
    refused(world, impostor(world.forge(world.export())), VerificationError, 2)


def test_a_second_signature_is_refused(world: World) -> None:
    contents = members(world.export())
    envelope = dsse.parse(contents[0][1], manifests.KIND)
    twice = dsse.add_signature(envelope, world.wyp.signing_key).encode()
    refused(world, repacked(world, [(contents[0][0], twice), *contents[1:]]), VerificationError, 2)


def test_a_signature_of_another_manifest_is_refused(world: World) -> None:
    contents = members(world.export())
    envelope = dsse.parse(contents[0][1], manifests.KIND)
    payload = canonical.encode(changed(canonical_fields(envelope.payload), "created", "2026-10-12T11:59:59Z"))
    other = dsse.Envelope(envelope.kind, payload, envelope.signatures).encode()
    refused(world, repacked(world, [(contents[0][0], other), *contents[1:]]), VerificationError, 2)


def canonical_fields(payload: bytes) -> dict[str, Any]:
    found = canonical.decode(payload)
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("format", 2),
        ("format", True),
        ("bundle", "../../evil"),
        ("tables.0.parts.0.day", "2026-13-01"),
        ("tables.0.parts.0.day", "undated"),
        ("tables.0.parts.0.rows", -1),
        ("tables.0.parts.0.rows", 10_000_001),
        ("tables.0.parts.0.n", 1),
        ("tables.0.parts.0.bytes", 2**40),
        ("tables.0.name", "coverage"),
        ("tables", []),
        ("window.first", "2026-10-04"),
        ("created", "2026-10-12T12:00:00+00:00"),
        ("remark", "AB12CDE"),
        ("head", ...),
    ],
)
def test_a_signed_manifest_that_is_no_manifest_is_refused(world: World, path: str, value: object) -> None:
    forged = world.forge(world.export())
    sealed = forged.write()  # fixes the digest of what is sealed
    forged.manifest = changed(forged.manifest, path, value)
    envelope = dsse.sign(manifests.KIND, canonical.encode(forged.manifest), forged.signer)
    error = refused(world, forged.pack([("manifest.json", envelope.encode()), *members(sealed)[1:]]), FormatError, 3)
    assert "AB12CDE" not in error.message


def test_a_refusal_is_recorded_with_its_step_and_reported_to_a_proven_sender_alone(world: World) -> None:
    bundle = world.export()
    forged = impostor(world.forge(bundle))
    with pytest.raises(VerificationError):
        world.load(forged)
    broken = repacked(world, CHANGES["other content"][0](members(bundle)))
    with pytest.raises(VerificationError):
        world.load(broken)
    found = world.uni.db.rows("SELECT partner, step, reason, bundle IS NULL FROM refusal ORDER BY step")
    assert found == [(None, 2, "verification", 1), (LANCS, 6, "verification", 0)]
    details = [dict(entry.details) for entry in world.uni.ledger.lines() if entry.event == "load-refused"]
    assert [item["step"] for item in details] == [2, 6]


def test_after_a_refusal_the_genuine_bundle_still_loads(world: World) -> None:
    bundle = world.export()
    with pytest.raises(VerificationError):
        world.load(repacked(world, CHANGES["removed part"][0](members(bundle))))
    assert world.load(bundle).rows == {"reads": 6}
    [known] = catalogue.requests(world.uni.db, world.uni.require_vault())
    assert [item.state for item in catalogue.windows(world.uni.db, None, known.digest)] == ["used"]


@pytest.mark.parametrize("command", ["inspect", "verify"])
def test_the_commands_without_a_site_end_with_the_code_of_the_error(
    world: World, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    from anpr_share.cli import main

    bundle = world.export()
    monkeypatch.chdir(bundle.parent)
    assert main.run([command, str(bundle)]) == (0 if command == "inspect" else 1)
    bundle.write_bytes(bundle.read_bytes()[:-1])
    assert main.run([command, str(bundle)]) == VerificationError.exit_code
    assert main.run([command, str(bundle.parent / "none")]) == StorageError.exit_code


def test_verify_at_a_site_of_somebody_elses_bundle_is_refused(world: World) -> None:
    bundle = world.export()
    with pytest.raises(PolicyError):
        loading.verify(world.wyp, bundle)
    assert world.cli(UNI, "verify", bundle) == 0

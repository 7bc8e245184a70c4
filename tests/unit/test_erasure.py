"""What is destroyed stays so: no secret that is left opens a bundle or an old copy of the store; a dead key is nowhere.

Every check is made a second time where it must fail: with the keys from before, or on a file that was not overwritten.
"""

from __future__ import annotations

import base64
import re
import shutil
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from anpr_share import parquet
from anpr_share.documents import envelope as dsse
from anpr_share.documents import manifest as manifests
from anpr_share.documents.keys import OpeningKey
from anpr_share.errors import FormatError, VerificationError
from anpr_share.site import holdings, vault
from anpr_share.site.opened import OpenSite
from anpr_share.work import purging
from tests.support.exchange import DAYS, NOW, ROLES, TARGETS, UNI, WYP, World
from tests.support.forgery import members
from tests.support.parts import read_part

FIRST_DUE = datetime(2026, 10, 12, 23, tzinfo=UTC)  # 12 days after 1 October, at midnight in London
DIGEST = re.compile(r"[0-9a-f]{64}")
PART = re.compile(r"(?:data|store/[a-z0-9-]+)/([a-z]+)/([0-9-]{10}|undated)(?:/([0-9a-f-]{36}))?-([0-9]+)\.parquet")
PIECE = 16


@pytest.fixture
def brief(world: World) -> World:
    """An agreement that keeps reads for twelve days: the clock of a site must not leap."""
    world.agree(id="brief", reads__retention="P12D")
    return world


def secrets_of(site: OpenSite) -> set[bytes]:
    """Everything of 32 bytes that an open site can come by: its keys, and all else that might be one."""
    opened = site.require_vault()
    found = {opened._key, opened._records, vault._derive(opened._key, b"anpr-share/1/secrets")}
    for kind, name, wrapped in site.db.rows("SELECT kind, name, wrapped FROM vault.secret"):
        found.add(opened.unwrap((kind, name), wrapped))
    for *place, wrapped in site.db.rows("SELECT agreement, tbl, day, bundle, wrapped FROM keys.day_key"):
        found.add(opened.unwrap(("day-key", *place), wrapped))
    for *place, wrapped in site.db.rows("SELECT request, first, wrapped FROM keys.onetime_key"):
        found.add(opened.unwrap(("onetime-key", *place), wrapped))
    for schema in ("main", "keys", "vault"):
        for (table,) in site.db.rows(f"SELECT name FROM {schema}.sqlite_schema WHERE type = 'table'"):
            for row in site.db.rows(f"SELECT * FROM {schema}.{table}"):
                found |= {item for item in row if isinstance(item, bytes) and len(item) == parquet.KEY_BYTES}
                found |= {bytes.fromhex(item) for item in row if isinstance(item, str) and DIGEST.fullmatch(item)}
    return found


def secrets_everywhere(world: World) -> set[bytes]:
    return set().union(*(secrets_of(world.site(name)) for name in ROLES))


def part_opens(world: World, content: bytes, bundle: str, name: str, secrets: Iterable[bytes]) -> bool:
    """Whether one of these is the key of a part, or the day key that it comes from."""
    match = PART.fullmatch(name)
    assert match is not None
    path = world.free("part")
    path.write_bytes(content)
    for secret in secrets:
        for key in (secret, parquet.part_key(secret, bundle, match[1], match[2], int(match[4]))):
            try:
                read_part(path, key)
            except FormatError:
                continue
            return True
    return False


def opened_of_bundle(world: World, path: Path, secrets: set[bytes]) -> set[str]:
    """The members of a bundle file that these secrets open, and those that what they open opens."""
    contents = dict(members(path))
    manifest = manifests.from_envelope(dsse.parse(contents.pop("manifest.json"), manifests.KIND))
    info = manifests.sealed_info(manifest.sender, manifest.agreement, manifest.request, manifest.bundle)
    box = contents.pop("keys.sealed")
    opened, known = set(), set(secrets)
    for secret in secrets:
        try:
            plaintext = OpeningKey(secret).open(box, info)
        except VerificationError:
            continue
        opened.add("keys.sealed")
        known |= {dsse.from_base64(item.key) for item in manifests.read_sealed(plaintext).keys}
    return opened | {name for name, part in contents.items() if part_opens(world, part, manifest.bundle, name, known)}


def opened_of_store(world: World, store: Path, secrets: set[bytes]) -> set[str]:
    """The days of a copy of ``store/`` that these secrets open."""
    opened = set()
    for path in store.rglob("*.parquet"):
        name = path.relative_to(store.parent).as_posix()
        match = PART.fullmatch(name)
        assert match is not None
        if part_opens(world, path.read_bytes(), match[3], name, secrets):
            opened.add(match[2])
    return opened


def keys_in(world: World, path: Path) -> dict[bytes, bytes]:
    """The keys in a keys.db of the university, each by its wrapped bytes."""
    opened = world.uni.require_vault()
    with closing(sqlite3.connect(path)) as db:
        rows = [("day-key", *row) for row in db.execute("SELECT agreement, tbl, day, bundle, wrapped FROM day_key")]
        rows += [("onetime-key", *row) for row in db.execute("SELECT request, first, wrapped FROM onetime_key")]
    return {wrapped: opened.unwrap(place, wrapped) for *place, wrapped in rows}


def traces(root: Path, secret: bytes) -> list[str]:
    """The files below a directory, hidden ones and journals too, that hold a good piece of a secret, spelt anyhow."""
    spelt = (secret, secret.hex().encode(), base64.b64encode(secret))
    pieces = [text[n : n + PIECE] for text in spelt for n in range(len(text) - PIECE + 1)]
    files = [(path.relative_to(root).as_posix(), path.read_bytes()) for path in root.rglob("*") if path.is_file()]
    return [name for name, content in files if any(piece in content for piece in pieces)]


def test_a_bundle_that_was_loaded_opens_with_no_secret_that_is_left_anywhere(brief: World) -> None:
    world = brief
    other = world.request(to=WYP, agreement="brief")  # its one-time key lives on
    bundle = world.export(world.request(agreement="brief"), targets=TARGETS)
    copy = Path(shutil.copy(world.uni.paths.keys, world.free("keys.db")))
    world.load(bundle)
    secrets = secrets_everywhere(world)
    assert len(holdings.onetime_places(world.uni.db)) == 1
    assert opened_of_bundle(world, bundle, secrets) == set()

    everything = {name for name, _ in members(bundle)} - {"manifest.json"}
    assert len(everything) == 5
    assert opened_of_bundle(world, bundle, set(keys_in(world, copy).values())) == everything
    assert opened_of_bundle(world, world.export(other, by=WYP), secrets) == everything - {
        "data/targets/undated-0.parquet"
    }


def test_an_old_copy_of_the_store_opens_with_no_secret_that_is_left_anywhere(brief: World) -> None:
    world = brief
    world.load(world.export(world.request(agreement="brief"), targets=TARGETS))
    copy = world.free("store")
    shutil.copytree(world.uni.paths.store, copy)
    before = secrets_everywhere(world)
    world.clock.now = FIRST_DUE + timedelta(days=1)
    assert len(purging.purge(world.uni).days) == 2
    assert opened_of_store(world, copy, secrets_everywhere(world)) == {"2026-10-03", "undated"}
    assert opened_of_store(world, copy, before) == {"2026-10-01", "2026-10-02", "2026-10-03", "undated"}


def loaded(world: World) -> None:
    world.load(world.export(world.request(agreement="brief"), targets=TARGETS))


def purge_at(world: World, moment: datetime) -> None:
    """What happens at night, without the passphrase."""
    world.close()
    world.clock.now = moment
    with OpenSite.open(world.root / UNI, clock=world.clock) as locked:
        purging.purge(locked)


# Each of these makes keys, yields how many of them will die, and has them die.
Death = Callable[[World], Iterator[int]]


def by_loading(world: World) -> Iterator[int]:
    bundle = world.export(world.request(agreement="brief"))
    yield 1
    world.load(bundle)


def with_its_window(world: World) -> Iterator[int]:
    world.export(world.request())
    yield 1
    purge_at(world, NOW + timedelta(days=30))


def of_a_day(world: World) -> Iterator[int]:
    loaded(world)
    yield 1
    purge_at(world, FIRST_DUE)


def of_every_day(world: World) -> Iterator[int]:
    loaded(world)
    yield 3
    purge_at(world, FIRST_DUE + timedelta(days=2))


def of_replaced_targets(world: World) -> Iterator[int]:
    loaded(world)
    world.clock.now += timedelta(hours=1)
    day = DAYS[-1] + timedelta(days=1)
    request = world.request(day, day, agreement="brief")
    newer = world.export(request, [("AB12CDE", "CAM-1", "2026-10-04T08:00:00Z")], TARGETS)
    yield 2  # and the one-time key
    world.load(newer)


@pytest.mark.parametrize("death", [by_loading, with_its_window, of_a_day, of_every_day, of_replaced_targets])
def test_a_key_that_died_is_in_no_file_wrapped_or_not(brief: World, tmp_path: Path, death: Death) -> None:
    world, path = brief, brief.uni.paths.keys
    life = death(world)
    number = next(life)
    before = keys_in(world, path)
    for wrapped, raw in before.items():
        assert (traces(world.root, wrapped), traces(world.root, raw)) == ([f"{UNI}/keys.db"], [])
    shutil.copy(path, tmp_path / "keys.db")
    assert list(life) == []
    dead = before.keys() - keys_in(world, path).keys()
    assert len(dead) == number
    for wrapped in dead:
        assert (traces(world.root, wrapped), traces(world.root, before[wrapped])) == ([], [])

    with closing(sqlite3.connect(tmp_path / "keys.db")) as careless, careless:
        careless.execute("PRAGMA secure_delete = OFF")
        for table in ("day_key", "onetime_key"):
            careless.executemany(f"DELETE FROM {table} WHERE wrapped = ?", [(wrapped,) for wrapped in dead])
    assert all(traces(tmp_path, wrapped) == ["keys.db"] for wrapped in dead)

"""Exported ledgers of real sites, and what somebody does to one who may write the file anew but has no key."""

from __future__ import annotations

import hashlib
import json
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from anpr_share.documents import canonical
from anpr_share.errors import VerificationError
from anpr_share.site.ledger import line_hash
from anpr_share.work import auditing, closing, loading, notifying, purging, receipting
from tests.support.exchange import LANCS, TARGETS, UNI, WYP, World, silent

Value = dict[str, Any]
Change = Callable[[list[Value]], None]


def exchanged(world: World) -> World:
    """Two bundles loaded, one day of one destroyed in time and one recalled, a refusal, receipts that a force accepted,
    an open request, and at a third site a closed agreement.
    """
    world.agree(id="brief", reads__retention="P12D")
    brief = world.export(world.request(agreement="brief"), targets=TARGETS)
    world.load(brief)
    world.load(world.export(targets=TARGETS))
    cut = world.free("cut.anpr.zip")
    cut.write_bytes(brief.read_bytes()[:-1])
    with suppress(VerificationError):
        loading.load(world.uni, cut, None, silent)
    world.request(to=WYP)
    world.clock.now = datetime(2026, 10, 12, 23, tzinfo=UTC)
    purging.purge(world.uni)
    receipt = world.free("receipt.json")
    receipting.create(world.uni, "brief", LANCS, receipt)
    receipting.accept(world.lancs, receipt.read_bytes())
    notice, answer = world.free("notice.json"), world.free("answer.json")
    notifying.recall(world.lancs, "brief", UNI, "reads", ["2026-10-02"], "a clock was wrong", notice)
    notifying.apply(world.uni, notice.read_bytes(), answer)
    receipting.accept(world.lancs, answer.read_bytes())
    closing.close(world.wyp, "brief", None)
    world.clock.now += timedelta(minutes=1)
    return world


def export(world: World, site: str) -> Path:
    """The ledger of a site, exported."""
    out = world.free(f"{site}.jsonl")
    auditing.export_ledger(world.site(site), out)
    return out


def values(path: Path) -> list[Value]:
    """The lines of an exported ledger but for the last."""
    return [json.loads(line) for line in path.read_bytes().splitlines()[:-1]]


def joined(found: Iterable[Value]) -> bytes:
    """An exported ledger of these lines, with an end that fits."""
    lines = [canonical.encode(value) + b"\n" for value in found]
    digest = hashlib.sha256(b"".join(lines)).hexdigest()
    return b"".join([*lines, canonical.encode({"end": len(lines), "sha256": digest}), b"\n"])


def altered(path: Path, change: Change) -> Path:
    """The export with a change made to it, and nothing in its form that tells."""
    found = values(path)
    change(found)
    out = path.with_name("altered.jsonl")
    out.write_bytes(joined(found))
    return out


def of(found: list[Value], kind: str) -> list[Value]:
    """The records of a kind, or the lines that are none."""
    return [item for item in found if item.get("record") == kind or kind in item]


def at(found: list[Value], kind: str, number: int) -> int:
    """Where the n-th of a kind of line stands."""
    return found.index(of(found, kind)[number])


def payload_changed(envelope: str, change: Callable[[Value], object]) -> tuple[str, str]:
    """An envelope whose payload is another under the same signatures, in base64; and the payload's digest."""
    outer = json.loads(b64decode(envelope))
    payload = json.loads(b64decode(outer["payload"]))
    change(payload)
    data = canonical.encode(payload)
    outer["payload"] = b64encode(data).decode()
    return b64encode(canonical.encode(outer)).decode(), hashlib.sha256(data).hexdigest()


def chained(found: list[Value]) -> None:
    """Make the hashes of a ledger fit its lines again, as anybody can."""
    before = None
    for seq, item in enumerate(of(found, "line"), 1):
        entry = json.loads(item["line"]) | {"seq": seq}
        entry["previous"] = before or entry["previous"]
        item["line"] = canonical.encode(entry).decode()
        before = line_hash(item["line"].encode())

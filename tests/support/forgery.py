"""A bundle taken apart with its keys, changed at will, and signed and sealed anew: a partner who is malicious."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from anpr_share import container
from anpr_share.documents import canonical
from anpr_share.documents import envelope as dsse
from anpr_share.documents import manifest as manifests
from anpr_share.documents.keys import OpeningKey, SigningKey, seal
from anpr_share.parquet import part_key, write_part
from anpr_share.site import holdings
from tests.support.documents import Fields
from tests.support.parts import read_part

if TYPE_CHECKING:
    from tests.support.exchange import World


@dataclass
class Forgery:
    """A bundle in its pieces. ``manifest`` and ``sealed`` are payloads; ``parts`` are members' contents by name.

    :meth:`put` keeps the manifest in step with what it changes; everything else is the test's to break.
    """

    world: World
    source: Path
    signer: SigningKey
    manifest: Fields = field(init=False)
    sealed: Fields = field(init=False)
    parts: dict[str, bytes] = field(init=False)
    public: bytes = field(init=False)

    def __post_init__(self) -> None:
        contents = dict(members(self.source))
        self.manifest = fields_of(dsse.parse(contents.pop("manifest.json"), manifests.KIND).payload)
        opener = self._opener()
        self.public = opener.public
        self.sealed = fields_of(opener.open(contents.pop("keys.sealed"), self._info()))
        self.parts = contents

    def _opener(self) -> OpeningKey:
        uni = self.world.uni
        first = date.fromisoformat(self.manifest["window"]["first"])
        opener = holdings.onetime_key(uni.db, uni.require_vault(), self.manifest["request"], first)
        assert opener is not None
        return opener

    def _info(self) -> bytes:
        names = ("sender", "agreement", "request", "bundle")
        return manifests.sealed_info(*(self.manifest[name] for name in names))

    def key(self, table: str, day: str) -> bytes:
        return next(
            dsse.from_base64(item["key"])
            for item in self.sealed["keys"]
            if (item["table"], item["day"]) == (table, day)
        )

    def set_key(self, table: str, day: str, key: bytes) -> None:
        others = [item for item in self.sealed["keys"] if (item["table"], item["day"]) != (table, day)]
        fresh = {"table": table, "day": day, "key": dsse.to_base64(key)}
        self.sealed["keys"] = sorted([*others, fresh], key=lambda item: (item["table"], item["day"]))

    def frame(self, table: str, day: str, n: int = 0) -> pl.DataFrame:
        path = self.world.free("part")
        path.write_bytes(self.parts[manifests.member_name(table, day, n)])
        return read_part(path, self._part_key(table, day, n))

    def _part_key(self, table: str, day: str, n: int) -> bytes:
        return part_key(self.key(table, day), self.manifest["bundle"], table, day, n)

    def encrypt(self, frame: pl.DataFrame, table: str, day: str, n: int = 0) -> bytes:
        path = self.world.free("part")
        write_part(frame, path, self._part_key(table, day, n))
        return path.read_bytes()

    def put(self, table: str, day: str, content: bytes | pl.DataFrame, *, n: int = 0, rows: int | None = None) -> None:
        """Put a part in its place, and tell the manifest and the quality record of it."""
        if isinstance(content, pl.DataFrame):
            rows = content.height if rows is None else rows
            content = self.encrypt(content, table, day, n)
        self.parts[manifests.member_name(table, day, n)] = content
        found = next(item for item in self.manifest["tables"] if item["name"] == table)
        known = {(item["day"], item["n"]): item for item in found["parts"]}
        before = known.get((day, n), {"rows": 0})["rows"]
        known[day, n] = {
            "day": day,
            "n": n,
            "rows": (before if rows is None else rows) if table == "reads" else None,
            "bytes": len(content),
            "sha256": hashlib.sha256(content).hexdigest(),
        }
        found["parts"] = [known[place] for place in sorted(known)]
        self.parts = {
            name: self.parts[name]
            for item in self.manifest["tables"]
            for part in item["parts"]
            for name in [manifests.member_name(item["name"], part["day"], part["n"])]
            if name in self.parts
        }
        if table == "reads":
            self.recount()

    def recount(self) -> None:
        """Let the quality record say what the manifest says of reads."""
        table = next(item for item in self.manifest["tables"] if item["name"] == "reads")
        quality = self.quality("reads")
        days: dict[str, int] = {}
        for part in table["parts"]:
            days[part["day"]] = days.get(part["day"], 0) + part["rows"]
        quality["days"] = [{"day": day, "rows": rows, "rejected": 0} for day, rows in days.items()]
        quality["rows_out"] = sum(days.values())
        quality["rows_in"] = (
            quality["rows_out"]
            + sum(quality["rejected"].values())
            + sum(quality["withheld"].values())
            - quality["split"]
        )

    def quality(self, table: str) -> Fields:
        return next(item for item in self.sealed["quality"]["tables"] if item["table"] == table)

    def write(self, *, plaintext: bytes | None = None, info: bytes | None = None, public: bytes | None = None) -> Path:
        """Seal, sign and write. ``plaintext``, ``info`` and ``public`` are of what is sealed."""
        content = canonical.encode(self.sealed) if plaintext is None else plaintext
        box = seal(public or self.public, self._info() if info is None else info, content)
        self.manifest["keys"] = {"bytes": len(box), "sha256": hashlib.sha256(box).hexdigest()}
        envelope = dsse.sign(manifests.KIND, canonical.encode(self.manifest), self.signer)
        return self.pack([("manifest.json", envelope.encode()), ("keys.sealed", box), *self.parts.items()])

    def pack(self, contents: Sequence[tuple[str, bytes]]) -> Path:
        path = self.world.free("forged.anpr.zip")
        path.write_bytes(zipped(contents))
        return path


def fields_of(payload: bytes) -> Fields:
    found = canonical.decode(payload)
    assert isinstance(found, dict)
    return found


def members(path: Path) -> list[tuple[str, bytes]]:
    """Names and contents of a container, in order."""
    with path.open("rb") as file:
        return [(item.name, container.read_member(file, item)) for item in container.read(file)]


def zipped(contents: Sequence[tuple[str, bytes]]) -> bytes:
    """A container of any members in any order, correct in every header."""
    data, found = b"", []
    for name, content in contents:
        offset = len(data) + container._LOCAL.size + len(name)
        member = container.Member(name, offset, len(content), zlib.crc32(content))
        data += container._local_header(member) + content
        found.append(member)
    return data + container._ending(found)

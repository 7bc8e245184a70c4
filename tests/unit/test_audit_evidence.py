"""The exported ledger: whole, private, without a secret; and a reader that takes it and nothing else."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import re
import signal
import sqlite3
import stat
import subprocess
import sys
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anpr_share.audit import evidence
from anpr_share.audit.evidence import RECORDS, Evidence
from anpr_share.documents.envelope import from_base64
from anpr_share.errors import FormatError, StorageError
from anpr_share.site import database, holdings
from anpr_share.site.opened import OpenSite
from anpr_share.work import auditing
from tests.support import ledgers
from tests.support.exchange import LANCS, PLATES, READS, TARGETS, UNI, WYP, World, settled, swift
from tests.support.ledgers import Value, at, joined, of, values

SITES = (LANCS, WYP, UNI)


@dataclasses.dataclass(frozen=True)
class Made:
    """Sites after an exchange, and the university's export."""

    world: World
    exported: Path

    @property
    def data(self) -> bytes:
        return self.exported.read_bytes()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    with ExitStack() as stack:
        stack.enter_context(swift())
        world = stack.enter_context(settled(tmp_path_factory.mktemp("exports") / "sites"))
        ledgers.exchanged(world)
        yield Made(world, ledgers.export(world, UNI))


def taken(data: bytes) -> Evidence:
    return evidence.read(io.BytesIO(data))


def changed(made: Made, change: Callable[[list[Value]], object]) -> bytes:
    found = values(made.exported)
    change(found)
    return joined(found)


# --- what is written


@pytest.mark.parametrize("site", SITES)
def test_what_is_read_is_what_was_written_byte_for_byte(site: str, made: Made) -> None:
    path = ledgers.export(made.world, site)
    found = auditing.read_export(path)
    direct = dataclasses.replace(
        auditing.look(made.world.root / site, made.world.clock, None), source="ledger", disk=None
    )
    if site == UNI:
        assert found == direct
    assert found.lines == tuple(made.world.site(site).ledger.stored())
    assert found.checkpoints == tuple(made.world.site(site).ledger.checkpoints())
    assert b"".join(evidence.encode(found)) == path.read_bytes()


def test_every_kind_of_record_is_exported_by_some_site(made: Made) -> None:
    kinds = {item["record"] for site in SITES for item in values(ledgers.export(made.world, site)) if "record" in item}
    assert kinds == {kind.TABLE for kind in RECORDS}


def test_the_kinds_of_record_are_fields_of_the_evidence_each_of_its_own() -> None:
    names = [item.name for item in dataclasses.fields(Evidence)]
    assert list(evidence._FIELDS) == [kind.TABLE for kind in RECORDS]
    assert len(set(evidence._FIELDS.values())) == len(RECORDS)
    assert set(evidence._FIELDS.values()) <= set(names)


def test_what_is_told_is_where_the_exported_ledger_ends(made: Made) -> None:
    out = made.world.free("u.jsonl")
    told = auditing.export_ledger(made.world.uni, out)
    assert (told.path, told.lines) == (out, made.world.uni.ledger.head().seq)
    assert told.head == made.world.uni.ledger.head().hash


def test_it_needs_no_passphrase_and_changes_nothing(made: Made) -> None:
    root = made.world.root / UNI
    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    with OpenSite.open(root, clock=made.world.clock) as locked:
        head = locked.ledger.head()
        auditing.export_ledger(locked, made.world.free("u.jsonl"))
        assert locked.ledger.head() == head
    assert {path: path.read_bytes() for path in root.rglob("*") if path.is_file()} == before


def test_it_holds_no_plate_camera_reference_or_key_and_no_folder(made: Made) -> None:
    words = {*PLATES, *(plate for plate, *_ in READS), *(camera for _, camera, _ in READS)}
    words |= {log for _, log, *_ in TARGETS} | {"/" + str(made.world.root).strip("/").split("/")[0] + "/"}
    wrapped: list[bytes] = []
    for site in SITES:
        for name, sql in {
            "keys.db": "SELECT wrapped FROM day_key UNION ALL SELECT wrapped FROM onetime_key",
            "vault.db": "SELECT wrapped FROM secret UNION ALL SELECT wrapped FROM opening",
        }.items():
            with sqlite3.connect(made.world.root / site / name) as connection:
                wrapped += [row[0] for row in connection.execute(sql)]
            connection.close()
    macs = [row[0] for row in made.world.uni.db.rows("SELECT mac FROM bundle UNION ALL SELECT mac FROM seen_key")]
    assert len(wrapped) > 10
    for site in SITES:
        data = ledgers.export(made.world, site).read_bytes()
        texts = [data, *decoded(json.loads(line) for line in data.splitlines())]
        assert [word for word in words if any(word.encode() in text for text in texts)] == []
        for secret in (*wrapped, *macs):
            assert not any(secret in text or secret.hex().encode() in text for text in texts)
            assert b64encode(secret) not in data


def decoded(found: Any) -> Iterator[bytes]:
    """What stands in base64 in values, and what stands in base64 in that."""
    if isinstance(found, str):
        if len(found) > 100 and re.fullmatch("[A-Za-z0-9+/]+=*", found) and len(found) % 4 == 0:
            inner = from_base64(found)
            yield inner
            yield from decoded(re.findall(r'"([A-Za-z0-9+/]{100,}=*)"', inner.decode("utf-8", errors="ignore")))
    else:
        for item in found.values() if isinstance(found, dict) else found if not isinstance(found, int | None) else ():
            yield from decoded(item)


def test_registered_files_keep_their_names_and_two_may_have_one(made: Made) -> None:
    found = auditing.read_export(ledgers.export(made.world, LANCS))
    names = [item.path for item in found.registered]
    assert set(names) >= {"reads.csv", "targets.csv"}
    assert len(names) > len(set(names))
    assert not any("/" in name for name in names)


def test_a_stored_line_that_is_no_text_breaks_the_chain_of_the_export_too(world: World) -> None:
    world.uni.db.execute("UPDATE ledger SET line = ? WHERE seq = 2", (b"\xff\xfe",))
    path = ledgers.export(world, UNI)
    found = auditing.audit([auditing.read_export(path)], world.clock.now).findings
    assert "chain-broken" in {item.rule.code for item in found}


# --- the file


def test_it_is_the_owners_alone_and_nothing_is_overwritten(made: Made) -> None:
    out = made.world.free("u.jsonl")
    auditing.export_ledger(made.world.uni, out)
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    before = out.read_bytes()
    with pytest.raises(StorageError, match="already"):
        auditing.export_ledger(made.world.lancs, out)
    assert out.read_bytes() == before
    assert list(out.parent.iterdir()) == [out]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no limit on the size of a file")
def test_a_full_disk_leaves_nothing(made: Made) -> None:
    import resource

    out = made.world.free("u.jsonl")
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    kept = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(made.data) // 2, hard))
    try:
        with pytest.raises(StorageError):
            auditing.export_ledger(made.world.uni, out)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
        signal.signal(signal.SIGXFSZ, kept)
    assert list(out.parent.iterdir()) == []


KILLED = """
import os, signal, sys
from datetime import datetime
from pathlib import Path
from anpr_share.site.opened import OpenSite
from anpr_share.work import auditing
encode = auditing.encode
def cut(evidence):
    yield next(encode(evidence)) * 50
    os.kill(os.getpid(), signal.SIGKILL)
auditing.encode = cut
with OpenSite.open(Path(sys.argv[1]), clock=lambda: datetime.fromisoformat(sys.argv[3])) as site:
    auditing.export_ledger(site, Path(sys.argv[2]))
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
def test_killed_it_leaves_no_export_and_the_next_one_clears_what_it_left(made: Made) -> None:
    out = made.world.free("u.jsonl")
    typed = [str(made.world.root / UNI), str(out), made.world.clock.now.isoformat()]
    done = subprocess.run([sys.executable, "-c", KILLED, *typed], check=False)
    assert done.returncode == -signal.SIGKILL
    [left] = out.parent.iterdir()
    assert (left.name.startswith(".anpr-share-"), stat.S_IMODE(left.stat().st_mode)) == (True, 0o600)
    auditing.export_ledger(made.world.uni, out)
    assert list(out.parent.iterdir()) == [out]


# --- what is refused


def put(found: list[Value], place: int, value: Value) -> None:
    found.insert(place, value)


def set_(kind: str, name: str, value: object, number: int = 0) -> Callable[[list[Value]], object]:
    return lambda found: of(found, kind)[number]["values"].update({name: value})


def twice(kind: str) -> Callable[[list[Value]], object]:
    return lambda found: put(found, at(found, kind, 0), of(found, kind)[0])


def last_to_front(kind: str) -> Callable[[list[Value]], object]:
    return lambda found: put(found, 1, found.pop(at(found, kind, -1)))


def respelt(text: str) -> str:
    """The same bytes in base64, in another spelling: bits that no byte needs are set."""
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    end = text.rstrip("=")
    assert end != text
    return end[:-1] + letters[letters.index(end[-1]) + 1] + "=" * (len(text) - len(end))


def respell(found: list[Value]) -> None:
    record = next(
        record
        for item in found
        for record in (item.get("values") or item,)
        if any(isinstance(text, str) and text.endswith("=") for text in record.values())
    )
    name = next(name for name, text in record.items() if isinstance(text, str) and text.endswith("="))
    record[name] = respelt(record[name])


HOSTILE: dict[str, Callable[[list[Value]], object]] = {
    "no first line": lambda found: found.pop(0),
    "a first line twice": lambda found: put(found, 1, found[0]),
    "another version": lambda found: found[0].update(export=2),
    "true for a version": lambda found: found[0].update(export=True),
    "a time that is none": lambda found: found[0].update(at="2026-02-30T00:00:00Z"),
    "a time in another spelling": lambda found: found[0].update(at="2026-10-12T12:00:00+00:00"),
    "no identity": lambda found: found[0].update(identity=""),
    "an identity that is no text": lambda found: found[0].update(identity=5),
    "an unknown kind of line": lambda found: put(found, 1, {"rows": "x"}),
    "an unknown kind of record": lambda found: put(found, 1, {"record": "seal", "values": {}}),
    "a table of ours that is not exported": lambda found: put(found, 1, {"record": "held_day", "values": {}}),
    "a record named as a line": lambda found: put(found, 1, {"partner": {}}),
    "a record whose kind is a list": lambda found: put(found, 1, {"record": ["partner"], "values": {}}),
    "a record without values": lambda found: put(found, 1, {"record": "partner"}),
    "a record whose values are a list": lambda found: put(found, 1, {"record": "partner", "values": []}),
    "a line with a field more": lambda found: of(found, "line")[0].update(more=1),
    "an empty object": lambda found: put(found, 1, {}),
    "a field more": set_("bundle", "more", 1),
    "a field less": lambda found: of(found, "bundle")[0]["values"].pop("at"),
    "the fields of another table": lambda found: of(found, "bundle")[0].update(record="part"),
    "a number for a text": set_("bundle", "partner", 5),
    "a list for a text": set_("bundle", "partner", ["x"]),
    "null for a text": set_("bundle", "partner", None),
    "a text for a number": set_("part", "rows", "3"),
    "true for a number": set_("part", "rows", True),
    "a number below zero": set_("part", "rows", -1),
    "a day that is none": set_("bundle", "first", "2026-02-30"),
    "a direction that is none": set_("bundle", "direction", "kept"),
    "a state that is none": set_("request_window", "state", "closed"),
    "a status that is none": set_("partner", "status", "trusted"),
    "a reason that is none": set_("deletion", "reason", "lost"),
    "text that does not print": set_("bundle", "partner", "a\x1b[2J"),
    "text without an end": set_("bundle", "partner", "x" * 5000),
    "no base64": set_("bundle", "quality", "?"),
    "base64 in another spelling": respell,
    "base64 with a line break": lambda found: of(found, "checkpoint")[0].update(checkpoint="QUJD\n"),
    "a day key of three": lambda found: put(found, at(found, "day_key", 0), {"day_key": ["a", "b", "c"]}),
    "a day key that is a text": lambda found: put(found, at(found, "day_key", 0), {"day_key": "abcd"}),
    "a day key of numbers": lambda found: put(found, at(found, "day_key", 0), {"day_key": [1, 2, 3, 4]}),
    "a day key that is long": lambda found: of(found, "day_key")[-1].update(day_key=["a" * 200, "b", "c", "d"]),
    "a day key that does not print": lambda found: of(found, "day_key")[-1].update(day_key=["\n", "b", "c", "d"]),
    "a line that is no text": lambda found: of(found, "line")[0].update(line={"seq": 1}),
    "a partner twice": twice("partner"),
    "a bundle twice": twice("bundle"),
    "a part twice": twice("part"),
    "a held day twice": twice("day_key"),
    "a one-time key twice": twice("onetime_key"),
    "a checkpoint before the records": last_to_front("checkpoint"),
    "a ledger line before the records": last_to_front("line"),
    "a bundle before the partners": last_to_front("bundle"),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_export_is_refused_with_the_number_of_its_line(name: str, made: Made) -> None:
    with pytest.raises(FormatError, match=r"^this is not a whole exported ledger: line \d+: ") as caught:
        taken(changed(made, HOSTILE[name]))
    assert "\x1b" not in caught.value.message
    assert len(caught.value.message) < 300


def test_what_is_changed_by_these_tests_is_taken_if_nothing_is(made: Made) -> None:
    assert changed(made, lambda _: None) == made.data
    assert taken(made.data).identity.site == UNI


SPELT: dict[str, Callable[[bytes], bytes]] = {
    "nothing": lambda _: b"",
    "another file": lambda _: b"vrm,camera\n",
    "a space": lambda data: data.replace(b'":', b'": ', 1),
    "a key twice": lambda data: data.replace(b'{"at":', b'{"at":"2026-10-12T12:00:00Z","at":', 1),
    "a mark of the order of bytes": lambda data: b"\xef\xbb\xbf" + data,
    "line ends of Windows": lambda data: data.replace(b"\n", b"\r\n"),
    "no last line end": lambda data: data[:-1],
    "no last line": lambda data: data[: data.rindex(b'{"end"')],
    "a line after the end": lambda data: data + b"{}\n",
    "a blank line after the end": lambda data: data + b"\n",
    "the end twice": lambda data: data + data[data.rindex(b'{"end"') :],
    "the file twice": lambda data: data + data,
    "an end that counts another number": lambda data: data.replace(b'{"end":', b'{"end":1'),
    "an end of another digest": lambda data: data[:-67] + b"0" * 64 + data[-3:],
    "a line dropped": lambda data: data.replace(data.splitlines(keepends=True)[3], b"", 1),
    "a number that is no integer": lambda data: data.replace(b'"export":1', b'"export":1.0', 1),
    "a number of many digits": lambda data: data.replace(b'"export":1', b'"export":' + b"1" * 10_000, 1),
    "a lone surrogate": lambda data: data.replace(b'"at":"', b'"at":"\\ud800', 1),
    "bytes that are no text": lambda data: data.replace(b'"at":"', b'"at":"\xff', 1),
    "a list of lists of lists": lambda _: b"[" * 50_000 + b"]" * 50_000 + b"\n",
    "more lists than a document has": lambda _: b"[" + b"[]," * 200_000 + b"[]]\n",
    "objects in objects": lambda _: b'{"a":' * 30 + b"1" + b"}" * 30 + b"\n",
}  # fmt: skip


@pytest.mark.parametrize("name", SPELT)
def test_bytes_that_are_no_export_are_refused(name: str, made: Made) -> None:
    data = SPELT[name](made.data)
    assert data != made.data
    with pytest.raises(FormatError):
        taken(data)


def test_an_export_that_is_cut_anywhere_is_refused(made: Made) -> None:
    for size in {*range(0, len(made.data), 997), *range(len(made.data) - 120, len(made.data))}:
        with pytest.raises(FormatError):
            taken(made.data[:size])


@pytest.mark.parametrize(("limit", "value"), [("MAX_LINE_BYTES", 1000), ("MAX_BYTES", 5000), ("MAX_LINES", 20)])
def test_what_is_larger_than_a_limit_is_refused_before_it_is_taken(
    limit: str, value: int, made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evidence, limit, value)
    with pytest.raises(FormatError):
        taken(made.data)


def test_a_line_without_an_end_is_read_no_further_than_the_limit() -> None:
    class Endless(io.RawIOBase):
        """Gives as much as is asked for, and remembers how much that was."""

        asked = 0

        def readline(self, size: int | None = -1, /) -> bytes:
            assert size is not None
            self.asked += size
            return b"x" * size

    endless = Endless()
    with pytest.raises(FormatError):
        evidence.read(endless)  # type: ignore[arg-type]
    assert endless.asked == evidence.MAX_LINE_BYTES + 1


@pytest.mark.parametrize(
    ("kind", "name"), [("part", "rows"), ("part", "bytes"), ("deletion", "rows"), ("witness", "seq")]
)
def test_the_largest_count_of_all_is_judged_as_any_other(kind: str, name: str, made: Made) -> None:
    data = changed(made, set_(kind, name, 2**63 - 1))
    assert auditing.audit([taken(data)], made.world.clock.now).verdict in {"clean", "breaches"}
    with pytest.raises(FormatError):
        taken(made.data.replace(b'"export":1', b'"export":%d' % 2**63))


@given(st.binary(max_size=400))
def test_any_bytes_are_an_export_or_refused(data: bytes) -> None:
    with pytest.raises(FormatError):
        taken(data)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(max_size=20) | st.sampled_from(
        ["2026-10-01", "2026-10-01T00:00:00Z", "undated", "9999-12-31", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z"]
    ),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=6,
)  # fmt: skip


@given(data=st.data())
def test_any_value_in_any_place_is_judged_or_refused(made: Made, data: st.DataObject) -> None:
    found = values(made.exported)
    item = found[data.draw(st.integers(0, len(found) - 1))]
    inner = item["values"] if isinstance(item.get("values"), dict) and data.draw(st.booleans()) else item
    inner[data.draw(st.sampled_from(sorted(inner)))] = data.draw(JSON)
    try:
        text = joined(found)
    except FormatError:
        return  # no canonical form
    try:
        evidence_ = taken(text)
    except FormatError:
        return
    auditing.audit([evidence_], made.world.clock.now)


def test_records_of_the_site_that_are_not_exported_are_those_that_say_nothing_more() -> None:
    made = set(re.findall(r"CREATE TABLE (\w+)", " ".join(database.SCHEMAS["main"])))
    kept = made - {kind.TABLE for kind in RECORDS} - {"ledger", "checkpoint"}
    # What is held, keys and parts say; coverage and seen keys are for loading; the rest is the program's own affair.
    assert kept - {"notice", "certificate"} == {"held_day", "coverage", "seen_key", "publication", "seal"}
    assert holdings.HeldDay not in RECORDS

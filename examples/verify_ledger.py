"""Checks exported ledgers, written a second time from docs/spec/ledger-export-v1.md and the pages it names.

    python examples/verify_ledger.py university.ledger.jsonl northshire.ledger.jsonl

Needs Python and nothing else, and shares no code with anpr-share. It prints each site's fingerprint, to compare with
the paper, what it checked, and every fault with its file and line; the exit code is 0 if there is none, else 1. It is
plain and slow on purpose. Numbers in brackets are the steps of section 4 of the specification. Fields of records that
no step needs are counted and not looked at.
"""

from __future__ import annotations

import base64
import calendar
import hashlib
import json
import re
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, NoReturn
from zoneinfo import ZoneInfo

# How many of a record's fields are its key, and all of them.
RECORDS = {
    "partner": (1, "id name role fingerprint identity status pinned_at"),
    "agreement": (2, "id version digest envelope accepted_at closed_at key_destroyed_at"),
    "request": (1, "digest agreement partner direction envelope created"),
    "request_window": (2, "request first last state bundle"),
    "bundle": (1, "id direction agreement partner request first last manifest key_check created at quality receipt"),
    "manifest": (1, "digest envelope"),
    "part": (4, "bundle tbl day n agreement source rows bytes sha256 path"),
    "receipt": (1, "digest direction partner agreement envelope at"),
    "notice": (1, "digest direction partner agreement envelope content at receipt"),
    "certificate": (1, "agreement envelope at"),
    "refusal": (1, "id agreement partner file bundle manifest step reason at receipt"),
    "deletion": (3, "bundle tbl day agreement partner rows due at reason receipt"),
    "registered": (0, "path kind agreement tbl day at"),
    "witness": (2, "partner document seq hash at"),
}
ORDER = [*RECORDS, "day_key", "onetime_key", "line", "checkpoint"]
LINE = {"seq", "time", "account", "actor", "event", "subject", "details", "leapt", "previous"}
CHECKPOINT = {"format", "site", "seq", "hash", "adopted", "time", "unproved"}
NEEDS_PASSPHRASE = {"alteration", "disclosure", "collection", "consultation", "combination", "clock-reset"}
SIGNED = {"request": "university", "manifest": "police", "receipt": "university", "notice": "police"}
DOCUMENTS = ("agreement", *SIGNED, "bundle")
MAX_LINE, MAX_BYTES, MAX_LINES, GRACE = 2**25, 2**32, 2_000_000, timedelta(days=1)
Fields = dict[str, Any]

# Ed25519, RFC 8032 section 5.1: points as (X, Y, Z, T) with x = X/Z, y = Y/Z, xy = T/Z.
P, Q = 2**255 - 19, 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P
Point = tuple[int, int, int, int]


def add(p: Point, q: Point) -> Point:
    a, b = (p[1] - p[0]) * (q[1] - q[0]), (p[1] + p[0]) * (q[1] + q[0])
    c, d = 2 * p[3] * q[3] * D, 2 * p[2] * q[2]
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % P, g * h % P, f * g % P, e * h % P


def times(number: int, point: Point) -> Point:
    total: Point = (0, 1, 1, 0)
    for bit in f"{number:b}":
        total = add(total, total)
        total = add(total, point) if bit == "1" else total
    return total


def same(a: Point, b: Point) -> bool:
    return (a[0] * b[2] - b[0] * a[2]) % P == 0 == (a[1] * b[2] - b[1] * a[2]) % P


def point(data: bytes) -> Point:
    sign, y = divmod(int.from_bytes(data, "little"), 2**255)
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    x = x if x * x % P == square else x * pow(2, (P - 1) // 4, P) % P
    need(len(data) == 32 and y < P and x * x % P == square and (x or not sign), "a key or signature is no point")
    x = x if x % 2 == sign else P - x
    return x, y, 1, x * y % P


BASE = (4 * pow(5, -1, P) % P).to_bytes(32, "little")


def verify(public: bytes, message: bytes, signature: bytes) -> None:
    key, scalar = point(public), int.from_bytes(signature[32:], "little")
    need(not same(times(8, key), (0, 1, 1, 0)), "a signing key is of small order")
    h = int.from_bytes(hashlib.sha512(signature[:32] + public + message).digest(), "little") % Q
    holds = scalar < Q and same(times(scalar, point(BASE)), add(point(signature[:32]), times(h, key)))
    need(len(signature) == 64 and holds, "a signature does not hold")


def need(condition: object, otherwise: str) -> None:
    if not condition:
        raise ValueError(otherwise)


def no_float(_text: str) -> NoReturn:
    raise ValueError("a number is no integer")


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def canonical(data: bytes) -> Any:
    value = json.loads(data.decode(), parse_float=no_float, parse_constant=no_float)
    again = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    need(again == data, "not canonical JSON")
    return value


def unbase64(text: str) -> bytes:
    data = base64.b64decode(text, validate=True)
    need(base64.b64encode(data).decode() == text, "base64 in another spelling")
    return data


def instant(text: str) -> datetime:
    need(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", text, re.ASCII), "a time in another spelling")
    return datetime.fromisoformat(text)


def envelope(data: bytes, kind: str) -> tuple[str, Fields, dict[str, bytes], bytes]:
    """Digest, payload, signatures by key id, and the bytes that are signed."""
    value, media = canonical(data), f"application/vnd.anpr-share.{kind}.v1+json"
    need(value.keys() == {"payload", "payloadType", "signatures"} and value["payloadType"] == media, f"not a {kind}")
    payload, signatures = unbase64(value["payload"]), {s["keyid"]: unbase64(s["sig"]) for s in value["signatures"]}
    need([s["keyid"] for s in value["signatures"]] == sorted(signatures), "signatures twice or out of order")
    return (
        sha256(payload),
        canonical(payload),
        signatures,
        f"DSSEv1 {len(media)} {media} {len(payload)} ".encode() + payload,
    )


def signed(data: str, kind: str, key: bytes) -> tuple[str, Fields]:
    digest, value, signatures, message = envelope(unbase64(data), kind)
    need(signatures.keys() == {sha256(key)}, f"the {kind} is signed by another key")
    verify(key, message, signatures[sha256(key)])
    return digest, value


def identity(data: str) -> Fields:
    key = unbase64(envelope(unbase64(data), "identity")[1]["signing"])
    digest, value = signed(data, "identity", key)
    return value | {"fingerprint": digest, "key": key}


def delete_by(terms: Fields, table: str, day: date) -> datetime:
    limit = terms["targets" if table == "targets" else "reads"]["retention"]
    number = int(limit[1:-1])
    year, month = divmod(day.year * 12 + day.month - 1 + number, 12)
    month_later = date(year, month + 1, min(day.day, calendar.monthrange(year, month + 1)[1]))
    last = day + timedelta(days=number) if limit[-1] == "D" else month_later
    last = min(last, date.fromisoformat(terms["ends"]) + timedelta(days=1))
    return datetime(last.year, last.month, last.day, tzinfo=ZoneInfo(terms["timezone"])).astimezone(UTC)


class Site:
    """One exported ledger, each thing in it with its line of the file."""

    def __init__(self, path: Path, faults: list[str]) -> None:
        self.path, self.faults = path, faults
        self.found: dict[str, list[tuple[int, Any]]] = {kind: [] for kind in ORDER}
        self.entries: list[Fields] = []
        self.agreements: dict[str, tuple[Fields, dict[str, Fields], Fields]] = {}

    def fault(self, number: int, text: str) -> None:
        """Tell of a fault, and go on."""
        self.faults.append(f"{self.path.name}:{number}: {text}")

    @contextmanager
    def at(self, number: int) -> Iterator[None]:
        """A fault of whatever is checked within ends that check alone."""
        try:
            yield
        except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError) as error:
            self.fault(number, str(error) if type(error) is ValueError else f"malformed: {type(error).__name__}")

    def read(self) -> bool:
        """Whether the file is one that section 3 lets through."""
        number, size, hashed, before = 0, 0, hashlib.sha256(), len(self.faults)
        self.begun = self.ended = False
        if not self.path.is_file():
            self.fault(0, "no such file")
            return False
        with self.path.open("rb") as file:
            while len(self.faults) == before and (line := file.readline(MAX_LINE + 1)):
                number, size = number + 1, size + len(line)
                with self.at(number):
                    need(size <= MAX_BYTES and number <= MAX_LINES, "the file is larger than the limit")
                    need(line.endswith(b"\n") and not self.ended, "cut, or more after the end")
                    self.take(number, canonical(line[:-1]), hashed.hexdigest())
                hashed.update(line)
        if len(self.faults) == before and not self.ended:
            self.fault(number, "cut: the last line is missing")
        return len(self.faults) == before

    def take(self, number: int, value: Fields, digest: str) -> None:
        """Take one line of the file."""
        kind, content = next(iter(value.items()))
        if not self.begun:
            need(value.keys() == {"at", "export", "identity"} and repr(value["export"]) == "1", "another format")
            self.identity, self.now, self.begun = identity(value["identity"]), instant(value["at"]), True
            self.step, self.seen = 0, set[Any]()
            return
        if value.keys() == {"end", "sha256"}:
            self.ended = (repr(content), value["sha256"]) == (str(number - 1), digest)
            need(self.ended, "the end does not fit the file")
            return
        place: tuple[Any, ...] = ()
        if value.keys() == {"record", "values"}:
            kind, content = value["record"], value["values"]
            keys, names = RECORDS[kind][0], RECORDS[kind][1].split()
            need(content.keys() == set(names), "not exactly the fields of a record")
            place = tuple(content[name] for name in names[:keys])
        else:
            need(len(value) == 1 and kind not in RECORDS, "not the fields of a line")
            if kind in ("day_key", "onetime_key"):
                place = tuple(content)
                need([type(text) for text in place] == [str] * (4 if kind == "day_key" else 2), "not so many texts")
        need(not place or (kind, place) not in self.seen, "said by an earlier line")
        need(ORDER.index(kind) >= self.step, "out of order")
        self.step = ORDER.index(kind)
        self.seen.add((kind, place))
        self.found[kind].append((number, content))

    def check(self) -> None:
        """Every step that needs no other site."""
        self.held = {tuple(place) for _, place in self.found["day_key"]}
        signed_to = self.ledger()
        self.parties()
        for kind, role in SIGNED.items():
            for number, row in self.found[kind]:
                row["document"] = self.document(number, kind, role, row["envelope"], row["digest"])
        self.bundles()
        counts = ", ".join(f"{kind}s {len(self.found[kind])}" for kind in DOCUMENTS)
        print(f"{self.path.name}: {self.identity['site']} ({self.identity['role']}), at {self.now:%Y-%m-%d %H:%M} UTC")
        print(f"  fingerprint {self.identity['fingerprint']}")
        print(f"  {len(self.entries)} lines of the ledger, signed to {signed_to}; {counts}; days held {len(self.held)}")

    def ledger(self) -> int:
        """[2] the chain, and [3] its checkpoints; the line up to which it is signed."""
        previous, clock, signed_to = self.identity["fingerprint"], "", 0
        for seq, (number, text) in enumerate(self.found["line"], 1):
            with self.at(number):
                entry = canonical(text.encode())
                need(entry.keys() == LINE and instant(entry["time"]), "not exactly the fields of a ledger line")
                need(repr(entry["seq"]) == str(seq), f"line {seq} was dropped, added or moved")
                need(entry["previous"] == previous, f"line {seq - 1} was altered")
                need(entry["time"] >= clock or entry["event"] == "clock-reset", "the time goes back")
                previous, clock = sha256(b"anpr-share/1/ledger\n" + text.encode()), entry["time"]
                self.entries.append(entry | {"number": number, "hash": previous})
            if len(self.entries) < seq:
                break
        for number, data in self.found["checkpoint"]:
            with self.at(number):
                _, mark = signed(data, "ledger-checkpoint", self.identity["key"])
                seq = mark["seq"]
                need(mark.keys() == CHECKPOINT and mark["site"] == self.identity["site"], "another site's checkpoint")
                need(1 <= seq <= len(self.entries), f"a checkpoint of line {seq}, which is not here, or broken")
                need(self.entries[seq - 1]["hash"] == mark["hash"], f"the checkpoint contradicts line {seq}")
                need(mark["adopted"] == seq - signed_to, "a checkpoint was dropped, added or moved")
                signed_to = seq
                for unproved in mark["unproved"]:
                    self.fault(self.entries[unproved - 1]["number"], "written by no command with the passphrase")
        for entry in self.entries[signed_to:]:
            if entry["event"] in NEEDS_PASSPHRASE:
                self.fault(entry["number"], "not signed, though only a command with the passphrase logs it")
        return signed_to

    def parties(self) -> None:
        """[4] Partners and agreements."""
        for number, row in self.found["partner"]:
            with self.at(number):
                pinned = identity(row["identity"])
                need([pinned["site"], pinned["fingerprint"]] == [row["id"], row["fingerprint"]], "not who was pinned")
        for number, row in self.found["agreement"]:
            with self.at(number):
                digest, terms, signatures, message = envelope(unbase64(row["envelope"]), "agreement")
                need(
                    [digest, terms["id"], terms["version"]] == [row[n] for n in ("digest", "id", "version")], "another"
                )
                parties = {party["fingerprint"]: identity(party["identity"]) for party in terms["parties"]}
                for party in terms["parties"]:
                    is_ = parties[party["fingerprint"]]
                    said = [is_["site"], is_["role"], is_["fingerprint"]]
                    need(said == [party["id"], party["role"], party["fingerprint"]], "a party is not as it is listed")
                keys = {sha256(party["key"]): party["key"] for party in parties.values()}
                need(len(keys) == len(terms["parties"]), "two parties share a key, or one is listed twice")
                need(keys.keys() == signatures.keys(), "the agreement is not signed by exactly its parties")
                for key_id, signature in signatures.items():
                    verify(keys[key_id], message, signature)
                self.agreements[digest] = terms, parties, row

    def document(self, number: int, kind: str, role: str, data: str, digest: str) -> Fields | None:
        """[5] What a party of an agreement signed; None if it does not hold."""
        holds: list[Fields] = []
        with self.at(number):
            claimed = envelope(unbase64(data), kind)[1]
            need(claimed["agreement"] in self.agreements, f"a {kind} under an agreement that is not here, or not good")
            sender = self.agreements[claimed["agreement"]][1][claimed["sender"]]
            found, value = signed(data, kind, sender["key"])
            need(digest in (found, ""), f"another {kind} than was recorded")
            need(sender["role"] == role, f"a {kind} of a party that is no {role}")
            holds.append(value)
        return holds[0] if holds else None

    def bundles(self) -> None:
        """[6] Bundles, [7] days and [8] rows."""
        bundles = {row["id"] for _, row in self.found["bundle"]}
        logged = {entry["subject"]: entry for entry in self.entries if entry["event"] in ("disclosure", "collection")}
        manifests = {row["digest"]: row["document"] for _, row in self.found["manifest"]}
        requests = {row["digest"]: row["document"] or {"windows": []} for _, row in self.found["request"]}
        for subject in logged.keys() - bundles:
            self.fault(logged[subject]["number"], "there is no record of the bundle that this line tells of")
        for number, row in self.found["bundle"]:
            with self.at(number):
                details = logged[row["id"]]["details"] if row["id"] in logged else {}
                need(details.get("manifest") == row["manifest"], "no line of the ledger tells of it with its manifest")
                said = manifests.get(row["manifest"])
                need(said, "its manifest is not here, or does not hold")
                window = [row["first"], row["last"]]
                told = said and [said["bundle"], said["request"], said["window"]["first"], said["window"]["last"]]
                need(told == [row["id"], row["request"], *window], "its manifest says something else")
                asked = [
                    [item["first"], item["last"]] for item in requests.get(row["request"], {"windows": []})["windows"]
                ]
                need(window in asked, "no request that is here asked for its window")
            if row["direction"] == "loaded":
                receipt = self.document(number, "receipt", "university", row["receipt"], "") or {}
                with self.at(number):
                    need(receipt.get("sender") == self.identity["fingerprint"], "its receipt is not this site's")
                    need(receipt["agreement_id"] == row["agreement"], "its receipt is under another agreement")
                    [loaded] = receipt["loaded"]
                    told = [loaded["bundle"], loaded["manifest"]]
                    need(told == [row["id"], row["manifest"]], "its receipt is of another bundle or manifest")
                    self.days(number, row, loaded["days"])
        explained = {tuple(row[n] for n in ("agreement", "tbl", "day", "bundle")) for _, row in self.found["part"]}
        closed = {row["id"] for _, row in self.found["agreement"] if row["closed_at"] is not None}
        for number, place in self.found["day_key"]:
            if tuple(place) not in explained or place[3] not in bundles or place[0] in closed:
                self.fault(number, "the key of a day without data, or of a closed agreement")

    def days(self, number: int, bundle: Fields, loaded: list[Fields]) -> None:
        """[7] and [8] of one bundle, of which ``loaded`` is what its receipt says."""
        versions = [(terms, row) for terms, _, row in self.agreements.values() if row["id"] == bundle["agreement"]]
        zone = ZoneInfo(max(versions, key=lambda item: item[1]["version"])[0]["timezone"])
        undated = min(instant(bundle["created"]), instant(bundle["at"])).astimezone(zone).date()
        restored = any(e["event"] == "restored" and e["time"] >= bundle["at"] for e in self.entries)
        erased = [e for e in self.entries if (e["event"], e["subject"]) == ("erasure", bundle["id"])]
        arrived, kept, live, gone = Counter[str](), Counter[str](), Counter[str](), Counter[str]()
        for day in loaded:
            table, name, rows = day["table"], day["day"], day["rows"]
            arrived[table] += rows + day["expired"]
            kept[table] += rows
            counted = undated if name == "undated" else date.fromisoformat(name)
            due = min(max(delete_by(terms, table, counted), instant(row["accepted_at"])) for terms, row in versions)
            told = [e for e in erased if e["details"].get("table") == table and name in e["details"]["days"]]
            if (bundle["agreement"], table, name, bundle["id"]) in self.held:
                if self.now > due + GRACE:
                    self.fault(number, f"{table} of {name} is held, and was due on {due:%Y-%m-%d %H:%M} UTC")
            elif told:
                if instant(told[-1]["time"]) > due + GRACE:
                    self.fault(told[-1]["number"], f"{table} of {name} was due on {due:%Y-%m-%d %H:%M} UTC")
            elif restored:
                gone[table] += rows
            elif rows:
                self.fault(number, f"{table} of {name} is not held, and no line says that it was erased")
        for entry in erased:
            gone[entry["details"]["table"]] += entry["details"]["rows"]
        for _, part in self.found["part"]:
            held = (part["agreement"], part["tbl"], part["day"], part["bundle"]) in self.held
            live[part["tbl"]] += part["rows"] if held and part["bundle"] == bundle["id"] else 0
        quality = json.loads(unbase64(bundle["quality"]))
        sent = Counter({item["table"]: item["rows_out"] for item in quality["tables"]})
        need(sent == arrived, f"of {dict(sent)} rows sent, {dict(arrived)} arrived")
        need(kept == live + gone, f"of {dict(kept)} rows loaded, {dict(live)} are held and {dict(gone)} erased")

    def against(self, other: Site) -> None:
        """[9] What this site keeps of another's ledger, identity and bundles."""
        name, hashes = other.identity["site"], [entry["hash"] for entry in other.entries]
        exported = {(row["id"], row["manifest"]) for _, row in other.found["bundle"]}
        for number, row in self.found["witness"]:
            seen = row["hash"] in hashes[row["seq"] - 1 : row["seq"]] if row["seq"] else True
            if row["partner"] == name and not seen:
                self.fault(number, f"the ledger of {name} has not the line {row['seq']} that was seen of it")
        for number, row in self.found["partner"]:
            if row["id"] == name and row["fingerprint"] != other.identity["fingerprint"]:
                self.fault(number, f"{name} is pinned with another identity")
        for number, row in self.found["bundle"]:
            known = row["direction"] == "exported" or (row["id"], row["manifest"]) in exported
            if row["partner"] == name and not known:
                self.fault(number, f"{name} did not export this bundle, or another of its id")


def main(paths: list[str]) -> int:
    """Check the files together. Returns the exit code."""
    faults: list[str] = []
    sites = [site for site in (Site(Path(path), faults) for path in paths) if site.read()]
    for site in sites:
        site.check()
    for site in sites:
        for other in sites:
            if site.identity["site"] != other.identity["site"]:
                site.against(other)
    print("\n".join(faults) or "no fault was found")
    return 1 if faults or not paths else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

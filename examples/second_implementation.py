"""The published rules, written a second time from the specification alone.

    python examples/second_implementation.py docs/spec/vectors

Needs Python and nothing else, and shares no code with anpr-share; where the two disagree on a published case, one of
them has misread the specification. It is plain on purpose: every reading of a plate is tried, and every key derived
anew.
"""

from __future__ import annotations

import calendar
import hashlib
import hmac
import itertools
import json
import re
import sys
import unicodedata
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_FLOOR, Context, Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

A = "[A-HJ-PR-Y]"  # letters of most formats: no I, no Q, no Z
Z = "[A-HJ-PR-Z]"  # the same with Z
YEAR = "[A-HJ-NPR-TV-Y]"  # year letters: no I, O, Q, U, Z
FAMILIES = [
    ("current", rf"{A}{A}\d\d{Z}{Z}{Z}"),
    ("prefix", rf"{YEAR}[1-9]\d?\d?{A}{A}{A}"),
    ("suffix", rf"{A}{A}{A}[1-9]\d?\d?{YEAR}"),
    ("q", rf"Q[1-9]\d?\d?{A}{A}{A}"),
    ("northern_ireland", r"(?=.*[IZ])([A-PR-Z]{2,3}[1-9]\d{0,3}|[1-9]\d{0,3}[A-PR-Z]{2,3})"),
    ("dateless", rf"{A}{{1,2}}[1-9]\d{{0,3}}|{A}{{3}}[1-9]\d{{0,2}}|[1-9]\d{{0,3}}{A}{{1,2}}|[1-9]\d{{0,2}}{A}{{3}}"),
    ("diplomatic", r"[1-9]\d\d[DX][1-9]\d\d"),
    ("military", rf"{Z}{Z}\d\d{Z}{Z}|\d\d{Z}{Z}\d\d"),
    ("jersey", r"J[1-9]\d{0,5}"),
    ("digits_only", r"[1-9]\d{1,5}"),
]
FACES = {"O": "O0", "0": "O0", "I": "I1", "1": "I1"}
PLACEHOLDERS = re.findall(r"\w+", "NULL NONE NA NAN NIL UNKNOWN UNK NOPLATE NOREAD NOTREAD BLANK TBC MISSING")
WHITE_SPACE = "".join(map(chr, [*range(9, 14), 32, 0x85, 0xA0, 0x1680, *range(0x2000, 0x200B), 0x2028, 0x2029])) + (
    "\u202f\u205f\u3000"
)


def vrm_1(raw: str | None) -> tuple[str, str | None, str | None, bool]:
    if raw is None:
        return "missing", None, None, False
    text = unicodedata.normalize("NFKC", raw)
    s = re.sub("[^A-Z0-9]", "", re.sub("[a-z]", lambda m: chr(ord(m[0]) - 32), text))
    if re.search(r"[?*#_%]", text):
        return ("partial" if s else "missing"), None, None, False
    if any(ord(c) > 127 and c.isalnum() for c in text):
        return "malformed", None, None, False
    if not s or s in PLACEHOLDERS or s == s[0] * len(s):
        return "missing", None, None, False
    if not 2 <= len(s) <= 10:
        return "malformed", None, None, False
    legal = {}
    for choice in itertools.product(*(FACES.get(c, c) for c in s)):
        reading = "".join(choice)
        for family, pattern in FAMILIES:
            if re.fullmatch(pattern, reading):
                legal[reading] = family
                break
    own = legal.get(s, "other")
    if not legal:
        return "ok", s, "other", False
    if len(legal) == 1:
        reading, family = next(iter(legal.items()))
        respelled = reading != s and family in ("jersey", "digits_only")
        return ("ok", s, "other", False) if respelled else ("ok", reading, family, False)
    dated = [reading for reading, family in legal.items() if family in ("current", "prefix", "suffix")]
    return ("ok", dated[0], legal[dated[0]], False) if len(dated) == 1 else ("ok", s, own, True)


def digest(given: dict[str, Any], field: str, message: bytes) -> bytes:
    info = f"anpr-share/1/{given['agreement']}/{field}".encode()
    extracted = hmac.new(b"\0" * 32, bytes.fromhex(given["secret_hex"]), hashlib.sha256).digest()
    key = hmac.new(extracted, info + b"\1", hashlib.sha256).digest()
    return hmac.new(key, message, hashlib.sha256).digest()


def camera(parts: list[str | None]) -> bytes:
    cells = [unicodedata.normalize("NFC", (part or "").strip(WHITE_SPACE)).encode() for part in parts]
    return b"".join(str(len(cell)).encode() + b":" + cell + b"," for cell in cells)


def delete_by(day: date, limit: str, zone: str, ends: str | None) -> str:
    number, unit = int(limit[1:-1]), limit[-1]
    if unit == "D":
        last = day + timedelta(days=number)
    else:
        year, month = divmod(day.year * 12 + day.month - 1 + number, 12)
        last = date(year, month + 1, min(day.day, calendar.monthrange(year, month + 1)[1]))
    if ends is not None:
        last = min(last, date.fromisoformat(ends) + timedelta(days=1))
    midnight = datetime(last.year, last.month, last.day, tzinfo=ZoneInfo(zone))
    return midnight.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def keeps_longer(new: dict[str, str], old: dict[str, str]) -> bool:
    cycle = [date(2027, 1, 1) + timedelta(days=n) for n in range(4 * 365 + 1)]
    longer = any(delete_by(day, new["limit"], "UTC", None) > delete_by(day, old["limit"], "UTC", None) for day in cycle)
    return longer or new["ends"] > old["ends"]


def retention(dates: dict[str, Any]) -> list[str]:
    """The cases of ``delete-by`` that this program does not agree with. Times and days, as text, sort as they pass."""
    wrong = []
    for name, case in [(name, case) for name, cases in dates.items() for case in cases]:
        zone = case["timezone"]
        if name == "undated":
            first = datetime.fromisoformat(min(case["created"], case["loaded"]))
            day = first.astimezone(ZoneInfo(zone)).date()
            agrees = (str(day), delete_by(day, case["limit"], zone, None)) == (case["day"], case["delete_by"])
        elif name == "versions":
            day, terms = date.fromisoformat(case["day"]), [case["old"], case["new"]]
            made = [delete_by(day, item["limit"], zone, item["ends"]) for item in terms]
            accepted = not keeps_longer(case["new"], case["old"])
            found = (made, accepted, made[accepted])
            agrees = found == ([item["delete_by"] for item in terms], case["accepted"], case["delete_by"])
        else:
            due = delete_by(date.fromisoformat(case["day"]), case["limit"], zone, case["ends"])
            agrees = due == case["delete_by"] if name == "cases" else (case["now"] >= due) == case["expired"]
        if not agrees:
            wrong.append(f"delete-by: {case['why']}")
    return wrong


def differences(directory: Path) -> list[str]:
    """What this program and the published cases do not agree on."""
    plates, given, dates = (
        json.loads((directory / f"{n}.json").read_bytes()) for n in ("vrm-1", "tokens-1", "delete-by")
    )
    wrong = [
        f"vrm-1: {case['why']}"
        for case in plates["cases"]
        if vrm_1(case["raw"]) != (case["status"], case["vrm"], case["family"], case["ambiguous"])
    ]
    checks = [("check", given["check"], digest(given, "check", b"")[:8].hex())]
    fields = ("vrm", "vrm_alike", "camera", "log", "sample")
    for field, case in [(name, case) for name in fields for case in given[name]]:
        if field == "camera":
            made = digest(given, f"camera/{case['site']}", camera(case["camera"]))
        elif field == "log":
            made = digest(given, f"log/{case['site']}", case["log"].strip(WHITE_SPACE).encode())
        else:
            plate = vrm_1(case["raw"])[1] or ""
            if field == "vrm_alike":
                plate = plate.translate(str.maketrans("ODQIZSGB", "00012568"))
            made = digest(given, field.replace("_", "-"), plate.encode())
        expected = case["sample"] if field == "sample" else case["token"]
        checks.append((field, expected, str(int(made[:8].hex(), 16)) if field == "sample" else made[:16].hex()))
    exact = Context(prec=60)
    for case in given["threshold"]:
        threshold = exact.multiply(Decimal(case["rate"]), Decimal(2**64)).to_integral_value(ROUND_FLOOR)
        checks.append(("threshold", case["threshold"], str(threshold)))
    wrong += [f"tokens-1: {what}" for what, expected, made in checks if expected != made]
    return wrong + retention(dates)


if __name__ == "__main__":
    found = differences(Path(sys.argv[1]))
    print("\n".join(found) or "every published case agrees")
    sys.exit(1 if found else 0)

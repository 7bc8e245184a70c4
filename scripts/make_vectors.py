"""Write the published cases: plates, tokens and delete-by dates. The same run gives the same bytes, for ever.

    python scripts/make_vectors.py [DIRECTORY]

Which cases there are, and why, stands here; what comes of each is asked of the library. A second implementation that
shares no code with it, ``examples/second_implementation.py``, has to agree with every answer.
"""

from __future__ import annotations

import json
import sys
from datetime import date
from pathlib import Path
from zoneinfo import ZoneInfo

from anpr_share.periods import Duration, delete_by, utc_text
from anpr_share.pseudonyms import LinkageKey, sample_threshold
from anpr_share.vrm import RULES, canonicalise

PUBLISHED = Path(__file__).resolve().parents[1] / "docs" / "spec" / "vectors"
SECRET = bytes(range(32))
AGREEMENT = "msv-2026"

PLATES: tuple[tuple[str, str | None], ...] = (
    ("current, as printed", "AB12 CDE"),
    ("lower case", "ab12cde"),
    ("spaces, hyphen and full stop are dropped", " ab-12.cde "),
    ("a line break inside the cell is dropped", "AB12\nCDE"),
    ("a control character is dropped", "AB12\x00CDE"),
    ("full-width letters and digits", "\uff21\uff22\uff11\uff12\uff23\uff24\uff25"),
    ("no-break space", "AB12\u00a0CDE"),
    ("superscript digits become digits", "AB\u00b9\u00b2CDE"),
    ("the long s becomes S", "AB12CD\u017f"),
    ("an emoji is not alphanumeric, so it is dropped", "AB12\U0001f697CDE"),
    ("current, I read for 1", "ABI2CDE"),
    ("current, O read for 0", "AB1OCDE"),
    ("current, 0 read for O", "A0 12 ABC"),
    ("current, both kinds at once", "A01OBCO"),
    ("current, Z only in the last three", "AB12CDZ"),
    ("current has no Z in front", "ZB12CDE"),
    ("current has no I", "AB12CDI"),
    ("current has no Q", "AB12CDQ"),
    ("current or suffix: two dated readings, so as written", "ABO1OOC"),
    ("prefix or current: only the prefix reading is legal", "AI12ABC"),
    ("prefix of the same shape, as written", "A112ABC"),
    ("prefix, one digit", "A1 AAA"),
    ("prefix, two digits", "A12 ABC"),
    ("a prefix plate's number does not begin with 0, so that is an O", "A012ABC"),
    ("prefix, U is no year letter", "U123ABC"),
    ("suffix, one digit", "ABC 1D"),
    ("suffix, O read for 0", "ABC12OD"),
    ("suffix, three digits", "ABC 123D"),
    ("suffix, Z is no year letter", "ABC123Z"),
    ("q", "Q123ABC"),
    ("q, I read for 1", "QI23ABC"),
    ("northern ireland", "AIZ 1234"),
    ("northern ireland, reversed", "1234 AIZ"),
    ("northern ireland, two letters and one digit", "AZ 1"),
    ("northern ireland or dateless, as written the former", "AJI123"),
    ("northern ireland or dateless, as written the latter", "AJ1123"),
    ("northern ireland or dateless, reversed", "123IA"),
    ("northern ireland or dateless, reversed, with a digit", "1231A"),
    ("northern ireland, no Q", "QZ123"),
    ("dateless", "1234 AB"),
    ("dateless, and northern ireland were its 1 an I", "AB 1234"),
    ("dateless, shortest", "A1"),
    ("dateless, shortest, reversed", "1 A"),
    ("dateless, three letters", "MAR12"),
    ("dateless, 120 AB or 12 OAB: the text as written", "12OAB"),
    ("dateless, 12 OAB or 120 AB: the text as written", "120AB"),
    ("dateless by the only legal reading", "OI"),
    ("diplomatic, D", "101D123"),
    ("diplomatic, X", "101X123"),
    ("diplomatic, no other letter", "101C123"),
    ("military, digits in the middle", "AB 12 AB"),
    ("military, letters in the middle", "12 AB 34"),
    ("jersey or dateless", "J12345"),
    ("jersey", "J123456"),
    ("jersey only when respelled, so as written", "JI23456"),
    ("jersey only by its last digit, so as written", "J12345O"),
    ("digits", "12345"),
    ("digits, or a dateless plate that begins with I", "11234"),
    ("digits, or dateless as written", "2O"),
    ("digits only when respelled, so as written", "23456O"),
    ("foreign", "46HVR9-NLD"),
    ("foreign, long", "12-D-12345"),
    ("foreign, two readings", "131-D-1"),
    ("a word on the road", "POLICE"),
    ("what a spreadsheet makes of a plate", "1E10"),
    ("S read for 5 is not undone", "BDSISMR"),
    ("8 read for B is not undone", "8055MAN"),
    ("longest text", "ABCDEFGHIJ"),
    ("digits by the only legal reading, so as written", "I1"),
    ("legal readings, none as written", "I0"),
    ("too long", "ABCDEFGHIJK"),
    ("one character is one repeated character", "A"),
    ("one repeated letter", "XXXXXXX"),
    ("zeros", "0000000"),
    ("one repeated character, though longer than a plate", "000000000000"),
    ("a letter beyond ASCII", "\u00c4B12CDE"),
    ("a letter with a combining accent", "AB12CDE\u0301"),
    ("digits of another script", "AB\u0661\u0662CDE"),
    ("a wildcard", "AB12 ??E"),
    ("a wildcard at the end", "AB12*"),
    ("a wildcard for one character", "AB#2CDE"),
    ("an underscore is a wildcard", "AB_2CDE"),
    ("a full-width wildcard", "AB12CD\uff1f"),
    ("a wildcard beats a letter beyond ASCII", "\u00c4B?2"),
    ("nothing but wildcards", "????"),
    ("wildcards, and a letter beyond ASCII only", "?\u00c4"),
    ("null", None),
    ("empty", ""),
    ("blank", "   "),
    ("a dash", "-"),
    *((f"placeholder {text}", text) for text in (
        "NULL", "none", "NA", "n/a", "NaN", "nil", "UNKNOWN", "unk.", "No Plate", "NO-READ", "not read", "blank", "TBC",
        "missing",
    )),
)  # fmt: skip

TOKEN_PLATES = ("AB12 CDE", "AIZ 1234", "120 AB", "12 OAB", "46HVR9-NLD", "a0 12 abc")
CAMERAS: tuple[tuple[str, str, list[str | None]], ...] = (
    ("one part", "lancashire", ["CAM-0001"]),
    ("the same name at another site", "west-yorkshire", ["CAM-0001"]),
    ("three parts", "lancashire", ["1", "23", "4"]),
    ("the same characters in other parts", "lancashire", ["12", "3", "4"]),
    ("an empty part", "lancashire", ["1", None, "4"]),
    ("fewer parts", "lancashire", ["1", "4"]),
    ("a number's leading zero stays", "lancashire", ["01", "23", "4"]),
    ("white space around is trimmed, within stays", "lancashire", ["\u2003M6 north\u00a0"]),
    ("a separator control is not white space", "lancashire", ["CAM\x1c"]),
    ("composed and decomposed are one", "lancashire", ["Caf\u00e9"]),
    ("decomposed and composed are one", "lancashire", ["Cafe\u0301"]),
)
LOGS = (
    ("a reference", "lancashire", "INT-2026/0001"),
    ("white space around is trimmed", "lancashire", " INT-2026/0001\t"),
)
RATES = ("1", "0.5", "0.05", "0.1", "0.000000000000000001")

DATES: tuple[tuple[str, str, str, str, str | None], ...] = (
    ("twelve months", "2026-03-01", "P12M", "Europe/London", None),
    ("29 february has no anniversary in a common year", "2028-02-29", "P12M", "Europe/London", None),
    ("28 february before a leap day", "2027-02-28", "P12M", "Europe/London", None),
    ("a day that ends up in summer time", "2026-06-30", "P12M", "Europe/London", None),
    ("the day before summer time, due in winter time", "2026-03-28", "P12M", "Europe/London", None),
    ("the day that clocks go back", "2026-10-25", "P12M", "Europe/London", None),
    ("the 31st, to a month of 30 days", "2026-05-31", "P1M", "Europe/London", None),
    ("the 31st, to february", "2026-01-31", "P1M", "Europe/London", None),
    ("over the year's end", "2026-12-15", "P2M", "Europe/London", None),
    ("ninety days", "2026-01-01", "P90D", "Europe/London", None),
    ("one day", "2026-03-28", "P1D", "Europe/London", None),
    ("365 days fall a day short of a leap year", "2027-03-01", "P365D", "Europe/London", None),
    ("the agreement ends first: 00:00 after its last day", "2026-09-15", "P12M", "Europe/London", "2027-08-31"),
    ("the agreement ends later", "2026-03-15", "P12M", "Europe/London", "2027-08-31"),
    ("the agreement ends on the day before it is due", "2026-09-01", "P12M", "Europe/London", "2027-08-31"),
    ("a zone east of Greenwich", "2026-03-01", "P12M", "Asia/Kolkata", None),
    ("a zone whose clocks skip midnight: the instant they do", "2017-10-14", "P1D", "America/Sao_Paulo", None),
    ("a zone whose clocks repeat midnight: the first one", "2026-10-31", "P1D", "America/Havana", None),
)  # fmt: skip


def plates() -> dict[str, object]:
    cases = []
    for why, raw in PLATES:
        found = canonicalise(raw)
        cases.append(
            {
                "why": why,
                "raw": raw,
                "status": found.status,
                "vrm": found.vrm,
                "family": found.family,
                "ambiguous": found.ambiguous,
            }
        )
    return {"rules": RULES, "cases": cases}


def tokens() -> dict[str, object]:
    key = LinkageKey(SECRET, AGREEMENT)
    return {
        "secret_hex": SECRET.hex(),
        "agreement": AGREEMENT,
        "check": key.check,
        "vrm": [{"raw": raw, "token": key.vrm(raw)} for raw in TOKEN_PLATES],
        "vrm_alike": [{"raw": raw, "token": key.vrm_alike(raw)} for raw in TOKEN_PLATES],
        "camera": [
            {"why": why, "site": site, "camera": parts, "token": key.camera(site, parts)}
            for why, site, parts in CAMERAS
        ],
        "log": [{"why": why, "site": site, "log": ref, "token": key.log(site, ref)} for why, site, ref in LOGS],
        # As text: many readers of JSON round a number of 64 bits.
        "sample": [{"raw": raw, "sample": str(key.sample(raw))} for raw in TOKEN_PLATES],
        "threshold": [{"rate": rate, "threshold": str(sample_threshold(rate))} for rate in RATES],
    }


def delete_bys() -> dict[str, object]:
    cases = []
    for why, day, limit, zone, ends in DATES:
        last = None if ends is None else date.fromisoformat(ends)
        due = delete_by(date.fromisoformat(day), Duration.parse(limit), ZoneInfo(zone), last)
        cases.append(
            {"why": why, "day": day, "limit": limit, "timezone": zone, "ends": ends, "delete_by": utc_text(due)}
        )
    return {"cases": cases}


def main(directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    for name, made in (("vrm-1", plates()), ("tokens-1", tokens()), ("delete-by", delete_bys())):
        text = json.dumps(made, indent=1, ensure_ascii=True) + "\n"
        (directory / f"{name}.json").write_text(text, encoding="ascii", newline="\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else PUBLISHED)

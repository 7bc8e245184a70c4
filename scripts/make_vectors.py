"""Write the published cases: plates, tokens and delete-by dates. The same run gives the same bytes, for ever.

    python scripts/make_vectors.py [DIRECTORY]

Which cases there are, and why, stands here; what comes of each is asked of the library. A second implementation that
shares no code with it, ``examples/second_implementation.py``, has to agree with every answer.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from zoneinfo import ZoneInfo

from anpr_share.periods import Duration, delete_by, is_expired, parse_day, parse_utc, undated_day, utc_text
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

LONDON = "Europe/London"
# Why, day, limit, zone, the agreement's last day.
DATES: tuple[tuple[str, str, str, str, str | None], ...] = (
    ("twelve months", "2026-03-01", "P12M", LONDON, None),
    ("29 february has no anniversary in a common year", "2028-02-29", "P12M", LONDON, None),
    ("28 february, due on the same date as the leap day after it", "2028-02-28", "P12M", LONDON, None),
    ("1 march after a leap day", "2028-03-01", "P12M", LONDON, None),
    ("28 february before a leap day", "2027-02-28", "P12M", LONDON, None),
    ("1 march before a leap day", "2027-03-01", "P12M", LONDON, None),
    ("365 days fall a day short of a leap year", "2027-03-01", "P365D", LONDON, None),
    ("365 days from a leap day", "2028-02-29", "P365D", LONDON, None),
    ("days are counted over a leap day", "2027-12-31", "P90D", LONDON, None),
    ("the 31st, to a month of 30 days", "2026-05-31", "P1M", LONDON, None),
    ("the 31st, to february", "2026-01-31", "P1M", LONDON, None),
    ("the 31st, to february of a leap year", "2028-01-31", "P1M", LONDON, None),
    ("the 29th, to february of a common year", "2027-01-29", "P1M", LONDON, None),
    ("the last of a short month does not become the last of a long one", "2026-04-30", "P1M", LONDON, None),
    ("the 30th, to february over the year's end", "2026-11-30", "P3M", LONDON, None),
    ("over the year's end", "2026-12-15", "P2M", LONDON, None),
    ("ninety days", "2026-01-01", "P90D", LONDON, None),
    ("a day that ends up in summer time", "2026-06-30", "P12M", LONDON, None),
    ("the day before summer time, due in winter time", "2026-03-28", "P12M", LONDON, None),
    ("the day that clocks go forward", "2026-03-29", "P12M", LONDON, None),
    ("due on the day that clocks go forward, before they do", "2027-03-26", "P2D", LONDON, None),
    ("due on the day after clocks went forward", "2027-03-27", "P2D", LONDON, None),
    ("one day of 23 hours", "2026-03-29", "P1D", LONDON, None),
    ("one day", "2026-03-28", "P1D", LONDON, None),
    ("the day that clocks go back", "2026-10-25", "P12M", LONDON, None),
    ("due on the day that clocks go back, before they do", "2027-10-29", "P2D", LONDON, None),
    ("due on the day after clocks went back", "2027-10-30", "P2D", LONDON, None),
    ("one day of 25 hours", "2026-10-25", "P1D", LONDON, None),
    ("the agreement ends first: 00:00 after its last day", "2026-09-15", "P12M", LONDON, "2027-08-31"),
    ("the agreement ends later", "2026-03-15", "P12M", LONDON, "2027-08-31"),
    ("the agreement ends on the day before it is due", "2026-09-01", "P12M", LONDON, "2027-08-31"),
    ("the agreement ends on the day that it is due", "2026-08-31", "P12M", LONDON, "2027-08-31"),
    ("the agreement ends on a leap day", "2027-09-15", "P12M", LONDON, "2028-02-29"),
    ("the agreement ends on the day that clocks go forward", "2027-09-15", "P12M", LONDON, "2028-03-26"),
    ("the agreement ends on the day that clocks go back", "2026-12-01", "P12M", LONDON, "2027-10-31"),
    ("a zone east of Greenwich", "2026-03-01", "P12M", "Asia/Kolkata", None),
    ("a zone whose clocks skip midnight: the instant they do", "2017-10-14", "P1D", "America/Sao_Paulo", None),
    ("a zone whose clocks repeat midnight: the first one", "2026-10-31", "P1D", "America/Havana", None),
)
# Why, day, limit, the agreement's last day, now; all in London.
EXPIRED: tuple[tuple[str, str, str, str | None, str], ...] = (
    ("a second before", "2026-03-01", "P12M", None, "2027-02-28T23:59:59Z"),
    ("at the instant", "2026-03-01", "P12M", None, "2027-03-01T00:00:00Z"),
    ("long after", "2026-03-01", "P12M", None, "2030-01-01T12:00:00Z"),
    ("in summer, a second before", "2026-06-30", "P12M", None, "2027-06-29T22:59:59Z"),
    ("in summer, at the instant", "2026-06-30", "P12M", None, "2027-06-29T23:00:00Z"),
    ("a leap day, a second before", "2028-02-29", "P12M", None, "2029-02-27T23:59:59Z"),
    ("a leap day, at the instant", "2028-02-29", "P12M", None, "2029-02-28T00:00:00Z"),
    ("the agreement has a second to go", "2026-09-15", "P12M", "2027-08-31", "2027-08-31T22:59:59Z"),
    ("the agreement is over", "2026-09-15", "P12M", "2027-08-31", "2027-08-31T23:00:00Z"),
    ("one day, a second before", "2026-10-25", "P1D", None, "2026-10-25T23:59:59Z"),
    ("one day, at the instant", "2026-10-25", "P1D", None, "2026-10-26T00:00:00Z"),
)
# Why, day, the limit and last day in force, those of the version that is to replace it; all in London.
VERSIONS: tuple[tuple[str, str, tuple[str, str], tuple[str, str]], ...] = (
    ("a shorter limit counts for what is held", "2026-09-15", ("P12M", "2029-08-31"), ("P6M", "2029-08-31")),
    ("an earlier end counts for what is held", "2026-09-15", ("P12M", "2029-08-31"), ("P12M", "2027-06-30")),
    ("a shorter limit that the end comes before", "2026-09-15", ("P12M", "2027-01-31"), ("P6M", "2027-01-31")),
    ("365 days for twelve months, in a common year", "2026-09-15", ("P12M", "2029-08-31"), ("P365D", "2029-08-31")),
    ("365 days for twelve months, over a leap day", "2027-09-15", ("P12M", "2029-08-31"), ("P365D", "2029-08-31")),
    ("28 days for a month", "2026-09-15", ("P1M", "2029-08-31"), ("P28D", "2029-08-31")),
    ("the same limit", "2026-09-15", ("P12M", "2029-08-31"), ("P12M", "2029-08-31")),
    ("a longer limit is refused", "2026-09-15", ("P6M", "2029-08-31"), ("P12M", "2029-08-31")),
    ("a later end is refused", "2026-09-15", ("P12M", "2027-08-31"), ("P12M", "2027-09-30")),
    ("a later end is refused, with a shorter limit too", "2026-09-15", ("P12M", "2027-08-31"), ("P6M", "2027-09-30")),
    ("twelve months for 365 days are refused", "2026-09-15", ("P365D", "2029-08-31"), ("P12M", "2029-08-31")),
    ("30 days for a month are refused: february", "2026-09-15", ("P1M", "2029-08-31"), ("P30D", "2029-08-31")),
)
# Why, when the bundle says it was made, when it was loaded, limit; all in London.
UNDATED: tuple[tuple[str, str, str, str], ...] = (
    ("loaded later than made", "2026-10-12T09:00:00Z", "2026-10-20T09:00:00Z", "P6M"),
    ("made later than loaded, by a clock ahead", "2026-10-12T09:04:00Z", "2026-10-12T09:00:00Z", "P6M"),
    ("made before midnight, loaded after", "2026-10-11T22:59:59Z", "2026-10-11T23:00:00Z", "P6M"),
    ("made after midnight by a clock ahead, loaded before", "2026-10-11T23:03:00Z", "2026-10-11T22:59:00Z", "P6M"),
    ("the day is London's, not that of UTC", "2026-06-30T23:30:00Z", "2026-07-02T09:00:00Z", "P1M"),
    ("made on a leap day", "2028-02-29T12:00:00Z", "2028-03-01T12:00:00Z", "P12M"),
)


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
    cases = [
        {
            "why": why,
            "day": day,
            "limit": limit,
            "timezone": zone,
            "ends": ends,
            "delete_by": due(day, limit, ends, zone),
        }
        for why, day, limit, zone, ends in DATES
    ]
    return {"cases": cases, "expired": expired(), "versions": versions(), "undated": undated()}


def due(day: str, limit: str, ends: str | None, zone: str = LONDON) -> str:
    last = None if ends is None else parse_day(ends)
    return utc_text(delete_by(parse_day(day), Duration.parse(limit), ZoneInfo(zone), last))


def expired() -> list[dict[str, object]]:
    cases: list[dict[str, object]] = []
    for why, day, limit, ends, now in EXPIRED:
        last = None if ends is None else parse_day(ends)
        gone = is_expired(parse_day(day), parse_utc(now), Duration.parse(limit), ZoneInfo(LONDON), last)
        cases.append(
            {"why": why, "day": day, "limit": limit, "timezone": LONDON, "ends": ends, "now": now, "expired": gone}
        )
    return cases


def versions() -> list[dict[str, object]]:
    cases: list[dict[str, object]] = []
    for why, day, (old_limit, old_ends), (new_limit, new_ends) in VERSIONS:
        longer = Duration.parse(new_limit).lengthens(Duration.parse(old_limit)) or new_ends > old_ends
        before, after = due(day, old_limit, old_ends), due(day, new_limit, new_ends)
        cases.append(
            {
                "why": why,
                "day": day,
                "timezone": LONDON,
                "old": {"limit": old_limit, "ends": old_ends, "delete_by": before},
                "new": {"limit": new_limit, "ends": new_ends, "delete_by": after},
                "accepted": not longer,
                "delete_by": before if longer else after,
            }
        )
    return cases


def undated() -> list[dict[str, object]]:
    cases: list[dict[str, object]] = []
    for why, created, loaded, limit in UNDATED:
        day = undated_day(parse_utc(created), parse_utc(loaded), ZoneInfo(LONDON)).isoformat()
        cases.append(
            {
                "why": why,
                "created": created,
                "loaded": loaded,
                "limit": limit,
                "timezone": LONDON,
                "day": day,
                "delete_by": due(day, limit, None),
            }
        )
    return cases


def main(directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    for name, made in (("vrm-1", plates()), ("tokens-1", tokens()), ("delete-by", delete_bys())):
        text = json.dumps(made, indent=1, ensure_ascii=True) + "\n"
        (directory / f"{name}.json").write_text(text, encoding="ascii", newline="\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else PUBLISHED)

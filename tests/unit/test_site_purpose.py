"""What a person may write into the ledger."""

from __future__ import annotations

import pytest

from anpr_share.errors import PolicyError, UsageError
from anpr_share.site.purpose import check_purpose


@pytest.mark.parametrize(
    "text",
    [
        "journey regularity",
        "journeys in 2026",
        "In 2019 we saw none",
        "msv-2026 pilot, work package 2",
        "convoys on the M6 toll and the A1(M)",
        "M25 and A1",
        "windows of 15 day steps, to 10 per cent",
        "vehicles that avoided junctions",  # read as O/0 and I/1 "avoided" is a legal mark
        "DPIA of 2026-09-01",
        "Alice Example",
        "café",
        "phase 2 of msv-2026 study",
        "run 12 october",
        "week 12 new cases",
        "M6 To London, A12 to Ipswich, HP12 and LS12 study areas",
        "analysis2026 and traffic2026, wave2 of nasple2018",
        "COVID19 and H2020, F1score, sha256 and utf8",
        "sections 35(2), 36b and 62 of Part3",
        "McKinsey2025 report for iPads",
        "extract of 12OCT2026",
        "20 mph zones, 1990s and 2nd year",
    ],
)
def test_prose_passes(text: str) -> None:
    assert check_purpose(f" {text} ") == text


@pytest.mark.parametrize(
    "plate",
    [
        "AB12CDE",
        "ab12cde",
        "AB12 CDE",
        "ab 12 cde",
        "AB-12-CDE",
        "AB12.CDE",
        "A B 1 2 C D E",
        "ＡＢ１２ＣＤＥ",
        "A123 BCD",
        "ABC 123D",
        "AIZ 1234",
        "1234 AIZ",
        "Q123 ABC",
        "ABI2CDE",
    ],
)
def test_a_plate_is_refused_wherever_it_stands_and_not_repeated(plate: str) -> None:
    for text in (plate, f"where was {plate} on Monday", f"({plate})", f"log 7/{plate}"):
        with pytest.raises(PolicyError) as caught:
            check_purpose(text)
        assert plate not in caught.value.message + str(caught.value.hint)


@pytest.mark.parametrize(
    "text",
    [
        "carAB12CDE",
        "carab12cde",
        "AB12CDEseen",
        "xab12cdex",
        "vrmAB12 CDE",
        "AB12 CDEseen",
        "éAB12CDE",
        "seenA123BCD",
        "ABC123Dseen",
        "xQ12ABC",
        "xA1BCDx",
        "xABI2CDEx",
        "xaiz1234",
        "1234AIZx",
        "xＡＢ１２ＣＤＥx",
    ],
)
def test_a_plate_that_is_glued_to_other_letters_is_refused(text: str) -> None:
    for said in (text, f"where was {text} on Monday"):
        with pytest.raises(PolicyError, match="plate or a token"):
            check_purpose(said)


@pytest.mark.parametrize("text", ["xa1bcdx", "carab12 cde", "xabi2cdex", "xaiz1999", "run 12 october"])
def test_what_is_glued_and_passes_is_known(text: str) -> None:
    assert check_purpose(text) == text


@pytest.mark.parametrize(
    "text",
    ["0123456789abcdef" * 2, "0123456789ABCDEF" * 2, "x 0123456789abcdef 0123456789abcdef", "01:" * 31 + "01"],
)
def test_a_token_is_refused(text: str) -> None:
    with pytest.raises(PolicyError, match="plate or a token"):
        check_purpose(text)


@pytest.mark.parametrize("text", ["", "  ", "two\nlines", "x" * 501, "bell\a", "\x1b[31mred"])
def test_a_purpose_is_one_printable_line(text: str) -> None:
    with pytest.raises(UsageError, match="purpose"):
        check_purpose(text)

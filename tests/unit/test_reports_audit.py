"""What a data protection officer is shown of an audit, on a terminal and as a page."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from datetime import date, timedelta

import pytest

from anpr_share import __version__
from anpr_share.audit.findings import RULES, AuditResult, finding
from anpr_share.reports import terminal
from anpr_share.reports.audit import audit_lines
from anpr_share.reports.audit_calendar import STATES, Gap, holdings, spans
from anpr_share.reports.audit_page import page
from tests.support import audits
from tests.support.html import Document, sound

STORIES = {
    "clean": audits.clean,
    "questions": audits.questions,
    "breaches": audits.breaches,
    "large": audits.large,
    "hostile": audits.hostile,
}


@pytest.fixture(scope="module", params=STORIES)
def story(request: pytest.FixtureRequest) -> tuple[AuditResult, str]:
    result = STORIES[request.param]()
    return result, page(result)


def test_the_page_is_one_sound_document_that_fetches_and_runs_nothing(story: tuple[AuditResult, str]) -> None:
    sound(story[1])

    assert len(Document(story[1]).all("table")) > 4


def test_every_day_of_every_month_is_in_the_calendar_with_the_letter_of_its_state(
    story: tuple[AuditResult, str],
) -> None:
    result, text = story
    document = Document(text)
    cells = Counter(
        str(attributes["class"]).split()[-1]
        for tag, attributes, ancestors in document.elements
        if tag == "i" and "section" in ancestors and "ul" not in ancestors
    )
    wanted = Counter(
        STATES[state].letter
        for holding in holdings(result.days)
        for calendar in holding.calendars
        for state, number in calendar.counts.items()
        for _ in range(number)
    )
    dated = {(item.site, item.agreement, item.source, item.table, item.day) for item in result.days} - {
        (item.site, item.agreement, item.source, item.table, "undated") for item in result.days
    }

    assert wanted == {letter: number for letter, number in cells.items() if letter != "d"}
    assert wanted.total() == len(dated)


def test_every_finding_exchange_account_and_fingerprint_is_on_the_page(story: tuple[AuditResult, str]) -> None:
    result, text = story
    told = Document(text)
    rows = Counter(element[2].count("tbody") for element in told.elements if element[0] == "tr")[1]

    for item in result.findings:
        assert item.rule.source in told.text
        assert item.rule.advice in told.text
    assert text.count('class="where"') == len(result.findings)
    assert rows >= len(result.exchanges) + len(result.accounts)
    for site in result.sites:
        assert " ".join(re.findall("....", site.fingerprint)) in told.text
    assert f"anpr-share {__version__}" in told.text


def test_hostile_text_is_shown_and_never_obeyed() -> None:
    text = page(audits.hostile())
    document = Document(text)

    assert "<script" not in text
    assert "<script>alert(1)</script>" in document.text
    assert "{{ 7 * 7 }} {% raw %} &amp; &lt;b&gt;" in document.text
    assert r"\u202egnp.exe\u202c\u2066hidden" in document.text
    assert [character for character in text if not character.isprintable() and character != "\n"] == []


@pytest.mark.parametrize(
    ("name", "headline"),
    [
        ("clean", "Nothing wrong was found"),
        ("questions", "Something must be explained"),
        ("breaches", "Rules were broken"),
    ],
)
def test_the_verdict_stands_on_top_in_words(name: str, headline: str) -> None:
    result = STORIES[name]()
    document = Document(page(result))

    assert document.all("h2")[0][1] == headline
    assert document.all("p")[1][1] == f"Verdict: {result.verdict}"


def test_an_account_that_does_not_add_up_says_by_how_much() -> None:
    text = Document(page(audits.breaches())).text

    assert "does not add up: 97 rows missing between export and load" in text
    assert "1 bundle does not" in text


def test_what_is_not_known_is_not_taken_for_nothing() -> None:
    result = audits.questions()
    totals = Document(page(result)).text.split("Totals")[1].split("Rows of each bundle")[0]

    assert "reads, msv-2026Lancashire PoliceUniversity of the North10not known" in totals
    assert "what is known does" in totals
    partly = replace(result, accounts=(replace(result.accounts[0], exported=5), *result.accounts[1:]))
    assert "at least 5" in Document(page(partly)).text


def test_a_partner_who_is_known_by_two_fingerprints_is_marked() -> None:
    result = audits.clean()
    site = replace(result.sites[0], partners=(("lancashire-police", audits.digest("another")),))
    text = Document(page(replace(result, sites=(site, *result.sites[1:])))).text

    assert text.count("Lancashire Police (lancashire-police) (differs)") == 2
    assert "(differs)" not in Document(page(result)).text


def test_an_audit_of_nothing_is_a_page() -> None:
    result = audits.clean()
    text = Document(
        page(replace(result, sites=(), findings=(), days=(), exchanges=(), accounts=(), checked=(), unchecked=()))
    ).text

    assert "No site that was audited holds, or held, data of any day." in text
    assert "There was no exchange." in text


def test_the_worst_of_several_bundles_counts_for_a_day() -> None:
    day = next(item for item in audits.clean().days if item.day == "2026-06-01")
    again = replace(day, bundle="another", state="held", destroyed=None, line=None)
    bad = replace(day, bundle="third", state="overdue", destroyed=None, line=None)

    def counts(*days: object) -> dict[str, int]:
        (holding,) = holdings(days)  # type: ignore[arg-type]
        return {state: number for state, number in holding.calendars[0].counts.items() if number}

    assert counts(day) == {"destroyed": 1}
    assert counts(again, day) == {"held": 1}
    assert counts(again, bad, day) == {"overdue": 1}


def test_months_without_data_are_said_and_not_drawn() -> None:
    first = next(item for item in audits.clean().days if item.day == "2026-06-01")
    days = [first, replace(first, day="2026-08-31"), replace(first, day="2028-02-29")]

    months = holdings(days)[0].calendars[0].months

    assert [part.summary.split(";")[0] for part in months] == [
        "June 2026: destroyed in time 1",
        "July 2026: no data",
        "August 2026: destroyed in time 31",
        "September 2026 to January 2028: no data",
        "February 2028: destroyed in time 29",
    ]
    assert [len(part.cells) for part in months if not isinstance(part, Gap)] == [30, 31, 29]


def test_a_month_is_told_in_words_as_it_is_drawn() -> None:
    summaries = [str(found.get("aria-label")) for _, found, _ in Document(page(audits.breaches())).elements]

    assert "July 2026: held 16 to 31; overdue 9, 10; destroyed in time 1 to 8, 11 to 15" in summaries
    assert "August 2026: held 1 to 9; no data 10 to 31" in summaries


@pytest.mark.parametrize(
    ("numbers", "told"),
    [((), ""), ((3,), "3"), ((4, 3), "3, 4"), ((1, 2, 3, 5, 7, 8, 9, 9), "1 to 3, 5, 7 to 9")],
)
def test_numbers_are_listed_as_people_do(numbers: tuple[int, ...], told: str) -> None:
    assert spans(numbers) == told


def shown(result: AuditResult, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    terminal.show(audit_lines(result))
    return capsys.readouterr().out


@pytest.mark.parametrize("name", ["clean", "questions", "breaches", "large"])
def test_the_terminal_has_the_verdict_first_in_80_columns(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    result = STORIES[name]()
    lines = shown(result, capsys, monkeypatch).splitlines()

    assert lines[0].startswith(f"{result.verdict}: ")
    assert max(map(len, lines)) <= 80


def test_each_finding_has_its_evidence_its_rule_and_its_advice() -> None:
    told = "\n".join(map(str, audit_lines(audits.breaches())))

    assert (
        "breach: a day is gone, and no line of the ledger says that it was destroyed (gone-unlogged)\n"
        "  found  reads of 2026-06-20 from lancashire-police are gone\n"
        "         at university-of-the-north, ledger line 92\n"
        "  rule   Data Protection Act 2018 s.62: logging\n"
        "  do     keep a copy of the site as it is, and tell whoever is in charge of security\n"
    ) in told
    assert told.index("\nbreach: ") < told.index("\nquestion: ") < told.index("\nnote: ") < told.index("\nchecked:")
    assert (
        "reads from west-yorkshire-police, 2026-06-01 to 2026-08-09: 25 held, 1 due now, 41 destroyed in time" in told
    )
    assert "1 of them DO NOT ADD UP" in told


def test_what_is_compared_with_paper_is_on_the_terminal_too() -> None:
    result = audits.clean()
    told = "".join(map(str, audit_lines(result))).replace(" ", "").replace("\n", "")

    for site in result.sites:
        assert site.fingerprint in told
        assert [digest for _, _, digest in site.agreements if digest not in told] == []


def test_many_findings_of_one_rule_are_counted_and_not_listed() -> None:
    told = [str(line) for line in audit_lines(audits.large())]

    assert sum(line.startswith("  found  ") for line in told) == 6
    assert "         and 34 more; --json lists them all" in told


def test_many_ledger_lines_are_counted_and_not_listed() -> None:
    result = audits.clean()
    lines = tuple(range(2, 200, 2))
    told = [
        str(line) for line in audit_lines(replace(result, findings=(finding("purpose-missing", "here", "x", lines),)))
    ]

    assert any(line.endswith("18, 20, and 89 more; --json lists them all") for line in told)


def test_every_rule_can_be_shown() -> None:
    result = audits.clean()
    found = tuple(
        finding(code, audits.UNIVERSITY, f"fault {number}", (number,)) for number, code in enumerate(RULES, 1)
    )
    every = replace(result, findings=found)
    text = Document(page(every)).text
    told = "\n".join(map(str, audit_lines(every)))

    assert [item.text for item in found if item.text not in told] == []
    assert [item.text for item in found if f"{item.text.capitalize()}." not in text] == []


def test_two_years_of_two_forces_are_a_page_that_can_be_mailed() -> None:
    result = audits.large()
    first = date(2025, 1, 1)

    assert {item.day for item in result.days} >= {f"{first + timedelta(days=number)}" for number in range(720)}
    assert len(page(result)) < 1_000_000

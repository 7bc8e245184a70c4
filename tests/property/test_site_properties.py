"""Properties of a site's parsers and encodings over arbitrary input."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anpr_share.documents import canonical
from anpr_share.documents.keys import SigningKey
from anpr_share.errors import AnprShareError, FormatError, PolicyError, VerificationError
from anpr_share.site.ledger import Head, line_hash, open_checkpoint, parse_line, verify_chain
from anpr_share.site.purpose import check_purpose
from anpr_share.site.vault import Vault
from anpr_share.vrm import PLATE_LIKE, canonicalise

VAULT = Vault(bytes(range(32)), "north-force")
KEY = SigningKey(bytes(range(32)))
LINE: dict[str, object] = {
    "account": "alice",
    "actor": None,
    "details": {},
    "event": "purge",
    "leapt": False,
    "previous": "ab" * 32,
    "seq": 1,
    "subject": "",
    "time": "2026-10-08T16:30:51Z",
}
scalars = st.none() | st.booleans() | st.integers(-(2**62), 2**62) | st.text(st.characters(codec="utf-8"), max_size=20)
records = st.dictionaries(
    st.text("abc", min_size=1, max_size=3),
    st.none() | st.integers() | st.binary() | st.text(st.characters(codec="utf-8")),
)


@given(st.binary())
def test_any_bytes_as_a_line_or_a_checkpoint_give_a_value_or_an_error_of_ours(data: bytes) -> None:
    for parse in (parse_line, lambda item: open_checkpoint(item, KEY.public)):
        with contextlib.suppress(AnprShareError):
            parse(data)


@given(st.sampled_from(sorted(LINE)), scalars | st.dictionaries(st.text("ab"), scalars))
def test_a_line_with_any_value_in_any_field_is_parsed_or_refused(field: str, value: object) -> None:
    line = canonical.encode({**LINE, field: value})
    try:
        entry = parse_line(line)
    except FormatError:
        return
    assert entry.hash == line_hash(line)


@given(st.lists(st.integers(0, 3), min_size=1, max_size=8), st.data())
def test_any_other_order_or_choice_of_lines_is_refused(gaps: list[int], data: st.DataObject) -> None:
    lines, head = [], Head(0, "ab" * 32)
    for seq, gap in enumerate(gaps, start=1):
        time = datetime(2026, 10, 8, 0, 3 * seq, gap, tzinfo=UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        lines.append(canonical.encode({**LINE, "seq": seq, "previous": head.hash, "time": time}))
        head = Head(seq, line_hash(lines[-1]))
    chosen = data.draw(st.lists(st.sampled_from(lines), max_size=len(lines)))
    if chosen == lines[: len(chosen)]:
        assert len(list(verify_chain(chosen, Head(0, "ab" * 32)))) == len(chosen)
        return
    with pytest.raises(VerificationError):
        list(verify_chain(chosen, Head(0, "ab" * 32)))


@given(records, records)
def test_records_have_one_mac_exactly_if_they_are_equal(first: dict[str, object], second: dict[str, object]) -> None:
    # bool is int in Python and is not drawn here: no column of ours is one.
    same = VAULT.mac("part", first) == VAULT.mac("part", second)  # type: ignore[arg-type]
    assert same == (first == second)


@given(st.lists(st.text(st.characters(codec="utf-8"), max_size=8), max_size=4), st.binary(max_size=64))
def test_what_is_wrapped_for_a_place_opens_there(place: list[str], secret: bytes) -> None:
    wrapped = VAULT.wrap(place, secret)
    assert VAULT.unwrap(place, wrapped) == secret
    for other in ([*place, ""], ["".join(place), "x"]):
        with pytest.raises(VerificationError):
            VAULT.unwrap(other, wrapped)


@given(
    st.from_regex(
        r"[A-HJ-PR-Y]{2}[0-9]{2} ?[A-HJ-PR-Y]{3}|[A-HJ-NPR-T][1-9][0-9]{0,2} ?[A-HJ-PR-Y]{3}", fullmatch=True
    ),
    st.sampled_from(["{}", "see {}", "{} was seen", "({})", "a/{}/b", "{}, {}"]),
)
def test_no_plate_passes_as_a_purpose(plate: str, sentence: str) -> None:
    assert canonicalise(plate).family in PLATE_LIKE
    with pytest.raises(PolicyError) as caught:
        check_purpose(sentence.replace("{}", plate))
    assert plate not in caught.value.message

"""One encoding for each value, and only that encoding is read."""

from __future__ import annotations

import time

import pytest

from anpr_share.documents import canonical
from anpr_share.errors import FormatError

DEEP = canonical.MAX_DEPTH


def nested(depth: int) -> object:
    value: object = []
    for _ in range(depth - 1):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param({"b": 1, "a": [True, False, None]}, b'{"a":[true,false,null],"b":1}', id="sorted keys"),
        pytest.param({"é": "ü", "z": ""}, '{"z":"","é":"ü"}'.encode(), id="non-ASCII unescaped"),
        pytest.param(
            {"\uffff": 1, "\U00010000": 2}, '{"\uffff":1,"\U00010000":2}'.encode(), id="not in UTF-16's order"
        ),
        pytest.param('a"\\\n\x00', b'"a\\"\\\\\\n\\u0000"', id="only what must be escaped"),
        pytest.param(-(2**63) + 1, b"-9223372036854775807", id="smallest integer"),
        pytest.param((1, 2), b"[1,2]", id="tuple"),
        pytest.param({}, b"{}", id="empty"),
    ],
)
def test_the_encoding_is_the_specified_one(value: object, expected: bytes) -> None:
    assert canonical.encode(value) == expected


@pytest.mark.parametrize("value", [0.5, float("nan"), {1: 2}, b"bytes", {1, 2}, object()])
def test_a_value_that_json_has_no_exact_form_for_is_a_mistake_of_the_caller(value: object) -> None:
    with pytest.raises(TypeError):
        canonical.encode([value])


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("\ud800", id="surrogate"),
        pytest.param({"\udfff": 1}, id="surrogate in a key"),
        pytest.param(2**63, id="huge"),
        pytest.param(-(2**63), id="huge and negative"),
        pytest.param(nested(DEEP + 1), id="deep"),
    ],
)
def test_what_cannot_be_read_back_is_not_written(value: object) -> None:
    with pytest.raises(FormatError):
        canonical.encode(value)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        pytest.param(b"", "not valid", id="nothing"),
        pytest.param(b"{", "not valid", id="cut off"),
        pytest.param(b'{"a":1,"a":1}', "a key twice", id="duplicate key"),
        pytest.param(b'[{"a":{"b":1,"b":2}}]', "a key twice", id="duplicate key inside"),
        pytest.param(b'{"a":1,"\\u0061":2}', "a key twice", id="duplicate key, once escaped"),
        pytest.param(b'{"b":1,"a":2}', "canonical", id="unsorted keys"),
        pytest.param(b'{"a": 1}', "canonical", id="space"),
        pytest.param(b'{"a":1}\n', "canonical", id="final newline"),
        pytest.param(b' {"a":1}', "canonical", id="leading space"),
        pytest.param(b'{"a":1}{"a":1}', "not valid", id="trailing document"),
        pytest.param(b'{"a":1}\x00', "not valid", id="trailing NUL"),
        pytest.param(b"NaN", "not an integer", id="NaN"),
        pytest.param(b"[Infinity]", "not an integer", id="infinity"),
        pytest.param(b"[-Infinity]", "not an integer", id="minus infinity"),
        pytest.param(b"[1.0]", "not an integer", id="float"),
        pytest.param(b"[1e3]", "not an integer", id="exponent"),
        pytest.param(b"[-0]", "canonical", id="minus zero"),
        pytest.param(b"[01]", "not valid", id="leading zero"),
        pytest.param(b"[9223372036854775808]", "out of range", id="integer of 64 bits"),
        pytest.param(b"[" + b"9" * 100_000 + b"]", "out of range", id="integer of 100,000 digits"),
        pytest.param(b'"\\u00e9"', "canonical", id="escaped non-ASCII"),
        pytest.param(b'"\\/"', "canonical", id="escaped slash"),
        pytest.param(b'"\\ud800"', "surrogate", id="lone surrogate"),
        pytest.param(b'"\\ud83d\\ude00"', "canonical", id="escaped pair of surrogates"),
        pytest.param(b'"\xed\xa0\x80"', "not valid", id="surrogate in UTF-8"),
        pytest.param(b'"\xff"', "not valid", id="not UTF-8"),
        pytest.param(b'"\xc0\x80"', "not valid", id="overlong UTF-8"),
        pytest.param(b"\xef\xbb\xbf{}", "not valid", id="byte order mark"),
        pytest.param('{"a":1}'.encode("utf-16"), "not valid", id="UTF-16"),
        pytest.param(b'"a\nb"', "not valid", id="raw control character"),
        pytest.param(b"{'a':1}", "not valid", id="single quotes"),
        pytest.param(b"[1,]", "not valid", id="trailing comma"),
        pytest.param(b"[" * (DEEP + 1) + b"]" * (DEEP + 1), "deep", id="one level too deep"),
        pytest.param(b"[" * 100_000, "deep", id="a hundred thousand levels"),
        pytest.param(b'{"a":' * 100_000, "deep", id="a hundred thousand objects"),
    ],
)
def test_any_other_spelling_is_refused(data: bytes, why: str) -> None:
    with pytest.raises(FormatError, match=why):
        canonical.decode(data)


def test_sixteen_levels_are_read() -> None:
    value = nested(DEEP)
    assert canonical.decode(canonical.encode(value)) == value


def test_brackets_inside_text_are_no_levels() -> None:
    value = {"a": "[" * 100 + '"{\\'}
    assert canonical.decode(canonical.encode(value)) == value


def test_a_document_beyond_the_limit_is_not_even_parsed() -> None:
    assert canonical.decode(b'"12345678"', limit=10) == "12345678"
    with pytest.raises(FormatError, match="larger than 9 bytes"):
        canonical.decode(b'"12345678"', limit=9)


def test_as_many_lists_as_allowed_are_read_and_no_more() -> None:
    most = canonical.MAX_CONTAINERS - 1
    assert canonical.decode(canonical.encode([[]] * most)) == [[]] * most
    with pytest.raises(FormatError, match="more than 100000 objects and lists"):
        canonical.decode(canonical.encode([[]] * (most + 1)))


@pytest.mark.parametrize("filling", [b"[", b"[],", b"{},", b'{"a":'])
def test_a_bomb_of_the_largest_size_is_refused_at_once(filling: bytes) -> None:
    began = time.monotonic()
    with pytest.raises(FormatError):
        canonical.decode((b"[" + filling * canonical.MAX_BYTES)[: canonical.MAX_BYTES])
    assert time.monotonic() - began < 5


def test_a_message_repeats_nothing_of_the_document() -> None:
    with pytest.raises(FormatError) as caught:
        canonical.decode(b'{"AB12CDE":1,"AB12CDE":2}')
    assert "AB12CDE" not in str(caught.value)

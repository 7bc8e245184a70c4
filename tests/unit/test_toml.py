"""Reading TOML: whatever the text is, soon and without quoting it."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from anpr_share.errors import FormatError
from anpr_share.site.layout import Paths, read_config
from anpr_share.tables.profile import parse_profile
from anpr_share.toml import read_toml

HOSTILE = [
    pytest.param("x = 1" + "0" * 5000, "cannot be read as TOML", id="number of 5,000 digits"),
    pytest.param("a." * 30_000 + "b = 1", "more than 200 dots", id="name of 30,000 parts"),
    pytest.param("[" + "a." * 30_000 + "b]", "more than 200 dots", id="table of 30,000 parts"),
    pytest.param("x = " + "[" * 20_000, "nested too deeply", id="20,000 brackets"),
    pytest.param('x = "AB12CDE', "cannot be read as TOML at end of document", id="quote left open"),
    pytest.param("\0", "cannot be read as TOML", id="NUL"),
]


def test_values_come_back_after_a_byte_order_mark() -> None:
    assert read_toml('\ufeffa = 1.50\n[b]\nc = "x"\n', "it", parse_float=str) == {"a": "1.50", "b": {"c": "x"}}


@pytest.mark.parametrize(("text", "message"), HOSTILE)
def test_a_hostile_text_is_refused_soon_and_not_quoted(text: str, message: str) -> None:
    before = time.process_time()
    with pytest.raises(FormatError, match=message) as caught:
        read_toml(text, "the file")
    assert time.process_time() - before < 1
    assert "AB12" not in str(caught.value)
    assert caught.value.__context__ is None or caught.value.__suppress_context__


@pytest.mark.parametrize("value", ["25-11-2026", "False", "P90D"])
def test_how_dates_texts_and_yes_and_no_are_written_is_said(value: str) -> None:
    with pytest.raises(FormatError) as caught:
        read_toml(f"x = {value}", "the draft")
    assert "double quotes, a date is written 2026-11-25, yes and no as true and false" in str(caught.value.hint)


@pytest.mark.parametrize(("text", "message"), HOSTILE)
def test_profiles_and_sites_are_read_the_same_way(text: str, message: str, tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    paths.config.write_text(text, encoding="utf-8")
    with pytest.raises(FormatError, match=f"site.toml.* {message}|{message}|a line of site.toml"):
        read_config(paths)
    with pytest.raises(FormatError, match=message):
        parse_profile(text)

"""Whatever the bytes, reading a container gives its members or a FormatError, and what it accepts it would write."""

from __future__ import annotations

import io
import zlib
from datetime import date

from hypothesis import given
from hypothesis import strategies as st

from anpr_share import container
from anpr_share.errors import FormatError

days = st.one_of(st.dates(min_value=date(1, 1, 1)).map(date.isoformat), st.just("undated"))
names = st.tuples(st.sampled_from(["cameras", "reads", "targets"]), days, st.integers(0, 9999))
contents = st.binary(max_size=40)
parts = st.dictionaries(names, contents, max_size=6)


def build(manifest: bytes, keys: bytes, data: dict[tuple[str, str, int], bytes]) -> bytes:
    out = io.BytesIO()
    members = [(f"data/{table}/{day}-{n}.parquet", data[table, day, n]) for table, day, n in sorted(data)]
    container.write(out, [("manifest.json", manifest), ("keys.sealed", keys), *members])
    return out.getvalue()


def accepted_is_canonical(data: bytes) -> None:
    file = io.BytesIO(data)
    try:
        members = container.read(file)
    except FormatError:
        return
    again = io.BytesIO()
    pieces = [(member.name, container.read_member(file, member)) for member in members]
    container.write(again, pieces)
    crcs = [member.crc for member in members]
    if crcs == [zlib.crc32(content) for _, content in pieces]:
        assert again.getvalue() == data


@given(contents, contents, parts)
def test_any_members_come_back(manifest: bytes, keys: bytes, data: dict[tuple[str, str, int], bytes]) -> None:
    file = io.BytesIO(build(manifest, keys, data))
    members = container.read(file)
    assert all(container.digest_member(file, member)[1] == member.crc for member in members)
    found = [container.read_member(file, member) for member in members]
    assert found == [manifest, keys, *(data[name] for name in sorted(data))]


@given(st.binary(max_size=300))
def test_any_bytes_are_a_container_or_a_format_error(data: bytes) -> None:
    accepted_is_canonical(data)


@given(st.data(), parts)
def test_any_damage_is_a_container_or_a_format_error(
    draw: st.DataObject, members: dict[tuple[str, str, int], bytes]
) -> None:
    good = build(b"{}", b"sealed", members)
    start = draw.draw(st.integers(0, len(good)))
    stop = draw.draw(st.integers(start, min(len(good), start + 20)))
    accepted_is_canonical(good[:start] + draw.draw(st.binary(max_size=20)) + good[stop:])


@given(st.data(), st.binary(min_size=1, max_size=20))
def test_no_bytes_can_be_put_in_anywhere(draw: st.DataObject, extra: bytes) -> None:
    good = build(b"{}", b"sealed", {("reads", "2026-03-01", 0): b"PARE"})
    place = draw.draw(st.integers(0, len(good)))
    changed = good[:place] + extra + good[place:]
    try:
        members = container.read(io.BytesIO(changed))
    except FormatError:
        return
    raise AssertionError(members)

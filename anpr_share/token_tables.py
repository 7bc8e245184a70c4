"""Tables that number the distinct plates and cameras of an extract, batch after batch, and hash each of them once.

Guarantees:

- The tokens are exactly those of `LinkageKey`; only what vrm-1 calls ``ok`` has one.
- Memory has a bound: the caller asks `full` after each batch, settles whatever refers to the numbers, and clears.
- Cells that are looked up by a packed form of theirs share a number only if vrm-1 makes the same of them.

Plates are looked up among those known by binary search of sorted cells in sorted cells, which touches memory in order
and so costs a third of a hash table's look-ups; a test holds the numbers to one another however batches fall. Hashing
has a thread of its own: polars lets go of Python's lock while it reads and sorts.
"""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

from anpr_share.errors import UsageError
from anpr_share.pseudonyms import ALIKE_BYTES, SAMPLE_BYTES, TOKEN_BYTES, camera_message, field_of_site
from anpr_share.vrm import PLATE_LIKE, canonicalise, canonicalise_series, squeeze

if TYPE_CHECKING:
    from collections.abc import Sequence

    import polars as pl

    from anpr_share.pseudonyms import LinkageKey

__all__ = ["CameraTable", "PlateTable"]

_LONG_BYTES: Final = 1 << 28  # no plate is long: what is, is no plate, and is not to fill the memory
_HASH_ROWS: Final = 1 << 15  # plates hashed at a time: so few objects stay in the processor's cache


class PlateTable:
    """Numbers the distinct cells of plate columns; a cell's number is its row in `facts` and in `tokens`.

    ``sample`` is the threshold of a sample, if there is one, and ``always`` the vehicle tokens that it keeps whatever
    they are. The table grows up to ``capacity`` rows and the batch that passes it. Around 100 bytes are kept for a row.
    """

    def __init__(
        self,
        key: LinkageKey,
        *,
        alike: bool,
        sample: int | None,
        always: frozenset[str] = frozenset(),
        capacity: int = 12_000_000,
    ) -> None:
        self._key = key
        self._alike = alike
        self._sample = sample
        self._always = list(always)
        self._capacity = capacity
        self._hasher = ThreadPoolExecutor(max_workers=1, thread_name_prefix="anpr-share-hasher")
        self.clear()

    def __len__(self) -> int:
        return self._rows

    def __repr__(self) -> str:
        return f"PlateTable({self._rows} rows)"

    @property
    def full(self) -> bool:
        """Whether the table has reached its capacity, in rows or in bytes of long cells."""
        return self._rows >= self._capacity or self._long_bytes >= _LONG_BYTES

    def clear(self) -> None:
        """Forget every cell; numbers start again from 0."""
        import polars as pl

        self._rows = self._long_bytes = 0
        # Cells of up to eight bytes are looked up as one integer, which holds them exactly; the others by their text.
        self._short = pl.DataFrame(schema={"cell": pl.UInt64, "id": pl.UInt32})
        self._long: dict[str | None, int] = {}
        self._facts: list[pl.DataFrame] = []
        self._tokens: list[Future[pl.DataFrame]] = []
        self._hash(canonicalise_series(pl.Series([], dtype=pl.String)))  # an empty table has its columns too

    @property
    def facts(self) -> pl.DataFrame:
        """What is known of each number at once, a few bytes a row.

        ``status`` and ``family`` (Enum), ``ambiguous`` and ``sampled`` (Boolean: the vehicle is in the sample; all true
        without sampling, and false where there is no vehicle).
        """
        import polars as pl

        if len(self._facts) != 1:
            self._facts = [pl.concat(self._facts, rechunk=True)]
        return self._facts[0]

    @property
    def tokens(self) -> pl.DataFrame:
        """The tokens of each number: ``vehicle`` and, if asked for, ``vehicle_alike`` (String).

        Also ``order`` (UInt128), the number that the vehicle's digits write. All are null where status is not ``ok``.
        Waits until all are hashed.
        """
        import polars as pl

        if len(self._tokens) != 1:
            whole: Future[pl.DataFrame] = Future()
            whole.set_result(pl.concat([hashed.result() for hashed in self._tokens], rechunk=True))
            self._tokens = [whole]
        return self._tokens[0].result()

    def ids(self, raw: pl.Series) -> pl.Series:
        """The number (UInt32) of each cell of a String series; null is a cell too."""
        import polars as pl

        packed = _packed(raw)
        order = packed.arg_sort(nulls_last=True).head(len(packed) - packed.null_count())
        cells = packed.gather(order)
        starts = (cells != cells.shift()).fill_null(value=True)
        numbers = self._numbers(cells.filter(starts), raw, order.filter(starts))
        ids = pl.repeat(0, len(raw), dtype=pl.UInt32, eager=True)
        ids = ids.scatter(order, numbers.gather(starts.cum_sum() - 1))
        unpacked = packed.is_null().arg_true()
        return ids if unpacked.is_empty() else self._with_long(ids, raw, unpacked)

    def _numbers(self, cells: pl.Series, raw: pl.Series, rows: pl.Series) -> pl.Series:
        """The number of each of these sorted, distinct cells; ``rows`` says where in ``raw`` each stands."""
        import polars as pl

        places = self._short["cell"].search_sorted(cells)
        found = self._short.select(pl.all().gather(places, null_on_oob=True))
        known = (found["cell"] == cells).fill_null(value=False)
        if known.all():
            return found["id"]
        new = pl.DataFrame([cells.filter(~known).alias("cell"), self._next_ids(len(cells) - int(known.sum()))])
        self._add(raw.gather(rows.filter(~known)))
        self._short = self._short.merge_sorted(new, "cell").rechunk()
        return found["id"].scatter((~known).arg_true(), new["id"])

    def _with_long(self, ids: pl.Series, raw: pl.Series, rows: pl.Series) -> pl.Series:
        """Number the cells that do not fit an integer."""
        import polars as pl

        cells = raw.gather(rows)
        distinct = cells.unique(maintain_order=True)
        texts: list[str | None] = distinct.to_list()
        new = [text for text in texts if text not in self._long]
        self._long_bytes += sum(len(text) for text in new if text is not None)
        self._long.update(zip(new, self._next_ids(len(new)).to_list(), strict=True))
        self._add(pl.Series(new, dtype=pl.String))
        numbers = pl.DataFrame({"cell": distinct, "id": pl.Series([self._long[t] for t in texts], dtype=pl.UInt32)})
        found = cells.to_frame("cell").join(numbers, on="cell", how="left", nulls_equal=True, maintain_order="left")
        return ids.scatter(rows, found["id"])

    def _next_ids(self, count: int) -> pl.Series:
        import polars as pl

        return pl.int_range(self._rows, self._rows + count, dtype=pl.UInt32, eager=True).alias("id")

    def _add(self, cells: pl.Series) -> None:
        """Append a row for each cell."""
        results = canonicalise_series(cells)
        for start in range(0, len(cells), _HASH_ROWS):
            self._hash(results.slice(start, _HASH_ROWS))
        self._rows += len(cells)

    def _hash(self, results: pl.DataFrame) -> None:
        """Append what is known at once of canonicalised cells, and have their tokens made."""
        ok = results["status"] == "ok"
        text = b"" if results.is_empty() else results["vrm"].fill_null("").str.join("\n").item().encode()
        tokens = self._hasher.submit(self._hashed, text, ok)
        self._tokens.append(tokens)
        sampled = self._sampled(text, ok, tokens)
        self._facts.append(results.select("status", "family", "ambiguous").with_columns(sampled=sampled))

    def _hashed(self, text: bytes, ok: pl.Series) -> pl.DataFrame:
        """The tokens of the lines of ``text`` where they are ``ok``; there is a line for each of them."""
        import polars as pl

        fields = [("vehicle", "vrm", text)]
        if self._alike:
            fields.append(("vehicle_alike", "vrm-alike", text.translate(ALIKE_BYTES)))
        columns = {}
        for name, field, lines in fields:
            digests = self._key.field(field).digests(lines.split(b"\n")[: len(ok)])
            tokens = pl.Series(digests, dtype=pl.Binary).bin.slice(0, TOKEN_BYTES)
            columns[name] = tokens if ok.all() else pl.select(pl.when(ok).then(tokens)).to_series()
        order = columns["vehicle"].bin.reinterpret(dtype=pl.UInt128, endianness="big")
        return pl.DataFrame(columns).select(pl.all().bin.encode("hex"), order=order)

    def _sampled(self, text: bytes, ok: pl.Series, tokens: Future[pl.DataFrame]) -> pl.Series:
        import polars as pl

        if self._sample is None:
            return pl.repeat(True, len(ok), dtype=pl.Boolean, eager=True)  # noqa: FBT003
        if self._sample >= 1 << 8 * SAMPLE_BYTES:
            return ok
        # Compared as bytes, a digest is below the threshold exactly when its first eight bytes are.
        threshold = self._sample.to_bytes(SAMPLE_BYTES, "big")
        digests = self._key.field("sample").digests(text.split(b"\n")[: len(ok)])
        sampled = pl.Series([digest < threshold for digest in digests], dtype=pl.Boolean)
        if self._always:
            sampled |= tokens.result()["vehicle"].is_in(self._always).fill_null(value=False)
        return sampled & ok


def _packed(raw: pl.Series) -> pl.Series:
    """Each cell, or what is left of it without what vrm-1 drops, as an integer of its bytes; null where eight are few.

    Two cells have the same integer only if they canonicalise the same: the padding is told from a final NUL, and only
    ASCII is squeezed.
    """
    import polars as pl

    cells = _eight_bytes(raw)
    rows = (cells.is_null() & raw.is_not_null()).arg_true()
    if not rows.is_empty():
        cells = cells.scatter(rows, _eight_bytes(squeeze(raw.gather(rows))))
    return cells.bin.reinterpret(dtype=pl.UInt64)


def _eight_bytes(cells: pl.Series) -> pl.Series:
    """Cells of up to eight ASCII characters as eight bytes of Binary; null for others."""
    import polars as pl

    padded = cells.str.pad_end(8, "\0")
    fits = (padded.str.len_bytes() == 8) & ~cells.str.ends_with("\0")
    binary = padded.cast(pl.Binary)
    return binary if fits.all() else pl.select(pl.when(fits).then(binary)).to_series()


class CameraTable:
    """Numbers the distinct cameras of a site; used as `PlateTable` is."""

    def __init__(self, key: LinkageKey, site: str, capacity: int = 1_000_000) -> None:
        self._field = key.field(field_of_site("camera", site))
        self._capacity = capacity
        self.clear()

    def __len__(self) -> int:
        return self._rows

    def __repr__(self) -> str:
        return f"CameraTable({self._rows} rows)"

    @property
    def full(self) -> bool:
        """Whether the table has reached its capacity, in rows or in bytes."""
        known = 0 if self._known is None else self._known.estimated_size()
        return self._rows >= self._capacity or known >= _LONG_BYTES

    def clear(self) -> None:
        """Forget every camera; numbers start again from 0."""
        self._rows = 0
        self._known: pl.DataFrame | None = None
        self._chunks: list[pl.DataFrame] = []

    @property
    def frame(self) -> pl.DataFrame:
        """A row for each number, in order.

        ``camera`` (String, the token; null where every part is empty) and ``plate_like`` (Boolean: a part has the
        shape of a plate, which means that columns may be swapped).
        """
        import polars as pl

        if len(self._chunks) != 1:
            self._chunks = [pl.concat([self._described([]), *self._chunks], rechunk=True)]
        return self._chunks[0]

    def ids(self, frame: pl.DataFrame) -> pl.Series:
        """The number (UInt32) of each row of a frame of String columns, which are a camera's parts in order.

        Raises UsageError when the number of columns is not that of the batches before.
        """
        import polars as pl

        names = [f"part{n}" for n in range(frame.width)]
        parts = frame.rename(dict(zip(frame.columns, names, strict=True)))
        if self._known is None:
            self._known = parts.clear().with_columns(id=pl.lit(None, dtype=pl.UInt32))
        if self._known.width != frame.width + 1:
            raise UsageError("a camera's identity has another number of parts than before")
        ids = self._looked_up(parts, names)
        if ids.null_count():
            new = parts.filter(ids.is_null()).unique(maintain_order=True)
            numbers = pl.int_range(self._rows, self._rows + len(new), dtype=pl.UInt32, eager=True)
            self._known = pl.concat([self._known, new.with_columns(numbers.alias("id"))], rechunk=True)
            self._chunks.append(self._described(new.rows()))
            self._rows += len(new)
            ids = self._looked_up(parts, names)
        return ids

    def _looked_up(self, parts: pl.DataFrame, names: list[str]) -> pl.Series:
        assert self._known is not None
        return parts.join(self._known, on=names, how="left", nulls_equal=True, maintain_order="left")["id"]

    def _described(self, cameras: Sequence[Sequence[str | None]]) -> pl.DataFrame:
        import polars as pl

        messages = [camera_message(parts) for parts in cameras]
        tokens = [None if message is None else self._field.token(message) for message in messages]
        plate_like = [any(canonicalise(part).family in PLATE_LIKE for part in parts) for parts in cameras]
        schema = {"camera": pl.String, "plate_like": pl.Boolean}
        return pl.DataFrame({"camera": tokens, "plate_like": plate_like}, schema=schema)

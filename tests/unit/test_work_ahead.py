"""Reading ahead changes nothing but the time it takes."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterator

import pytest

from anpr_share.errors import InputError
from anpr_share.work.ahead import ahead


def readers() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "anpr-share-reader"]


@pytest.mark.parametrize("count", [0, 1, 2, 50])
def test_items_come_whole_and_in_order(count: int) -> None:
    assert list(ahead(range(count))) == list(range(count))
    assert readers() == []


def test_an_error_comes_after_the_items_before_it() -> None:
    def items() -> Iterator[int]:
        yield 1
        yield 2
        raise InputError("the third row is bad")

    taking = ahead(items())
    assert [next(taking), next(taking)] == [1, 2]
    with pytest.raises(InputError, match="the third row is bad"):
        next(taking)
    assert readers() == []


def test_closing_early_ends_the_thread_and_the_source() -> None:
    ended = threading.Event()

    def items() -> Generator[int, None, None]:
        try:
            while True:
                yield 1
        finally:
            ended.set()

    source = items()
    taking = ahead(source)
    assert next(taking) == 1
    taking.close()
    assert readers() == []
    source.close()
    assert ended.is_set()


def test_the_items_are_made_in_another_thread() -> None:
    makers = list(ahead(threading.current_thread().name for _ in range(3)))
    assert makers == ["anpr-share-reader"] * 3

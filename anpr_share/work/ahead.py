"""Reading ahead: the next batch is parsed while the last one is hashed.

Parsing runs in polars, without Python's lock, and hashing holds it; together they keep two cores busy.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator, Iterable
from typing import TypeVar

T = TypeVar("T")


class _End:
    """The end of the items, and the error that brought it about, if one did."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error


def ahead(items: Iterable[T]) -> Generator[T, None, None]:
    """The same items in the same order, one of them made in advance by another thread.

    An error of the source is raised here, after the items before it. Closing the generator ends the thread.
    """
    ready: queue.Queue[T | _End] = queue.Queue(maxsize=1)
    closed = threading.Event()

    def put(item: T | _End) -> bool:
        """Hand an item over, unless nobody takes any more."""
        while not closed.is_set():
            try:
                ready.put(item, timeout=0.1)
            except queue.Full:
                continue
            return True
        return False

    def make() -> None:
        error: BaseException | None = None
        try:
            for item in items:
                if not put(item):
                    break
        except BaseException as caught:  # noqa: BLE001 # raised again by the one who takes the items
            error = caught
        put(_End(error))

    thread = threading.Thread(target=make, name="anpr-share-reader", daemon=True)
    thread.start()
    try:
        while True:
            item = ready.get()
            if isinstance(item, _End):
                if item.error is not None:
                    raise item.error
                return
            yield item
    finally:
        closed.set()
        thread.join()

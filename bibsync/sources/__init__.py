"""The vendors: one module each, and the table of their names."""

from collections.abc import Callable
from typing import Final

from bibsync.collection import Collection
from bibsync.errors import SourceMisled
from bibsync.source import Source
from bibsync.sources.bibliotheca import Bibliotheca
from bibsync.sources.http import Hosts

SOURCES: Final[dict[str, Callable[[Collection, Hosts], Source]]] = {
    "bibliotheca": Bibliotheca,
}
"""What a collection's `source` may say, and what asks such a vendor."""

__all__ = ["SOURCES", "Hosts", "open_source"]


def open_source(collection: Collection, hosts: Hosts) -> Source:
    """Return the source of `collection`; it needs no closing, `hosts` does.

    Raises:
        SourceMisled: no such kind of source, or its address is none.
    """
    if (source := SOURCES.get(collection.source)) is None:
        known = ", ".join(sorted(SOURCES))
        raise SourceMisled(
            f"There is no kind of source called {collection.source!r}.",
            remedy=f"Set source to one of: {known}.",
        )
    return source(collection, hosts)

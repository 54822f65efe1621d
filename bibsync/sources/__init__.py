"""The vendors: one module each, and the table of their names.

A vendor's module is loaded when it is first asked: what it needs takes longer to load than a
command that only reads the database takes in all.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Final

from bibsync.collection import Collection
from bibsync.errors import SourceMisled
from bibsync.source import Permit, Source, always

if TYPE_CHECKING:
    from bibsync.sources.http import Hosts

SOURCES: Final = {
    "bibliotheca": "Bibliotheca",
}
"""What a collection's `source` may say: the module here, and what in it asks such a vendor."""


def open_source(collection: Collection, hosts: "Hosts", permit: Permit = always) -> Source:
    """Return the source of `collection`; it needs no closing, `hosts` does.

    `permit` is awaited before each request, behind its turn.

    Raises:
        SourceMisled: no such kind of source, or its address is none.
    """
    if (name := SOURCES.get(collection.source)) is None:
        known = ", ".join(sorted(SOURCES))
        raise SourceMisled(
            f"There is no kind of source called {collection.source!r}.",
            remedy=f"Set source to one of: {known}.",
        )
    module = import_module(f"{__name__}.{collection.source}")
    source: Source = getattr(module, name)(collection, hosts, permit)
    return source

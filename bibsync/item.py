"""An item: what a vendor tells of a title beside its MARC record.

Copies and holds change by the hour and belong to circulation: they are no part of the description,
which is what is kept and compared.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import orjson

CIRCULATION = frozenset({"control_number", "copies", "available", "holds"})
"""What of an item is no description: its name, and what changes by the hour."""


@dataclass(frozen=True, slots=True)
class Author:
    """One who had a hand in a title; `role` is the vendor's word, empty where it has none."""

    name: str
    role: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """What the vendor tells of a title; empty text, and None for counts, where it doesn't.

    `other` holds, by the vendor's name and as sent, what describes the title and isn't named here.
    """

    control_number: str
    title: str
    subtitle: str
    authors: tuple[Author, ...]
    genres: tuple[str, ...]
    publisher: str
    published: str
    isbn: str
    language: str
    format: str
    description: str
    cover_url: str
    copies: int | None
    available: int | None
    holds: int | None
    other: Mapping[str, str]

    def described(self) -> "Description":
        """Return the item as it is kept."""
        words: dict[str, Any] = {
            name: value for name, value in asdict(self).items() if name not in CIRCULATION
        }
        document = orjson.dumps(words, option=orjson.OPT_SORT_KEYS)
        return Description(self.control_number, document, hashlib.sha256(document).digest())


@dataclass(frozen=True, slots=True)
class Description:
    """A title's description: canonical JSON and its sha256, equal where nothing differs."""

    control_number: str
    document: bytes
    fingerprint: bytes


@dataclass(frozen=True, slots=True)
class Items:
    """A look-up's answer: every title asked for is in exactly one of the two."""

    described: Mapping[str, Item]
    absent: tuple[str, ...]

"""What a record is, before and after it was read.

`RawRecord` is what a page was cut into: bytes with their hash. `Record` is what is stored.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RawRecord:
    """The bytes of one record of a page, not parsed yet.

    Attributes:
        data: from the record's start tag to its end tag, in UTF-8 where `repairs` doesn't say
            otherwise.
        raw_hash: sha256 over the reader's version, the page's encoding and prefix bindings and
            the bytes, 005 and 008/00-05 masked out. Equal hashes need no second parse.
        identity: sha256 over the masked bytes alone: what a reject is known again by.
        key: the control number that a scan of the bytes found, where it found exactly one, else
            None. Only a hint for the look-up: a parse decides.
        position: place in the page, from 0.
        bindings: the namespace declarations that the page's root makes, ready to be put into a
            start tag.
        repairs: names of what was mended on the whole page before cutting.
    """

    data: bytes
    raw_hash: bytes
    identity: bytes
    key: str | None
    position: int
    bindings: bytes = b""
    repairs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A readable record with exactly one control number.

    `control_number` is 001 without leading and trailing blanks. `marc` is MARC-in-JSON, UTF-8
    encoded, the record as received. `fingerprint` is the sha256 of the canonical form without
    005, 008/00-05 and the leader's lengths. `repairs` names what had to be mended to read it.
    `published` is the year, `language` the MARC code, `material_type` the word that leader, 006
    and 007 give; empty text where the record doesn't say.
    """

    control_number: str
    title: str
    author: str
    isbns: tuple[str, ...]
    publisher: str
    published: str
    language: str
    subjects: tuple[str, ...]
    format: str
    cover_url: str
    material_type: str
    marc: bytes
    raw_hash: bytes
    fingerprint: bytes
    repairs: tuple[str, ...] = ()

"""Chance that can be had again: the same words always draw the same numbers.

Nothing here depends on the order in which requests arrive, on a process or on a version of
Python: a number is a hash of the words and of how many were drawn before it.
"""

import struct
from collections.abc import Sequence
from hashlib import blake2b
from typing import TypeVar

T = TypeVar("T")
_EIGHT = struct.Struct("<8Q")


class Chance:
    """An endless row of draws, decided by `words` alone."""

    def __init__(self, *words: object) -> None:
        self._words = "/".join(map(str, words)).encode()
        self._blocks = 0
        self._left: list[int] = []

    def share(self) -> float:
        """Draw a number of [0, 1)."""
        if not self._left:
            counted = self._words + b"#%d" % self._blocks
            self._left = list(_EIGHT.unpack(blake2b(counted, digest_size=64).digest()))
            self._blocks += 1
        return (self._left.pop() >> 11) / (1 << 53)

    def happens(self, probability: float) -> bool:
        """Draw whether something of this probability happens."""
        return self.share() < probability

    def between(self, least: int, most: int) -> int:
        """Draw a whole number of [least, most], both ends included."""
        return least + int(self.share() * (most - least + 1))

    def pick(self, things: Sequence[T]) -> T:
        """Draw one of `things`."""
        return things[self.between(0, len(things) - 1)]

    def shuffled(self, things: Sequence[T]) -> list[T]:
        """Return `things` in an order that chance gives."""
        return [thing for _, _, thing in sorted((self.share(), n, t) for n, t in enumerate(things))]

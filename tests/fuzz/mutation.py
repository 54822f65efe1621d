"""Damage: pieces of bytes deleted, doubled, replaced, and spliced in from elsewhere."""

from collections.abc import Sequence
from random import Random

from tests.fuzz.seeds import TOKENS

MOST_CHANGES = 6
LONGEST_PIECE = 400
LARGEST = 200_000


def mutated(dice: Random, seeds: Sequence[bytes]) -> bytes:
    """Return one of the seeds with a few changes."""
    data = bytearray(dice.choice(seeds))
    for _ in range(dice.randint(1, MOST_CHANGES)):
        at = dice.randint(0, len(data))
        end = min(len(data), at + min(dice.randint(0, LONGEST_PIECE), dice.randint(0, 400)))
        match dice.randrange(6):
            case 0:
                del data[at:end]
            case 1:
                data[at:at] = data[at:end] * dice.choice((1, 1, 2, 50))
            case 2:
                data[at:end] = dice.choice(TOKENS)
            case 3:
                data[at:at] = dice.choice(TOKENS) * dice.choice((1, 1, 2, 100))
            case 4:
                other = dice.choice(seeds)
                begin = dice.randint(0, len(other))
                data[at:end] = other[begin : begin + dice.randint(0, LONGEST_PIECE)]
            case _:
                data[at:end] = dice.randbytes(dice.randint(1, 4))
    return bytes(data[:LARGEST])

"""One request after the other: what the first fill is compared with, timed for a bounded piece.

Two ways. `plainly` makes requests such as bibsync made, in turn. `day_by_day` is the reference's:
each day since the beginning, 50 records a page until one is short, one look-up for each title. Both
are granted what costs others time: connections that stay open, no budget to wait for, and neither
parsing nor storing. What the whole would take follows from the number of its requests.
"""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from bibsync.collection import Collection
from bibsync.sources.bibliotheca import PAGE_SIZE, Bibliotheca
from bibsync.sources.http import Hosts
from bibsync.window import Window, day


@dataclass(slots=True)
class Piece:
    """So many requests in so many seconds."""

    requests: int = 0
    seconds: float = 0.0

    @property
    def each_s(self) -> float:
        """How long a request took."""
        return self.seconds / self.requests


async def plainly(collection: Collection, hosts: Hosts, windows: Iterable[Window]) -> Piece:
    """Ask for the first page of each window."""
    source, piece = Bibliotheca(collection, hosts), Piece()
    began = time.monotonic()
    for window in windows:
        await source.page(window, offset=1)
        piece.requests += 1
    piece.seconds = time.monotonic() - began
    return piece


async def day_by_day(collection: Collection, hosts: Hosts, midnights: Iterable[datetime]) -> Piece:
    """Ask for days as the reference does: their pages, then for each title."""
    source, piece = Bibliotheca(collection, hosts), Piece()
    began = time.monotonic()
    for midnight in midnights:
        offset, received = 1, PAGE_SIZE
        while received == PAGE_SIZE:
            page = await source.page(day(midnight), offset=offset)
            received = len(page.records)
            for record in page.records:
                await source.items([record.key or ""])
            offset += PAGE_SIZE
            piece.requests += 1 + received
    piece.seconds = time.monotonic() - began
    return piece

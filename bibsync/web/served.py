"""What the interface knows of the daemon: no more than it shows or needs."""

from typing import Protocol

from bibsync.config import Config
from bibsync.dispatch import Dispatch
from bibsync.rounds import Database


class Numbers(Protocol):
    """Where Prometheus' numbers are."""

    async def exposition(self) -> tuple[str, bytes]:
        """Return content type and body of an answer to Prometheus."""


class Outside(Protocol):
    """What the daemon was given."""

    @property
    def metrics(self) -> Numbers:
        """Where Prometheus' numbers are."""


class Served(Protocol):
    """The daemon; what it hasn't reached yet, or has lost for good, is None."""

    @property
    def config(self) -> Config:
        """The configuration in force."""

    @property
    def outside(self) -> Outside:
        """What the daemon was given."""

    @property
    def database(self) -> Database | None:
        """The database, and whether it answers."""

    @property
    def dispatch(self) -> Dispatch | None:
        """What this replica carries out."""

    @property
    def replica(self) -> str:
        """The name of this replica."""

    @property
    def ready(self) -> bool:
        """Whether there is nothing in the way of work."""

    @property
    def redis_lost(self) -> bool:
        """Whether a Redis is configured and doesn't answer now."""

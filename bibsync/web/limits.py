"""What no client may exceed, so that none keeps a place for ever."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds of connections and times, in seconds.

    `idle_s` is for the whole head of a request, also of the next one on the same connection;
    `body_s` for its body, `answer_s` for making the answer, `send_s` for receiving it.
    """

    connections: int = 100
    idle_s: float = 15.0
    body_s: float = 10.0
    answer_s: float = 30.0
    send_s: float = 30.0


USUAL = Limits()

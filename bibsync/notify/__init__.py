"""Who is told of what: one message for a problem, one for its end, by mail and webhook.

    status ── judgement ── notices (a table) ── wording ── delivery ── mail, webhook
    a good run ─────────────────────────────────────────────────────── heartbeat

`keep` is the daemon's side task, and a Bell what the daemon rings when a run has ended; `trial` is
`bibsync notify test`. A problem is told once, however many replicas look, and its end once. A dead
mail server disturbs no sync: runs do no more than ring, each sending ends after `channel.LIMIT_S`,
and what could not be sent waits in the table. Delivery is at least once, see `delivery`.
"""

from bibsync.notify.channel import Undelivered
from bibsync.notify.keeping import Bell, keep

__all__ = ["Bell", "Undelivered", "keep"]

"""Processes that are asked to stop: SIGTERM and SIGINT wherever a run may be.

It ends with 143 or 130 without finishing its work; what was stored stays, its run has ended, its
lease is free, and the next run goes on from there.

A statement during which the signal comes is held back until the process has had it cancelled: so
the answer to a COMMIT comes when nobody wants it any more.
"""

import asyncio
import signal
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from random import Random

import asyncpg
from installation import Ended, Running

from tests.trials import points, scene
from tests.trials.points import MIGRATION, PAGE, TAKE_OVER, UNCHANGED_PAGE, WINDOW
from tests.trials.scene import FORCED, MISSED, NAME, RUN_ONCE, Scene, Stage, Violated
from tests.trials.tap import Point, Then, Trap, When

EACH = 12
"""Signals that share a library."""
CODES = {signal.SIGTERM: 143, signal.SIGINT: 130}
WITHIN_S = 25.0
"""A run bears with each of the waits below for longer; what it may take to stop is `drain`, 30 s."""
PAUSE_S = 28
"""How long the vendor asks to be left alone, which is not long enough for a run to end."""
HELD = (*PAGE, *WINDOW, *TAKE_OVER, *UNCHANGED_PAGE)
SOMEBODY = """
insert into leases (
    collection, stream, holder, replica, machine, process, process_began, since, expires_at
)
select collection, 'purchases', 'somebody', 'elsewhere:1', 'elsewhere', 1, 0, now(), 'infinity'
from collections
on conflict (collection, stream) do update
set holder = excluded.holder, machine = excluded.machine, expires_at = excluded.expires_at
"""
NOBODY = "update leases set expires_at = '-infinity' where holder = 'somebody'"
HELD_LEASES = """
select holder from leases where expires_at >= clock_timestamp() and holder <> 'somebody'
"""
UNFINISHED = "select run from runs where finished is null"

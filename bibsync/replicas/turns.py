"""The turns at vendors' hosts, shared by replicas through Redis.

A host's key holds when the next turn is due, in microseconds of the server's clock; whoever takes a
turn moves it on by its interval and waits until then. So turns come in the order they were taken,
evenly, and a turn that a dead process took is lost, nothing more. A second key is there while
the vendor wants no request at all. Both keys expire by themselves.
"""

from typing import Final

from bibsync.replicas.client import Away, Contact, Script
from bibsync.sources.budget import BURST_S, Turn

LONGEST_PAUSE_S: Final = 366 * 86_400
"""No pause is kept for longer, whatever a vendor says."""

TAKE: Final = Script("""
local pause = redis.call('PTTL', KEYS[2])
if pause > 0 then return {0, pause} end
local time = redis.call('TIME')
local now, interval = time[1] * 1000000 + time[2], tonumber(ARGV[1])
local burst = math.max(tonumber(ARGV[2]) - interval, 0)
local due = math.max(tonumber(redis.call('GET', KEYS[1]) or now), now)
if due - now > 1000 * interval + burst then due = now end
local wait = math.max(due - burst - now, 0)
local till = due + interval
local lasting = math.ceil((till - now) / 1000) + 1
redis.call('SET', KEYS[1], string.format('%.0f', till), 'PX', string.format('%.0f', lasting))
return {math.ceil(wait), 0}
""")
"""Take a turn, return the microseconds to wait for it; or none, and the milliseconds of the pause.
More than a thousand turns that are due aren't believed: the clock was set back."""
POSTPONE: Final = Script("""
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[1]) then
    redis.call('SET', KEYS[1], 'asked for', 'PX', ARGV[1])
end
return 1
""")


class RedisTurns:
    """Shared turns; None is said while Redis is away."""

    def __init__(self, contact: Contact) -> None:
        self._contact = contact

    async def turn(self, host: str, interval_s: float) -> Turn | None:
        """Take the host's next turn; after it none comes for `interval_s`."""
        given = [interval_s * 1e6, BURST_S * 1e6]
        try:
            wait_us, pause_ms = await self._contact.run(TAKE, [_due(host), _pause(host)], given)
        except Away:
            return None
        return Turn(wait_us / 1e6, pause_ms / 1e3)

    async def pause_s(self, host: str) -> float | None:
        """Return for how many seconds more the host is not to be asked."""
        try:
            return await self._contact.lasting_s(_pause(host))
        except Away:
            return None

    async def postpone(self, host: str, seconds: float) -> None:
        """Let nobody have a turn at the host for `seconds`; a longer pause goes on."""
        lasting_ms = round(min(seconds, LONGEST_PAUSE_S) * 1e3)
        try:
            await self._contact.run(POSTPONE, [_pause(host)], [max(lasting_ms, 1)])
        except Away:
            return


def _due(host: str) -> str:
    return f"bibsync:turns:{{{host}}}"


def _pause(host: str) -> str:
    return f"bibsync:pause:{{{host}}}"

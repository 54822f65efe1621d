"""Table notices: what somebody is to be told of, once when it begins and once when it is over.

One of a kind and subject is open at a time, however many replicas look. `told` and `ended_told`
are the channels that have had the message of its begin and of its end, so each has it once, and one
that was out of order has it later; NOBODY among them: nobody is told any more. A notice of new
rejects is over as soon as one channel has had it, and the next rejects are another one.

The message is what is known of it, as JSON: words are made of it when it is sent. In that of a
notice that is over, `calm_until` is how long its end is held back: where the same comes back by
then, the notice is opened again and nobody hears of either.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import orjson

from bibsync.store import LET_GO, Connection

LOCK = f"select pg_advisory_xact_lock(hashtext('bibsync.notices')), {LET_GO}"
TURN = "select pg_try_advisory_xact_lock(hashtext('bibsync.notices'), hashtext($1))"
CURRENT = """
select notice, kind, subject, began, ended, message, told, ended_told
from notices where ended is null or ended > $1
order by notice
"""
OPEN = """
insert into notices (kind, subject, began, message)
select each.kind, each.subject, $1, each.message::json
from unnest($2::text[], $3::text[], $4::text[]) as each (kind, subject, message)
on conflict (kind, subject) where ended is null do nothing
"""
REWORD = """
update notices n set kind = each.kind, message = each.message::json, told = '{}'
from unnest($1::bigint[], $2::text[], $3::text[]) as each (notice, kind, message)
where n.notice = each.notice and n.ended is null
"""
END = """
update notices n
set ended = $1, message = each.message::json,
    told = case when each.silently then array_append(n.told, 'nobody') else n.told end,
    ended_told = case when each.silently then array['nobody'] else '{}' end
from unnest($2::bigint[], $3::text[], $4::boolean[]) as each (notice, message, silently)
where n.notice = each.notice and n.ended is null
"""
REOPEN = """
update notices set ended = null, ended_told = '{}', told = array_remove(told, 'nobody')
where notice = any($1::bigint[])
"""
PENDING = """
select notice, kind, subject, began, ended, message, told, ended_told
from notices
where not told && array[$1, 'nobody']
      and (ended is null or kind = 'new_rejects' and ended > $2)
   or ended > $2 and not ended_told && array[$1, 'nobody']
      and (message->>'calm_until')::timestamptz <= $3
order by notice desc
limit $4
"""
MARK = """
update notices n
set told = case when $1 = any(n.told) then n.told else array_append(n.told, $1) end,
    ended_told = case
        when n.kind = 'new_rejects' then array['nobody']
        when n.ended is not null then array_append(n.ended_told, $1)
        else n.ended_told
    end,
    ended = case when n.kind = 'new_rejects' then coalesce(n.ended, $2) else n.ended end
from unnest($3::bigint[], $4::text[], $5::text[]) as said (notice, kind, message)
where n.notice = said.notice and n.kind = said.kind and n.message::text = said.message
"""
NEWEST_REJECTS = """
select subject, max((message->>'newest')::bigint) as newest
from notices where kind = 'new_rejects' and ended is not null
group by subject
"""
START = """
insert into notices (kind, subject, began, ended, message, told, ended_told)
values ('new_rejects', '', $1, $1, json_build_object('newest', $2::bigint), '{nobody}', '{nobody}')
"""
NOBODY: Final = "nobody"
NEW_REJECTS: Final = "new_rejects"
KEPT: Final = timedelta(days=7)
"""What is over for longer than this is not told any more."""


@dataclass(frozen=True, slots=True)
class Word:
    """What there is to be told: of which kind, about which collection, and what is known of it."""

    kind: str
    subject: str
    message: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Notice:
    """A notice as it stands; `written` is its message as the table has it."""

    number: int
    kind: str
    subject: str
    began: datetime
    ended: datetime | None
    written: str
    told: tuple[str, ...] = ()
    ended_told: tuple[str, ...] = ()

    @property
    def message(self) -> dict[str, Any]:
        """What is known of it."""
        read: dict[str, Any] = orjson.loads(self.written)
        return read

    @property
    def over(self) -> bool:
        """Whether its end is what is to be told; of new rejects there is none."""
        return self.ended is not None and self.kind != NEW_REJECTS


@dataclass(frozen=True, slots=True)
class End:
    """That a notice is over, and what is known of it then; `silently`: nobody is to hear of it."""

    number: int
    message: Mapping[str, Any]
    silently: bool


async def lock(conn: Connection) -> None:
    """Wait until no other replica judges, to the end of the transaction."""
    await conn.execute(LOCK)


async def turn(conn: Connection, channel: str) -> bool:
    """Take the channel to the end of the transaction; False: another replica sends over it now."""
    return bool(await conn.fetchval(TURN, channel))


async def current(conn: Connection, *, since: datetime) -> list[Notice]:
    """Return the notices that are open or have ended after `since`, the oldest first."""
    return [_notice(row) for row in await conn.fetch(CURRENT, since)]


async def begin(conn: Connection, words: Sequence[Word], *, now: datetime) -> None:
    """Open a notice for each word; nothing happens where one is open already."""
    kinds = [each.kind for each in words]
    subjects = [each.subject for each in words]
    await conn.execute(OPEN, now, kinds, subjects, [_json(each.message) for each in words])


async def reword(conn: Connection, words: Mapping[int, Word]) -> None:
    """Give open notices another kind and message, which all are to be told anew."""
    kinds = [each.kind for each in words.values()]
    await conn.execute(REWORD, [*words], kinds, [_json(each.message) for each in words.values()])


async def end(conn: Connection, ends: Sequence[End], *, now: datetime) -> None:
    """End notices."""
    numbers = [each.number for each in ends]
    silently = [each.silently for each in ends]
    await conn.execute(END, now, numbers, [_json(each.message) for each in ends], silently)


async def reopen(conn: Connection, numbers: Sequence[int]) -> None:
    """Open notices again whose end nobody was told of."""
    await conn.execute(REOPEN, numbers)


async def pending(conn: Connection, channel: str, *, now: datetime, limit: int) -> list[Notice]:
    """Return what is to be told over a channel by now: the newest ones, the oldest of them first.

    What has begun and ended since the channel last worked is told once, as over.
    """
    rows = await conn.fetch(PENDING, channel, now - KEPT, now, limit)
    return [_notice(row) for row in reversed(rows)]


async def mark(conn: Connection, channel: str, notices: Sequence[Notice], *, now: datetime) -> None:
    """Note that a channel has had these, unless what is to be told is another thing meanwhile."""
    numbers = [each.number for each in notices]
    kinds = [each.kind for each in notices]
    await conn.execute(MARK, channel, now, numbers, kinds, [each.written for each in notices])


async def newest_rejects(conn: Connection) -> dict[str, int]:
    """Return the newest reject of each collection that was told of; "": what all begins after."""
    return {row["subject"]: row["newest"] for row in await conn.fetch(NEWEST_REJECTS)}


async def start(conn: Connection, *, newest: int, now: datetime) -> None:
    """Note that rejects up to `newest` were there before anybody was to be told."""
    await conn.execute(START, now, newest)


def _notice(row: Any) -> Notice:
    began, ended, written = row["began"], row["ended"], row["message"]
    return Notice(
        row["notice"],
        row["kind"],
        row["subject"],
        began,
        ended,
        written,
        tuple(row["told"]),
        tuple(row["ended_told"]),
    )


def _json(message: Mapping[str, Any]) -> str:
    return orjson.dumps(message).decode()

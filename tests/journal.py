"""What each commit did, kept by the database itself: an append-only record for the checker.

Triggers write it, in the transaction that they tell of, so it knows nothing that wasn't committed
and misses nothing that was, whichever process did it and whatever became of that. It is switched on
in a test's own database; the program knows nothing of it. `checker` reads it.

A replica whose database URL ends in `?journal.writer=NAME` is known by that name.
"""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from typing import Any

from bibsync.store import Connection

SWITCH_ON = """
create table journal (
    number bigint generated always as identity primary key,
    kind text not null,
    collection integer not null,
    stream text not null,
    name text,
    version integer,
    fingerprint text,
    asked_epoch bigint,
    asked_serial bigint,
    lane integer,
    span tstzmultirange,
    epoch bigint,
    holder text,
    ver bigint,
    run bigint,
    writer text default current_setting('journal.writer', true),
    xact text default pg_current_xact_id()::text,
    at timestamptz default clock_timestamp()
);

create function journal_of(kind text, collection integer, stream text) returns journal
language sql as $$
    select null::bigint, $1, $2, $3, null::text, null::integer, null::text, null::bigint,
           null::bigint, null::integer, null::tstzmultirange, f.epoch, f.holder, f.ver,
           (select max(r.run) from runs r
            where r.collection = $2 and r.stream = $3 and r.epoch = f.epoch),
           current_setting('journal.writer', true), pg_current_xact_id()::text, clock_timestamp()
    from (select 1) as one
    left join fences f on f.collection = $2 and f.stream = $3
$$;

create function journal_add(entry journal) returns void language sql as $$
    insert into journal (
        kind, collection, stream, name, version, fingerprint, asked_epoch, asked_serial, lane,
        span, epoch, holder, ver, run
    ) values (
        entry.kind, entry.collection, entry.stream, entry.name, entry.version,
        entry.fingerprint, entry.asked_epoch, entry.asked_serial, entry.lane, entry.span,
        entry.epoch, entry.holder, entry.ver, entry.run
    )
$$;

create function journal_fence() returns trigger language plpgsql as $$
declare kind text := 'advanced';
begin
    if tg_op = 'INSERT' then kind := 'raised';
    elsif new.epoch <> old.epoch or new.holder <> old.holder then kind := 'raised';
    end if;
    perform journal_add(journal_of(kind, new.collection, new.stream));
    return null;
end $$;
create trigger journal_fence after insert or update on fences
    for each row execute function journal_fence();

create function journal_record() returns trigger language plpgsql as $$
declare e journal := journal_of('record', new.collection, 'purchases');
begin
    e.name := new.control_number;
    e.version := new.version;
    select encode(s.fingerprint, 'hex'), s.asked_epoch, s.asked_serial
    into e.fingerprint, e.asked_epoch, e.asked_serial
    from record_states s
    where s.collection = new.collection and s.control_number = new.control_number;
    perform journal_add(e);
    return null;
end $$;
create trigger journal_record after insert or update of version, marc on records
    for each row execute function journal_record();

create function journal_state() returns trigger language plpgsql as $$
declare e journal := journal_of('state', new.collection, 'purchases');
begin
    e.name := new.control_number;
    e.asked_epoch := new.asked_epoch;
    e.asked_serial := new.asked_serial;
    perform journal_add(e);
    return null;
end $$;
create trigger journal_state after insert or update of asked_epoch, asked_serial on record_states
    for each row execute function journal_state();

create function journal_reject() returns trigger language plpgsql as $$
declare e journal := journal_of('reject', new.collection, new.stream);
begin
    e.name := encode(new.identity, 'hex');
    perform journal_add(e);
    return null;
end $$;
create trigger journal_reject after insert or update on rejects
    for each row execute function journal_reject();

create function journal_checkpoint() returns trigger language plpgsql as $$
declare e journal := journal_of('checkpoint', new.collection, new.stream);
begin
    e.lane := new.lane;
    e.span := tstzmultirange(tstzrange(new.start_at, new.end_at));
    e.version := new.received;
    perform journal_add(e);
    return null;
end $$;
create trigger journal_checkpoint after insert or update on open_windows
    for each row execute function journal_checkpoint();

create function journal_covered() returns trigger language plpgsql as $$
declare e journal := journal_of('covered', new.collection, new.stream);
begin
    e.lane := new.lane;
    e.span := new.covered - old.covered;
    if not isempty(e.span) then perform journal_add(e); end if;
    e.kind := 'uncovered';
    e.span := old.covered - new.covered;
    if not isempty(e.span) then perform journal_add(e); end if;
    return null;
end $$;
create trigger journal_covered after update of covered on lanes
    for each row execute function journal_covered();

create function journal_blank() returns trigger language plpgsql as $$
declare e journal := journal_of('blank', new.collection, new.stream);
begin
    e.span := tstzmultirange(tstzrange(new.start_at, new.end_at));
    perform journal_add(e);
    return null;
end $$;
create trigger journal_blank after insert or update on blanks
    for each row execute function journal_blank();

create function journal_deleted() returns trigger language plpgsql as $$
declare e journal := journal_of('deleted', old.collection, 'purchases');
begin
    e.name := old.control_number;
    perform journal_add(e);
    return null;
end $$;
create trigger journal_deleted after delete on records
    for each row execute function journal_deleted();
"""
ENTRIES = """
select number, kind, collection, stream, name, version, fingerprint, asked_epoch, asked_serial,
       lane, span, epoch, holder, ver, run, writer, xact, at
from journal where number > $1 and ($2::integer is null or collection = $2) order by number
"""

Span = tuple[datetime, datetime]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One thing that a commit did, and the fence as that commit saw it.

    Attributes:
        number: grows; of one stream, in the order of the commits, as the fence's row is held.
        kind: `raised` and `advanced` (the fence), `record` (stored anew or changed), `state` (what
            is known of a record without reading it), `reject`, `checkpoint`, `covered`,
            `uncovered`, `blank`, `deleted`.
        name: the control number, or the hex identity of a reject.
        version: of a record; of a checkpoint, how many were received.
        asked: epoch of the run and serial number of the request that this answers.
        spans: what was added to, or taken from, the lane's coverage; the window; ends are open.
        epoch, holder, ver: the fence. None where nobody ever took it.
        run: the latest run of this epoch.
        writer: which replica's session it was, None where they aren't told apart.
        xact: the transaction.
    """

    number: int
    kind: str
    collection: int
    stream: str
    name: str | None = None
    version: int | None = None
    fingerprint: str | None = None
    asked: tuple[int, int] | None = None
    lane: int | None = None
    spans: tuple[Span, ...] = ()
    epoch: int | None = None
    holder: str | None = None
    ver: int | None = None
    run: int | None = None
    writer: str | None = None
    xact: str = ""
    at: datetime | None = None


async def switch_on(conn: Connection) -> None:
    """Have this database keep the journal from now on; it must be migrated."""
    await conn.execute(SWITCH_ON)


async def entries(
    conn: Connection, *, after: int = 0, collection: int | None = None
) -> list[Entry]:
    """Return the entries behind number `after`, of one collection or of all, in their order."""
    return [_entry(row) for row in await conn.fetch(ENTRIES, after, collection)]


def _entry(row: Any) -> Entry:
    told = dict(row)
    epoch, serial, span = (told.pop(each) for each in ("asked_epoch", "asked_serial", "span"))
    spans = tuple((each.lower, each.upper) for each in span or ())
    return Entry(asked=None if epoch is None else (epoch, serial), spans=spans, **told)


def dump(each: Iterable[Entry]) -> str:
    """Return entries as JSON lines, to be checked elsewhere."""
    return "".join(json.dumps(asdict(entry), default=_time) + "\n" for entry in each)


def load(text: str) -> list[Entry]:
    """Read what `dump` wrote."""
    return [_read(json.loads(line)) for line in text.splitlines()]


def _time(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat()


def _read(told: dict[str, Any]) -> Entry:
    known = {each.name for each in fields(Entry)}
    moment = datetime.fromisoformat
    told["spans"] = tuple((moment(start), moment(end)) for start, end in told["spans"])
    told["asked"] = None if told["asked"] is None else tuple(told["asked"])
    told["at"] = None if told["at"] is None else moment(told["at"])
    return Entry(**{name: value for name, value in told.items() if name in known})

"""Rows of a certain age, as runs, people and schedules would have left them."""

from datetime import datetime, timedelta

from bibsync.store import Connection

DAY = timedelta(days=1)
Key = tuple[int, str]

ADD_RUN = """
insert into runs (collection, stream, trigger, replica, epoch, started, finished, outcome,
                  requests, received)
values ($1, $2, 'person', 'host:7', 1, $3, $4, $5, $6, $7) returning run
"""
ADD_RECORD = """
insert into records (collection, control_number, version, title, author, isbns, publisher,
                     published, language, subjects, format, cover_url, material_type, repairs,
                     marc, first_seen, last_changed)
values ($1, $2, $3, '', '', '{}', '', '', '', '{}', 'EPUB', '', '', '{}', '{}', $4, $4)
"""
ADD_VERSION = """
insert into record_versions (collection, control_number, version, fingerprint, marc, valid_from,
                             replaced_at, replaced_by)
values ($1, $2, $3, '', '{}', $4, $4, 1)
"""
ADD_REJECT = """
insert into rejects (collection, stream, run, window_start, window_end, position, reason, identity,
                     message, raw, first_seen, last_seen, state, settled_at)
values ($1, 'purchases', 1, $2, $2, 1, 'unreadable_record', uuid_send(gen_random_uuid()), '', '',
        $2, $3, $4, $5)
returning reject
"""
ADD_REQUEST = """
insert into requests (collection, job, firing, trigger, requested_by, requested_at, priority, state,
                      due_at, finished, keep_results, result)
values ($1, 'purchases', $2, 'api', 'me', $3, 1, $4, $3, $5, $6, '{"new": 1}')
returning request
"""
ADD_FIRING = """
insert into firings (schedule, job, slot, trigger, fired_by, fired_at, finished)
values ($1, 'purchases', $2, 'schedule', 'host:7', $2, $3) returning firing
"""


async def run(
    conn: Connection,
    key: Key,
    at: datetime,
    outcome: str | None = "succeeded",
    *,
    asked: bool = True,
    stream: str = "purchases",
) -> int:
    """Add a run of one moment; one that asked nobody read rejects again."""
    finished = at if outcome else None
    number: int = await conn.fetchval(
        ADD_RUN, key[0], stream, at, finished, outcome, int(asked), int(not asked)
    )
    return number


async def prepared(conn: Connection, key: Key, now: datetime) -> None:
    """Add two leftovers of each kind, 300 days old or nearly, and what keeps others."""
    long_ago = now - 300 * DAY
    for ago in (400, 300, 299):
        await run(conn, key, now - ago * DAY)
    await run(conn, key, now)
    await conn.execute(ADD_RECORD, key[0], "a", 4, long_ago)
    for version in (1, 2, 3):
        await conn.execute(ADD_VERSION, key[0], "a", version, long_ago)
    firings = [
        await conn.fetchval(ADD_FIRING, "daily", long_ago + n * DAY, long_ago) for n in range(3)
    ]
    for number in firings[:2]:
        await conn.execute(ADD_REJECT, key[0], long_ago, long_ago, "resolved", long_ago)
        await conn.execute(ADD_REQUEST, key[0], None, long_ago, "done", long_ago, DAY)
        await conn.execute(
            "insert into notices (kind, subject, began, ended, message)"
            " values ('late', $1, $2, $2, '{}')",
            str(number),
            long_ago,
        )
        await conn.execute(
            "insert into idempotency_keys (key, digest, status, body, kept_since)"
            " values ($1, '', 202, '{}', $2)",
            str(number),
            long_ago,
        )
        await conn.execute(
            "insert into replicas (replica, version, started, seen, configured_at, redis_lost,"
            " loop_lag_s) values ($1, '1', $2, $2, $2, false, 0)",
            str(number),
            long_ago,
        )

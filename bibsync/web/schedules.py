"""Schedules: when jobs are due, changed and fired while the daemon runs."""

from collections.abc import Mapping
from typing import Any

from bibsync import timetable
from bibsync.errors import UsageWrong
from bibsync.settings.keys import JOBS_KNOWN
from bibsync.store import schedules
from bibsync.web import fields
from bibsync.web.requests import location_of
from bibsync.web.route import Answer, Asked

EDITED = {
    "cron": fields.as_it_is('Five fields, "0 4 * * *", or @daily and its like.', "string"),
    "at": fields.as_it_is("Once, at a date and time of its zone.", "string"),
    "timezone": fields.as_it_is("Europe/Berlin; its times are read there.", "string"),
    "enabled": fields.as_it_is("Whether it fires.", "boolean"),
    "expires": fields.as_it_is("Not begun so long after its time: dropped.", "string"),
    "job": fields.as_it_is(f"What it starts: {', '.join(JOBS_KNOWN)}.", "string"),
    "jitter": fields.as_it_is("Spread the collections over so long.", "string"),
    "catch_up": fields.as_it_is("Fire once, late, when times were missed.", "boolean"),
    "retries": fields.as_it_is("So often again after a passing failure.", "integer"),
    "retry_delay": fields.as_it_is("How long to wait before each.", "string"),
    "keep_results": fields.as_it_is("How long its results are kept.", "string"),
    "collections": fields.as_it_is("Of these only; empty: of all.", "array"),
}
"""As `[[schedules]]` has them; the timetable reads them."""


async def listed(asked: Asked) -> Answer:
    """Answer every schedule, with what comes next."""
    rows = await schedules.all_rows(asked.conn)
    return Answer({"schedules": timetable.documents(rows, asked.now)})


async def edit(asked: Asked) -> Answer:
    """Change a schedule, from its next time on; or make one, where a job is named."""
    if not asked.body:
        raise UsageWrong("The body names nothing to change.", remedy="See /v1/openapi.json.")
    config, name = asked.daemon.config, fields.text("").read(asked.path["name"])
    await timetable.edit(asked.conn, name, asked.body, config=config, by=asked.by)
    return Answer(await _one(asked, name))


async def fire(asked: Asked) -> Answer:
    """Fire a schedule beside its times, also a disabled one."""
    name = asked.path["name"]
    firing, numbers = await timetable.fire_now(asked.conn, name, trigger="api", by=asked.by)
    only_one = location_of(numbers[0]) if len(numbers) == 1 else None
    return Answer({"schedule": name, "firing": firing, "requests": numbers}, 202, only_one)


async def _one(asked: Asked, name: str) -> Mapping[str, Any]:
    rows = [row for row in await schedules.all_rows(asked.conn) if row.name == name]
    return timetable.documents(rows, asked.now)[0]

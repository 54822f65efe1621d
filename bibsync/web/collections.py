"""Collections: have one synced, leave one alone, let it go on."""

from bibsync import lease
from bibsync.errors import CollectionPaused, LeaseHeld, UsageWrong
from bibsync.run import METADATA, PURCHASES, utc_text
from bibsync.settings.moments import moment, span
from bibsync.store import collections, pauses, requests
from bibsync.store.collections import Row
from bibsync.store.requests import BULK, WISHED, Terms, Wish
from bibsync.web import fields
from bibsync.web.problems import Refused
from bibsync.web.requests import accepted
from bibsync.web.route import Answer, Asked

RUN = {
    "stream": fields.word("Left out: purchases, then the look-ups.", PURCHASES, METADATA),
    "since": fields.text("Only from here on: a date, a time (UTC), or 7d."),
    "until": fields.text("Only before this: a date, a time (UTC), or 7d."),
    "force_reimport": fields.yes_or_no("Read everything of that span again; resumable."),
    "queue": fields.yes_or_no("Wait for a run that is under way, instead of a 409."),
}
PAUSE = {
    "reason": fields.line("Why; status and refused runs show it.", longest=pauses.LONGEST),
    "for": fields.text("Only so long: 90s, 5m, 6h, 7d."),
}
RESUME = {"reason": PAUSE["reason"]}


async def run(asked: Asked) -> Answer:
    """Ask for a run; whichever replica is free begins it."""
    row = await collections.named(asked.conn, asked.path["name"])
    wish = _wish(asked, row)
    await pauses.demand_open(asked.conn, row.number)
    if not asked.body.get("queue", False):
        await _demand_free(asked, row, wish.job)
    priority = BULK if wish.force_reimport else WISHED
    terms = Terms(trigger="api", by=asked.by, priority=priority)
    return await accepted(asked.conn, await requests.ask(asked.conn, wish, terms))


async def pause(asked: Asked) -> Answer:
    """Pause a collection: a run under way stops behind the page in flight."""
    lasting, reason = asked.body.get("for"), asked.body.get("reason")
    until = asked.now + span(lasting, name="for") if lasting else None
    row = await collections.named(asked.conn, asked.path["name"])
    if not await pauses.pause(asked.conn, [row.number], until=until, reason=reason, by=asked.by):
        raise CollectionPaused(pauses.LEFT)
    return Answer(
        {"collection": row.name, "paused": True, "until": utc_text(until), "reason": reason}
    )


async def resume(asked: Asked) -> Answer:
    """Let a collection go on with its next run."""
    row = await collections.named(asked.conn, asked.path["name"])
    names = await pauses.resume(asked.conn, [row.number])
    return Answer({"collection": row.name, "paused": False, "was_paused": row.name in names})


def _wish(asked: Asked, row: Row) -> Wish:
    """Return what is asked for.

    Raises:
        UsageWrong: it has no meaning.
    """
    body = asked.body
    job = body.get("stream", PURCHASES)
    since = moment(body.get("since"), name="since", now=asked.now)
    until = moment(body.get("until"), name="until", now=asked.now)
    force_reimport = body.get("force_reimport", False)
    if since and until and since >= until:
        raise UsageWrong("since must be before until.", remedy="Nothing was changed; correct it.")
    if job == METADATA and (since or until or force_reimport):
        raise UsageWrong(
            "since, until and force_reimport are about purchases, not about metadata.",
            remedy="Leave them out: every title that waits for a look-up is looked up.",
        )
    return Wish(
        job=job,
        collection=row.number,
        since=since,
        until=until,
        force_reimport=force_reimport,
    )


async def _demand_free(asked: Asked, row: Row, stream: str) -> None:
    """Refuse what would have to wait for a run under way, and say whose that is."""
    held = (await lease.alive(asked.conn)).get((row.number, stream))
    if held is not None:
        remedy = 'Wait for it, or send `"queue": true` to have this run behind it.'
        raise Refused.by(
            LeaseHeld(held.sentence, remedy=remedy),
            holder=held.holder.replica,
            since=utc_text(held.since),
        )

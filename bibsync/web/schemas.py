"""What documents look like, as JSON Schema: the components of the OpenAPI document.

A document gains fields, it never loses or renames one; so none is closed. Whatever tests answer
is held against these, field by field.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from bibsync.reject import Reason
from bibsync.run import Outcome
from bibsync.store import runs, snapshots

Schema = dict[str, Any]

TEXT: Final[Schema] = {"type": "string"}
WHOLE: Final[Schema] = {"type": "integer"}
NUMBER: Final[Schema] = {"type": "number"}
FLAG: Final[Schema] = {"type": "boolean"}
ANYTHING: Final[Schema] = {"type": "object"}
WHEN: Final[Schema] = {"type": "string", "format": "date-time"}
DAY: Final[Schema] = {"type": "string", "format": "date"}


def thing(**fields: Schema) -> Schema:
    """Return the schema of an object that has all of these fields."""
    return {"type": "object", "properties": fields, "required": list(fields)}


def each(schema: Schema) -> Schema:
    """Return the schema of a list."""
    return {"type": "array", "items": schema}


def maybe(schema: Schema) -> Schema:
    """Return the schema of what may be null."""
    return {"anyOf": [schema, {"type": "null"}]}


def named(schema: Schema) -> Schema:
    """Return the schema of an object with any keys, each value so."""
    return {"type": "object", "additionalProperties": schema}


def ref(name: str) -> Schema:
    """Refer to a schema of SCHEMAS."""
    return {"$ref": f"#/components/schemas/{name}"}


def one_of(*words: str) -> Schema:
    """Return the schema of one of some words."""
    return {"type": "string", "enum": list(words)}


COUNTERS: Final = dict.fromkeys(runs.COUNTERS, WHOLE)
SUMMARY: Final = {
    "type": one_of("summary"),
    "collection": TEXT,
    "stream": TEXT,
    "run": maybe(WHOLE),
    "outcome": maybe(one_of(*Outcome)),
    **COUNTERS,
    "caught_up_to": maybe(WHEN),
    "duration_s": maybe(NUMBER),
    "problem": maybe(ref("RunProblem")),
}
RUN: Final = SUMMARY | {
    "collection": maybe(TEXT),
    "id": WHOLE,
    "trigger": TEXT,
    "replica": TEXT,
    "started": WHEN,
    "finished": maybe(WHEN),
}
FORMAT: Final = thing(format=TEXT, records=WHOLE, withdrawn=WHOLE)
HELD: Final = {"records": WHOLE, "withdrawn": WHOLE, "versions": WHOLE, "rejects_open": WHOLE}
SUMS: Final = thing(
    days=WHOLE,
    min=maybe(NUMBER),
    max=maybe(NUMBER),
    mean=maybe(NUMBER),
    median=maybe(NUMBER),
    total=maybe(NUMBER),
)
STREAM: Final = {
    **thing(
        stream=TEXT,
        caught_up_to=maybe(WHEN),
        gaps=WHOLE,
        lag_s=WHOLE,
        titles_described=WHOLE,
        titles_waiting=WHOLE,
        last_success=maybe(WHEN),
        last_run=maybe(ref("Summary")),
        lease=maybe(thing(holder=TEXT, since=WHEN)),
        next_due=maybe(WHEN),
    ),
    "required": ["stream", "caught_up_to", "gaps", "lag_s", "last_success", "last_run", "lease"],
}
COMING: Final = {
    "name": TEXT,
    "job": TEXT,
    "enabled": FLAG,
    "timezone": TEXT,
    "words": TEXT,
    "next_due": maybe(WHEN),
    "next_times": each(WHEN),
}

SCHEMAS: Final[Mapping[str, Schema]] = MappingProxyType(
    {
        "Problem": thing(
            type=TEXT,
            title=TEXT,
            status=WHOLE,
            detail=TEXT,
            code=TEXT,
            transient=FLAG,
            remedy=TEXT,
        ),
        "RunProblem": thing(
            code=TEXT,
            origin=one_of("source", "bibsync", "network", "config"),
            transient=FLAG,
            message=TEXT,
            remedy=TEXT,
            detail=maybe(TEXT),
        ),
        "Summary": thing(**SUMMARY),
        "Run": thing(**RUN),
        "OneRun": thing(
            **RUN,
            records_changed=WHOLE,
            rejects_first_met=WHOLE,
            reject_ids=each(WHOLE),
            result=maybe(ANYTHING),
        ),
        "Runs": thing(runs=each(ref("Run")), next=maybe(TEXT)),
        "Reject": thing(
            id=WHOLE,
            collection=TEXT,
            run=maybe(WHOLE),
            window_start=WHEN,
            window_end=WHEN,
            position=WHOLE,
            reason=one_of(*Reason),
            message=TEXT,
            first_seen=WHEN,
            last_seen=WHEN,
            attempts=WHOLE,
            state=one_of("open", "resolved", "dismissed"),
        ),
        "Rejects": thing(rejects=each(ref("Reject")), next=maybe(WHOLE)),
        "Retried": thing(
            rejects=each(
                thing(
                    type=one_of("reject"),
                    id=WHOLE,
                    collection=TEXT,
                    became=one_of("stored", "there_already", "still_rejected"),
                    control_number=maybe(TEXT),
                    reason=maybe(one_of(*Reason)),
                    message=maybe(TEXT),
                )
            ),
            resolved_before=each(WHOLE),
            summaries=each(ref("Summary")),
        ),
        "Record": thing(
            collection=TEXT,
            control_number=TEXT,
            title=maybe(TEXT),
            author=maybe(TEXT),
            isbns=each(TEXT),
            publisher=maybe(TEXT),
            published=maybe(TEXT),
            language=maybe(TEXT),
            subjects=each(TEXT),
            format=maybe(TEXT),
            cover_url=maybe(TEXT),
            material_type=maybe(TEXT),
            version=WHOLE,
            fingerprint=TEXT,
            first_seen=WHEN,
            last_seen=WHEN,
            last_changed=WHEN,
            withdrawn=FLAG,
            repairs=each(TEXT),
            marc=ANYTHING,
            description=maybe(ANYTHING),
        ),
        "Schedule": thing(
            **COMING,
            cron=maybe(TEXT),
            at=maybe(WHEN),
            expires=maybe(TEXT),
            jitter=TEXT,
            catch_up=FLAG,
            retries=WHOLE,
            retry_delay=TEXT,
            keep_results=TEXT,
            collections=each(TEXT),
            last_fired=maybe(WHEN),
            last_outcome=maybe(TEXT),
            origin=one_of("config", "edited"),
            in_configuration=FLAG,
            edited_at=maybe(WHEN),
            edited_by=maybe(TEXT),
            configured=maybe(ANYTHING),
        ),
        "Schedules": thing(schedules=each(ref("Schedule"))),
        "Fired": thing(schedule=TEXT, firing=WHOLE, requests=each(WHOLE)),
        "Request": thing(
            id=WHOLE,
            job=TEXT,
            collection=maybe(TEXT),
            state=one_of("waiting", "running", "done", "cancelled", "dropped"),
            outcome=maybe(TEXT),
            trigger=TEXT,
            requested_by=TEXT,
            requested_at=WHEN,
            since=maybe(WHEN),
            until=maybe(WHEN),
            force_reimport=FLAG,
            due_at=WHEN,
            expires_at=maybe(WHEN),
            attempts=WHOLE,
            replica=maybe(TEXT),
            cancel_asked=FLAG,
            started=maybe(WHEN),
            finished=maybe(WHEN),
            run=maybe(WHOLE),
            problem=maybe(ref("RunProblem")),
            result=maybe(ANYTHING),
        ),
        "Paused": thing(collection=TEXT, paused=FLAG, until=maybe(WHEN), reason=maybe(TEXT)),
        "Resumed": thing(collection=TEXT, paused=FLAG, was_paused=FLAG),
        "Status": thing(
            schema=one_of("bibsync.status/1"),
            collections=each(
                thing(
                    name=TEXT,
                    health=one_of("ok", "late", "failing", "never_run", "paused", "disabled"),
                    activity=one_of(
                        "idle", "running", "backfilling", "waiting_to_retry", "waiting_for_lease"
                    ),
                    records=WHOLE,
                    withdrawn=WHOLE,
                    rejects_open=WHOLE,
                    pause=maybe(thing(since=WHEN, until=maybe(WHEN), reason=maybe(TEXT), by=TEXT)),
                    streams=each(STREAM),
                )
            ),
            schedules=each(ref("Schedule")),
            replicas=each(ref("Replica")),
        ),
        "Replica": thing(
            replica=TEXT,
            version=TEXT,
            started=WHEN,
            seen=WHEN,
            configured_at=WHEN,
            config_problem=maybe(ANYTHING),
            redis_lost=FLAG,
            loop_lag_s=NUMBER,
        ),
        "Replicas": thing(replicas=each(ref("Replica"))),
        "Active": thing(
            requests=each({"allOf": [ref("Request"), thing(counts=maybe(named(named(NUMBER))))]}),
            leases=each(thing(collection=maybe(TEXT), stream=TEXT, holder=TEXT, since=WHEN)),
        ),
        "Scheduled": thing(requests=each(ref("Request")), schedules=each(thing(**COMING))),
        "Registered": thing(jobs=each(thing(job=TEXT, words=TEXT, of_each=FLAG))),
        "Statistics": thing(
            schema=one_of("bibsync.statistics/1"),
            made_at=WHEN,
            totals=thing(collections=WHOLE, **HELD),
            formats=each(FORMAT),
            collections=each(thing(name=TEXT, enabled=FLAG, **HELD, formats=each(FORMAT))),
            activity=each(named({"type": ["string", "integer"]})),
        ),
        "Range": thing(
            schema=one_of("bibsync.range/1"),
            since=maybe(DAY),
            until=maybe(DAY),
            all=named(SUMS),
            collections=each(named({"anyOf": [TEXT, SUMS]})),
        ),
        "Numbers": {"oneOf": [ref("Statistics"), ref("Range")]},
        "Snapshots": thing(
            snapshots=each(
                thing(day=DAY, collection=TEXT, **dict.fromkeys(snapshots.FIGURES, maybe(WHOLE)))
            ),
            next=maybe(TEXT),
        ),
        "Health": thing(healthy=FLAG),
        "Readiness": thing(ready=FLAG, database=FLAG, redis=maybe(FLAG), schema=FLAG, replica=TEXT),
        "OpenAPI": thing(openapi=TEXT, info=ANYTHING, paths=ANYTHING, components=ANYTHING),
    }
)

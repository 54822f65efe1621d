"""The OpenAPI 3.1 document, made from the table of routes, so that it can't say anything else."""

import re
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any, Final

from bibsync import __version__
from bibsync.web import idempotency, problems
from bibsync.web.fields import Field
from bibsync.web.route import Route
from bibsync.web.schemas import SCHEMAS, ref

PLACE: Final = re.compile(r"\{(\w+)\}")
TOLD: Final = """\
How a library's electronic collections stand, and a few things to be done with them. Names in a
path are percent-encoded, a slash in them as %2F. Times are UTC. Errors are problem documents
(RFC 9457) with a stable `code`; docs/problems.md says what each means. Documents gain fields and
never lose one: ignore what you don't know.
"""
SURROUNDINGS: Final = {
    403: "refused: a foreign Host or page, or no operator_token is configured",
    422: "a field is unknown or has no meaning",
    503: "the database doesn't answer, or it took too long; see Retry-After",
}
"""What any route with the database may answer beside its own."""
OF_READING: Final = {401: "the token is missing or wrong, where reading needs one"}
OF_CHANGE: Final = {
    400: "the body isn't readable",
    401: "the token is missing or wrong",
    408: "the body came too slowly",
    413: "the body is too large",
    415: "the body isn't JSON",
}
OWN: Final = {
    404: "there is no such thing",
    409: "something stands against it now",
}


def document(routes: Iterable[Route]) -> dict[str, Any]:
    """Return the document that describes these routes."""
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {"title": "bibsync", "version": __version__, "description": TOLD},
        "paths": paths,
        "components": {
            "schemas": dict(SCHEMAS),
            "securitySchemes": {"operator": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(route: Route) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "summary": route.words,
        "operationId": route.name,
        "parameters": [*_places(route), *_query(route), *_headers(route)],
        "responses": _responses(route),
    }
    if route.changes:
        operation["security"] = [{"operator": []}]
    elif not route.is_open:
        operation["security"] = [{}, {"operator": []}]
    if route.body:
        schema = {
            "type": "object",
            "properties": {name: _described(each) for name, each in route.body.items()},
            "additionalProperties": False,
        }
        operation["requestBody"] = {"content": {"application/json": {"schema": schema}}}
    return operation


def _places(route: Route) -> Iterable[dict[str, Any]]:
    for name in PLACE.findall(route.path):
        kind = "integer" if name == "id" else "string"
        yield {"name": name, "in": "path", "required": True, "schema": {"type": kind}}


def _query(route: Route) -> Iterable[dict[str, Any]]:
    for name, each in route.query.items():
        yield {
            "name": name,
            "in": "query",
            "description": each.words,
            "schema": dict(each.schema),
        }


def _headers(route: Route) -> Iterable[dict[str, Any]]:
    if route.method == "POST":
        yield {
            "name": idempotency.HEADER,
            "in": "header",
            "description": "The same key with the same request is done once, for 24 hours.",
            "schema": {"type": "string", "minLength": 1, "maxLength": idempotency.LONGEST},
        }


def _responses(route: Route) -> dict[str, Any]:
    told: Mapping[int, str] = {}
    if route.act is not None:
        told = SURROUNDINGS | (OF_CHANGE if route.changes else OF_READING)
        told |= {status: OWN[status] for status in route.refusals}
    schema = ref(route.answers) if route.answers else None
    content = {"application/json": {"schema": schema}} if schema else {"text/plain": {}}
    good = {
        str(status): {"description": HTTPStatus(status).phrase, "content": content}
        for status in route.statuses
    }
    problem = {problems.MEDIA_TYPE: {"schema": ref("Problem")}}
    bad = {
        str(status): {"description": words, "content": problem}
        for status, words in sorted(told.items())
    }
    return good | bad


def _described(field: Field) -> dict[str, Any]:
    return dict(field.schema) | {"description": field.words}

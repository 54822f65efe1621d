"""Whether a document is as its schema says: a small part of JSON Schema, and stricter.

A field that the schema doesn't describe is a failure here, though it is none for readers.
"""

from datetime import date, datetime
from typing import Any

KINDS = {
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "array": list,
    "object": dict,
    "null": type(None),
}
FORMATS = {"date-time": datetime.fromisoformat, "date": date.fromisoformat}


def faults(value: Any, schema: dict[str, Any], document: dict[str, Any], at: str = "") -> list[str]:
    """Return what of `value` isn't as `schema` says; `document` is where references lead."""
    schema = _resolved(schema, document)
    for word in ("anyOf", "oneOf"):
        if word in schema:
            tried = [faults(value, each, document, at) for each in schema[word]]
            return [] if [] in tried else min(tried, key=len)
    if not _is_of_kind(value, schema.get("type")):
        return [f"{at or 'the whole'} is {value!r}, not {schema['type']}"]
    if "enum" in schema and value not in schema["enum"]:
        return [f"{at} is {value!r}, not one of {schema['enum']}"]
    if isinstance(value, str) and "format" in schema:
        FORMATS[schema["format"]](value)
    if isinstance(value, list) and "items" in schema:
        return [
            fault
            for place, each in enumerate(value)
            for fault in faults(each, schema["items"], document, f"{at}[{place}]")
        ]
    return _of_object(value, schema, document, at) if isinstance(value, dict) else []


def _of_object(
    value: dict[str, Any], schema: dict[str, Any], document: dict[str, Any], at: str
) -> list[str]:
    fields, rest = schema.get("properties"), schema.get("additionalProperties")
    if fields is None and not isinstance(rest, dict):
        return []
    found = [f"{at}.{name} is missing" for name in schema.get("required", ()) if name not in value]
    for name, each in value.items():
        expected = (fields or {}).get(name, rest)
        if isinstance(expected, dict):
            found += faults(each, expected, document, f"{at}.{name}")
        else:
            found.append(f"{at}.{name} is not described")
    return found


def _resolved(schema: dict[str, Any], document: dict[str, Any]) -> dict[str, Any]:
    if "$ref" in schema:
        part = document
        for step in schema["$ref"].removeprefix("#/").split("/"):
            part = part[step]
        return _resolved(part, document)
    if "allOf" in schema:
        parts = [_resolved(each, document) for each in schema["allOf"]]
        return {
            "type": "object",
            "properties": {
                name: each for part in parts for name, each in part["properties"].items()
            },
            "required": [name for part in parts for name in part["required"]],
        }
    return schema


def _is_of_kind(value: object, kinds: str | list[str] | None) -> bool:
    if kinds is None:
        return True
    named = [kinds] if isinstance(kinds, str) else kinds
    if isinstance(value, bool):
        return "boolean" in named
    return any(isinstance(value, KINDS[kind]) for kind in named)

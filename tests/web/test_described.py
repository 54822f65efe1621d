"""The description of the interface, for programs and for people, says what is answered."""

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from shape import faults
from spoken import DESCRIBED, TOKEN, Api, StandIn, configured, opened, reached

from bibsync.errors import EXIT_CODES, BibsyncError
from bibsync.settings.keys import SCHEDULE
from bibsync.store import Pool
from bibsync.web import listening, problems, schedules
from bibsync.web.route import Route
from bibsync.web.routes import ROUTES
from bibsync.web.schemas import SCHEMAS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "api.md").read_text()
SECTIONS = dict(re.findall(r"^### (.+?)\n(.*?)(?=^##|\Z)", PAGE, re.MULTILINE | re.DOTALL))
EXAMPLES = re.findall(r"^curl .+$", PAGE, re.MULTILINE)
SPRINGFIELD = "Springfield cloudLibrary"
PLACE = re.compile(r"\{\w+\}")


def referred(value: object) -> Iterator[str]:
    """Yield the schemas that a part of the description refers to."""
    if isinstance(value, dict):
        if "$ref" in value:
            yield value["$ref"].removeprefix("#/components/schemas/")
        for each in value.values():
            yield from referred(each)
    elif isinstance(value, list):
        for each in value:
            yield from referred(each)


def test_every_route_is_described_and_nothing_else(starting: StandIn):
    served = {
        (route.method, route.resource.canonical)
        for route in listening.application(starting).router.routes()
        if route.method != "HEAD"
    }

    described = {
        (method.upper(), path) for path, each in DESCRIBED["paths"].items() for method in each
    }
    assert served == described == {(route.method, route.path) for route in ROUTES}


def test_every_schema_there_is_is_referred_to_and_the_other_way_round():
    assert set(SCHEMAS) == set(referred(DESCRIBED))


def test_every_route_has_a_name_of_its_own_and_one_way_to_be_answered():
    assert len(ROUTES) == len({route.name for route in ROUTES})
    assert all((route.act is None) != (route.show is None) for route in ROUTES)


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.name)
def test_every_place_in_a_path_is_a_parameter(route: Route):
    operation = DESCRIBED["paths"][route.path][route.method.lower()]

    places = [each["name"] for each in operation["parameters"] if each["in"] == "path"]
    assert [each.strip("{}") for each in PLACE.findall(route.path)] == places


async def test_the_description_is_served(api: Api):
    served = await api.get("/v1/openapi.json")

    assert served == DESCRIBED
    assert served["openapi"].startswith("3.1.")


def test_what_a_schedule_takes_is_what_the_configuration_takes():
    assert SCHEDULE.settings.keys() - {"name"} == schedules.EDITED.keys()


def test_every_route_has_a_section_and_every_section_a_route():
    assert {f"{route.method} {route.path}" for route in ROUTES} == SECTIONS.keys()


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.name)
def test_a_section_names_every_field_and_has_an_example(route: Route):
    section = SECTIONS[f"{route.method} {route.path}"]
    named = set(re.findall(r"`(\w+)[`=]", section))

    assert {*route.query, *route.body} - named == set()
    assert re.search(r"^curl ", section, re.MULTILINE)


def test_the_fields_of_a_request_are_documented():
    table = PAGE.partition("## A request\n")[2]
    documented = {name for row in re.findall(r"^\| (`[^|]+) \|", table, re.MULTILINE)
                  for name in re.findall(r"`(\w+)`", row)}  # fmt: skip

    assert SCHEMAS["Request"]["properties"].keys() == documented


def test_every_status_is_documented():
    table = PAGE.partition("## Errors\n")[2].partition("\n## ")[0]
    documented = {int(each) for row in re.findall(r"^\| ([\d, ]+) \|", table, re.MULTILINE)
                  for each in row.split(", ")}  # fmt: skip

    statuses = {each.status for each in problems.KINDS} | set(problems.STATUSES.values())
    assert statuses | {problems.DEFECT} == documented


def test_every_error_that_a_request_can_meet_has_a_code_that_there_is():
    assert problems.STATUSES.keys() <= EXIT_CODES.keys()
    assert not {each.code for each in problems.KINDS} & EXIT_CODES.keys()


def test_an_error_that_has_no_status_is_a_defect():
    refused = problems.Refused.by(BibsyncError("Oh."))

    assert 500 == refused.response().status
    assert [] == faults(refused.document(), SCHEMAS["Problem"], DESCRIBED)


@pytest.mark.parametrize("example", EXAMPLES)
async def test_every_example_is_understood(
    starting: StandIn, pool: Pool, tmp_path: Path, example: str
):
    starting.config = configured(tmp_path, names=(SPRINGFIELD,))
    await reached(starting, pool)
    method, path, body, headers = read(example)

    async with opened(starting) as api:
        got = await api(method, path, body, token=None, **headers)

    if got.status == 404:  # none of those numbers is there
        assert re.search(r"no (run|request|record) ", got.document["detail"])
    else:
        assert got.status in {200, 202}, got.body


def read(example: str) -> tuple[str, str, object, dict[str, str]]:
    """Return what a line of curl asks: method, path, body, headers."""
    words = iter(shlex.split(example.replace("$AUTH", f"Authorization: Bearer {TOKEN}")))
    method, path, body = "GET", "", None
    headers: dict[str, str] = {}
    for word in words:
        match word:
            case "-X":
                method = next(words)
            case "-H":
                name, _, value = next(words).partition(": ")
                headers[name.replace("-", "_")] = value
            case "--json":
                body = json.loads(next(words))
            case _ if word.startswith("$BIBSYNC"):
                path = word.removeprefix("$BIBSYNC")
    return method, path, body, headers

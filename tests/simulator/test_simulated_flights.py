"""The simulator notices two clients that are at the same stream of a library at once."""

import pytest

from bibsync.simulator.flights import Flights
from bibsync.simulator.request import ROOT, Request


def request(who: str, library: str = "abcde", resource: str = "data/marc") -> Request:
    return Request("GET", f"{ROOT}{library}/{resource}", {"3mcl-Version": who})


@pytest.mark.parametrize(
    ("first", "second", "meet"),
    [
        (request("one"), request("two"), True),
        (request("one"), request("one"), False),
        (request("one"), request("two", library="fghij"), False),
        (request("one"), request("two", resource="items/a,b"), False),
        (request("one", resource="items/a"), request("two", resource="items/b"), True),
    ],
    ids=["two at one stream", "one alone", "two libraries", "two streams", "two at look-ups"],
)
def test_an_encounter_is_two_clients_in_one_stream_at_once(
    first: Request, second: Request, *, meet: bool
):
    flights = Flights()

    with flights.of(first), flights.of(second):
        pass

    assert meet == bool(flights.encounters)
    assert 2 == flights.clients.total()


def test_those_who_come_one_after_the_other_do_not_meet():
    flights = Flights()

    with flights.of(request("one")):
        pass
    with flights.of(request("two")):
        pass

    assert [] == flights.encounters

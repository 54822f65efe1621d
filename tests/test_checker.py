"""The checker finds nothing in what bibsync did, and each violation in what it never does."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from bibsync.run import Order
from bibsync.store import Pool
from bibsync.window import DAY
from tests import checker, journal
from tests.checker import Purchased, first_violation
from tests.harvest.world import MIDNIGHT, Bought, Vendor, World, bought, collection
from tests.journal import Entry

Doctor = Callable[[list[Entry]], list[Entry]]


@pytest.fixture
async def world(pool: Pool) -> World:
    """Return a world with two runs behind it, the second of which met a changed record."""
    await journal.switch_on(pool)
    titles = [replace(each, controls=1) for each in bought(30, since=MIDNIGHT - 2 * DAY)]
    titles[7] = replace(titles[7], controls=2)
    world = World(pool, Vendor(titles, page_size=10), collection=collection())
    world.configure(start_date=MIDNIGHT - 2 * DAY, windows_at_once=1)
    await world.harvest()
    titles[3] = replace(titles[3], title="Another title")
    await world.harvest(Order(force_reimport=True))
    return world


def ledger(world: World) -> dict[int, list[Purchased]]:
    def purchased(each: Bought) -> Purchased:
        return Purchased(each.key, each.at, each.at)

    return {world.number: [purchased(e) for e in world.vendor.purchases if e.controls == 1]}


async def test_nothing_is_found_in_what_bibsync_did(world: World):
    told = await journal.entries(world.pool)

    assert first_violation(told, ledger(world)) is None
    kinds = {each.kind for each in told}
    assert {"raised", "advanced", "record", "state", "reject", "checkpoint", "covered"} == kinds


async def test_a_journal_is_checked_elsewhere_beside_the_simulators_truth(
    world: World, tmp_path, capsys
):
    told = tmp_path / "journal.jsonl"
    told.write_text(journal.dump(await journal.entries(world.pool)))
    truth = tmp_path / "truth.json"
    bought_at = {each.control_number: each.moment for each in ledger(world)[world.number]}
    bought_at["missing"] = MIDNIGHT + timedelta(hours=1)
    records = {name: {"purchased_at": f"{at:%Y-%m-%dT%H:%M:%S}"} for name, at in bought_at.items()}
    truth.write_text(json.dumps({world.number: {"records": records}}))

    assert checker.main([str(told)]) == 0
    assert checker.main([str(told), str(truth)]) == 1

    assert "covered without missing" in capsys.readouterr().out


def first(entries: list[Entry], kind: str) -> int:
    return next(place for place, each in enumerate(entries) if each.kind == kind)


def last(entries: list[Entry], kind: str) -> int:
    return max(place for place, each in enumerate(entries) if each.kind == kind)


def changed(what: str, **values: object) -> Doctor:
    def doctor(entries: list[Entry]) -> list[Entry]:
        place = last(entries, what)
        return [
            *entries[:place],
            replace(entries[place], **values),
            *entries[place + 1 :],
        ]

    return doctor


def without(kind: str) -> Doctor:
    return lambda entries: [each for each in entries if each.kind != kind]


def back_to_the_first_epoch(entries: list[Entry]) -> list[Entry]:
    """A commit of the first run lands after the second one took over."""
    late = first(entries, "covered")
    return [*entries, *[e for e in entries if e.xact == entries[late].xact]]


def lost(entries: list[Entry]) -> list[Entry]:
    name = entries[first(entries, "record")].name
    return [each for each in entries if each.name != name]


def stored_afterwards(entries: list[Entry]) -> list[Entry]:
    name = entries[first(entries, "record")].name
    of_it = [each for each in entries if each.name == name]
    return [each for each in entries if each.name != name] + of_it


def asked_earlier(entries: list[Entry]) -> list[Entry]:
    place = last(entries, "record")
    epoch, serial = entries[place].asked
    return changed("record", asked=(epoch - 1, serial))(entries)


def unchanged(entries: list[Entry]) -> list[Entry]:
    name = entries[last(entries, "record")].name
    before = next(each for each in entries if (each.kind, each.name) == ("record", name))
    return changed("record", fingerprint=before.fingerprint)(entries)


DOCTORED: dict[str, tuple[Doctor, str]] = {
    "a covered title that was never stored": (lost, "1: covered without"),
    "a title that was stored after its window was covered": (
        stored_afterwards,
        "1: covered without",
    ),
    "coverage that shrank": (changed("covered", kind="uncovered"), "1: coverage shrank"),
    "a version that was left out": (changed("record", version=7), "3: version 7 follows 1"),
    "a version without a change": (unchanged, "3: a new version has the content"),
    "a page without its checkpoint": (without("checkpoint"), "4: a page was stored without"),
    "a commit without the fence": (without("advanced"), "5: a commit that didn't move the fence"),
    "a commit of a deposed run": (back_to_the_first_epoch, "5: written under a fence that nobody"),
    "another replica's commit": (changed("advanced", writer="two"), "5: two wrote, although None"),
    "a commit that landed twice": (changed("advanced", ver=99), "5: ver went from"),
    "an epoch that went back": (changed("raised", epoch=1), "5: the epoch went from 1 to 1"),
    "an answer of an earlier run": (asked_earlier, "5: an answer to epoch"),
    "a deleted record": (changed("state", kind="deleted"), "9: a record was deleted"),
}


@pytest.mark.parametrize("name", DOCTORED)
async def test_a_violation_is_found_and_named(world: World, name: str):
    doctor, sentence = DOCTORED[name]
    doctored = doctor(await journal.entries(world.pool))
    told = [replace(each, number=number) for number, each in enumerate(doctored)]

    assert sentence in (first_violation(told, ledger(world)) or "")


async def test_a_collection_of_which_nothing_was_committed_is_found():
    title = Purchased("t1", MIDNIGHT, MIDNIGHT)

    assert first_violation([], {7: [title]}) == "1: collection 7 has titles and no commit"
    assert first_violation([], {7: []}) is None

"""bibsync schedule, as processes: looked at, changed and fired, beside daemons and without one."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from attended import attending, configure, looking
from installation import NOWHERE, Installation
from watched import Watched

HERE = [{"name": "springfield", "library_id": "s", "base_url": NOWHERE}]
EDITED = ("set", "purchases", "--cron", "30 2 * * *", "--timezone", "Europe/Berlin")


async def schedule(installation: Installation, *words: object, code: int = 0):
    ended = await installation.run("schedule", *words)
    assert code == ended.code, (words, ended.err)
    return ended


async def listed(installation: Installation) -> dict[str, dict]:
    ended = await schedule(installation, "list", "--json")
    return {each["name"]: each for each in ended.documents}


async def test_before_a_daemon_was_there_they_are_shown_as_it_would_make_them(
    installation: Installation,
):
    installation.configure(HERE)

    found = await listed(installation)

    lines = {name: (each["cron"], each["words"]) for name, each in found.items()}
    assert lines == {
        "purchases": ("0 4 * * *", "At 04:00 every day"),
        "metadata": ("0 3 * * 0", "At 03:00 on Sunday"),
        "statistics": ("0 1 * * *", "At 01:00 every day"),
        "snapshot": ("15 0 * * *", "At 00:15 every day"),
        "cleanup": ("0 5 * * 1", "At 05:00 on Monday"),
        "health": ("0 * * * *", "At the start of every hour"),
    }
    assert all(each["origin"] == "config" for each in found.values())


async def test_they_are_shown_where_nobody_made_a_database_yet(embedded: Installation):
    embedded.configure(HERE)

    found = await listed(embedded)

    assert {"purchases", "metadata", "statistics", "snapshot", "cleanup", "health"} == set(found)
    assert all(5 == len(each["next_times"]) for each in found.values())


async def test_an_edit_is_told_in_words_with_the_next_five_times(installation: Installation):
    installation.configure(HERE)

    edited = await schedule(installation, *EDITED)

    head, *times = edited.out.splitlines()
    assert "purchases: At 02:30 every day, Europe/Berlin." == head
    moments = [datetime.fromisoformat(line.split()[-1]) for line in times]
    assert 5 == len(moments)
    assert all(each.minute == 30 and each.hour in (0, 1) for each in moments)
    assert moments == sorted(moments)


async def test_an_edit_stays_beside_the_configurations_word_until_it_is_reset(
    installation: Installation,
):
    installation.configure(HERE)
    await schedule(installation, *EDITED)
    installation.configure(HERE, more='[[schedules]]\njob = "purchases"\ncron = "0 6 * * *"\n')

    found = await listed(installation)
    shown = await schedule(installation, "list", "--times")
    back = await schedule(installation, "reset", "purchases")
    afterwards = (await listed(installation))["purchases"]

    assert ("edited", "30 2 * * *") == (found["purchases"]["origin"], found["purchases"]["cron"])
    assert '"30 2 * * *"' not in shown.err
    assert "purchases was edited by " in shown.err
    assert "the configuration says cron 0 4 * * *, timezone UTC." in shown.err
    assert 5 * len(found) == sum(line.startswith("  ") for line in shown.out.splitlines())
    assert back.out.startswith("purchases: At 06:00 every day, UTC.\n")
    assert ("config", "0 6 * * *", None) == (
        afterwards["origin"], afterwards["cron"], afterwards["configured"],
    )  # fmt: skip


async def test_one_rests_until_it_is_enabled_again(installation: Installation):
    installation.configure(HERE)

    off = await schedule(installation, "disable", "metadata")
    resting = (await listed(installation))["metadata"]
    on = await schedule(installation, "enable", "metadata")
    again = (await listed(installation))["metadata"]

    assert "metadata: disabled (At 03:00 on Sunday), UTC.\n" == off.out
    assert (False, None, []) == (resting["enabled"], resting["next_due"], resting["next_times"])
    assert on.out.startswith("metadata: At 03:00 on Sunday, UTC.\n")
    assert (True, "config") == (again["enabled"], again["origin"])


async def test_one_that_a_person_made_is_gone_with_its_reset(installation: Installation):
    installation.configure(HERE)

    made = await schedule(
        *(installation, "set", "holidays", "--job", "purchases", "--collection", "springfield"),
        *("--at", "2096-12-24T22:00", "--timezone", "Europe/Berlin", "--expires", "2h"),
        *("--retries", "5", "--retry-delay", "10m", "--jitter", "30m", "--no-catch-up"),
    )
    found = (await listed(installation))["holidays"]
    shown = await schedule(installation, "list")
    gone = await schedule(installation, "reset", "holidays")

    assert made.out.startswith("holidays: Once, at 2096-12-24 22:00, Europe/Berlin.\n")
    assert 'holidays is about "springfield" only.\n' in made.err
    wanted = {"at": "2096-12-24T21:00:00Z", "cron": None, "expires": "2h", "retries": 5}
    wanted |= {"retry_delay": "10m", "jitter": "30m", "catch_up": False, "job": "purchases"}
    assert wanted == {key: found[key] for key in wanted}
    assert "holidays was made by " in shown.err
    assert "holidays is gone: the configuration doesn't have it.\n" == gone.out
    assert "holidays" not in await listed(installation)


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("set", "purchases"), 2, "needs something to set"),
        (("set", "purchases", "--cron", "61 2 * * *"), 2, '"61" as minute'),
        (("set", "purchases", "--cron", "0 0 30 2 *"), 2, "a day that never comes"),
        (("set", "purchases", "--timezone", "Europe/Berln"), 2, '"Europe/Berlin"? [usage]'),
        (("set", "purchases", "--job", "purchase"), 2, "it must be purchases, metadata, "),
        (("set", "purchases", "--expires", "soon"), 2, "expires "),
        (("set", "purchases", "--at", "tomorrow"), 2, "a time is written like "),
        (("set", "purchases", "--at", "2020-01-01"), 2, "its time, 2020-01-01T00:00:00Z, is over"),
        (("set", "purchases", "--at", "2096-01-01", "--cron", "@daily"), 2, "exclude each other"),
        (("set", "nightly", "--job", "snapshot"), 2, "has no time"),
        (("set", "purchases", "--collection", "shelbyville"), 10, 'no collection "shelbyville"'),
        (("set", "nightly", "--cron", "@daily"), 10, 'no schedule "nightly"'),
        (("enable", "nightly"), 10, 'no schedule "nightly"'),
        (("disable", "nightly"), 10, 'no schedule "nightly"'),
        (("run", "nightly"), 10, 'no schedule "nightly"'),
        (("reset", "nightly"), 10, 'no schedule "nightly"'),
    ],
)
async def test_what_has_no_meaning_is_refused_and_changes_nothing(
    installation: Installation, words: tuple[str, ...], code: int, told: str
):
    installation.configure(HERE)

    refused = await schedule(installation, *words, code=code)

    assert told in refused.err
    assert "" == refused.out
    found = await listed(installation)
    assert {"config"} == {each["origin"] for each in found.values()}


async def test_an_edit_acts_within_five_seconds_on_one_of_the_daemons(
    installation: Installation, vendor: Watched, database: str
):
    configure(installation, vendor.collections())
    async with (
        attending(installation) as one,
        attending(installation) as other,
        looking(database) as conn,
    ):
        await one.told("daemon.ready")
        await other.told("daemon.ready")
        at = datetime.now(UTC) + timedelta(seconds=6)  # the command itself takes a moment

        made = await schedule(
            *(installation, "set", "soon", "--job", "statistics"),
            *("--at", f"{at:%Y-%m-%dT%H:%M:%S}"),
        )
        waiting = [asyncio.create_task(each.told("schedule.fired")) for each in (one, other)]
        done, late = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for each in late:
            each.cancel()
        fired = done.pop().result()

        assert made.out.startswith("soon: Once, at ")
        assert "soon" == fired["schedule"]
        assert fired["late_s"] < 5
        assert 1 == await conn.fetchval("select count(*) from firings where schedule = 'soon'")


async def test_jobs_about_all_collections_stand_among_the_runs(
    installation: Installation, vendor: Watched
):
    configure(installation, vendor.collections())
    async with attending(installation) as daemon:
        await daemon.told("request.ended", outcome="succeeded")
        vendor.next_answers("springfield", ["http_502"] * 6)

        for job, outcome in (("cleanup", "succeeded"), ("health", "failed")):
            await schedule(installation, "run", job)
            await daemon.told("schedule.ended", schedule=job, outcome=outcome)

        every = (await installation.run("runs", "list", "--json")).documents
        [health] = (
            await installation.run("runs", "list", "--stream", "health", "--json")
        ).documents
        failed = (await installation.run("runs", "list", "--outcome", "failed", "--json")).documents
        shown = await installation.run("runs", "show", health["id"])
        whole = (await installation.run("runs", "show", health["id"], "--json")).document
        terminal = await installation.run_on_a_terminal("runs", "list")

    assert ["health", "cleanup", "metadata", "purchases"] == [each["stream"] for each in every]
    assert [health] == failed
    assert (None, "person", "failed") == (
        health["collection"], health["trigger"], health["outcome"],
    )  # fmt: skip
    assert health["finished"] is not None
    assert health["problem"]["code"] in shown.out
    assert shown.out.startswith(f"Run {health['id']}, health: failed\n")
    assert "vendor.login" in shown.out
    assert "database.connection" in {each["check"] for each in whole["result"]["findings"]}
    assert "cleanup" in terminal.out


async def test_one_is_fired_by_hand_and_says_for_whom(
    installation: Installation, vendor: Watched, database: str
):
    configure(installation, vendor.collections())
    async with attending(installation) as daemon, looking(database) as conn:
        await daemon.told("request.ended", outcome="succeeded")

        ended = await schedule(installation, "run", "purchases", "--json")
        over = await daemon.told("schedule.ended", schedule="purchases")

        [number] = ended.document["requests"]
        told = await conn.fetchrow(
            "select trigger, requested_by, outcome from requests where request = $1", number
        )
    assert "succeeded" == over["outcome"]
    assert ("person", "succeeded") == (told["trigger"], told["outcome"])
    assert "@" in told["requested_by"]

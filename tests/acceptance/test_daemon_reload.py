"""SIGHUP: one configuration for another, or none of it, while work is under way."""

import signal

import pytest
from attended import RESTING, Attended, attending, configure, looking
from installation import Installation, until
from watched import Watched, library, served

SLOW = {"max_window": "1d", "windows_at_once": 1}
"""Many small windows: there is enough to do while a test acts."""
RUNS = """
select c.name, r.outcome from runs r join collections c using (collection)
where r.stream = 'purchases' order by r.run
"""


async def reload(daemon: Attended, event: str = "config.reloaded") -> dict:
    """Have the configuration read again; return what was told of that."""
    daemon.forget(event)
    daemon.send(signal.SIGHUP)
    return await daemon.told(event)


async def test_a_good_file_is_in_force_at_once_and_costs_no_work(
    installation: Installation, database: str
):
    """A collection and a schedule are added, and the log tells less."""
    each = [library("springfield"), library("ogdenville"), library("shelbyville", titles=40)]
    async with (
        served(Watched(each, latency_s=0.02)) as vendor,
        looking(database) as conn,
    ):
        configured = vendor.collections(**SLOW)
        configure(installation, configured[:2])
        async with attending(installation) as daemon:
            await vendor.asked(10)
            noon = '[[schedules]]\nname = "noon"\njob = "purchases"\ncron = "0 12 * * *"\n'
            configure(installation, configured, more=noon)

            told = await reload(daemon)

            assert (3, []) == (told["collections"], told["begun_anew"])
            assert await conn.fetchval("select enabled from schedules where schedule = 'noon'")
            await daemon.told("request.ended", times=3, outcome="succeeded")
            assert 0 == await daemon.stop()

        for name in vendor.libraries:
            assert vendor.must_have(name)[0] == await installation.stored(name)
        runs = [tuple(row) for row in await conn.fetch(RUNS)]
    assert sorted((name, "succeeded") for name in vendor.libraries) == sorted(runs)


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ('state_dir = "x"\n[database]\nurl = "postgresql://', "bibsync.toml:3"),
        ("", "is empty"),
        ('[[collections]]\nname = "springfield"\nlibary_id = "x"\n', 'unknown key "libary_id"'),
    ],
    ids=["half-written", "not yet written", "mistaken"],
)
async def test_a_bad_file_is_refused_and_the_one_before_stays_in_force(
    installation: Installation, database: str, broken: str, said: str
):
    async with (
        served(Watched([library()], latency_s=0.02)) as vendor,
        looking(database) as conn,
    ):
        configure(installation, vendor.collections(**SLOW))
        async with attending(installation) as daemon:
            await vendor.asked(5)
            good = installation.read("bibsync.toml")
            installation.write("bibsync.toml", broken)

            refused = await reload(daemon, "config.refused")

            assert any(said in each for each in refused["problems"])
            await until(conn, "config_problem is not null from replicas")
            installation.write("bibsync.toml", good)
            told = await reload(daemon)
            assert [] == told["begun_anew"]
            await until(conn, "config_problem is null from replicas")
            await daemon.told("request.ended", outcome="succeeded")
            assert 0 == await daemon.stop()

        assert vendor.must_have("springfield")[0] == await installation.stored()
        assert [("springfield", "succeeded")] == [tuple(row) for row in await conn.fetch(RUNS)]


async def test_a_name_that_means_another_library_is_refused_as_a_whole(
    installation: Installation, database: str
):
    each = [library("springfield"), library("ogdenville")]
    async with (
        served(Watched(each, latency_s=0.02)) as vendor,
        looking(database) as conn,
    ):
        springfield, ogdenville = vendor.collections(**SLOW)
        configure(installation, [springfield])
        async with attending(installation) as daemon:
            await vendor.asked(5)
            configure(installation, [springfield | {"library_id": "x"}, ogdenville])

            refused = await reload(daemon, "config.refused")

            assert 'library_id was "springfield"' in refused["problems"][0]
            assert ["springfield"] == [
                row["name"] for row in await conn.fetch("select name from collections")
            ]
            await daemon.told("request.ended", outcome="succeeded")


async def test_ten_reloads_in_a_second_cost_no_work(installation: Installation, database: str):
    async with (
        served(Watched([library()], latency_s=0.02)) as vendor,
        looking(database) as conn,
    ):
        configure(installation, vendor.collections(**SLOW))
        async with attending(installation) as daemon:
            await vendor.asked(5)
            for number in range(10):
                hour = f'[[schedules]]\nname = "extra"\njob = "health"\ncron = "0 {number} * * *"\n'
                configure(installation, vendor.collections(**SLOW), more=hour)
                daemon.send(signal.SIGHUP)

            await until(conn, "exists (select from schedules where cron = '0 9 * * *')")
            await daemon.told("request.ended", outcome="succeeded")
            assert 0 == await daemon.stop()

        assert vendor.must_have("springfield")[0] == await installation.stored()
        assert [("springfield", "succeeded")] == [tuple(row) for row in await conn.fetch(RUNS)]


async def test_an_account_that_is_changed_in_the_middle_of_a_run_is_used_from_then_on(
    installation: Installation, database: str
):
    """The interface's version stands for the key: the vendor tells clients apart by it."""
    each = [library("springfield"), library("ogdenville")]
    async with (
        served(Watched(each, latency_s=0.02)) as vendor,
        looking(database) as conn,
    ):
        springfield, ogdenville = vendor.collections(**SLOW)
        configure(installation, [springfield | {"api_version": "1.1"}, ogdenville])
        async with attending(installation) as daemon:
            await vendor.asked(10)
            configure(installation, [springfield | {"api_version": "1.2"}, ogdenville])

            told = await reload(daemon)
            await daemon.told("request.ended", times=2, outcome="succeeded")

            assert ["springfield"] == told["begun_anew"]
            assert {"1.1", "1.2"} < {*vendor.flights.clients}
            assert 0 == await daemon.stop()

        for name in vendor.libraries:
            assert vendor.must_have(name)[0] == await installation.stored(name)
        runs = sorted(tuple(row) for row in await conn.fetch(RUNS))
    assert [
        ("ogdenville", "succeeded"),
        ("springfield", "interrupted"),
        ("springfield", "succeeded"),
    ] == runs
    assert [] == vendor.flights.encounters


async def test_a_key_that_was_refused_is_tried_as_soon_as_it_is_mended(
    installation: Installation, vendor: Watched
):
    configure(installation, vendor.collections(account_key="wrong"))
    async with attending(installation) as daemon:
        await daemon.told("request.ended", outcome="failed")
        configure(installation, vendor.collections())

        await reload(daemon)
        await daemon.told("request.ended", outcome="succeeded")

    assert vendor.must_have("springfield")[0] == await installation.stored()


async def test_a_collection_that_is_removed_in_the_middle_of_a_run_is_left_alone(
    installation: Installation, database: str
):
    """Put back, it goes on where it was."""
    each = [library("springfield"), library("ogdenville")]
    async with (
        served(Watched(each, latency_s=0.02)) as vendor,
        looking(database) as conn,
    ):
        springfield, ogdenville = vendor.collections(**SLOW)
        configure(installation, [springfield, ogdenville])
        async with attending(installation) as daemon:
            await daemon.told("window.covered", times=3, collection="springfield")
            configure(installation, [ogdenville])

            await reload(daemon)
            await daemon.told("request.ended", collection="springfield", outcome="paused")

            await until(
                conn,
                "not exists (select from leases natural join collections "
                "where name = 'springfield' and expires_at >= clock_timestamp())",
            )
            kept = await installation.stored("springfield")
            await daemon.told("request.ended", outcome="succeeded")
            configure(installation, [springfield, ogdenville])
            await reload(daemon)
            await daemon.told("request.ended", times=2, outcome="succeeded")
            assert 0 == await daemon.stop()

        assert kept.items() < vendor.must_have("springfield")[0].items()
        for name in vendor.libraries:
            assert vendor.must_have(name)[0] == await installation.stored(name)
        again = await conn.fetchval(
            "select count(*) from runs where stream = 'purchases' and outcome = 'interrupted'"
        )
    assert 1 == again


async def test_what_only_a_restart_can_change_is_told_and_left(
    installation: Installation, vendor: Watched
):
    configure(installation, vendor.collections())
    async with attending(installation) as daemon:
        await daemon.told("request.ended", outcome="succeeded")
        installation.configure(
            vendor.collections(), more=f'[redis]\nurl = "redis://nowhere/0"\n{RESTING}'
        )

        await reload(daemon, "config.needs_restart")
        await daemon.told("config.reloaded")

        assert 0 == await daemon.stop()

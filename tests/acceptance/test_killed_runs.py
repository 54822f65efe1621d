"""Runs that are killed without warning, at random moments, under everything a vendor does wrong.

However often that happens, the next run goes on by itself, and in the end the database holds
exactly what the vendor's ledger says: nothing lost, nothing twice, every bad record a reject.
"""

import asyncio
from datetime import timedelta
from random import Random

import pytest
from installation import QUICK, Installation
from watched import LONG_AGO, Watched, library, served

from bibsync.simulator import Faults

FAULTS = "all,timeout=0,blank_quiet=0"
"""Everything but what only takes time: silence, quiet days that are asked for three times."""
KILLS = 4
MOST_RUNS = 12
"""A window that a run gives up on is asked for by the next; more runs than this is no progress."""


@pytest.mark.parametrize("number", range(3))
async def test_a_run_that_is_killed_again_and_again_ends_with_the_whole_truth(
    installation: Installation, number: int
):
    seed = Random().randrange(10**6) + number
    print(f"seed {seed}")  # noqa: T201 - a failure replays from it
    random = Random(seed)
    bought = library(titles=400, seed=seed, bad=0.03, since=LONG_AGO + timedelta(days=30))
    faults = Faults.parse(FAULTS)
    async with served(Watched([bought], faults=faults, seed=seed)) as vendor:
        installation.configure(
            vendor.collections(windows_at_once=random.choice([1, 2, 4])),
            sync=QUICK.replace("retries = 0", "retries = 1"),
        )

        kills = [await killed(installation, vendor, random) for _ in range(KILLS)]
        codes = []
        while not codes or (codes[-1] not in (0, 11) and len(codes) < MOST_RUNS):
            codes.append((await installation.run("run-once", "--all")).code)
        vendor.faults = Faults.none()
        last = await installation.run("run-once", "--all", "--force-reimport", "--json")

        records, reasons = vendor.must_have("springfield")
    assert sum(kills) >= KILLS - 1  # the last one may come too late
    assert codes[-1] == 0
    assert (last.code, last.document["new"], last.document["new_rejects"]) == (0, 0, 0)
    assert records == await installation.stored()
    assert reasons == await installation.rejected()


async def killed(installation: Installation, vendor: Watched, random: Random) -> bool:
    """Begin a run, kill it within moments of a random request; False: it was done before."""
    running = await installation.fork("run-once", "--all")
    loop = asyncio.get_running_loop()
    moment = random.uniform(0, 0.02)
    vendor.then(random.randint(1, 14), lambda: loop.call_later(moment, running.kill))
    ended = await running.ended()
    vendor.forget()
    return ended.code == 128 + 9

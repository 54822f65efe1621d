"""What asyncio drops on the way is noticed behind it."""

import asyncio
from contextlib import suppress

import pytest

from bibsync import cancellation


async def test_a_task_that_nobody_cancelled_goes_on():
    cancellation.go_on()

    assert 0 == cancellation.count()


async def test_a_cancellation_that_was_dropped_is_gone_on_with():
    async def work() -> None:
        before = cancellation.count()
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        cancellation.go_on(before)

    working = asyncio.create_task(work())
    await asyncio.sleep(0)
    working.cancel()
    await asyncio.wait([working])

    assert working.cancelled()


async def test_a_time_out_that_was_heard_is_none():
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await asyncio.Event().wait()

    cancellation.go_on()

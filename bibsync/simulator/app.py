"""The simulator's server: the vendor's paths, and under `/simulator` what a test wants to know.

/cirrus/library/{library_id}/...      as the vendor has it
/simulator/truth/{library_id}         the truth ledger (truth.py)
/simulator/requests                   counters, faults that fired, requests in order (log.py)
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from aiohttp import web

from bibsync.errors import NotFound
from bibsync.simulator import wire
from bibsync.simulator.request import ROOT, Request
from bibsync.simulator.vendor import Vendor

VENDOR: Final = web.AppKey("vendor", Vendor)


def app(vendor: Vendor) -> web.Application:
    """Return the application that serves this vendor."""
    served = web.Application()
    served[VENDOR] = vendor
    served.router.add_get("/simulator/truth/{library_id}", _truth)
    served.router.add_get("/simulator/requests", _requests)
    served.router.add_route("*", ROOT + "{rest:.*}", _vendor)
    return served


@asynccontextmanager
async def serve(vendor: Vendor, *, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[str]:
    """Serve the vendor in this event loop and give its base URL; port 0 takes a free one.

    Whoever gives up waiting for an answer ends its work here, and so does the end of the block.
    """
    runner = web.AppRunner(
        app(vendor), access_log=None, handler_cancellation=True, shutdown_timeout=0.1
    )
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        await site.start()
        bound = runner.addresses[0][1]
        yield f"http://{host}:{bound}/"
    finally:
        await runner.cleanup()


async def _vendor(request: web.Request) -> web.StreamResponse:
    vendor = request.app[VENDOR]
    asked = Request(request.method, request.raw_path, request.headers)
    with vendor.flights.of(asked):
        answer = vendor.answer(asked)
        if vendor.latency_s:
            await asyncio.sleep(vendor.latency_s)
        return await wire.send(request, answer, vendor)


async def _truth(request: web.Request) -> web.Response:
    vendor = request.app[VENDOR]
    try:
        truth = await asyncio.to_thread(vendor.truth, request.match_info["library_id"])
    except NotFound as error:
        return web.json_response({"problem": error.problem.as_json()}, status=404)
    return web.json_response(truth, dumps=_dumps)


async def _requests(request: web.Request) -> web.Response:
    return web.json_response({"libraries": request.app[VENDOR].log.as_json()}, dumps=_dumps)


def _dumps(document: object) -> str:
    return json.dumps(document, ensure_ascii=False)

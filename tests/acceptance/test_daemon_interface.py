"""The daemon as a process answers on its port, from its first moment to its last."""

import asyncio
import json
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
from installation import WITHIN_S, Ended, Installation, Running
from watched import Watched

TOKEN = "key-that-nobody-may-see-either"
WEB = f'[web]\nlisten = "127.0.0.1:0"\noperator_token = "{TOKEN}"\n'


@dataclass
class Interface:
    """A daemon's interface; what the daemon said is there when it has ended."""

    running: Running
    base: str
    session: aiohttp.ClientSession
    ended: Ended | None = None

    async def __call__(self, method: str, path: str, **body: object) -> tuple[int, dict[str, Any]]:
        headers = {} if method == "GET" else {"Authorization": f"Bearer {TOKEN}"}
        async with self.session.request(
            method, self.base + path, headers=headers, json=body or None
        ) as answer:
            return answer.status, json.loads(await answer.read())

    async def until(self, path: str, **wanted: object) -> dict[str, Any]:
        """Ask until the document says that."""
        async with asyncio.timeout(WITHIN_S):
            while True:
                _, document = await self("GET", path)
                if document.items() >= wanted.items():
                    return document
                await asyncio.sleep(0.05)


@asynccontextmanager
async def serving(installation: Installation) -> AsyncIterator[Interface]:
    """Run a daemon, and stop it at the end."""
    running = await installation.start("daemon")
    try:
        async with aiohttp.ClientSession() as session:
            interface = Interface(running, await _address(running), session)
            yield interface
            running.send(signal.SIGTERM)
        interface.ended = await running.ended()
    finally:
        running.kill()


async def _address(running: Running) -> str:
    async with asyncio.timeout(WITHIN_S):
        while line := await running.process.stderr.readline():
            event = json.loads(line)
            if event["event"] == "web.opened":
                return f"http://{event['addresses'][0]}"
    raise AssertionError("it ended before it answered")


async def test_a_wish_over_http_is_carried_out(installation: Installation, vendor: Watched):
    installation.configure(vendor.collections(), more=WEB)
    async with serving(installation) as interface:
        await interface.until("/readyz", ready=True)
        status, asked = await interface("POST", "/v1/collections/springfield/run", queue=True)
        done = await interface.until(f"/v1/requests/{asked['id']}", state="done")
        _, run = await interface("GET", f"/v1/runs/{done['run']}")

    assert 202 == status
    assert "succeeded" == done["outcome"] == run["outcome"]
    assert interface.ended.code == 0
    assert TOKEN not in interface.ended.err
    prints, _ = vendor.must_have("springfield")
    assert prints == await installation.stored()


async def test_it_answers_before_its_database_is_there(bare: Installation):
    bare.configure(more=f'{WEB}[database]\nurl = "postgresql://nobody@127.0.0.1:9/nothing"\n')

    async with serving(bare) as interface:
        healthy, _ = await interface("GET", "/healthz")
        ready, _ = await interface("GET", "/readyz")
        status, problem = await interface("GET", "/v1/status")

    assert [200, 503, 503] == [healthy, ready, status]
    assert "database_unavailable" == problem["code"]
    assert interface.ended.code == 0


async def test_an_address_in_use_ends_it_with_a_sentence(bare: Installation):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        bare.configure(more=f'[web]\nlisten = "127.0.0.1:{port}"\n')

        ended = await bare.run("daemon")

    assert 1 == ended.code
    assert (
        f"error: [web] listen = 127.0.0.1:{port} can't be listened on: address already in use. "
        "[not_listening]" in ended.err
    )
    assert not bare.state.exists()

"""The webhook and the heartbeat, against a real web server."""

import socket
from collections.abc import AsyncIterator

import aiohttp
import pytest
from post_office import Site, black_hole, site
from pydantic import SecretStr

from bibsync.notify import web
from bibsync.notify.channel import Undelivered, attempt
from bibsync.notify.web import Heartbeat, Webhook
from bibsync.notify.wording import Message

TOKEN = "canary-of_the.webhook-46"
PATH = f"/services/{TOKEN}?token={TOKEN}"
MESSAGE = Message("17-failing", "title", "body", None, {"text": "It fails.", "id": "17-failing"})


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with web.session() as http:
        yield http


async def failed(http: aiohttp.ClientSession, url: str, *, limit_s: float = 20.0) -> Undelivered:
    with pytest.raises(Undelivered) as raised:
        await attempt(Webhook(SecretStr(url), http), [MESSAGE], limit_s=limit_s)
    assert raised.value.__cause__ is raised.value.__context__ is None
    assert TOKEN not in f"{raised.value.message} {raised.value.remedy}"
    return raised.value


async def test_a_message_is_posted_as_json(http: aiohttp.ClientSession):
    async with site() as there:
        await attempt(Webhook(SecretStr(there.url(PATH)), http), [MESSAGE], limit_s=20)

        assert [f"POST {PATH}"] == there.asked
        assert [{"text": "It fails.", "id": "17-failing"}] == there.posted


async def test_the_heartbeat_is_asked_for(http: aiohttp.ClientSession):
    async with site() as there:
        there.status = 204

        await attempt(Heartbeat(SecretStr(there.url("/ping")), http), (), limit_s=20)

        assert ["GET /ping"] == there.asked


@pytest.mark.parametrize(
    ("status", "said"),
    [(500, "500 (Internal Server Error)"), (404, "404 (Not Found)"), (999, "It answered 999.")],
)
async def test_any_status_but_one_of_success_is_a_failure(
    http: aiohttp.ClientSession, status: int, said: str
):
    async with site() as there:
        there.status = status

        error = await failed(http, there.url(PATH))

    assert said in error.message


async def test_no_redirect_is_followed(http: aiohttp.ClientSession):
    async with site() as there, site() as other:
        there.status, there.headers = 307, {"Location": other.url(PATH)}

        error = await failed(http, there.url(PATH))

        assert [] == other.asked
    assert "never follows" in error.message


async def test_no_cookie_is_kept_for_the_next_request(http: aiohttp.ClientSession):
    async with site() as there:
        there.headers = {"Set-Cookie": "who=me"}
        await attempt(Heartbeat(SecretStr(there.url()), http), (), limit_s=20)

        assert 0 == len(http.cookie_jar)


async def test_a_host_that_is_not_there_is_told_from_one_that_is_silent(
    http: aiohttp.ClientSession,
):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    dead = await failed(http, f"http://127.0.0.1:{port}{PATH}")
    nowhere = await failed(http, f"http://hooks.invalid{PATH}")
    async with black_hole() as hole:
        silent = await failed(http, f"http://127.0.0.1:{hole.port}{PATH}", limit_s=0.2)

    assert "Nothing answers" in dead.message
    assert "can't be found" in nowhere.message
    assert "no answer within 0.2 seconds" in silent.message


async def test_what_nobody_foresaw_is_a_failure_too(http: aiohttp.ClientSession):
    await http.close()

    error = await failed(http, Site(port=1).url(PATH))

    assert "It could not be sent: RuntimeError." == error.message

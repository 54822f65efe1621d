"""Connecting at the start: what is wrong is said in a sentence that repeats nothing of the URL."""

import asyncio
import shutil
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest
import redis_server as redis_servers
from pydantic import SecretStr
from redis_server import RedisServer
from slow_wire import SlowWire

from bibsync import lease, replicas
from bibsync.errors import RedisUnavailable
from bibsync.lease import Key, PostgresLeases
from bibsync.replicas import client
from bibsync.replicas.leases import BothLeases
from bibsync.store import Pool

TTL = timedelta(seconds=60)


def coordinated(url: str, pool: Pool):
    return replicas.coordinated(SecretStr(url), pool, ttl=TTL)


async def refused(url: str, pool: Pool) -> RedisUnavailable:
    with pytest.raises(RedisUnavailable) as caught:
        async with coordinated(url, pool):
            pass
    assert "canary" not in f"{caught.value.message} {caught.value.remedy} {caught.value!r}"
    assert caught.value.__cause__ is None
    assert 7 == caught.value.exit_code
    return caught.value


async def works(url: str, pool: Pool, key: Key) -> bool:
    async with coordinated(url, pool) as ours:
        holder = lease.this_process()
        assert await ours.leases.take(key, holder, ttl=TTL) is None
        assert await ours.leases.renew(key, holder, ttl=TTL)
        await ours.leases.release(key, holder)
        assert await ours.turns.turn("vendor.example", 0.1) is not None
        return not ours.redis.lost


@pytest.fixture
def program(redis_server: RedisServer) -> str:
    """Return the program of this server, to start others with options of their own."""
    if not redis_server.ours:
        pytest.skip("the Redis that BIBSYNC_TEST_REDIS_URL names can't be started here")
    return redis_server._kind


async def test_without_a_url_leases_are_in_postgresql_and_turns_are_not_shared(pool: Pool):
    async with replicas.coordinated(None, pool, ttl=TTL) as ours:
        assert isinstance(ours.leases, PostgresLeases)
        assert ours.turns is None
        assert ours.redis is None


async def test_with_a_url_leases_are_in_both_and_turns_are_shared(
    pool: Pool, key: Key, redis_server: RedisServer
):
    async with coordinated(redis_server.url, pool) as ours:
        assert isinstance(ours.leases, BothLeases)
    assert await works(redis_server.url, pool, key)


async def test_every_connection_is_closed_at_the_end(
    pool: Pool, key: Key, redis_server: RedisServer
):
    async with SlowWire("127.0.0.1", redis_server.port) as wire:
        assert await works(f"redis://127.0.0.1:{wire.port}", pool, key)
        await asyncio.wait(set(wire._tasks), timeout=5)
        assert wire.connections > 0
        assert all(task.done() for task in wire._tasks)


async def test_a_unix_socket_and_a_database_number(
    pool: Pool, key: Key, program: str, redis_server: RedisServer
):
    assert await works(f"unix://{redis_server.socket}?db=1", pool, key)
    assert await works(f"redis://127.0.0.1:{redis_server.port}/2", pool, key)


async def test_a_password_and_a_user(pool: Pool, key: Key, program: str):
    rights = ("~bibsync:*", "+ping", "+eval", "+evalsha", "+get", "+set", "+del", "+pttl")
    user = ("--user", "harvester", "on", ">can:ary/2", *rights, "+pexpire", "+time")
    with redis_servers.opened(program, "--requirepass", "canary@1", *user) as server:
        at = f"127.0.0.1:{server.port}"

        assert await works(f"redis://:canary%401@{at}", pool, key)
        assert await works(f"redis://default:canary%401@{at}/0", pool, key)
        assert await works(f"redis://harvester:can%3Aary%2F2@{at}", pool, key)
        assert await works(f"unix://:canary%401@{server.socket}", pool, key)
        assert "wants a password" in (await refused(f"redis://{at}", pool)).message
        for wrong in ("redis://:canary", "redis://nobody:canary"):
            error = await refused(f"{wrong}@{at}", pool)
            assert "refuses the user or the password" in error.message


async def test_a_user_without_the_rights_is_told_which(pool: Pool, program: str):
    user = ("--user", "reader", "on", ">canary", "~bibsync:*", "+ping")
    with redis_servers.opened(program, *user) as server:
        error = await refused(f"redis://reader:canary@127.0.0.1:{server.port}", pool)

    assert "may not do" in error.message
    assert "bibsync:*" in error.remedy


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("redis://:canary@127.0.0.1:1", "nothing listens at its address"),
        ("redis://:canary@localhost:1", "nothing listens at its address"),
        ("redis://:canary@no-such-host.invalid", "its host's name can't be found"),
        ("unix://:canary@/nowhere/canary.sock", "its socket isn't there"),
        ("redis+sentinel://:canary@127.0.0.1:1,localhost:1/main", "No Sentinel"),
        ("http://:canary@127.0.0.1", "must be an address that begins with redis://"),
    ],
)
async def test_an_address_that_leads_nowhere(url: str, words: str, pool: Pool):
    assert words in (await refused(url, pool)).message


async def test_a_host_that_gives_no_answer(
    pool: Pool, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(client, "START_S", 0.1)
    async with SlowWire("127.0.0.1", redis_server.port) as wire:
        with wire.silent():
            error = await refused(f"redis://:canary@127.0.0.1:{wire.port}", pool)

    assert "gave no answer in time" in error.message


async def test_what_is_no_redis(pool: Pool):
    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as web:
        port = web.sockets[0].getsockname()[1]
        error = await refused(f"redis://127.0.0.1:{port}", pool)

    assert "isn't Redis" in error.message


async def test_a_read_only_replica(pool: Pool, program: str, redis_server: RedisServer):
    of = ("--replicaof", "127.0.0.1", str(redis_server.port))
    with redis_servers.opened(program, *of) as server:
        error = await refused(server.url, pool)

    assert "read-only replica" in error.message
    assert "primary" in error.remedy


async def test_a_database_number_that_there_is_not(pool: Pool, redis_server: RedisServer):
    error = await refused(f"redis://127.0.0.1:{redis_server.port}/99", pool)

    assert "no database of the number" in error.message


async def test_a_server_that_still_loads_its_data(pool: Pool):
    async def load(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(1000):
            writer.write(b"-LOADING Redis is loading the dataset in memory\r\n")
        writer.close()

    async with await asyncio.start_server(load, "127.0.0.1", 0) as loading:
        port = loading.sockets[0].getsockname()[1]
        error = await refused(f"redis://127.0.0.1:{port}", pool)

    assert "loading" in error.message


# -- Sentinels


@pytest.fixture
def sentinel(program: str, redis_server: RedisServer) -> Iterator[int]:
    """Return the port of a Sentinel, with a password of its own, that watches the server `main`."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    folder = redis_server._folder
    settings = folder / "sentinel.conf"
    settings.write_text(
        f"port {port}\nbind 127.0.0.1\ndir {folder}\nrequirepass canary-2\n"
        f"sentinel monitor main 127.0.0.1 {redis_server.port} 1\n"
    )
    with subprocess.Popen(  # noqa: S603 - a server of this environment
        [program, str(settings), "--sentinel"], stdout=subprocess.DEVNULL
    ) as process:
        redis_servers.await_listening(port)
        yield port
        process.kill()


async def test_sentinels_are_asked_for_the_server(sentinel: int, pool: Pool, key: Key):
    hosts = f"127.0.0.1:1,127.0.0.1:{sentinel}"

    url = f"redis+sentinel://{hosts}/main/1?sentinel_password=canary-2"

    assert await works(url, pool, key)


async def test_sentinels_that_do_not_know_the_service_or_us(sentinel: int, pool: Pool):
    for rest in ("other?sentinel_password=canary-2", "main?sentinel_password=canary", "main"):
        error = await refused(f"redis+sentinel://127.0.0.1:{sentinel}/{rest}", pool)

        assert "No Sentinel" in error.message


# -- TLS


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a certificate for localhost, with its key, that nobody else has signed."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("no openssl here to make a certificate with")
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    subprocess.run(  # noqa: S603 - a program of this machine
        [
            *(openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *(
                "-nodes",
                "-days",
                "2",
                "-subj",
                "/CN=localhost",
                "-keyout",
                path,
                "-out",
                f"{path}.c",
            ),
            *("-addext", "subjectAltName=DNS:localhost"),
        ],
        check=True,
        capture_output=True,
    )
    path.write_text(path.read_text() + Path(f"{path}.c").read_text())
    return path


@asynccontextmanager
async def encrypted(server: RedisServer, certificate: Path) -> AsyncIterator[int]:
    """Put TLS before a server that may have been built without it; yield the port."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    async with SlowWire("127.0.0.1", server.port, tls=context) as wire:
        yield wire.port


async def test_tls_with_a_certificate_that_the_url_names(
    pool: Pool, key: Key, redis_server: RedisServer, certificate: Path
):
    async with encrypted(redis_server, certificate) as port:
        assert await works(f"rediss://localhost:{port}/0?ssl_ca_certs={certificate}", pool, key)


async def test_a_certificate_that_is_not_to_be_trusted(
    pool: Pool, redis_server: RedisServer, certificate: Path
):
    async with encrypted(redis_server, certificate) as port:
        unknown = await refused(f"rediss://:canary@localhost:{port}", pool)
        named = f"rediss://127.0.0.1:{port}?ssl_ca_certs={certificate}"
        other_host = await refused(named, pool)

    assert "certificate of Redis isn't valid" in unknown.message
    assert "certificate of Redis isn't valid" in other_host.message


async def test_tls_that_the_server_does_not_speak(
    pool: Pool, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
):
    """The server takes the greeting for the beginning of a command and waits for more."""
    monkeypatch.setattr(client, "START_S", 0.3)

    error = await refused(f"rediss://:canary@127.0.0.1:{redis_server.port}", pool)

    assert "no answer in time" in error.message
    assert "TLS" in error.remedy


async def test_a_certificate_file_that_is_not_there(pool: Pool, redis_server: RedisServer):
    url = f"rediss://127.0.0.1:{redis_server.port}?ssl_ca_certs=/nowhere/canary.pem"

    assert "a file of its TLS isn't there" in (await refused(url, pool)).message


async def test_sentinels_and_server_are_asked_with_tls(
    pool: Pool, sentinel: int, certificate: Path, monkeypatch: pytest.MonkeyPatch
):
    """The Sentinel names the server's own port, where nobody speaks TLS: no answer comes."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    query = f"sentinel_password=canary-2&ssl_ca_certs={certificate}"
    monkeypatch.setattr(client, "START_S", 2.0)
    async with SlowWire("127.0.0.1", sentinel, tls=context) as wire:
        at = f"localhost:{wire.port}/main"

        server_in_clear = await refused(f"rediss+sentinel://{at}?{query}", pool)
        sentinel_in_clear = await refused(f"redis+sentinel://{at}?sentinel_password=x", pool)

    assert "no answer in time" in server_in_clear.message
    assert "No Sentinel" in sentinel_in_clear.message

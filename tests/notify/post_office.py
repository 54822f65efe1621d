"""Servers that messages are sent to: a real SMTP server, a real web server, and a black hole."""

import asyncio
import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session

WITHIN_S = 30.0


@dataclass
class PostOffice:
    """A mail server; `mails` are those that it took.

    `refuses` are the recipients and senders that it doesn't take, `password` the one that it asks
    for, `echo` what it answers to a wrong one.
    """

    port: int = 0
    password: str | None = None
    refuses: set[str] = field(default_factory=set)
    mails: list[EmailMessage] = field(default_factory=list)
    envelopes: list[Envelope] = field(default_factory=list)
    encrypted: list[bool] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    answers: list[str] = field(default_factory=list)
    arrived: asyncio.Condition = field(default_factory=asyncio.Condition)

    def url(self, user: str = "", *, scheme: str = "smtp", host: str = "127.0.0.1") -> str:
        return f"{scheme}://{user}{host}:{self.port}"

    async def wait(self, count: int) -> list[EmailMessage]:
        """Wait until so many mails have come."""
        async with asyncio.timeout(WITHIN_S), self.arrived:
            await self.arrived.wait_for(lambda: len(self.mails) >= count)
        return self.mails

    def authenticate(self, _server: SMTP, _session: Session, _envelope, _how, login) -> AuthResult:
        given = login.password.decode()
        self.asked.append(given)
        if given == self.password:
            return AuthResult(success=True)
        return AuthResult(success=False, handled=False, message=f"535 5.7.8 you said {given}")

    async def handle_MAIL(  # noqa: N802 - aiosmtpd's name
        self, _server, _session, envelope, address, options
    ) -> str:
        if address in self.refuses:
            return "553 5.7.1 not you"
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 OK"

    async def handle_RCPT(  # noqa: N802 - the same
        self, _server, _session, envelope, address, options
    ) -> str:
        if address in self.refuses:
            return "550 5.1.1 not here"
        envelope.rcpt_tos.append(address)
        envelope.rcpt_options.extend(options)
        return "250 OK"

    async def handle_DATA(self, _server, session, envelope) -> str:  # noqa: N802 - the same
        if self.answers:
            return self.answers.pop(0)
        mail = message_from_bytes(envelope.content, policy=policy.default)
        assert isinstance(mail, EmailMessage)
        async with self.arrived:
            self.mails.append(mail)
            self.envelopes.append(envelope)
            self.encrypted.append(session.ssl is not None)
            self.arrived.notify_all()
        return "250 OK"


@asynccontextmanager
async def post_office(
    *,
    password: str | None = None,
    tls: ssl.SSLContext | None = None,
    wrapped: ssl.SSLContext | None = None,
    port: int = 0,
) -> AsyncIterator[PostOffice]:
    """Serve mail; `tls`: STARTTLS is offered, `wrapped`: TLS from the first byte."""
    loop = asyncio.get_running_loop()
    office = PostOffice(password=password)

    def made() -> SMTP:
        return SMTP(
            office,
            hostname="mail.example",
            ident="post office",
            loop=loop,
            tls_context=tls,
            auth_require_tls=False,
            authenticator=office.authenticate,
        )

    server = await loop.create_server(made, "127.0.0.1", port, ssl=wrapped)
    office.port = server.sockets[0].getsockname()[1]
    try:
        yield office
    finally:
        server.close()


def certificate(folder: Path) -> ssl.SSLContext:
    """Return what a server with a certificate that nobody vouches for needs."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl here to make a certificate")
    key, made = folder / "key.pem", folder / "certificate.pem"
    words = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1"]
    words += ["-subj", "/CN=mail.example", "-keyout", str(key), "-out", str(made)]
    subprocess.run(words, check=True, capture_output=True)  # noqa: S603 - words of our own
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(made, key)
    return context


@dataclass
class Site:
    """A web server; `posted` and `asked` are what came. `status` is what it answers."""

    port: int = 0
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    posted: list[dict[str, Any]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    came: asyncio.Condition = field(default_factory=asyncio.Condition)

    def url(self, path: str = "/hook") -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    async def wait(self, there: Callable[["Site"], bool]) -> None:
        """Wait until that is true."""
        async with asyncio.timeout(WITHIN_S), self.came:
            await self.came.wait_for(lambda: there(self))

    async def answer(self, request: web.Request) -> web.Response:
        async with self.came:
            self.asked.append(f"{request.method} {request.path_qs}")
            if request.method == "POST" and self.status < 300:
                self.posted.append(await request.json())
            self.came.notify_all()
        return web.Response(status=self.status, headers=self.headers, text="what was sent")


@asynccontextmanager
async def site() -> AsyncIterator[Site]:
    """Serve HTTP."""
    made = Site()
    app = web.Application()
    app.router.add_route("*", "/{any:.*}", made.answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    listener = web.TCPSite(runner, "127.0.0.1", 0)
    await listener.start()
    made.port = runner.addresses[0][1]
    try:
        yield made
    finally:
        await runner.cleanup()


@dataclass
class BlackHole:
    """A server that takes connections and never says a word; `caught` is set by the first."""

    port: int = 0
    caught: asyncio.Event = field(default_factory=asyncio.Event)


@asynccontextmanager
async def black_hole() -> AsyncIterator[BlackHole]:
    """Listen and never answer."""
    hole = BlackHole()
    writers: list[asyncio.StreamWriter] = []

    def swallow(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        hole.caught.set()

    server = await asyncio.start_server(swallow, "127.0.0.1", 0)
    hole.port = server.sockets[0].getsockname()[1]
    try:
        yield hole
    finally:
        server.close()
        for writer in writers:
            writer.transport.abort()

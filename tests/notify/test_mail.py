"""Mail: what arrives at a real SMTP server, over which connection, and what is said of failures."""

import socket
from datetime import UTC, datetime
from pathlib import Path

import pytest
from post_office import black_hole, certificate, post_office
from pydantic import SecretStr

from bibsync.notify import wording
from bibsync.notify.channel import Undelivered, attempt
from bibsync.notify.mail import Mail, Server
from bibsync.notify.wording import Message

NOW = datetime(2024, 3, 10, 12, tzinfo=UTC)
TO = ("systems@library.example", "night@library.example")
PASSWORD = "canary of smtp/45"
LOGIN = "me:canary%20of%20smtp%2F45@"
ELSEWHERE = "0.0.0.0"  # noqa: S104 - this machine, under an address that isn't known to be it


def message(word: str = "17-failing", *, title: str = "Springfield: it fails") -> Message:
    return Message(word, title, "It fails.\nNothing is lost.\n", None, {})


def over(word: str) -> Message:
    return Message(f"{word}-over", "Springfield: it is well", "It is well.\n", word, {})


async def send(url: str, *messages: Message, limit_s: float = 20.0) -> None:
    await attempt(Mail(SecretStr(url), TO, "db.invalid"), messages, limit_s=limit_s)


async def failed(url: str, *, limit_s: float = 20.0) -> Undelivered:
    with pytest.raises(Undelivered) as raised:
        await send(url, message(), limit_s=limit_s)
    assert raised.value.__cause__ is raised.value.__context__ is None
    return raised.value


async def test_a_mail_says_to_all_of_them_what_happened():
    async with post_office() as office:
        await send(f"{office.url()}/?from=bibsync@library.example", message())

        [mail], [envelope] = office.mails, office.envelopes

    assert list(TO) == envelope.rcpt_tos
    assert "bibsync@library.example" == envelope.mail_from == mail["From"]
    assert "systems@library.example, night@library.example" == mail["To"]
    assert "[bibsync] Springfield: it fails" == mail["Subject"]
    assert "It fails.\nNothing is lost.\n" == mail.get_content().replace("\r\n", "\n")
    assert "auto-generated" == mail["Auto-Submitted"]


async def test_the_same_told_twice_has_the_same_id_and_its_end_answers_it():
    async with post_office() as office:
        for each in (message(), message(), over("17-failing"), message("18-failing")):
            await send(office.url(), each)

        first, again, end, other = office.mails

    assert first["Message-ID"] == again["Message-ID"] == end["In-Reply-To"]
    assert 3 == len({each["Message-ID"] for each in (first, end, other)})


async def test_many_messages_go_as_one_mail():
    async with post_office() as office:
        await send(office.url(), *(message(f"{n}-late", title=f"Title {n}") for n in range(6)))

        [mail] = office.mails

    assert "[bibsync] 6 messages" == mail["Subject"]
    assert all(f"Title {n}" in mail.get_content() for n in range(6))


@pytest.mark.parametrize(
    "name",
    ["Bücherei\u2028Bcc: x@y.example", "a\r\nBcc: x@y.example", "\u202eSpringfield", "N" * 500],
)
async def test_a_name_makes_no_header_of_its_own(name: str):
    made = wording.trial(id_="1", host=name, now=NOW)
    titled = Message("1", wording._line(name), made.body, None, {})

    async with post_office() as office:
        await send(office.url(), titled)

        [mail], [envelope] = office.mails, office.envelopes

    assert mail["Bcc"] is None
    assert list(TO) == envelope.rcpt_tos
    assert f"[bibsync] {wording._line(name)}" == mail["Subject"].replace("\n", "")


async def test_mail_is_encrypted_where_that_is_offered(tmp_path: Path):
    tls = certificate(tmp_path)
    async with post_office(tls=tls) as offering, post_office() as plain:
        await send(offering.url(host=ELSEWHERE), message())
        await send(plain.url(host=ELSEWHERE), message())

        assert [True] == offering.encrypted
        assert [False] == plain.encrypted


async def test_user_and_password_are_given_in_the_address(tmp_path: Path):
    tls = certificate(tmp_path)
    async with post_office(password=PASSWORD, tls=tls) as office:
        await send(office.url(LOGIN), message())

        assert [True] == office.encrypted
    async with post_office(password=PASSWORD, wrapped=tls) as office:
        await send(office.url(LOGIN, scheme="smtps"), message())

        assert 1 == len(office.mails)


async def test_a_password_goes_to_no_other_machine_in_clear(tmp_path: Path):
    async with post_office(password=PASSWORD) as plain:
        clear = await failed(plain.url(LOGIN, host=ELSEWHERE))
        asked = plain.asked
    async with post_office(password=PASSWORD, tls=certificate(tmp_path)) as forged:
        unsafe = await failed(forged.url(LOGIN, host=ELSEWHERE))

        assert [] == asked == forged.asked
    assert "offers no encryption or no login" in clear.message
    assert "certificate isn't valid" in unsafe.message


async def test_a_refused_password_is_said_without_a_word_of_the_servers():
    async with post_office(password="another") as office:
        error = await failed(office.url(LOGIN))

        assert PASSWORD in office.asked
    assert "The mail server refuses user or password." == error.message
    assert "smtp_url" in error.remedy


async def test_what_a_server_refuses_is_told_apart():
    async with post_office() as office:
        office.refuses = {"bibsync@library.example"}
        sender = await failed(f"{office.url()}?from=bibsync@library.example")
        office.refuses = set(TO)
        everybody = await failed(office.url())
        office.refuses = {TO[0]}
        somebody = await failed(office.url())
        office.refuses = set()
        office.answers = [f"554 5.7.1 spam {PASSWORD}"]
        content = await failed(office.url())

    assert "refuses the sender bibsync@library.example" in sender.message
    assert "every recipient" in everybody.message
    assert "1 of 2 recipients" in somebody.message
    assert [False, False, True, False] == [
        each.partly for each in (sender, everybody, somebody, content)
    ]
    assert "The mail server refuses it with code 554." == content.message


async def test_a_server_that_is_not_there_is_told_from_one_that_is_silent():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    dead = await failed(f"smtp://127.0.0.1:{port}")
    nowhere = await failed("smtp://mail.invalid")
    async with black_hole() as hole:
        silent = await failed(f"smtp://127.0.0.1:{hole.port}", limit_s=0.2)

    assert "Nothing answers" in dead.message
    assert "can't be found" in nowhere.message
    assert "no answer within 0.2 seconds" in silent.message


@pytest.mark.parametrize(
    ("url", "port", "encrypted", "verified"),
    [
        ("smtp://mail.example", 25, "offered", False),
        ("smtp://me:x@mail.example", 587, "starttls", True),
        ("smtp://me:x@localhost", 587, "offered", False),
        ("smtps://mail.example", 465, "tls", True),
        ("smtps://me:x@mail.example:2465", 2465, "tls", True),
        ("smtps://localhost", 465, "tls", False),
    ],
)
def test_port_and_encryption_follow_from_the_address(
    url: str,
    port: int,
    encrypted: str,
    verified: bool,  # noqa: FBT001 - a column of the table
):
    server = Server.read(url, here="host")

    assert (port, encrypted, verified) == (server.port, server.encrypted, server.verified)


@pytest.mark.parametrize(
    ("url", "sender"),
    [
        ("smtp://mail.example", "bibsync@host"),
        ("smtp://me:x@mail.example", "bibsync@host"),
        ("smtp://me%40library.example:x@mail.example", "me@library.example"),
        ("smtp://me%40l.example:x@mail.example?from=cat@l.example", "cat@l.example"),
        ("smtp://mail.example?from=a%0d%0aBcc:b@c.example", "bibsync@host"),
    ],
)
def test_the_sender_is_who_is_named_or_who_logs_in_or_this_machine(url: str, sender: str):
    assert sender == Server.read(url, here="host").sender


def test_no_part_of_a_login_shows_where_a_server_is_printed():
    assert "canary" not in repr(Server.read(f"smtp://{LOGIN}mail.example", here="host"))

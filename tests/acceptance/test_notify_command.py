"""notify test: whether a message goes over each channel, and what is wrong where it doesn't."""

import pytest
from installation import Installation

from tests.notify.post_office import post_office, site
from tests.secrets.canary import SMTP, WEBHOOK, Canaries

FIELDS = {"type", "channel", "state", "message", "remedy", "code", "duration_s"}
DEAD = "http://127.0.0.1:9"


def notify(smtp: str, webhook: str, heartbeat: str) -> str:
    return (
        '[notify]\nemail_to = ["systems@library.example"]\n'
        f'smtp_url = "{smtp}"\nwebhook_url = "{webhook}"\nheartbeat_url = "{heartbeat}"\n'
    )


async def test_a_message_goes_over_each_channel(bare: Installation):
    async with post_office() as office, site() as there:
        bare.configure(more=notify(office.url(), there.url(), there.url("/beat")))

        ended = await bare.run("notify", "test", "--json")
        plain = await bare.run("notify", "test")

        assert (0, "") == (ended.code, ended.err)
        assert ["mail", "webhook", "heartbeat"] == [each["channel"] for each in ended.documents[:3]]
        assert all(each.keys() == FIELDS for each in ended.documents[:3])
        assert {"type": "summary", "passed": 3, "failed": 0} == ended.documents[3]
        assert "mail\tsent\t\t\nwebhook\tsent\t\t\nheartbeat\tsent\t\t\n" == plain.out
        assert "[bibsync] a test message" == office.mails[0]["Subject"]
        assert "test" == there.posted[0]["kind"]
        assert 2 == there.asked.count("GET /beat")
        assert 2 == len({each["Message-ID"] for each in office.mails})


async def test_what_doesnt_go_is_told_with_its_cause_and_without_the_address(bare: Installation):
    async with post_office(password="another") as office, site() as there:
        there.status = 500
        smtp = office.url("me:canary%20of%20smtp%2F45@")
        bare.configure(more=notify(smtp, f"{there.url()}/{WEBHOOK}", f"{DEAD}/{WEBHOOK}"))

        ended = await bare.run("notify", "test", "--json", "--debug")
        plain = await bare.run("notify", "test", "--debug")
        shown = await bare.run_on_a_terminal("notify", "test")

        assert SMTP in office.asked
    assert [8, 8, 8] == [ended.code, plain.code, shown.code]
    assert ["failed"] * 3 == [each["state"] for each in ended.documents[:3]]
    assert ["undelivered"] * 3 == [each["code"] for each in ended.documents[:3]]
    messages = [each["message"] for each in ended.documents[:3]]
    assert "The mail server refuses user or password." == messages[0]
    assert "It answered 500 (Internal Server Error)." == messages[1]
    assert "Nothing answers at its address." == messages[2]
    assert {"type": "summary", "passed": 0, "failed": 3} == ended.documents[3]
    for each in (ended, plain, shown):
        assert [] == Canaries().leaks("what was said", each.out + each.err)


@pytest.mark.parametrize(
    "lines", ["", '[notify]\nsmtp_url = "smtp://127.0.0.1:9"', '[notify]\non = ["late"]']
)
async def test_where_nobody_is_to_be_told_that_is_said(bare: Installation, lines: str):
    bare.configure(more=lines)

    ended = await bare.run("notify", "test")
    json = await bare.run("notify", "test", "--json")

    assert (0, "") == (ended.code, ended.out)
    assert "Nobody is told of problems" in ended.err
    assert [{"type": "summary", "passed": 0, "failed": 0}] == json.documents
    assert ["bibsync.toml"] == bare.files()

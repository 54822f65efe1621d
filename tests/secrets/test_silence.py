"""Nothing shows a secret: no command, no failure, no traceback, no table, no key, no file."""

import asyncio
import json
import signal
from urllib.parse import quote
from xml.sax.saxutils import escape

import pytest
from aviary import Aviary, Toml, injected
from canary import HEARTBEAT, KEY, PASSWORD, REDIS, SMTP, TOKEN, WEBHOOK
from refusing import refusing

from bibsync.simulator import Answer

NAME = ("--collection", "springfield")
READING = [
    ("config", "check", "--json"),
    ("config", "show"),
    ("config", "show", "--json"),
    ("doctor",),
    ("doctor", "--json"),
    ("run-once", "--all", "--dry-run"),
    ("status",),
    ("status", "--json"),
    ("runs", "list", "--json"),
    ("runs", "show", "1"),
    ("collections", "list", "--json"),
    ("records", "export", *NAME, "--output", "records.jsonl"),
    ("records", "export", *NAME, "--format", "marcxml"),
    ("records", "waiting", *NAME, "--json"),
    ("rejects", "list", *NAME, "--json"),
    ("rejects", "show", "1"),
    ("db", "status"),
]
"""Whatever shows anything, in the forms that show most."""

KEPT = {
    "in the file": KEY,
    "in a file of its own": Toml('{ file = "springfield.key" }'),
    "in the environment": Toml('{ env = "SPRINGFIELD" }'),
    "as a credential": Toml('{ credential = "springfield" }'),
}


@pytest.mark.parametrize("how", KEPT)
async def test_no_command_shows_a_secret_wherever_it_is_kept(aviary: Aviary, how: str):
    aviary.hide("springfield.key", f"{KEY}\n")
    aviary.hide("springfield", KEY)
    aviary.configure(key=KEPT[how])
    places = {"SPRINGFIELD": KEY, "CREDENTIALS_DIRECTORY": str(aviary.installation.folder)}

    synced = await aviary.run("run-once", "--all", "--json", "--debug", **places)
    commands = READING if how == "in the file" else READING[:4]
    codes = {words: (await aviary.run(*words, **places)).code for words in commands}

    assert synced.code == 3
    assert set(codes.values()) <= {0}, codes
    assert len(aviary.vendor.authorised) > 1
    assert await aviary.silent() == []


class Careless:
    """Makes of a right answer one in which the vendor repeats what it was sent; `said` counts."""

    def __init__(self, aviary: Aviary) -> None:
        self._vendor = aviary.vendor
        self.said = 0

    def in_words(self, _: Answer) -> Answer:
        return Answer(kind="echo", body=self._error())

    def in_a_refusal(self, _: Answer) -> Answer:
        return Answer(kind="echo", status=401, body=self._error())

    def in_headers(self, _: Answer) -> Answer:
        self.said += 1
        sent = self._vendor.authorised[-1]
        headers = {"Location": f"https://elsewhere.example/{sent}?{quote(KEY)}", "X-Echo": sent}
        return Answer(kind="echo", status=302, headers=headers)

    def _error(self) -> bytes:
        self.said += 1
        told = escape(f"{KEY} signed {self._vendor.authorised[-1]} so")
        return f"<Error><Code>Gen-001</Code><Message>{told}</Message></Error>".encode()


BAD_DAYS = [
    "redirect",
    "html",
    "reset",
    "cut_body",
    "timeout",
    "gzip_bomb",
    "not_found",
    "http_502",
]


@pytest.mark.parametrize("style", ["json", "console"])
async def test_no_failure_of_the_vendor_shows_a_secret(aviary: Aviary, style: str):
    aviary.configure(style=style, timeout="1s", retries=1)
    careless = Careless(aviary)
    harm = [*BAD_DAYS, careless.in_words, careless.in_a_refusal, careless.in_headers]
    ends = set()
    for each in harm:
        aviary.vendor.next_answers("springfield", [each] * 12)

        ended = await aviary.run("run-once", "--all", "--json", "--debug")

        ends.add(ended.code)
        aviary.vendor._scripts.clear()
    library = aviary.vendor.libraries["springfield"]
    library.refused = True
    refused = await aviary.run("run-once", "--all", "--debug")
    examined = await aviary.run("doctor", "--debug")

    assert ends <= {3, 6}
    assert careless.said >= 3
    assert refused.code == 4
    assert examined.code == 8
    assert await aviary.silent() == []


async def test_no_refused_login_shows_a_password(aviary: Aviary):
    wrong = aviary.redis_url.replace("43", "44")
    async with refusing() as server:
        ended = [
            await aviary.run(*words, "--debug", **environ)
            for words in (("run-once", "--all"), ("doctor",), ("status",))
            for environ in (
                {"BIBSYNC_DATABASE_URL": server.url},
                {"BIBSYNC_DATABASE_URL": server.url.replace("127.0.0.1", "127.0.0.1.invalid")},
                {"BIBSYNC_REDIS_URL": wrong},
                {"BIBSYNC_REDIS_URL": f"redis://:{quote(REDIS, safe='')}@127.0.0.1:9"},
            )
        ]

        assert PASSWORD in server.passwords
    assert [7, 7, 7, 7] == [each.code for each in ended[:4]]
    assert [8, 8, 8, 8] == [each.code for each in ended[4:8]]
    assert [7, 7] == [each.code for each in ended[8:10]]
    aviary.canaries.secrets["wrong password"] = REDIS.replace("43", "44")
    assert await aviary.silent() == []


def quoted(secret: str) -> str:
    return json.dumps(secret, ensure_ascii=False)


MISTAKES = {
    "a text that never ends": f'account_key = "{PASSWORD}',
    "a text that ends early": f'account_key = "{PASSWORD}" {PASSWORD}',
    "no quotes": f"account_key = {PASSWORD}",
    "an escape that is none": f'account_key = "\\q{PASSWORD}"',
    "a control": f'account_key = "{PASSWORD}\\u0007"',
    "a list": f'account_key = ["{PASSWORD}"]',
    "a table of no keeper": f'account_key = {{ text = "{PASSWORD}" }}',
    "a table of two": f'account_key = {{ file = "x", env = "y", text = "{PASSWORD}" }}',
    "a name misspelt": f'acount_key = "{PASSWORD}"',
    "a name twice": f'account_key = "{PASSWORD}"\naccount_key = "{PASSWORD}"',
    "an address of another kind": f'[database]\nurl = "mysql://me:{PASSWORD}@host/db"',
    "an address with a bad port": f'[redis]\nurl = "redis://:{PASSWORD}@host:port"',
    "an address with a bad option": f'[redis]\nurl = "redis://host?{TOKEN}=1"',
    "a token with blanks": f'[web]\noperator_token = "{TOKEN} {TOKEN}"',
    "a mailer of another kind": f'[notify]\nsmtp_url = "http://me:{SMTP}@host"',
    "a webhook of another kind": f'[notify]\nwebhook_url = "ftp://host/{WEBHOOK}"',
    "a heartbeat without a host": f'[notify]\nheartbeat_url = "https:///{HEARTBEAT}"',
    "a list of webhooks": f'[notify]\nwebhook_url = ["https://host/{WEBHOOK}"]',
}


@pytest.mark.parametrize("mistake", MISTAKES)
async def test_no_mistake_in_the_configuration_shows_the_secret_on_its_line(
    aviary: Aviary, mistake: str
):
    lines = MISTAKES[mistake]
    config = aviary.installation.config
    entry = (
        '[[collections]]\nname = "x"\nsource = "bibliotheca"\nlibrary_id = "x"\naccount_id = "x"\n'
    )
    config.write_text(lines if lines.startswith("[") else f"{entry}{lines}\n")

    checked = await aviary.run("config", "check", "--json", "--debug")
    shown = await aviary.run("config", "show", "--debug")

    assert (checked.code, shown.code) == (5, 5)
    assert await aviary.silent() == []


@pytest.mark.parametrize(
    "variable",
    ["DATABASE_URL", "REDIS_URL", "NOTIFY__WEBHOOK_URL", "WEB__OPERATOR_TOKEN", "NOTIFY__SMTP_URL"],
)
async def test_no_mistake_in_the_environment_shows_the_secret(aviary: Aviary, variable: str):
    wrong = {f"BIBSYNC_{variable}": f"no://{TOKEN} {WEBHOOK}:{SMTP}@\x07"}

    checked = await aviary.run("config", "check", "--debug", **wrong)

    assert checked.code == 5
    assert await aviary.silent() == []


DEFECTS = {
    "where a request is signed": """
import bibsync.sources.bibliotheca as vendor
true = vendor.signature
def defect(key, method, path, at):
    signed = true(key, method, path, at)
    raise RuntimeError("injected")
vendor.signature = defect
""",
    "where an answer is read": """
import aiohttp
async def defect(pieces, **settings):
    raise RuntimeError("injected")
import bibsync.sources.http as http
http.body.read = defect
""",
    "where aiohttp refuses": """
import aiohttp
from aiohttp import client_reqrep
async def defect(self, connection):
    raise aiohttp.ClientResponseError(self.request_info, (), status=400,
        message=str(self.headers or self.request_info), headers=self.request_info.headers)
client_reqrep.ClientResponse.start = defect
""",
    "where the database is opened": """
import asyncpg
async def defect(url, **settings):
    raise RuntimeError("injected")
asyncpg.create_pool = defect
""",
    "where Redis is opened": """
import bibsync.replicas as replicas
def defect(*arguments, **settings):
    held = [getattr(each, "get_secret_value", str)() for each in arguments]
    raise RuntimeError("injected")
replicas.coordinated = defect
""",
}


@pytest.mark.parametrize("style", ["json", "console"])
@pytest.mark.parametrize("where", DEFECTS)
async def test_no_traceback_of_a_defect_shows_what_the_program_held(
    aviary: Aviary, where: str, style: str
):
    aviary.configure(style=style)
    environ = injected(aviary.installation.folder, DEFECTS[where])

    words = ("run-once", "--all", "--debug")
    ended = await aviary.heard(await aviary.installation.start(*words, **environ), *words)

    assert ended.code == (6 if "aiohttp" in where else 1), ended.err
    assert "injected" in ended.err or "aiohttp" in where
    assert await aviary.silent() == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
async def test_no_run_that_is_stopped_shows_a_secret(aviary: Aviary, number: signal.Signals):
    arrived = asyncio.Event()
    aviary.vendor.next_answers("springfield", ["ok", "timeout"])
    aviary.vendor.then(2, arrived.set)
    words = ("run-once", "--all", "--debug", "--json")
    running = await aviary.installation.fork(*words)
    async with asyncio.timeout(60):
        await arrived.wait()
    running.send(number)

    ended = await aviary.heard(running, *words)

    assert ended.code in {130, 143}
    assert await aviary.silent() == []


async def test_the_demo_shows_nothing_of_the_surroundings(aviary: Aviary):
    environ = {
        "BIBSYNC_CONFIG": str(aviary.installation.config),
        "BIBSYNC_DATABASE_URL": f"postgresql://me:{PASSWORD}@127.0.0.1:9/db",
        "BIBSYNC_REDIS_URL": aviary.redis_url,
        "TMPDIR": str(aviary.installation.folder),
    }

    ended = await aviary.run("demo", "--debug", **environ)

    assert ended.code == 0, ended.err
    assert await aviary.silent() == []

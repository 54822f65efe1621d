"""An installation with a canary in every secret; it remembers whatever came out, anywhere.

`silent` searches all of it: what processes wrote and how they were called, the files that they
left, each row of each table, each key of Redis. The signatures that the vendor saw count as
secrets.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import asyncpg
import redis
from canary import HEARTBEAT, KEY, PASSWORD, REDIS, SMTP, TOKEN, WEBHOOK, Canaries, Leak
from installation import Installation, Running
from watched import Watched

from bibsync.simulator import Answer, Library
from bibsync.simulator.request import Request
from tests.redis_server import RedisServer

TABLES = """
select format('select row_to_json(t)::text from %I.%I t', schemaname, tablename)
from pg_tables where schemaname not in ('pg_catalog', 'information_schema')
union all values ('select row_to_json(t)::text from pg_stat_activity t'),
    ('select row_to_json(t)::text from pg_settings t')
"""
NOTIFY = f"""
[web]
operator_token = {json.dumps(TOKEN)}
[notify]
email_to = ["librarian@library.example"]
smtp_url = "smtps://me:{quote(SMTP, safe="")}@mail.example"
webhook_url = "https://hooks.example/services/{WEBHOOK}?token={WEBHOOK}"
heartbeat_url = "https://beat.example/ping/{HEARTBEAT}"
"""


@dataclass(frozen=True, slots=True)
class Toml:
    """A value as TOML has it."""

    text: str

    def __str__(self) -> str:
        return self.text


class Signed(Watched):
    """A vendor that remembers what each request was authorised with."""

    def __init__(self, libraries: list[Library]) -> None:
        super().__init__(libraries, hang_s=5.0)
        self.authorised: list[str] = []

    def answer(self, request: Request) -> Answer:
        self.authorised.append(request.headers.get("3mcl-Authorization", ""))
        return super().answer(request)


@dataclass(frozen=True, slots=True)
class Said:
    """What a process wrote, and how it ended."""

    code: int
    out: str
    err: str


class Aviary:
    """The installation, its vendor, its Redis, and all that was ever said."""

    def __init__(self, installation: Installation, library: Library, redis: RedisServer) -> None:
        self.installation = installation
        self.vendor = Signed([library])
        self.canaries = Canaries()
        self._redis = redis
        self._heard: list[tuple[str, str | bytes]] = []
        database, _, _ = (installation.database or "").rpartition("password=")
        self.reachable = database.rstrip("?&")
        installation.database = f"{database}password={quote(PASSWORD)}"
        self._own = {"bibsync.toml"}

    @property
    def redis_url(self) -> str:
        return f"redis://:{quote(REDIS, safe='')}@127.0.0.1:{self._redis.port}/0"

    def configure(
        self, *, key: object = KEY, log: str = "debug", style: str = "json", **settings: object
    ) -> None:
        """Write the configuration; `key` is how it names the account's key."""
        more = f'[redis]\nurl = "{self.redis_url}"\n[log]\nlevel = "{log}"\nformat = "{style}"\n'
        self.installation.configure(
            self.vendor.collections(account_key=key, **settings), more=more + NOTIFY
        )

    def hide(self, name: str, text: str) -> Path:
        """Write a file of the user's own, in which a secret may stand."""
        file = self.installation.folder / name
        file.touch(mode=0o600)
        file.write_text(text)
        self._own.add(name)
        return file

    async def run(self, *words: object, **environ: str) -> Said:
        """Run a command to its end and remember it, tracebacks and all."""
        return await self.heard(await self.installation.fork(*words, **environ), *words)

    async def heard(self, running: Running, *words: object) -> Said:
        """Remember what a process has to say until its end."""
        name = " ".join(map(str, words))
        self._note(f"the words of {name}", _words_of(running.process.pid))
        out, err = await running.process.communicate()
        self._note(f"stdout of {name}", out)
        self._note(f"stderr of {name}", err)
        code = running.process.returncode
        assert code is not None
        return Said(code, out.decode(), err.decode())

    async def silent(self) -> list[Leak]:
        """Return every leak in all that was said, and in all that lies anywhere by now."""
        self.canaries.add_signatures(self.vendor.authorised)
        self._note("the log of the vendor", json.dumps(self.vendor.log.as_json(), default=str))
        for file in self.installation.folder.rglob("*"):
            if file.is_file() and file.name not in self._own:
                self._note(f"the file {file.name}", file.read_bytes())
                self._note("the name of a file", str(file))
        await self._note_tables()
        self._note_keys()
        return [leak for where, text in self._heard for leak in self.canaries.leaks(where, text)]

    def _note(self, where: str, text: str | bytes) -> None:
        self._heard.append((where, text))

    async def _note_tables(self) -> None:
        conn: Any = await asyncpg.connect(self.reachable)
        try:
            for [query] in await conn.fetch(TABLES):
                rows = [row[0] for row in await conn.fetch(query)]
                self._note(f"rows of {query}", "\n".join(rows))
        finally:
            await conn.close()

    def _note_keys(self) -> None:
        with redis.Redis.from_url(self.redis_url, protocol=2) as client:
            for key in client.scan_iter():
                self._note("a key of Redis", key)
                kind = client.type(key)
                held = client.get(key) if kind == b"string" else client.dump(key)
                self._note(f"the value of {key!r}", held or b"")


def _words_of(process: int) -> bytes:
    """Return what everybody on this machine can see of a process; nothing once it has ended."""
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes()
    except OSError:
        return b""


def injected(folder: Path, fault: str) -> Mapping[str, str]:
    """Return the environment of a process in which this piece of Python runs before the program.

    It is no part of the program, so a process that is to have it is started from nothing.
    """
    place = folder / "injected"
    place.mkdir()
    (place / "sitecustomize.py").write_text(fault)
    return {"PYTHONPATH": os.pathsep.join([str(place), os.environ.get("PYTHONPATH", "")])}

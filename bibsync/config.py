"""The configuration in force: one frozen `Config` out of file, environment and defaults.

`find` chooses the file, `load` gives a `Config` or raises ConfigInvalid with every problem at
once, each with its line. Nothing is changed and nobody is asked: only the file and the secrets
that it names are read. How values are written, and their ranges, is the matter of `settings`.
"""

import os
from collections.abc import Callable, Collection as Names, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from bibsync.collection import Collection, Sync
from bibsync.errors import ConfigInvalid, NotFound
from bibsync.settings import addresses, file, keys, places, shapes, values
from bibsync.settings.layers import Layers, Origin, Section, Setting, Shown, Table
from bibsync.settings.shapes import Cleanup, Daemon, Database, Log, Notify, Redis, Schedule, Web
from bibsync.settings.values import Unfit, quote
from bibsync.sources import SOURCES

__all__ = [
    "Cleanup",
    "Config",
    "Daemon",
    "Database",
    "Log",
    "Notify",
    "Redis",
    "Schedule",
    "Shown",
    "Web",
    "find",
    "load",
    "reloaded",
    "show",
]

PLACES = (Path("bibsync.toml"), Path("/etc/bibsync/bibsync.toml"))
"""Where a configuration is looked for that nobody has named."""
NEED_RESTART = ("state_dir", "database", "redis")
"""Settings that a process keeps until its end; the address that it listens at is another."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Everything that is in force. `path` is None where there is no file.

    `sync` holds the defaults that each collection's own Sync is built upon. `warnings` are
    sentences with their places.
    """

    path: Path | None
    timezone: ZoneInfo
    state_dir: Path
    database: Database
    redis: Redis
    daemon: Daemon
    log: Log
    web: Web
    sync: Sync
    collections: tuple[Collection, ...]
    schedules: tuple[Schedule, ...]
    cleanup: Cleanup
    notify: Notify
    warnings: tuple[str, ...] = field(compare=False)
    shown: tuple[Shown, ...] = field(compare=False, repr=False)

    def chosen(self, names: Names[str] | None) -> list[Collection]:
        """Return the collections of these names, all where there are none, in the file's order.

        Raises:
            NotFound: a name stands nowhere in the configuration.
        """
        known = [each.name for each in self.collections]
        for name in names or ():
            if name not in known:
                there = ", ".join(f'"{each}"' for each in known) or "none"
                sentence = f'There is no collection "{name}".'
                raise NotFound(sentence, remedy=f"The configuration has: {there}.")
        return [each for each in self.collections if not names or each.name in names]


def find(option: Path | None, environ: Mapping[str, str]) -> Path | None:
    """Return the file to load: `option`, $BIBSYNC_CONFIG, or the first of PLACES that exists.

    None where there is none: defaults and environment are all then.

    Raises:
        ConfigInvalid: the file that option or variable name doesn't exist.
    """
    variable = environ.get("BIBSYNC_CONFIG")
    if option is None and not variable:
        return next((place for place in PLACES if _exists(place)), None)
    named = option or Path(variable or "")
    if not _exists(named):
        origin = "--config" if option else "BIBSYNC_CONFIG"
        sentence = f"{origin}: there is no file {quote(str(named))}"
        raise ConfigInvalid((sentence,), remedy="Write one with `bibsync init`, or name another.")
    return named


def load(path: Path | None, environ: Mapping[str, str], *, settled: bool = False) -> Config:
    """Read, layer and check everything; `environ` also says where state and credentials are.

    `settled` is for a file that somebody may be writing just now: it takes 0.2 to 3 seconds more.

    Raises:
        ConfigInvalid: with every problem, each `FILE:LINE: place: sentence`.
    """
    layers = Layers(file.read(path, settled=settled) if path else file.File(), environ)
    top = _top(layers)
    parts: dict[str, Any] = {name: _section(layers, name) for name in keys.SECTIONS}
    collections, names = _collections(layers, parts["sync"])
    schedules = _schedules(layers, top.get("timezone"), names)
    warnings = layers.finish()
    return Config(
        path=path,
        **top,
        **parts,
        collections=collections,
        schedules=schedules,
        warnings=warnings,
        shown=tuple(layers.shown),
    )


def reloaded(before: Config, after: Config) -> tuple[Config, list[str]]:
    """Return what is in force once a process goes over from one to the other.

    What only a restart can change stays as it was; the settings that do are named.
    """
    kept = [name for name in NEED_RESTART if getattr(before, name) != getattr(after, name)]
    if before.web.listen != after.web.listen:
        kept.append("web.listen")
    web = replace(after.web, listen=before.web.listen)
    same = {name: getattr(before, name) for name in NEED_RESTART}
    return replace(after, web=web, **same), kept


def show(config: Config) -> Iterator[Shown]:
    """Yield each value in force and where it is from; secrets are masked.

    Of a collection only what it sets itself: the rest is told under `sync`.
    """
    yield from config.shown


def _exists(path: Path) -> bool:
    """Tell whether anything stands there, a dangling link or an unreadable file included."""
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return False
    except OSError:
        return True
    return True


def _top(layers: Layers) -> dict[str, Any]:
    """Read what stands above all tables, and refuse tables that there are not."""
    environ = layers.environ
    tables = (*keys.SECTIONS, "collections", "schedules")
    folder = Path() if environ.get("BIBSYNC_STATE_DIR") else layers.file.folder
    table = Table(
        shapes.Top,
        {
            "timezone": Setting(values.zone),
            "state_dir": Setting(places.folder(places.home(environ), folder)),
        },
        tables=tables,
    )
    top = layers.section(table, layers.file.document, at=(), place="", shown_as="")
    given = dict(top.given)
    try:
        given.setdefault("timezone", values.zone(shapes.Top().timezone))
        if "state_dir" not in given:
            at, origin = places.state_dir(environ, root=os.geteuid() == 0)
            layers.shown.append(Shown("state_dir", values.shown(at), origin))
            given["state_dir"] = at
    except Unfit as unfit:
        missing = "state_dir" if "timezone" in given else "timezone"
        layers.problem(top, None, f"{missing} {unfit}")
    return given


def _section(layers: Layers, name: str) -> object:
    table, written = keys.SECTIONS[name], layers.file.document.get(name, {})
    section = layers.section(table, written, at=(name,), place=name, shown_as=f"{name}.")
    read = table.shape(**section.given)
    _CHECKS.get(name, _nothing)(layers, section, read)
    return read


def _check_redis(layers: Layers, section: Section, redis: Redis) -> None:
    if redis.url and addresses.redis_in_clear(redis.url.get_secret_value()):
        sentence = "url crosses the network unencrypted; use rediss, unless that network is private"
        layers.warn(section, section.origins["url"], sentence)


def _check_web(layers: Layers, section: Section, web: Web) -> None:
    if not addresses.is_loopback(web.listen.host):
        sentence = "listen is beyond loopback without encryption; put a proxy with HTTPS before it"
        layers.warn(section, section.origins["listen"], sentence)


def _check_notify(layers: Layers, section: Section, notify: Notify) -> None:
    if notify.email_to and not notify.smtp_url:
        layers.warn(section, section.origins["email_to"], "email_to needs smtp_url; none is sent")
    for key, url in (("webhook_url", notify.webhook_url), ("heartbeat_url", notify.heartbeat_url)):
        if url and addresses.in_clear(url.get_secret_value()):
            layers.warn(section, section.origins[key], f"{key} crosses the network unencrypted")


def _check_windows(layers: Layers, section: Section, sync: Sync) -> None:
    written = section.origins.keys() & {"window", "max_window"}
    if sync.window > sync.max_window and written and written <= section.given.keys():
        places = (section.origins[key] for key in ("window", "max_window") if key in written)
        origin = max(places, key=lambda place: place.line)  # whatever came later is at fault
        widths = f"window {values.shown(sync.window)} is wider than max_window"
        layers.problem(section, origin, f"{widths} {values.shown(sync.max_window)}")


def _collections(layers: Layers, defaults: Sync) -> tuple[tuple[Collection, ...], set[str]]:
    """Return the collections, and the names of all, the unsound ones included."""
    table = Table(Collection, {**keys.account(tuple(SOURCES)), **keys.SYNC})
    collections: list[Collection] = []
    names: dict[str, Origin] = {}
    accounts: dict[tuple[str, ...], str] = {}
    for section in layers.sections(table, "collections"):
        _refuse_taken(layers, section, section.given.get("name"), names)
        own = {key: value for key, value in section.given.items() if key in keys.SYNC}
        account = {key: value for key, value in section.given.items() if key not in own}
        sync = replace(defaults, **own)
        _check_windows(layers, section, sync)
        if section.sound:
            collections.append(Collection(**account, sync=sync))
            _warn_of_account(layers, section, collections[-1], accounts)
    return tuple(collections), set(names)


def _refuse_taken(
    layers: Layers, section: Section, name: str | None, names: dict[str, Origin]
) -> None:
    """Note in `names` that the name is taken, or that it was already."""
    if name is None:
        return
    if name in names:
        origin = section.origins.get("name") or section.origins.get("job")
        layers.problem(section, origin, f"the name is taken already, at {names[name].text}")
    names.setdefault(name, layers.origin(section.at))


def _warn_of_account(
    layers: Layers, section: Section, one: Collection, accounts: dict[tuple[str, ...], str]
) -> None:
    if addresses.in_clear(one.base_url):
        sentence = "base_url crosses the network unencrypted; use https"
        layers.warn(section, section.origins["base_url"], sentence)
    account = (one.source, one.base_url, one.library_id, one.account_id)
    if account in accounts:
        sentence = f"this is the account of collections {quote(accounts[account])} again"
        layers.warn(section, section.origins["account_id"], sentence)
    accounts.setdefault(account, one.name)


def _schedules(
    layers: Layers, timezone: ZoneInfo | None, collections: set[str]
) -> tuple[Schedule, ...]:
    """Return the schedules that the file gives; the built-in ones are the daemon's matter."""
    schedules: list[Schedule] = []
    names: dict[str, Origin] = {}
    for section in layers.sections(keys.SCHEDULE, "schedules"):
        given = section.given
        if "name" not in section.origins:
            given["name"] = given.get("job")
        given.setdefault("timezone", timezone)
        _refuse_taken(layers, section, given.get("name"), names)
        for unknown in [name for name in given.get("collections", ()) if name not in collections]:
            sentence = f"there is no collection {quote(unknown)}"
            hint = values.suggestion(unknown, sorted(collections))
            layers.problem(section, section.origins["collections"], sentence + hint)
        if given.get("collections") and given.get("job") not in {None, *keys.JOBS_OF_EACH}:
            sentence = f"{quote(str(given.get('job')))} is about all collections, not about some"
            layers.problem(section, section.origins["collections"], sentence)
        when = section.origins.keys() & {"cron", "at"}
        if len(when) > 1 or (not when and given.get("enabled", True)):
            layers.problem(section, None, "exactly one of cron and at must be given")
        if section.sound and given["timezone"]:
            if "at" in given:
                given["at"] = _in_utc(given["at"], given["timezone"])
            schedules.append(Schedule(**given))
    return tuple(schedules)


def _in_utc(when: datetime, timezone: ZoneInfo) -> datetime:
    return (when if when.tzinfo else when.replace(tzinfo=timezone)).astimezone(UTC)


def _nothing(_layers: Layers, _section: Section, _read: Any) -> None:
    """Nothing more is to be checked of this section."""


_CHECKS: Mapping[str, Callable[[Layers, Section, Any], None]] = {
    "redis": _check_redis,
    "web": _check_web,
    "sync": _check_windows,
    "notify": _check_notify,
}

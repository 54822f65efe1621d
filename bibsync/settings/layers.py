"""The file with the environment above it: which value counts, where it is from, what is wrong.

`Layers` collects every problem and every warning on its way, each with its place
(`bibsync.toml:9`, or the variable's name), and raises them all at once in `finish`.
"""

import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, dataclass, field, fields
from typing import Any

from bibsync.errors import ConfigInvalid
from bibsync.settings import secret, values
from bibsync.settings.file import File
from bibsync.settings.toml_lines import KeyPath
from bibsync.settings.values import Unfit, quote

SHORT = {("database", "url"): "BIBSYNC_DATABASE_URL", ("redis", "url"): "BIBSYNC_REDIS_URL"}
FREE = "BIBSYNC_TEST_"
"""Variables that begin so belong to the tests."""
FILE_ONLY = ("BIBSYNC_COLLECTIONS__", "BIBSYNC_SCHEDULES__")

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_BEHIND_THE_FILE = 10**9
_LIKE_A_NAME = 0.85  # the names of variables begin alike


@dataclass(frozen=True, slots=True)
class Setting:
    """One key of a table: how it is read, and what else is known about it."""

    read: values.Reader
    required: bool = False
    plural: bool = False
    """A list; in the environment its elements may stand between commas."""
    secret: bool = False
    harmless: Callable[[str], bool] = lambda _: False
    """Tells of a secret's text that it may stand in a file that others can read."""


@dataclass(frozen=True, slots=True)
class Table:
    """A table of the file: the dataclass with its defaults, and its keys."""

    shape: type
    settings: Mapping[str, Setting]
    tables: tuple[str, ...] = ()
    """Keys that are tables themselves, read apart."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A value in force: its dotted key, its written form (secrets masked) and where it is from."""

    key: str
    value: str
    origin: str


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a value stands: `bibsync.toml:12` or a variable's name; `line` is for the order."""

    text: str
    line: int


@dataclass(slots=True)
class Section:
    """What a table gave: `given` holds what was written and read well, `origins` all written.

    `sound` tells that nothing at all was wrong.
    """

    at: KeyPath
    place: str
    given: dict[str, Any] = field(default_factory=dict)
    origins: dict[str, Origin] = field(default_factory=dict)
    sound: bool = True


class Layers:
    """One look at file and environment; sections are read one by one, then `finish` judges."""

    def __init__(self, file: File, environ: Mapping[str, str]) -> None:
        self.file = file
        self.environ = environ
        self.shown: list[Shown] = []
        self._problems: list[tuple[int, str]] = []
        self._warnings: list[tuple[int, str]] = []
        self._known_variables: set[str] = set()
        self._named_variables: set[str] = set()
        self._open_secrets: list[Origin] = []

    def section(
        self, table: Table, written: object, *, at: KeyPath, place: str, shown_as: str
    ) -> Section:
        """Read a table's settings; whatever is wrong with one is a problem and leaves it out."""
        section = Section(at, place)
        if not isinstance(written, dict):
            self.problem(section, None, "must be a table of keys and values")
            written, guessed = {}, set(table.settings)
        else:
            guessed = self._refuse_unknown(section, table, written)
        for key, setting in table.settings.items():
            self._read(section, key, setting, written)
            if setting.required and key not in written and key not in guessed:
                self.problem(section, None, f"{key} is missing")
        self._show(section, table, shown_as)
        return section

    def sections(self, table: Table, name: str) -> Iterator[Section]:
        """Read each table of the list `[[name]]`; the environment doesn't reach into lists."""
        written = self.file.document.get(name, [])
        if not isinstance(written, list):
            whole = Section((name,), name)
            self.problem(whole, None, f"is a list: each begins with a line [[{name}]]")
            return
        for number, each in enumerate(written):
            own = each.get("name", each.get("job")) if isinstance(each, dict) else None
            label, key = f"number {number + 1}", str(number + 1)
            if isinstance(own, str):
                label, key = quote(own), _key(own)
            shown_as = f"{name}.{key}."
            at = (name, number)
            yield self.section(table, each, at=at, place=f"{name} {label}", shown_as=shown_as)

    def origin(self, at: KeyPath) -> Origin:
        """Return where in the file `at` stands, or the nearest table around it."""
        while at and at not in self.file.lines:
            at = at[:-1]
        line = self.file.lines.get(at, 1)
        return Origin(f"{self.file.name}:{line}" if self.file.name else "default", line)

    def problem(self, section: Section, origin: Origin | None, sentence: str) -> None:
        """Note what makes the configuration unusable; None: the section as a whole."""
        section.sound = False
        self._problems.append(_message(section, origin or self.origin(section.at), sentence))

    def warn(self, section: Section, origin: Origin, sentence: str) -> None:
        """Note what works but should not stay so."""
        self._warnings.append(_message(section, origin, sentence))

    def finish(self) -> tuple[str, ...]:
        """Return the warnings.

        Raises:
            ConfigInvalid: with every problem, in the order of the file, then of the variables.
        """
        self._refuse_unknown_variables()
        if self._open_secrets and self.file.open_to_others:
            first = min(self._open_secrets, key=lambda origin: origin.line)
            sentence = "a secret stands here and other users can read this file; chmod 600 it"
            self._warnings.append((first.line, f"{first.text}: {sentence}"))
        if self._problems:
            raise ConfigInvalid(tuple(text for _, text in sorted(self._problems, key=_line)))
        return tuple(text for _, text in sorted(self._warnings, key=_line))

    def _read(
        self, section: Section, key: str, setting: Setting, written: Mapping[str, Any]
    ) -> None:
        """Read one setting where it stands highest: environment, then file."""
        if setting.secret:
            self._named_variables |= secret.variables(written.get(key))
        variable = self._variable(section, key)
        if variable is None and key not in written:
            return
        origin = Origin(variable, _BEHIND_THE_FILE) if variable else self.origin((*section.at, key))
        try:
            if setting.secret:
                there = {"env": variable} if variable else written[key]
                value = self._secret(section, key, setting, there, origin)
            elif variable:
                value = _from_variable(setting, self.environ[variable])
            else:
                value = setting.read(written[key])
            section.given[key] = value
        except Unfit as unfit:
            self.problem(section, origin, f"{key} {unfit}")
        section.origins[key] = origin

    def _secret(
        self, section: Section, key: str, setting: Setting, there: object, origin: Origin
    ) -> object:
        kept = secret.kept(there, folder=self.file.folder, environ=self.environ)
        value = setting.read(kept.text)
        if kept.inline and not setting.harmless(kept.text):
            self._open_secrets.append(origin)
        if kept.exposed:
            sentence = f"{key} is in {quote(kept.exposed)}, which every user here can read"
            self.warn(section, origin, sentence)
        return value

    def _variable(self, section: Section, key: str) -> str | None:
        """Return the variable that sets this key, None where none does; an empty one does not."""
        match section.at:
            case ():
                names = [f"BIBSYNC_{key}".upper()]
            case (str() as table,):
                names = [f"BIBSYNC_{table}__{key}".upper(), SHORT.get((table, key), "")]
            case _:
                return None
        self._known_variables.update(names)
        names = [name for name in names if self.environ.get(name)]
        if len({self.environ[name] for name in names}) > 1:
            origin = Origin(names[0], _BEHIND_THE_FILE)
            self.problem(section, origin, f"{names[1]} sets {key} too, to something else")
        return names[0] if names else None

    def _refuse_unknown(
        self, section: Section, table: Table, written: Mapping[str, Any]
    ) -> set[str]:
        """Note every key that the table doesn't have; return those that were probably meant."""
        guessed = set()
        known = (*table.settings, *table.tables)
        for key in written:
            if key in known:
                continue
            near = values.nearest(key, [word for word in known if word not in written])
            hint = f"; did you mean {quote(near)}?" if near else ""
            origin = self.origin((*section.at, key))
            self.problem(section, origin, f"unknown key {quote(key)}{hint}")
            guessed.add(near or "")
        return guessed

    def _refuse_unknown_variables(self) -> None:
        known = sorted(self._known_variables - {""})
        for name in sorted(self.environ):
            free = name.startswith(FREE) or name in self._named_variables | self._known_variables
            if not name.startswith("BIBSYNC_") or "__" not in name or free:
                continue
            sentence = f"unknown variable{values.suggestion(name, known, likeness=_LIKE_A_NAME)}"
            if name.startswith(FILE_ONLY):
                sentence = "collections and schedules stand in the file only"
            self._problems.append((_BEHIND_THE_FILE, f"{values.plain(name)}: {sentence}"))

    def _show(self, section: Section, table: Table, shown_as: str) -> None:
        defaults = _defaults(table.shape)
        for key in table.settings:
            if key in section.given:
                value, origin = section.given[key], section.origins[key].text
            elif key in defaults:
                value, origin = defaults[key], "default"
            else:
                continue
            self.shown.append(Shown(f"{shown_as}{key}", values.shown(value), origin))


def _defaults(shape: type) -> dict[str, Any]:
    """Return what a dataclass's fields are where nothing is given."""
    defaults = {}
    for each in fields(shape):
        if each.default is not MISSING:
            defaults[each.name] = each.default
        elif each.default_factory is not MISSING:
            defaults[each.name] = each.default_factory()
    return defaults


def _message(section: Section, origin: Origin, sentence: str) -> tuple[int, str]:
    place = f"{section.place}: " if section.place else ""
    return origin.line, f"{origin.text}: {place}{sentence}"


def _line(message: tuple[int, str]) -> int:
    return message[0]


def _key(text: str) -> str:
    """Return `text` as a key of TOML, quoted where it must be."""
    return text if _BARE_KEY.fullmatch(text) else quote(text)


def _from_variable(setting: Setting, text: str) -> object:
    """Read a variable: as text, else as TOML would (8, true, ["1d"]), lists with commas too."""
    try:
        parsed = tomllib.loads(f"value = {text}")
        toml = parsed["value"] if len(parsed) == 1 else text
    except (ValueError, RecursionError):
        toml = text
    if setting.plural:
        return setting.read(
            toml if isinstance(toml, list) else [e.strip() for e in text.split(",")]
        )
    try:
        return setting.read(text)
    except Unfit:
        return setting.read(toml)

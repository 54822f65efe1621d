"""On which line each key of a TOML document stands, for messages: tomllib doesn't tell.

`lines` only looks at structure (headers, keys, brackets, strings) and trusts that tomllib has
accepted the text before; on any other text its answer has no meaning.
"""

import re
import tomllib

KeyPath = tuple[str | int, ...]
"""Where a value stands: keys, and places in lists counted from 0."""

_BLANK = re.compile(r"[ \t]*")
_BETWEEN = re.compile(r"(?:[ \t\n,]|#[^\n]*)*")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_STRING = re.compile(
    r'"""(?:[^"\\]|\\.|"{1,2}(?!"))*"{3,5}'
    r"|'''(?:[^']|'{1,2}(?!'))*'{3,5}"
    r'|"(?:[^"\\]|\\.)*"'
    r"|'[^']*'",
    re.DOTALL,
)
_SCALAR = re.compile(r"[^,\]}#\n]+")


def lines(text: str) -> dict[KeyPath, int]:
    """Return the line, from 1, on which each table, key and list element of `text` begins."""
    scan = _Scan(text.replace("\r\n", "\n"))
    scan.document()
    return scan.lines


class _Scan:
    """One pass over a document; `at` is the character that is looked at."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.line = 1
        self.lines: dict[KeyPath, int] = {}
        self.last: dict[KeyPath, int] = {}  # list of tables -> its newest element

    def document(self) -> None:
        table: KeyPath = ()
        while self._next():
            table = self._header() if self._sees("[") else self._pair(table)

    def _header(self) -> KeyPath:
        """Pass `[a.b]` or `[[a.b]]` and return the table that it opens, recorded."""
        brackets = "[[" if self._sees("[[") else "["
        self.at += len(brackets)
        line, keys = self.line, self._key()
        self.at += len(brackets)
        path = (*self._under((), keys[:-1], line), keys[-1])
        self.lines.setdefault(path, line)
        if brackets == "[[":
            self.last[path] = self.last.get(path, -1) + 1
        return self._under(path[:-1], path[-1:], line)

    def _under(self, path: KeyPath, keys: KeyPath, line: int) -> KeyPath:
        """Return `path` lengthened by `keys`, inside the newest element of each list of tables."""
        for key in keys:
            path += (key,)
            self.lines.setdefault(path, line)
            if path in self.last:
                path += (self.last[path],)
                self.lines.setdefault(path, line)
        return path

    def _pair(self, table: KeyPath) -> KeyPath:
        """Pass `key = value` inside `table`, record all that it names, and return `table`."""
        path = table
        for key in self._key():
            path += (key,)
            self.lines.setdefault(path, self.line)
        self.at += len("=")
        self._pass(_BLANK)
        self._value(path)
        return table

    def _value(self, path: KeyPath) -> None:
        if self._sees("["):
            self._list(path)
        elif self._sees("{"):
            self.at += 1
            while self._next() != "}":
                self._pair(path)
            self.at += 1
        elif self._sees('"') or self._sees("'"):
            self._pass(_STRING)
        else:
            self._pass(_SCALAR)

    def _list(self, path: KeyPath) -> None:
        self.at += 1
        place = 0
        while self._next() != "]":
            self.lines[(*path, place)] = self.line
            self._value((*path, place))
            place += 1
        self.at += 1

    def _key(self) -> KeyPath:
        """Pass a dotted key, the blanks around it included, and return its parts."""
        parts = [self._key_part()]
        while self._sees("."):
            self.at += 1
            parts.append(self._key_part())
        return tuple(parts)

    def _key_part(self) -> str:
        self._pass(_BLANK)
        quoted = self._sees('"') or self._sees("'")
        part = self._pass(_STRING if quoted else _BARE_KEY)
        self._pass(_BLANK)
        return str(tomllib.loads(f"part = {part}")["part"]) if quoted else part

    def _next(self) -> str:
        """Pass blanks, line ends, commas and comments; return the sign behind, "" at the end."""
        self._pass(_BETWEEN)
        return self.text[self.at : self.at + 1]

    def _sees(self, sign: str) -> bool:
        return self.text.startswith(sign, self.at)

    def _pass(self, pattern: re.Pattern[str]) -> str:
        """Move behind what `pattern` matches here, counting lines, and return it."""
        match = pattern.match(self.text, self.at)
        if match is None:
            raise ValueError(f"line {self.line} isn't TOML: tomllib has not accepted it")
        self.line += match[0].count("\n")
        self.at = match.end()
        return match[0]

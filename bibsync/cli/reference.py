"""The page of commands, docs/commands.md: its generated parts are what `--help` says.

`python -m bibsync.cli.reference docs/commands.md` writes anew what stands between a line
`<!-- bibsync status -->` and the next `<!-- end -->`: that command's purpose, examples and options.
All else on the page is a person's, who says what a command's JSON means.
"""

import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import typer
from typer.core import TyperGroup

from bibsync import cli

PROGRAM: Final = "bibsync"
PART: Final = re.compile(r"(<!-- (bibsync[a-z -]*) -->\n).*?(<!-- end -->)", re.DOTALL)


def commands() -> dict[str, Any]:
    """Return every command under its whole name, bibsync itself first."""
    top = typer.main.get_command(cli.app())
    return {PROGRAM: top} | dict(_below(PROGRAM, top))


def groups() -> dict[str, Any]:
    """Return every group of commands under its whole name."""
    top: Any = typer.main.get_command(cli.app())
    each = top.commands.items()
    return {f"{PROGRAM} {word}": group for word, group in each if isinstance(group, TyperGroup)}


def help_of(command: Any) -> list[str]:
    """Return the paragraphs of a command's help: its purpose, examples, and what else is said."""
    return inspect.cleandoc(command.help).split("\n\n")


def filled(page: str) -> str:
    """Return the page with its generated parts as they must be now.

    Raises:
        KeyError: the page has a part for a command that doesn't exist.
    """
    there = commands()
    return PART.sub(lambda part: part[1] + told(there[part[2]], part[2]) + part[3], page)


def told(command: Any, name: str) -> str:
    """Return what `--help` says of a command, as Markdown."""
    paragraphs = help_of(command)
    examples = "\n".join(each for each in paragraphs if each.startswith(f"{PROGRAM} "))
    words = [each for each in paragraphs if not each.startswith(f"{PROGRAM} ")]
    rows = "".join(_row(each) for each in command.params if shown(each, name))
    options = f"| option | meaning |\n| --- | --- |\n{rows}" if rows else ""
    quoted = f"```\n{examples}\n```" if examples else ""
    return "\n\n".join(filter(None, [words[0], quoted, *words[1:], options.rstrip()])) + "\n"


def shown(option: Any, name: str) -> bool:
    """Tell whether the page names an option: all but those that --help hides."""
    completion = name == PROGRAM and option.name.endswith("_completion")
    return not completion and not getattr(option, "hidden", False)


def spelt(option: Any) -> str:
    """Return an option as it is written, with the name of its value; an argument's name alone."""
    if not option.opts[0].startswith("-"):
        return str(option.metavar or option.name.upper())
    value = "" if option.is_flag else f" {option.metavar or 'VALUE'}"
    return "/".join([*option.opts, *option.secondary_opts]) + value


def _below(name: str, group: Any) -> Iterator[tuple[str, Any]]:
    for word, command in group.commands.items():
        whole = f"{name} {word}"
        if isinstance(command, TyperGroup):
            yield from _below(whole, command)
        elif not command.hidden:
            yield whole, command


def _row(option: Any) -> str:
    return f"| `{spelt(option)}` | {' '.join([option.help or '', *_bounds(option)]).strip()} |\n"


def _bounds(option: Any) -> Iterator[str]:
    if option.required:
        yield "Required."
    elif option.default and option.default is not True:
        yield f"Default: `{option.default}`."


def main(page: Path) -> None:
    """Write the generated parts of a page anew."""
    page.write_text(filled(page.read_text()))


if __name__ == "__main__":
    main(Path(sys.argv[1]))

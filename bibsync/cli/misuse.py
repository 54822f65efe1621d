"""Wrong calls, as typer finds them, told like every other error: a sentence, then where to look.

typer keeps the classes of its errors to itself; they are told apart by their names here.
"""

import re
from collections.abc import Sequence
from typing import Any, Final

import typer

from bibsync.cli.text import printable
from bibsync.errors import UsageWrong

FOUND: Final[type[Exception]] = typer.BadParameter.__mro__[1]
"""Whatever typer says of a wrong call is one of these."""
EXTRA: Final = re.compile(r"unexpected extra argument\S* \((.*)\)")
WRONG: Final = {
    "int_parsing": "{input!r} is no whole number.",
    "float_parsing": "{input!r} is no number.",
    "greater_than_equal": "{input} is too small; it must be at least {ge:g}.",
    "less_than_equal": "{input} is too large; it must be at most {le:g}.",
}


def told(error: Any, command: Any, words: Sequence[str]) -> UsageWrong:
    """Return what typer found wrong with `words`, an order for `command`, as our own error."""
    named = error.ctx.command_path if error.ctx else _called(command, words)
    return UsageWrong(printable(_sentence(error)), remedy=f"See: {named} --help")


def asks_for_help(error: Exception) -> bool:
    """Tell whether nothing was called at all; the help is then the message."""
    return type(error).__name__ == "NoArgsIsHelpError"


def _sentence(error: Any) -> str:
    message = str(error.format_message())
    match type(error).__name__:
        case "MissingParameter":
            return f"{_name(error)} is missing."
        case "BadParameter":
            return f"{_name(error)}: {_why(error)}"
        case "NoSuchOption":
            alike = " or ".join(sorted(error.possibilities or ()))
            maybe = f" Did you mean {alike}?" if alike else ""
            return f"There is no option {error.option_name}.{maybe}"
        case "BadOptionUsage":
            lacks = "requires" in message
            return f"{error.option_name} {'needs a' if lacks else 'takes no'} value."
    if extra := EXTRA.search(message):
        return f"There is too much on the line: {extra[1]}."
    return message.replace("No such command", "There is no command", 1)


def _why(error: Any) -> str:
    if hasattr(error.__cause__, "errors"):
        [wrong, *_] = error.__cause__.errors()
        if sentence := WRONG.get(wrong["type"]):
            return sentence.format(input=wrong["input"], **wrong.get("ctx", {}))
    return str(error.message)


def _name(error: Any) -> str:
    """Return the option or argument that an error is about, as it stands in the help."""
    if error.param is None:
        return "The call"
    if error.param.param_type_name == "option":
        return str(max(error.param.opts, key=len))
    return str(error.param.metavar or error.param.name.upper()).strip("[]. ")


def _called(command: Any, words: Sequence[str]) -> str:
    """Return the whole name of the command that the words call."""
    names = ["bibsync"]
    for word in words:
        below = getattr(command, "commands", {})
        if word in below:
            names.append(word)
            command = below[word]
    return " ".join(names)

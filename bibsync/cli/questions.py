"""Asking a person on a terminal: a question at a time on stderr, asked again until it is answered.

Nothing here is asked where stdin or stderr is no terminal; whoever calls looks first.
"""

import signal
import sys
import termios
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from bibsync.cli.context import Interrupted
from bibsync.cli.text import say
from bibsync.settings.values import Unfit, sentence

NOTHING_WRITTEN = "Nothing was written."


def are_possible() -> bool:
    """Tell whether a person is there who sees a question and can answer it."""
    return sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty()


@contextmanager
def broken_off_quietly() -> Iterator[None]:
    """Ask inside the block, before anything is written.

    Raises:
        Interrupted: Ctrl-C or Ctrl-D.
    """
    try:
        yield
    except KeyboardInterrupt:
        say("")
        raise Interrupted(signal.SIGINT, NOTHING_WRITTEN) from None


def ask(
    question: str, check: Callable[[str], str], *, default: str = "", hidden: bool = False
) -> str:
    """Ask until the answer passes `check`, which raises Unfit with the rest of a sentence.

    Enter alone is the default. A hidden answer isn't echoed. Ctrl-D is as good as Ctrl-C.
    """
    prompt = f"{question} [{default}]: " if default else f"{question}: "
    while True:
        written = _hidden(prompt) if hidden else _line(prompt)
        try:
            return check(written.strip() or default)
        except Unfit as unfit:
            say(sentence(f"  That {unfit}"))


def _line(prompt: str) -> str:
    sys.stderr.write(prompt)
    sys.stderr.flush()
    try:
        line = sys.stdin.readline()
    except UnicodeDecodeError:
        return "\udcff"  # no reader takes it, and the question is asked again
    if not line:
        raise KeyboardInterrupt
    return line


def _hidden(prompt: str) -> str:
    with _silence(sys.stdin.fileno()):
        line = _line(prompt)
    say("")
    return line


@contextmanager
def _silence(terminal: int) -> Iterator[None]:
    """Have the terminal not show what is typed."""
    before = termios.tcgetattr(terminal)
    quiet = termios.tcgetattr(terminal)
    quiet[3] &= ~termios.ECHO
    try:
        termios.tcsetattr(terminal, termios.TCSADRAIN, quiet)
        yield
    finally:
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)

"""The command `bibsync`, also as `python -m bibsync`."""

import io
import os
import sys

INTERRUPTED = 130


def main() -> None:
    """Run the command line and leave with its exit code."""
    sys.exit(_ended())


def _ended() -> int:
    """Run the command line; a Ctrl-C that comes while it is being loaded ends it as quietly."""
    try:
        _open_streams()
        from bibsync import cli  # noqa: PLC0415 - so that the loading is guarded too

        return cli.run(sys.argv[1:])
    except KeyboardInterrupt:
        return INTERRUPTED


def _open_streams() -> None:
    """Make stdout take any text, and let what a caller has closed go nowhere."""
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: SIM115, PTH123 - for the process's life
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: SIM115, PTH123 - the same
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


if __name__ == "__main__":
    main()

"""bibsync keeps a library's electronic collections in step with their vendors' records."""

from importlib.metadata import version

__version__ = version("bibsync")

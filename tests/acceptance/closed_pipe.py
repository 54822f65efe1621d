"""A reader that takes one line and goes."""

import asyncio

from installation import Ended, Installation


async def first_line(installation: Installation, command: str) -> Ended:
    """Run a command of bibsync whose output is read by `head -1`."""
    process = await asyncio.create_subprocess_exec(
        *installation.shell(f"bibsync {command} | head -1"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=installation.folder,
        env=installation.environment(),
    )
    out, err = await process.communicate()
    assert process.returncode is not None
    return Ended(process.returncode, out.decode(), err.decode())

"""What a run does on the host, outside of any world: its folders, and the target's ``setup`` and ``teardown``."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from machineid_conformance.config.model import Target
from machineid_conformance.engine.api import SetupError


@asynccontextmanager
async def temporary_folder(scratch: Path) -> AsyncIterator[Path]:
    """An empty folder, gone at the end with whatever is in it then."""
    folder = Path(tempfile.mkdtemp(dir=scratch))
    try:
        yield folder
    finally:
        if not _removed_empty(folder):
            await asyncio.to_thread(_remove, folder)


def _removed_empty(folder: Path) -> bool:
    """The world has emptied it, as a rule: that takes no thread."""
    with suppress(OSError):
        folder.rmdir()
    return not folder.exists()


def _remove(folder: Path) -> None:
    def retry(function: Callable[..., object], path: str, _error: object) -> None:
        # overlayfs leaves its work folder without permissions
        with suppress(OSError):
            Path(path).chmod(0o700)
            function(path)

    shutil.rmtree(folder, onerror=retry)


async def host_command(command: str | None, target: Target, what: str) -> None:
    """``setup`` and ``teardown`` run on the host: they prepare what ``passthrough`` leads to."""
    if command is None:
        return
    process = await asyncio.create_subprocess_shell(
        command, cwd=target.cwd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    try:
        output, _ = await process.communicate()
    except asyncio.CancelledError:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        raise
    if process.returncode:
        tail = output.decode(errors="backslashreplace")[-2000:]
        raise SetupError(
            f"target {target.name!r}: {what} = {command!r} ended with status {process.returncode}:\n{tail}"
        )

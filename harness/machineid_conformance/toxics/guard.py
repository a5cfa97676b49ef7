"""``python -m machineid_conformance.toxics.guard COMMAND…``: runs a server for as long as standard input is open.

Whoever started it holds the other end. When that one is gone, however it went (SIGKILL), the server is ended too.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Sequence

GRACE = 5.0
"""Seconds that the server is given to end after SIGTERM, before it is killed."""


def main(command: Sequence[str]) -> int:
    """The server's exit status, where it ended by itself; 127 where it cannot be started."""
    try:
        server = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    except OSError as error:
        print(f"{command[0]}: {error.strerror or error}", file=sys.stderr)
        return 127

    def follow() -> None:
        status = server.wait()
        os._exit(status if status >= 0 else 128 - status)

    threading.Thread(target=follow, daemon=True).start()
    while os.read(0, 4096):
        pass
    server.terminate()
    try:
        server.wait(GRACE)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

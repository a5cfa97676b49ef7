"""Starts ``fake-control-plane serve`` without importing everything again: a process that forks itself.

Each line of stdin is a JSON array: the arguments of a server to start, which then speaks for itself on stdout (``--json``); or the
pid of one that was killed, to wait for: then its wait status is written.
"""

from __future__ import annotations

import json
import os
import sys

import uvloop  # noqa: F401 -- imported before the fork, like the two below: that is what a start costs

import fake_control_plane.serving.server  # noqa: F401
from fake_control_plane.cli import main


def run() -> None:
    for line in sys.stdin:
        order = json.loads(line)
        if isinstance(order, int):
            _, status = os.waitpid(order, 0)
            print(json.dumps(status), flush=True)
            continue
        pid = os.fork()
        if pid == 0:
            os.close(0)
            os._exit(main(["serve", *order]))
        print(json.dumps(pid), flush=True)


if __name__ == "__main__":
    run()

"""What both ways in say to somebody who has just begun."""

from __future__ import annotations

DEFAULT_REPORT = ".machineid-conformance"
"""Folder of results and traces, below the folder that the session was started in (pytest: its rootdir)."""

HOW_TO_START = """\
machineid-conformance: nothing to judge: there is no configuration here, and no command was given.

Either name a command, just as you start your runtime:

    machineid-conformance run -- python worker.py
    pytest --machineid-conformance --machineid-command "python worker.py"

or write machineid-conformance.toml:

    edition = 1

    [targets.worker]
    command = ["python", "worker.py"]
    device = "worker:dev:queue-consumer:01"

and start `machineid-conformance run`, or `pytest --machineid-conformance`."""

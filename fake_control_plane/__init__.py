"""A fake MachineID control plane: useful by itself, and what the conformance harness embeds.

The package in layers, each of which knows only those above it:

``org``       one org: devices, plan, cap, org-wide disable, and the decision for a device; no I/O, no clock, no randomness
``dialects``  how decisions and errors look: documented and assumed codes, current and legacy
``problems``  every error: its word, its status, when a client gets it
``state``     all orgs of one fake: calls of clients, actions of an operator
``api``       HTTP requests to calls on the state, and its answers to JSON
``wire``      one connection: a socket, with or without TLS, down to RST, half-close and single bytes
``http1``     HTTP/1.1 on a wire, parsed by httptools
``certificates``  a certificate authority of a session, and the certificates that must be refused
``faults``    one file a fault: what goes wrong, at the level where it belongs, and the receipt that it did
``exchange``  one request on a wire whose answer is owed, as a fault sees it
``fault_rules``  which fault a call gets: faults, a target, a trigger
``serving``   all of it as a server; needs the extra ``serve``

Nothing here imports the harness.
"""

"""A fake MachineID control plane: useful by itself, and what the conformance harness embeds.

The package in layers, each of which knows only those above it:

``state``     what the control plane knows and decides: orgs, keys, devices, plans; no I/O, no clock, no randomness
``api``       HTTP requests to calls on the state, and its answers to JSON
``wire``      one connection: a socket, with or without TLS, down to RST, half-close and single bytes
``http1``     HTTP/1.1 on a wire, parsed by httptools
``certificates``  a certificate authority of a session, and the certificates that must be refused
``faults``    one file a fault: what goes wrong, at the level where it belongs, and the receipt that it did

Nothing here imports the harness.
"""

"""The engine's process, in which no fault reaches the target: ``python prevented_engine.py truth|gone|nothing``.

``truth``: the control plane's own answer goes out instead of each fault, and the listener's faults change nothing at all.
``gone``: each client is taken to have left before the fault could show. ``nothing``: nothing is prevented, for comparison.
Everything else is the engine as it ships.
"""

from __future__ import annotations

import sys

from fake_control_plane import faults
from fake_control_plane.faults.api import AnswerFault, ClientGone, Exchange, ListenerFault, Receipt
from machineid_conformance.engine.__main__ import main
from machineid_conformance.engine.director import RunDirector
from machineid_conformance.isolation.namespace import NamespaceWorld


async def _truth(_fault: AnswerFault, exchange: Exchange) -> Receipt:
    await exchange.send_answer(exchange.answer)
    return Receipt(delivered=False, evidence="prevented by the test", ending="answered", answer=exchange.answer)


async def _gone(_fault: AnswerFault, _exchange: Exchange) -> Receipt:
    raise ClientGone("fin")


def _prevent(deliver: object) -> None:
    for kind in faults.kinds().values():
        if issubclass(kind, AnswerFault):
            setattr(kind, "deliver", deliver)  # noqa: B010  (mypy: a method)
    in_force = RunDirector.listener_fault

    def listener_fault(director: RunDirector) -> ListenerFault | None:
        """What the name server and TLS ask before they lie: they are told that there is nothing to lie about."""
        fault = in_force(director)
        return fault if fault is not None and fault.layer == "tcp" else None

    def refuse_control(_world: NamespaceWorld, _refuse: bool) -> None:
        """The listener goes on listening."""

    setattr(RunDirector, "listener_fault", listener_fault)  # noqa: B010
    setattr(NamespaceWorld, "refuse_control", refuse_control)  # noqa: B010


if __name__ == "__main__":
    if sys.argv[1] != "nothing":
        _prevent({"truth": _truth, "gone": _gone}[sys.argv[1]])
    sys.exit(main())

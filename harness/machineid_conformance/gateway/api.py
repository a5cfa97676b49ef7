"""What the gateway asks, and what it tells: the seam between bytes and the scenario.

The gateway knows HTTP, TLS, DNS and hosts. It does not know what a scenario is: before each answer it asks the director,
and everything that it sees it hands over to be recorded.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol, TypeVar

from fake_control_plane.answers import Answer
from fake_control_plane.api import Call
from fake_control_plane.faults.api import AnswerFault, Ending, ListenerFault, Receipt
from machineid_conformance.trace.events import EffectStarted, Event

E = TypeVar("E", bound=Event)


@dataclass(frozen=True, kw_only=True)
class Ruling:
    """What goes back for one control-plane call. ``answer`` is the truth at this moment; ``fault``, if any, is done instead.
    ``allow`` and ``earlier``: as in ``fake_control_plane.faults.api.Exchange``. ``close``: say ``Connection: close``, because the
    next connection may have to be refused.
    """

    answer: Answer
    allow: Answer
    earlier: Sequence[Answer] = ()
    fault: AnswerFault | None = None
    close: bool = False


class Director(Protocol):
    """The scenario of one run, as the gateways of its instances see it."""

    def record(self, event: E) -> E:
        """Drain the pending output of the instance, then stamp and write the event."""

    def clock(self) -> float:
        """Target seconds since the run began."""

    async def pause(self, seconds: float) -> None:
        """Let target seconds pass."""

    def heard(self) -> None:
        """The target does something: it connects, or asks for a name. Target time is real time from now on, until it waits again."""

    def listener_fault(self) -> ListenerFault | None:
        """What is in force for new control-plane connections. ``tcp`` is delivered by the world, ``dns`` and ``tls`` here."""

    async def listener_fault_delivered(
        self,
        fault: ListenerFault,
        *,
        instance: int,
        connection: int | None,
        evidence: str,
        ending: Ending | None = None,
        waited: float | None = None,
    ) -> None:
        """A receipt for a fault below HTTP. The director records it, and the failed call. ``ending`` and ``waited``: where the client was
        left waiting, who ended that, after how many target seconds.
        """

    def withholding(self) -> AbstractContextManager[None]:
        """Meanwhile a target waits, on a connection without a request, for what a fault withholds: it is not idle."""

    async def control(self, call: Call, *, number: int, connection: int, instance: int) -> Ruling:
        """A complete request to the control plane. The director records it, holds it for as long as it must, and rules."""

    async def control_ended(
        self, number: int, call: Call, ruling: Ruling, receipt: Receipt, *, connection: int, instance: int
    ) -> None:
        """How that call ended. The director records the answer, the failure, the receipt of the fault."""

    def next_effect(self) -> int:
        """The next effect's number, over all instances of the run."""

    def next_connection(self) -> int:
        """The next connection's number, over all instances of the run."""

    async def effect_started(self, effect: EffectStarted) -> None:
        """An effect started and was recorded; returns when its answer may be sent (or at once, for what cannot be held)."""

    async def effect_ended(self, effect: EffectStarted) -> None:
        """It was answered or aborted, and that was recorded."""

from __future__ import annotations

import typing

import pytest

from machineid_conformance.report import timeline
from machineid_conformance.report.style import Style
from machineid_conformance.trace import events as e

DEVICE = "worker:dev:queue-consumer:01"


@pytest.mark.parametrize(
    ("event", "told"),
    [
        (
            e.ControlAnswered(
                call=1, operation="validate", device=DEVICE, status=200, decision="deny", code="DEVICE_REVOKED", request_id="r"
            ),
            ("control plane", "validate: DENY, DEVICE_REVOKED, request_id r"),
        ),
        (
            e.ControlAnswered(call=1, operation="validate", device=DEVICE, status=503, decision="failure"),
            ("control plane", "validate: FAILURE, HTTP 503"),
        ),
        (
            e.ControlAnswered(call=1, operation="register", device=DEVICE, status=200),
            ("control plane", "register: HTTP 200"),
        ),
        (
            e.ControlRequest(
                call=2, connection=1, instance=2, operation="validate", n=2, method="POST", path="/", device=None, key="old",
                retry=True,
            ),
            ("target #2", "validate 2 for no device, old org key, sent again"),
        ),
        (e.Operator(action="revoke", device=DEVICE, held=2), ("operator", f"revoke {DEVICE} while effect 2 is in flight")),
        (e.Operator(action="cap", argument="0", why="setup"), ("operator", "cap 0 (for the harness: setup)")),
        (
            e.Exited(instance=1, start=1, code=None, signal="SIGTERM", by="harness", left=("sh -c x",)),
            ("target", "main process ended, signal SIGTERM (by the harness); it left behind: sh -c x"),
        ),
        (
            e.FaultDelivered(
                fault="status", variant="503", call=1, connection=1, operation="validate", device=None, evidence="sent"
            ),
            ("control plane", "fault status (503) delivered: sent"),
        ),
        (e.StimulusAnswered(stimulus=1, status=None, error="refused"), ("target", "answered stimulus 1: refused")),
    ],
)  # fmt: skip
def test_words(event: e.Event, told: tuple[str, str]) -> None:
    assert timeline.tell(event) == told


def test_every_event_has_words() -> None:
    assert set(timeline.TELLERS) == set(e.REGISTRY.values())
    assert typing.get_type_hints(timeline.tell)["return"] == timeline.Told


@pytest.mark.parametrize("width", [60, 80, 140])
def test_a_line_never_breaks_a_terminal(width: int) -> None:
    event = e.Output(seq=9999, at=12345.678901, instance=1, start=1, stream="stderr", text="\x1b[31m\tx" * 100)
    shown = timeline.line(event, Style(width=width), mark=True)
    assert len(shown) == width
    assert shown.isprintable()
    assert shown.startswith("> 9999 12345.679s  target ")

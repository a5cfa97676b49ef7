"""``InProcessControlPlane``: one org, its console, and what it was asked, for one test."""

from __future__ import annotations

import errno
import socket
import ssl
import threading
from collections.abc import Mapping, Sequence
from typing import Any

from fake_control_plane.api import Request
from fake_control_plane.dialects import CURRENT, Dialect
from fake_control_plane.faults import handshake_hang
from fake_control_plane.faults.api import ClientGone
from fake_control_plane.faults.receipts import too_late
from fake_control_plane.in_process.exchange import VirtualExchange, completed
from fake_control_plane.serving.guards import Guards
from fake_control_plane.serving.journal import Entry, Journal
from fake_control_plane.serving.service import Service
from fake_control_plane.serving.views import DeviceView

BASE_URL = "https://machineid.io"
"""Where the original is, and where clients look for it by default."""

_CALLS = 100_000
"""How many entries the journal of one test keeps."""


class InProcessControlPlane:
    """A service with one org, and its console. Safe to be called from several threads.

    ``org_key`` is the org's current key, ``base_url`` where clients find the control plane (nothing listens there). ``service``
    is all of the fake, for what has no method here: other orgs, plans, codes, the clock.
    """

    def __init__(
        self, *, base_url: str = BASE_URL, plan: str = "free", cap: int | None = None, dialect: Dialect = CURRENT
    ) -> None:
        self.base_url = base_url.rstrip("/")
        # Devices of production are welcome: what is left behind here ends with the test's process.
        self.service = Service(
            seed=0,
            dialect=dialect,
            journal=Journal(capacity=_CALLS),
            guards=Guards(allow_prod=True),
            layers=frozenset({"tcp", "dns", "tls"}),
        )
        org = self.service.add_org(plan=plan, cap=cap)
        self.org_id = org.id
        self.org_key = org.key
        self._lock = threading.RLock()

    # -- the console ---------------------------------------------------------------------------------------------------

    @property
    def environment(self) -> dict[str, str]:
        """What a target reads: ``MACHINEID_ORG_KEY`` and ``MACHINEID_BASE_URL``."""
        return {"MACHINEID_ORG_KEY": self.org_key, "MACHINEID_BASE_URL": self.base_url}

    @property
    def devices(self) -> Mapping[str, DeviceView]:
        """All registered devices by id, in register order."""
        with self._lock:
            return {device.id: device for device in self.service.devices(self.org_id)}

    def register(self, *devices: str) -> None:
        """Register devices; those that are registered stay as they are. Raises Conflict at the cap."""
        with self._lock:
            self.service.register(self.org_id, devices)

    def revoke(self, *devices: str) -> None:
        """Deny devices until they are restored. Raises UnknownDevice for one that is not registered."""
        with self._lock:
            self.service.revoke(self.org_id, devices)

    def restore(self, *devices: str) -> None:
        """Lift a revoke. Raises UnknownDevice."""
        with self._lock:
            self.service.restore(self.org_id, devices)

    def remove(self, *devices: str) -> None:
        """Forget devices. Raises UnknownDevice."""
        with self._lock:
            self.service.remove(self.org_id, devices)

    def disable(self) -> None:
        """Org-wide disable: every validate is denied, each device keeps its own state."""
        with self._lock:
            self.service.disable(self.org_id)

    def enable(self) -> None:
        """Lift ``disable``."""
        with self._lock:
            self.service.enable(self.org_id)

    def rotate(self) -> str:
        """Give the org a new key and return it; the old one gets 401 from now on."""
        with self._lock:
            self.org_key = self.service.rotate(self.org_id)
            return self.org_key

    def set_cap(self, cap: int) -> None:
        """Set a custom cap, at once. Raises ValueError below 0."""
        with self._lock:
            self.service.set_cap(self.org_id, cap)

    def set_plan(self, plan: str) -> None:
        """Upgrade or downgrade, at once. Raises ValueError for an unknown plan."""
        with self._lock:
            self.service.set_plan(self.org_id, plan)

    def set_plan_state(self, state: str) -> None:
        """``active``, ``frozen``, or another word for a plan that is not active. Raises ValueError."""
        with self._lock:
            self.service.set_plan_state(self.org_id, state)

    # -- faults --------------------------------------------------------------------------------------------------------

    def fault(self, rule: str | Mapping[str, Any]) -> str:
        """Put a fault rule in force: ``status=503 first=2`` (docs/faults.md). Returns its id. Raises ValueError."""
        with self._lock:
            return self.service.add_fault(rule).id

    def clear_faults(self) -> None:
        """End all faults."""
        with self._lock:
            self.service.clear_faults()

    # -- what was asked ------------------------------------------------------------------------------------------------

    @property
    def calls(self) -> Sequence[Entry]:
        """Every call, and what its client really got: the journal without the console's own actions."""
        with self._lock:
            return tuple(entry for entry in self.service.journal.since(0).entries if entry.kind == "call")

    # -- for the clients' transports -----------------------------------------------------------------------------------

    def connect(self, scheme: str, *, patience: float | None) -> None:
        """What a connect meets: nothing, or the listener's fault. ``patience``: the client's connect timeout in seconds.

        Raises:
            ConnectionRefusedError, socket.gaierror, ssl.SSLError, TimeoutError: as the fault in force has it.
        """
        with self._lock:
            if self.service.nameless:
                raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
            if self.service.refusing:
                raise ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")
            fault = self.service.connect() if scheme == "https" else None
            if fault is None or fault.certificate is None:
                return
            if fault.certificate != "none":
                self.service.connected(fault, "cut-off", f"the client was shown: {fault.name}")
            elif patience is None or patience >= fault.lasts:
                self.service.connected(fault, "cut-off", handshake_hang.evidence(None, fault.lasts))
            else:
                self.service.connected(fault, "gave-up", handshake_hang.evidence("fin", patience))
                raise TimeoutError("The handshake operation timed out")
        if fault.certificate in ("cut", "none"):
            raise ssl.SSLEOFError(ssl.SSL_ERROR_EOF, "EOF occurred in violation of protocol")
        raise ssl.SSLCertVerificationError(1, f"certificate verify failed: {_CERTIFICATE[fault.certificate]}")

    def exchange(self, request: Request, *, scheme: str, patience: float | None) -> VirtualExchange:
        """Answer one request, with the fault that is due. ``patience``: the client's read timeout in seconds."""
        with self._lock:
            served = self.service.call(request)
            exchange = VirtualExchange(
                answer=served.answer,
                allow=served.allow or served.answer,
                earlier=served.earlier,
                scheme=scheme,
                host=request.host,
                target=served.call.path,
                patience=patience,
                head_only=request.method == "HEAD",
            )
            if served.fault is None:
                completed(exchange.send_answer(served.answer))
                self.service.settle(served)
            else:
                try:
                    receipt = completed(served.fault.deliver(exchange))
                except ClientGone as gone:
                    receipt = too_late(exchange, gone.how)
                self.service.settle(served, receipt)
            return exchange


_CERTIFICATE = {
    "untrusted": "unable to get local issuer certificate",
    "expired": "certificate has expired",
    "wrong-name": "Hostname mismatch, certificate is not valid",
}
"""OpenSSL's words for each."""

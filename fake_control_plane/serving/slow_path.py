"""One connection on a ``Wire``: TLS, faults, and every request that the fast path leaves to it.

Each wait has a limit (``Limits``), each answer is marked as a fake's, and the connection ends after a fault: what a fault leaves
behind is not HTTP, and a client's pool would let the next fault pass unseen.
"""

from __future__ import annotations

import asyncio
import time

from fake_control_plane.answers import Answer
from fake_control_plane.api import Request
from fake_control_plane.dialects import error
from fake_control_plane.exchange import WireExchange
from fake_control_plane.faults import handshake_hang
from fake_control_plane.faults.api import ClientGone, Ending, ListenerFault
from fake_control_plane.hello import NO_APPLICATION_PROTOCOL
from fake_control_plane.http1 import CONTINUE, BadRequest, BodyCollector, Head, RequestReader, render
from fake_control_plane.serving.limits import Limits
from fake_control_plane.serving.rendering import marked
from fake_control_plane.serving.service import Served, Service
from fake_control_plane.serving.tls import Certificates
from fake_control_plane.serving.turns import Turns
from fake_control_plane.wire import HandshakeFailed, Wire

_WORDS = {400: "bad_request", 408: "request_timeout", 413: "body_too_large", 431: "head_too_large"}
_HANDSHAKE = b"\x16"  # the content type of a TLS record that begins a handshake (RFC 8446, 5.1)


class ServedExchange(WireExchange):
    """An exchange whose answers are marked, with a client that must take what it is sent."""

    def __init__(
        self, wire: Wire, served: Served, *, limits: Limits, host: str, target: str, close: bool, head_only: bool
    ) -> None:
        super().__init__(
            wire,
            answer=served.answer,
            allow=served.allow or served.answer,
            earlier=served.earlier,
            scheme="https" if wire.secure else "http",
            host=host,
            target=target,
            began=served.began,
            close=close,
            head_only=head_only,
        )
        self._patience = limits.answer

    def render(self, answer: Answer) -> bytes:
        """The bytes of one whole response."""
        return super().render(marked(answer))

    async def send(self, data: bytes) -> None:
        """Raw bytes."""
        await self._taken(data, half_closed=False)

    async def send_answer(self, answer: Answer) -> None:
        """One whole response."""
        await self._taken(self.render(answer), half_closed=self._seen_gone)

    async def _taken(self, data: bytes, *, half_closed: bool) -> None:
        try:
            async with asyncio.timeout(self._patience):
                await self._wire.send(data, half_closed=half_closed)
        except TimeoutError:
            self._wire.reset()
            raise ClientGone("reset") from None


class SlowPath:
    """``tls``: the handshake comes first."""

    def __init__(
        self, wire: Wire, service: Service, limits: Limits, turns: Turns, tls: Certificates | None = None
    ) -> None:
        self._wire = wire
        self._turns = turns
        self._service = service
        self._limits = limits
        self._tls = tls
        self._flawed: ListenerFault | None = None  # the client is in a connection whose certificate it must refuse
        self._quiet = False
        self._retired = False
        self.since = time.monotonic()
        """When it became quiet, or its request began, in seconds."""

    def retire(self) -> None:
        """End it now if it is quiet, else after its request."""
        self._retired = True
        if self._quiet:
            self._wire.close()

    def abort(self) -> None:
        """End it now."""
        self._wire.close()

    async def serve(self, first: tuple[Request, Served] | None = None) -> None:
        """To its end; ``first`` is a call that was ruled on already. Nothing is raised but cancellation."""
        try:
            if self._tls is not None and not await self._start_tls(self._tls):
                return
            if first is not None:
                request, served = first
                if not await self._answer(request, served, close=False, head_only=False):
                    return
            reader = RequestReader(self._wire, head_limit=self._limits.head_size)
            while await self._serve_request(reader):
                if reader.pending:
                    await self._turns.turn()
        except (ClientGone, TimeoutError):
            pass
        finally:
            self._receipt("gave-up", "the client closed the connection after the handshake, without a request")
            self._wire.close()

    # -- HTTP ------------------------------------------------------------------------------------------------------------

    async def _serve_request(self, reader: RequestReader) -> bool:
        """One request. False when the connection is over."""
        limits = self._limits
        try:
            if not reader.pending:
                self._quiet, self.since = True, time.monotonic()
                async with asyncio.timeout(limits.idle):
                    if not await self._wire.peek(1):
                        return False
            self._quiet, self.since = False, time.monotonic()
            head, body = await self._read(reader)
        except BadRequest as bad:
            await self._refuse(bad)
            return False
        if head is None:
            return False
        self._receipt("answered", "the client finished the handshake with that certificate and sent a request")
        request = Request(
            method=head.method,
            target=head.target,
            headers=head.headers,
            body=body,
            host=head.header("host") or "",
        )
        served = self._service.call(request)
        close = self._retired or not head.keep_alive or head.version == "1.0" or head.method == "CONNECT"
        return await self._answer(request, served, close=close, head_only=head.method == "HEAD")

    async def _read(self, reader: RequestReader) -> tuple[Head | None, bytes]:
        limits = self._limits
        try:
            async with asyncio.timeout(limits.head):
                head = await reader.head()
            if head is None:
                return None, b""
            async with asyncio.timeout(limits.body_time):
                return head, await self._body(reader, head)
        except TimeoutError:
            await self._turns.turn()  # thousands may have begun at the same moment
            raise BadRequest(
                408,
                f"The request was not complete in time: {limits.head:g} s for the head, {limits.body_time:g} s for the body.",
            ) from None

    async def _body(self, reader: RequestReader, head: Head) -> bytes:
        limit = self._limits.body
        declared = head.header("content-length")
        if declared is not None and not head.chunked and int(declared) > limit:
            raise BadRequest(413, f"The body has {declared} bytes; at most {limit} are taken.")
        if head.has_body and head.expects_continue:
            await self._wire.send(CONTINUE)
        collector = BodyCollector()
        while piece := await reader.piece():
            collector.add(piece)
            if collector.size > limit:
                raise BadRequest(413, f"The body has more than {limit} bytes, which is as many as are taken.")
        return collector.body().prefix

    async def _answer(self, request: Request, served: Served, *, close: bool, head_only: bool) -> bool:
        close = close or served.fault is not None
        exchange = ServedExchange(
            self._wire,
            served,
            limits=self._limits,
            host=request.host,
            target=request.target,
            close=close,
            head_only=head_only,
        )
        try:
            if served.fault is None:
                receipt = await exchange.answer_plainly()
            else:
                receipt = await served.fault.deliver(exchange)
        except ClientGone as gone:
            receipt = exchange.gave_up(gone)
        except asyncio.CancelledError:
            self._service.settle(served, exchange.gave_up(ClientGone("reset")))
            raise
        self._service.settle(served, None if served.fault is None and receipt.delivered else receipt)
        self._service.flush()
        if not close and exchange.ended is None and receipt.ending == "answered":
            return True
        if exchange.ended != "reset":
            await self._farewell()
        return False

    async def _refuse(self, bad: BadRequest) -> None:
        """Answer what cannot be read, and close in good order: what the client still sends is read over for a while."""
        word = _WORDS.get(bad.status, "bad_request")
        answer = error(bad.status, word, bad.reason, handler="unknown")
        async with asyncio.timeout(self._limits.answer):
            await self._wire.send(render(marked(answer), close=True))
        await self._farewell()

    async def _farewell(self) -> None:
        async with asyncio.timeout(self._limits.farewell):
            await self._wire.finish()

    # -- TLS -------------------------------------------------------------------------------------------------------------

    async def _start_tls(self, tls: Certificates) -> bool:
        """The handshake, with the certificate that is due. False when it failed."""
        wire = self._wire
        try:
            async with asyncio.timeout(self._limits.head) as limit:
                if not (await wire.peek(1)).startswith(_HANDSHAKE):
                    await self._refuse(BadRequest(400, "This port speaks TLS only: write https:// in the base URL."))
                    return False
                hello = await wire.client_hello()
                if hello.only_http2:
                    await wire.send(NO_APPLICATION_PROTOCOL)
                    return False
                self._flawed = self._service.connect()
                flaw = self._flawed.certificate if self._flawed is not None else None
                if flaw == "none":
                    limit.reschedule(None)
                    await self._withhold_handshake()
                    return False
                if flaw == "cut":
                    self._receipt(
                        "cut-off", "the ClientHello arrived; the connection was closed before the ServerHello"
                    )
                    await self._farewell()
                    return False
                await self._turns.handshake()  # it is a millisecond of reckoning
                await wire.start_tls(tls.context(flaw))
        except HandshakeFailed as failed:
            self._receipt("gave-up", f"the client ended the handshake: {failed}")
            return False
        return True

    async def _withhold_handshake(self) -> None:
        """Not a byte, until the client gives up or is cut off."""
        assert self._flawed is not None
        began = time.monotonic()
        how = await self._wire.client_gone(self._flawed.lasts)
        words = handshake_hang.evidence(how, time.monotonic() - began)
        self._receipt("cut-off" if how is None else "gave-up", words)

    def _receipt(self, ending: Ending, evidence: str) -> None:
        """How a TLS fault was met: once a connection."""
        fault, self._flawed = self._flawed, None
        if fault is not None:
            self._service.connected(fault, ending, evidence)

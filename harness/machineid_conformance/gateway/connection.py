"""One accepted connection, from its first bytes to its end: which protocol it speaks, and where each of its requests leads."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from functools import partial
from urllib.parse import urlsplit

from fake_control_plane.answers import Answer
from fake_control_plane.api import PREFIX
from fake_control_plane.faults import handshake_hang
from fake_control_plane.faults.api import ClientGone, Ending, ListenerFault
from fake_control_plane.faults.redirect import REDIRECT_HOST, is_followed
from fake_control_plane.hello import NO_APPLICATION_PROTOCOL
from fake_control_plane.http1 import HTTP2_PREFACE, METHODS, BadRequest, Head, RequestReader, refuse, render
from fake_control_plane.wire import HandshakeFailed, Wire
from machineid_conformance.gateway.control_flow import serve_control, serve_dangled_allow
from machineid_conformance.gateway.effect_flow import serve_effect
from machineid_conformance.gateway.effects import Outbound, endpoint_matches, match_smtp
from machineid_conformance.gateway.exchange import client_gone
from machineid_conformance.gateway.names import (
    DEFAULT_PORTS,
    is_address,
    is_loopback,
    plain,
    split_authority,
)
from machineid_conformance.gateway.raw import Silence, serve_passthrough, serve_raw
from machineid_conformance.gateway.relay import relay, relay_request
from machineid_conformance.gateway.site import Channel, Site
from machineid_conformance.gateway.smtp import serve_smtp
from machineid_conformance.isolation.api import Destination
from machineid_conformance.toxics.tunnel import TunnelledWire

_LOOKS_HTTP = re.compile(rb"\r*\n*(?:" + "|".join(sorted(map(re.escape, METHODS))).encode() + rb") ")
_COULD_BE_HTTP = re.compile(rb"[A-Z-]{1,16}\Z")
_METHOD_LENGTH = max(map(len, METHODS)) + 1
_ESTABLISHED = b"HTTP/1.1 200 Connection established\r\n\r\n"


class Connection:
    """``destination`` is where the client meant to go, None where only what it says tells (proxy isolation)."""

    def __init__(self, site: Site, wire: Wire, destination: Destination | None) -> None:
        self._site = site
        self._wire = wire
        self._address = plain(destination.host) if destination else None
        self._host = site.names.name_of(destination.host) if destination else ""
        self._port = destination.port if destination else 0
        self._server_name: str | None = None
        self._flawed: ListenerFault | None = None  # the client is in a handshake that it must refuse
        self._channel: Channel | None = None
        self._inner: Wire | None = None  # to the target's own listener
        if self._is_elsewhere and not site.behind():
            self._open()  # recorded when it is accepted, before anything is awaited

    @property
    def _is_elsewhere(self) -> bool:
        """What goes to loopback may be for the target itself: that is seen later."""
        return self._address is not None and not is_loopback(self._address)

    def _open(self) -> Channel:
        if self._channel is None:
            self._channel = Channel(self._site, self._wire, self._host, self._port)
        return self._channel

    def idles(self) -> bool:
        """Whether the next step is the target's."""
        return self._wire.idles() and (self._inner is None or self._inner.idles())

    async def serve(self) -> None:
        """To its end. Nothing is raised but cancellation."""
        await self._site.caught_up()
        if self._is_elsewhere:
            self._open()
        try:
            if self._address is not None and not await self._tunnelled():
                return
            if self._address is None:
                await self._serve_http()
            else:
                await self._serve_destination()
        except ClientGone as gone:
            await self._refused_certificate(f"the client ended the connection ({gone.how}) without a request")
            if self._channel is not None:
                self._channel.closed("target", gone.how)
        finally:
            self._refusal_recorded()
            if isinstance(self._wire, TunnelledWire):
                self._site.tunnels.discard(self._wire)
            self._wire.close()

    async def _tunnelled(self) -> bool:
        """With ``--faults toxiproxy`` a connection to the control plane goes through Toxiproxy from here on. False: it is over."""
        gate = self._site.gate
        if gate is None or not self._is_control(self._host, None):
            return True
        tunnel = await gate.tunnel(self._wire)
        if tunnel is None:
            self._wire.reset()
            self._open().closed("harness", "reset")
            return False
        self._wire = tunnel
        self._site.tunnels.add(tunnel)
        if self._channel is not None:
            self._channel.wire = tunnel
        return True

    # -- by destination --------------------------------------------------------------------------------------------------

    async def _serve_destination(self) -> None:
        """Where the destination decides: the real service, the target's own listener, a mail server; else the first bytes."""
        assert self._address is not None
        site, host, port = self._site, self._host, self._port
        if self._passes(host, port) or self._passes(self._address, port):
            await serve_passthrough(self._open(), self._address if is_loopback(self._address) else host, port)
            return
        if is_loopback(self._address):
            inner = await site.world.connect_inside(port)
            if inner is not None:
                self._inner = Wire(inner)
                await relay(self._wire, self._inner)
                return
        channel = self._open()
        mail = match_smtp(site.target.effects, host, port)
        if mail is not None:
            if port == 465 and not await self._start_tls():
                return
            await serve_smtp(channel, mail)
            return
        await self._serve_first_bytes()

    def _passes(self, host: str, port: int) -> bool:
        """Whether ``passthrough`` names this service."""
        return any(endpoint_matches(allowed, host, port) for allowed in self._site.target.passthrough)

    async def _serve_first_bytes(self) -> None:
        """TLS, HTTP, or neither."""
        channel = self._open()
        silence = Silence(channel, exempt=self._is_control(self._host, None))
        data = await silence.first_bytes(1)
        while _COULD_BE_HTTP.match(data) and len(data) < _METHOD_LENGTH and self._wire.ending is None:
            data = await self._wire.peek(len(data) + 1)
        if data[:1] == b"\x16" and not self._wire.secure:
            if await self._start_tls():
                await self._serve_first_bytes()
            return
        if not data:
            await self._closed_without_a_word(silence)
            return
        if _LOOKS_HTTP.match(data):
            await self._serve_http()
            return
        if data.startswith(HTTP2_PREFACE[: len(data)]):
            self._only_http2()
        elif self._port in DEFAULT_PORTS:
            self._bad_http(f"the first bytes are {bytes(data[:16])!r}")
        if self._is_control(self._host, None):
            await channel.finish()
            return
        await serve_raw(channel, silence.effect)

    async def _closed_without_a_word(self, silence: Silence) -> None:
        """A connect is an effect on every port that is not HTTP's (requirements.md, Start of an effect)."""
        channel = self._open()
        await self._refused_certificate("the client closed the connection after the handshake, without a request")
        if self._wire.secure and not self._site.trusted and self._is_control(self._host, None):
            self._ca_rejected("it closed the connection right after the handshake")
        silence.settle()
        channel.closed("target", "fin")

    # -- TLS -------------------------------------------------------------------------------------------------------------

    async def _start_tls(self) -> bool:
        """The handshake, with the certificate that the scenario wants. False: there is none, and the connection is over."""
        site, wire = self._site, self._wire
        try:
            hello = await wire.client_hello()
            self._server_name = hello.server_name
            name = hello.server_name or self._host or "localhost"
            self._host = name
            if self._channel is None:
                self._open()
            if hello.only_http2:
                self._only_http2()
                await wire.send(NO_APPLICATION_PROTOCOL)
                await self._open().finish()
                return False
            fault = site.director.listener_fault()
            if fault is not None and fault.layer == "tls" and self._is_control(name, None):
                self._flawed = fault
                site.refusals[wire] = asyncio.Event()
            if self._flawed is None:
                await wire.start_tls(site.authority.context_for(name))
            elif self._flawed.certificate == "cut":
                wire.half_close()
                await self._refused_certificate(
                    "the ClientHello arrived; the connection was closed before the ServerHello"
                )
                await self._open().finish()
                return False
            elif self._flawed.certificate == "none":
                await self._withhold_handshake(self._flawed)
                return False
            else:
                assert self._flawed.certificate is not None
                await wire.start_tls(site.authority.context_for(name, self._flawed.certificate))
        except HandshakeFailed as failed:
            await self._handshake_failed(failed)
            return False
        return True

    async def _handshake_failed(self, failed: HandshakeFailed) -> None:
        channel = self._open()
        if self._flawed is not None:
            if failed.how != "protocol":
                word = (
                    "alert received"
                    if failed.how == "tls-alert"
                    else f"the client closed during the handshake ({failed.how})"
                )
                await self._refused_certificate(f"{word}: {failed.detail}")
        elif failed.about_certificate:
            self._ca_rejected(f"it sent the TLS alert {failed.detail}")
        elif failed.how == "protocol":
            self._bad_http(f"the TLS handshake failed: {failed.detail}")
        if failed.how == "protocol":
            channel.closed("harness", "fin")
        else:
            channel.closed("target", failed.how)

    async def _withhold_handshake(self, fault: ListenerFault) -> None:
        """Not a byte, until the client gives up or is cut off."""
        director, channel = self._site.director, self._open()
        began = director.clock()
        with director.withholding():
            how = await client_gone(self._wire, director, fault.lasts)
            waited = director.clock() - began
            words = handshake_hang.evidence(how, waited)
            await self._refused_certificate(words, ending="cut-off" if how is None else "gave-up", waited=waited)
        if how is None:
            await channel.finish()
        else:
            channel.closed("target", how)

    async def _refused_certificate(
        self, evidence: str, *, ending: Ending | None = None, waited: float | None = None
    ) -> None:
        """The receipt of a TLS fault: once a connection."""
        fault, self._flawed = self._flawed, None
        if fault is not None:
            await self._site.director.listener_fault_delivered(
                fault,
                instance=self._site.instance,
                connection=self._open().number,
                evidence=evidence,
                ending=ending,
                waited=waited,
            )
        self._refusal_recorded()

    def _refusal_recorded(self) -> None:
        recorded = self._site.refusals.pop(self._wire, None)
        if recorded is not None:
            recorded.set()

    # -- HTTP ------------------------------------------------------------------------------------------------------------

    async def _serve_http(self) -> None:
        """Request after request, until one of them ends the connection."""
        if self._address is None and not self._wire.secure:
            data = await self._wire.peek(1)
            if data[:1] == b"\x16":
                if await self._start_tls():
                    await self._serve_http()
                return
        reader = RequestReader(self._wire)
        first = True
        while True:
            try:
                head = await reader.head()
                if head is None:
                    await self._refused_certificate(
                        "the client closed the connection after the handshake, without a request"
                    )
                    if self._channel is not None:
                        self._channel.closed("target", "fin")
                    return
                first = False
                if not await self._serve_request(reader, head):
                    return
            except BadRequest as bad:
                await self._not_http(bad, first=first)
                return

    async def _serve_request(self, reader: RequestReader, head: Head) -> bool:
        if head.method == "CONNECT":
            await self._connect(reader, head)
            return False
        host, port, target = self._address_of(head)
        if self._channel is None:
            self._host, self._port = host, port
        channel = self._open()
        control = self._is_control(host, target)
        self._site.trusted = self._site.trusted or (self._wire.secure and self._flawed is None)
        if control and self._flawed is not None:
            flaw = self._flawed.certificate
            await self._refused_certificate(
                f"the client finished the handshake with the {flaw} certificate and sent its request"
            )
            return await serve_dangled_allow(channel, reader, head, host=host, close=True)
        if (control or host == REDIRECT_HOST) and is_followed(host, target):
            return await serve_dangled_allow(channel, reader, head, host=host)
        if control:
            if self._address is None and not self._wire.secure and await self._refused_by_proxy(host):
                return False
            return await serve_control(channel, reader, head, host=host, target=target)
        if self._address is None and self._passes(host, port):
            forward = partial(_forward_request, reader=reader, head=head, target=target)
            await serve_passthrough(channel, host, port, forward)
            return False
        if self._address is None and is_loopback(host):
            inner = await self._site.world.connect_inside(port)
            if inner is not None:
                await relay_request(self._wire, Wire(inner), reader=reader, head=head, target=target)
                return False
        request = Outbound(method=head.method, host=host, port=port, target=target)
        return await serve_effect(channel, reader, head, request)

    def _address_of(self, head: Head) -> tuple[str, int, str]:
        """Host, port and origin-form target.

        An absolute target names its host itself (RFC 9112, 3.2.2); else the name that the connection was made for goes
        before the Host field, which can say anything.
        """
        default = self._port or (443 if self._wire.secure else 80)
        if "://" in head.target[:12]:
            url = urlsplit(head.target)
            host, port = split_authority(url.netloc, 443 if url.scheme == "https" else 80)
            return host or "unknown", port, (url.path or "/") + (f"?{url.query}" if url.query else "")
        host, port = split_authority(head.header("host") or "", default)
        known = self._server_name or (self._host if self._address is not None else "")
        if known and (not host or not is_address(known)):
            host = known
        return host or "unknown", self._port or port, head.target

    def _is_control(self, host: str, target: str | None) -> bool:
        """Whether a host, or a request with its target, is the control plane.

        With ``base_url`` the API's paths on loopback are too; by its name alone a connection to loopback may be anything.
        """
        if self._site.names.is_control_plane(host):
            return True
        api = target is not None and target.startswith(PREFIX)
        return api and self._site.target.base_url and is_loopback(host)

    async def _connect(self, reader: RequestReader, head: Head) -> None:
        """A tunnel (RFC 9110, 9.3.6): from here on as if the client had connected to that host and port itself."""
        host, port = split_authority(head.target, 443)
        if self._channel is None:
            self._host, self._port = host, port
        if self._is_control(host, None) and await self._refused_by_proxy(host):
            return
        await self._wire.send(_ESTABLISHED)
        self._wire.unread(reader.tail())
        self._host = self._address = host
        self._port, self._server_name = port, None
        if await self._tunnelled():
            await self._serve_destination()

    async def _refused_by_proxy(self, host: str) -> bool:
        """In proxy isolation nothing can refuse the control plane but the proxy itself: 502 (RFC 9110, 15.6.3)."""
        fault = self._site.director.listener_fault()
        if fault is None or fault.layer != "tcp" or self._site.world.mode != "proxy":
            return False
        evidence = f"proxy isolation: the request for {host} was answered 502 Bad Gateway"
        if self._site.gate is not None:
            also = self._site.gate.refused()
            if also is None:
                return False
            evidence = f"{also}; {evidence}"
        channel = self._open()
        answer = Answer(status=502, raw=b"connection refused\n", content_type="text/plain")
        await self._wire.send(render(answer, close=True))
        await self._site.director.listener_fault_delivered(
            fault,
            instance=self._site.instance,
            connection=channel.number,
            evidence=evidence,
        )
        await channel.finish()
        return True

    # -- what cannot be served -------------------------------------------------------------------------------------------

    async def _not_http(self, bad: BadRequest, *, first: bool) -> None:
        if self._address is None and self._channel is None:
            self._host, self._port = self._host or "unknown", self._port
        channel = self._open()
        control = self._is_control(self._host, None)
        if first and bad.status == 400 and not control and self._address is not None:
            if self._port in DEFAULT_PORTS:
                self._bad_http(bad.reason)
            await serve_raw(channel, None)
            return
        self._bad_http(bad.reason)
        channel.closed("harness", "fin")
        await refuse(self._wire, bad.status, bad.reason)

    def _bad_http(self, what: str) -> None:
        self._site.diagnose(
            "bad-http",
            self._host,
            f"{self._host}:{self._port} was spoken to in something that is not HTTP/1.1: {what}. "
            "It is recorded as a connection; its content cannot be judged.",
        )

    def _only_http2(self) -> None:
        self._site.diagnose(
            "http2-only",
            self._host,
            f"The client of {self._host}:{self._port} speaks HTTP/2 only, and the gateway HTTP/1.1. "
            "Let the client offer HTTP/1.1 too (ALPN http/1.1), as the official SDK does.",
        )

    def _ca_rejected(self, how: str) -> None:
        self._site.diagnose(
            "ca-rejected",
            self._host,
            f"The client of {self._host} did not accept the certificate authority of the harness: {how}. "
            "Nothing of this counts as failing closed. Let the client use the system's trust store, SSL_CERT_FILE, "
            "REQUESTS_CA_BUNDLE or NODE_EXTRA_CA_CERTS, all of which are set.",
        )


async def _forward_request(
    wire: Wire, upstream: Wire, answered: Callable[[], None], *, reader: RequestReader, head: Head, target: str
) -> None:
    await relay_request(wire, upstream, answered, reader=reader, head=head, target=target)

"""httpx, sync and async, without a network: a respx route whose answers are read by httpx's own HTTP/1.1 implementation.

The bytes that a fault sends go through ``httpcore.HTTP11Connection``, as those from a socket do, so a test sees the very
exception that a broken answer raises in production. respx stands below httpx's transport, which turns httpcore's exceptions
into its own.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator

import httpcore
import httpx
import respx

from fake_control_plane.api import Request
from fake_control_plane.faults.redirect import REDIRECT_HOST
from fake_control_plane.in_process.control_plane import InProcessControlPlane
from fake_control_plane.in_process.exchange import Incoming


def mount(control_plane: InProcessControlPlane, router: respx.Router) -> None:
    """Route the control plane's host, and the one that redirect faults name, to the control plane."""

    def answered(request: httpx.Request) -> httpx.Response:
        return _answered(control_plane, request)

    places = rf"^(?:{re.escape(control_plane.base_url)}|https?://{re.escape(REDIRECT_HOST)})(?:[/?]|$)"
    router.route(url__regex=places, name="machineid").mock(side_effect=answered)


def _answered(control_plane: InProcessControlPlane, request: httpx.Request) -> httpx.Response:
    """Send the request over a connection in memory, and read what comes back.

    Raises:
        httpcore.ConnectError, httpcore.ReadTimeout, …: what the same bytes on a socket raise.
    """
    scheme, host = request.url.scheme, request.url.host
    timeouts = request.extensions.get("timeout", {})
    try:
        control_plane.connect(scheme, patience=timeouts.get("connect"))
    except TimeoutError as error:
        raise httpcore.ConnectTimeout(str(error)) from error
    except OSError as error:  # refused, no such name, a bad certificate: httpcore knows one word for them
        raise httpcore.ConnectError(str(error)) from error
    url = httpcore.URL(scheme=scheme.encode(), host=host.encode(), port=request.url.port, target=request.url.raw_path)
    connection = httpcore.HTTP11Connection(origin=url.origin, stream=_Stream(control_plane, request))
    response = connection.handle_request(
        httpcore.Request(
            request.method,
            url,
            headers=request.headers.raw,
            content=request.read(),
            extensions={"timeout": timeouts},
        )
    )
    pieces: list[bytes] = []
    stream: httpx.SyncByteStream
    try:
        pieces.extend(response.iter_stream())
    except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException) as error:
        stream = _BrokenBody(b"".join(pieces), error)
    else:
        stream = httpx.ByteStream(b"".join(pieces))
    return httpx.Response(
        response.status,
        headers=response.headers,
        stream=stream,
        extensions={name: response.extensions[name] for name in ("http_version", "reason_phrase")},
    )


class _Stream(httpcore.NetworkStream):
    """The connection: takes the request as a whole from httpx, and hands out what the control plane sent."""

    def __init__(self, control_plane: InProcessControlPlane, request: httpx.Request) -> None:
        self._control_plane = control_plane
        self._request = request
        self._incoming: Incoming | None = None

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """The next bytes; asks the control plane when the first are read, for only now the client's patience is known."""
        if self._incoming is None:
            self._incoming = self._ask(timeout)
        try:
            return self._incoming.read(max_bytes)
        except TimeoutError as error:
            raise httpcore.ReadTimeout(str(error)) from error
        except OSError as error:
            raise httpcore.ReadError(str(error)) from error

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """The request's own bytes, which nobody needs: the request is known."""

    def close(self) -> None:
        """There is nothing to give back."""

    def _ask(self, patience: float | None) -> Incoming:
        request = self._request
        headers = tuple(
            (name.lower().decode("latin-1"), value.decode("latin-1")) for name, value in request.headers.raw
        )
        asked = Request(
            method=request.method,
            target=request.url.raw_path.decode("ascii"),
            headers=headers,
            body=request.content,
            host=request.headers["host"],
        )
        return Incoming(self._control_plane.exchange(asked, scheme=request.url.scheme, patience=patience))


class _BrokenBody(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A body that breaks off: a client that streams gets what came, and then the error."""

    def __init__(self, came: bytes, error: Exception) -> None:
        self._came = came
        self._error = error

    def __iter__(self) -> Iterator[bytes]:
        yield self._came
        raise self._error

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._came
        raise self._error

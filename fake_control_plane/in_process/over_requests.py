"""requests without a network: ``responses`` routes whose answers are read by urllib3, from a socket that is none.

urllib3 and ``http.client`` parse the bytes that a fault sends, so a test sees the very exception that a broken answer raises in
production. What ``requests.adapters.HTTPAdapter.send`` makes of urllib3's exceptions is done here again, because that
function is the one that ``responses`` replaces.
"""

from __future__ import annotations

import io
import re
import socket
import ssl
from collections.abc import Callable
from typing import Any

import requests
import responses
import urllib3
from urllib3.connection import HTTPConnection
from urllib3.exceptions import (
    HTTPError,
    MaxRetryError,
    NameResolutionError,
    NewConnectionError,
    ReadTimeoutError,
    SSLError,
)

from fake_control_plane.api import Request
from fake_control_plane.faults.redirect import REDIRECT_HOST
from fake_control_plane.in_process.control_plane import InProcessControlPlane
from fake_control_plane.in_process.exchange import Incoming

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")
"""All that requests has a function for: what an endpoint does not have, the control plane answers with 405."""


def mount(control_plane: InProcessControlPlane, mock: responses.RequestsMock) -> None:
    """Route the control plane's host, and the one that redirect faults name, to the control plane."""
    places = rf"(?:{re.escape(control_plane.base_url)}|https?://{re.escape(REDIRECT_HOST)})(?:[/?]|$)"
    for method in METHODS:
        mock.add(_Route(control_plane, method, re.compile(places)))


class _Route(responses.BaseResponse):
    """One method, answered by the control plane."""

    def __init__(self, control_plane: InProcessControlPlane, method: str, url: re.Pattern[str]) -> None:
        super().__init__(method, url)
        self._control_plane = control_plane

    def get_response(
        self, request: requests.PreparedRequest
    ) -> Any:  # what responses calls a urllib3 response has no stable type
        """The answer as urllib3 reads it.

        Raises:
            requests.ConnectionError, requests.ReadTimeout, …: what the same bytes on a socket raise.
        """
        call = _Call(self._control_plane, request)
        port = call.url.port or (443 if call.url.scheme == "https" else 80)
        pool = urllib3.HTTPConnectionPool(call.url.host or "", port, call=call)
        pool.ConnectionCls = _Connection
        # Set by responses: what requests called the adapter with.
        timeout = request.req_kwargs.get("timeout")  # type: ignore[attr-defined]
        connect, read = timeout if isinstance(timeout, tuple) else (timeout, timeout)
        if isinstance(timeout, urllib3.Timeout):
            connect, read = timeout.connect_timeout, timeout.read_timeout
        try:
            return pool.urlopen(
                call.method,
                request.path_url,
                body=call.body,
                headers={name: _text(value) for name, value in request.headers.items()},
                redirect=False,
                assert_same_host=False,
                preload_content=False,
                decode_content=False,
                retries=urllib3.Retry(0, read=False),
                timeout=urllib3.Timeout(connect=connect, read=read),
            )
        except (HTTPError, OSError) as error:
            raise _as_requests_says(error, request) from error


def _as_requests_says(error: Exception, request: requests.PreparedRequest) -> requests.RequestException:
    """The exception that requests makes of one of urllib3's."""
    reason = error.reason if isinstance(error, MaxRetryError) else error
    if isinstance(reason, SSLError):
        return requests.exceptions.SSLError(error, request=request)
    if isinstance(reason, ReadTimeoutError):
        return requests.ReadTimeout(error, request=request)
    return requests.ConnectionError(error, request=request)


class _Call:
    """One request of the client, and what comes back when it is asked."""

    def __init__(self, control_plane: InProcessControlPlane, request: requests.PreparedRequest) -> None:
        self.method = str(request.method)
        self.url = urllib3.util.parse_url(str(request.url))
        body = request.body or b""
        self.body = body.encode() if isinstance(body, str) else body if isinstance(body, bytes) else _joined(body)
        self._control_plane = control_plane
        self._request = request

    def connect(self, patience: float | None) -> None:
        """What a connect meets. ``patience``: the connect timeout in seconds. Raises OSError."""
        self._control_plane.connect(self.url.scheme or "", patience=patience)

    def ask(self, patience: float | None) -> Incoming:
        """Send it. ``patience``: the read timeout in seconds."""
        headers = ((name.lower(), _text(value)) for name, value in self._request.headers.items())
        asked = Request(
            method=self.method,
            target=self._request.path_url,
            headers=tuple(headers),
            body=self.body,
            host=self.url.netloc or "",
        )
        return Incoming(self._control_plane.exchange(asked, scheme=self.url.scheme or "", patience=patience))


class _Connection(HTTPConnection):
    """urllib3's connection, on a socket that is none."""

    def __init__(self, *arguments: Any, call: _Call, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._call = call

    def connect(self) -> None:
        """As urllib3 connects, with its exceptions."""
        try:
            self._call.connect(self.timeout)
        except TimeoutError as error:  # urllib3 calls a handshake that takes too long a read timeout
            pool = urllib3.HTTPConnectionPool(self.host, self.port)
            raise ReadTimeoutError(pool, "/", str(error)) from error
        except socket.gaierror as error:
            raise NameResolutionError(self.host, self, error) from error
        except ssl.SSLError:
            raise
        except OSError as error:
            raise NewConnectionError(self, f"Failed to establish a new connection: {error}") from error
        self.sock = _Socket(self._call.ask)


class _Socket:
    """As much of a socket as ``http.client`` and urllib3 use."""

    def __init__(self, ask: Callable[[float | None], Incoming]) -> None:
        self._ask = ask
        self._patience: float | None = None

    def settimeout(self, seconds: float | None) -> None:
        """Set to the read timeout before the answer is awaited."""
        self._patience = seconds

    def sendall(self, data: bytes) -> None:
        """The request's own bytes, which nobody needs: the request is known."""

    def makefile(self, mode: str) -> io.BufferedReader:
        """The answer, to be read: asked for now, when the read timeout is known."""
        assert mode == "rb", mode
        return io.BufferedReader(_Answer(self._ask(self._patience)))

    def shutdown(self, how: int) -> None:
        """There is nothing to end."""

    def close(self) -> None:
        """There is nothing to give back."""


class _Answer(io.RawIOBase):
    """What is left of the answer."""

    def __init__(self, incoming: Incoming) -> None:
        self._incoming = incoming

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        piece = self._incoming.read(len(buffer))
        buffer[: len(piece)] = piece
        return len(piece)


def _text(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.decode("latin-1")


def _joined(body: Any) -> bytes:
    """A body that is sent piece by piece."""
    return b"".join(piece.encode() if isinstance(piece, str) else piece for piece in body)

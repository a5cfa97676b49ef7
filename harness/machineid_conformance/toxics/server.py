"""A Toxiproxy server as this package speaks to it: proxies and toxics, through ``toxiproxy-python``.

The package keeps the server's address in a class, has no timeout and says nothing of what the server refused with 500. So there is one
server a process, each call goes through a session of ours, and what was asked for is read back.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

R = TypeVar("R")

PATIENCE = 10.0
"""Real seconds that one call of the API may take."""
OLDEST = (2, 2, 0)
"""The first version that knows ``reset_peer``."""
NEEDED = ("latency", "limit_data", "reset_peer", "timeout")
EXTRA = "pip install 'machineid-conformance[toxiproxy]'"


class ToxiproxyError(Exception):
    """The server did not do what it was asked for."""


@dataclass(frozen=True, kw_only=True)
class Proxy:
    """A proxy of the server: where it listens, and under which name its API knows it."""

    name: str
    host: str
    port: int

    @property
    def address(self) -> str:
        """``host:port``."""
        return f"{self.host}:{self.port}"


@dataclass(frozen=True, kw_only=True)
class Toxic:
    """``attributes`` as Toxiproxy names them: milliseconds and bytes. It acts on what the control plane sends, on every connection."""

    type: str
    attributes: Mapping[str, int]

    def __str__(self) -> str:
        inner = ", ".join(f"{name} {value}" for name, value in self.attributes.items())
        return f"{self.type}({inner})"


class Server:
    """The API at ``host:port``. Calls are made one after the other on a thread of their own.

    ``ask`` waits without holding up the event loop; ``ask_now`` holds it up, for what nothing may overtake.
    """

    def __init__(self, host: str, port: int) -> None:
        self.host = host
        self.port = port
        self.version = "unknown"
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="toxiproxy")
        self._package = _package(host, port)

    async def ask(self, call: Callable[..., R], *arguments: Any) -> R:
        """Run one of the methods below on the thread. Raises ToxiproxyError."""
        return await asyncio.wrap_future(self._thread.submit(call, *arguments))

    def ask_now(self, call: Callable[..., R], *arguments: Any) -> R:
        """The same, while everything else waits. Raises ToxiproxyError."""
        return self._thread.submit(call, *arguments).result()

    def close(self) -> None:
        """Forget it; the server goes on."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    # -- on the thread -------------------------------------------------------------------------------------------------------

    def answers(self) -> bool:
        """Whether an API answers there. Learns its version."""
        try:
            content = self._package.Toxiproxy().version()
        except _failures():
            return False
        if content is None:
            return False
        text = content.decode(errors="backslashreplace").strip()
        found = re.search(r"\d+\.\d+\.\d+", text)
        self.version = found[0] if found else text[:40] or "unknown"  # `go install` gives one that calls itself "git"
        return True

    @property
    def too_old(self) -> bool:
        """Whether it says a version that is known to lack a toxic that is needed."""
        found = re.fullmatch(r"(\d+)\.(\d+)\.(\d+)", self.version)
        return found is not None and tuple(map(int, found.groups())) < OLDEST

    def create(self, name: str, upstream: str) -> Proxy:
        """A new proxy, on a free port of the server's loopback."""
        made = self._do(
            f"make the proxy {name}",
            lambda: self._package.Toxiproxy().create(name=name, upstream=upstream, listen="127.0.0.1:0", enabled=True),
        )
        host, _, port = made.listen.rpartition(":")
        return Proxy(name=name, host=host.strip("[]"), port=int(port))

    def set_toxic(self, proxy: Proxy, toxic: Toxic) -> str:
        """Its name, once the server lists it with what was asked for."""
        held = self._proxy(proxy)
        what = f"set {toxic} on the proxy {proxy.name}"
        self._do(what, lambda: held.add_toxic(type=toxic.type, attributes=dict(toxic.attributes)))
        for name, found in self._do(what, held.toxics).items():
            if found.type == toxic.type and dict(found.attributes).items() >= toxic.attributes.items():
                return str(name)
        raise ToxiproxyError(f"Toxiproxy took the order to {what}, and does not list it")

    def enable(self, proxy: Proxy, enabled: bool) -> None:
        """Let it listen, or close its listener and its connections; the server says that it is so."""
        held = self._proxy(proxy)
        what = f"{'enable' if enabled else 'disable'} the proxy {proxy.name}"
        self._do(what, held.enable if enabled else held.disable)
        if self._do(what, lambda: self._package.Toxiproxy().get_proxy(proxy.name)).enabled is not enabled:
            raise ToxiproxyError(f"Toxiproxy took the order to {what}, and did not do it")

    def destroy(self, proxy: Proxy) -> None:
        """Take it away, with its connections."""
        self._do(f"remove the proxy {proxy.name}", self._proxy(proxy).destroy)

    def _proxy(self, proxy: Proxy) -> Any:
        return self._package.Proxy(name=proxy.name, listen=proxy.address, upstream="", enabled=True)

    def _do(self, what: str, call: Callable[[], Any]) -> Any:
        try:
            return call()
        except _failures() as error:
            raise ToxiproxyError(f"Toxiproxy at {self.host}:{self.port} did not {what}: {_said(error)}") from error


def _package(host: str, port: int) -> Any:
    """``toxiproxy-python``, told where the server is.

    Raises:
        ToxiproxyError: it is not installed.
    """
    try:
        import requests  # type: ignore[import-untyped,unused-ignore]  # noqa: PLC0415 -- an extra
        import toxiproxy  # type: ignore[import-untyped,unused-ignore]  # noqa: PLC0415 -- an extra
        from toxiproxy import api  # noqa: PLC0415 -- an extra
    except ImportError as error:
        raise ToxiproxyError(f"toxiproxy-python is not installed ({error}): {EXTRA}") from error

    class Session(requests.Session):  # type: ignore[misc,unused-ignore]  # it has no types
        def request(self, *arguments: Any, **options: Any) -> Any:
            return super().request(*arguments, **{"timeout": PATIENCE, **options})

    session = Session()
    session.trust_env = False  # HTTP_PROXY is not meant for a server on this machine
    api.requests = session  # it calls requests.get and the like, which wait for ever
    toxiproxy.Toxiproxy().update_api_consumer(host, port)
    return toxiproxy


def _failures() -> tuple[type[Exception], ...]:
    """What the package raises when the server is not there, refuses, or answers something else."""
    from toxiproxy import exceptions  # noqa: PLC0415 -- an extra

    # OSError: all of requests' own; LookupError and ValueError: an answer that is not what was expected.
    known = (exceptions.ProxyExists, exceptions.NotFound, exceptions.InvalidToxic)
    return (*known, OSError, LookupError, ValueError, AttributeError)


def _said(error: Exception) -> str:
    detail = error.args[0] if error.args else ""
    text = detail.decode(errors="backslashreplace") if isinstance(detail, bytes) else str(detail)
    return f"{type(error).__name__}: {text.strip() or 'no reason given'}"

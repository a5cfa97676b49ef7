"""``Client`` and ``AsyncClient``: the same requests (``console``, ``controls``), sent by httpx."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from functools import wraps
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Self, TypeAlias, TypeVar

import httpx

from fake_control_plane.client import console, controls
from fake_control_plane.client.ask import Ask
from fake_control_plane.client.errors import UnexpectedAnswer, Unreachable, refused
from fake_control_plane.client.events import AsyncEvents, Events

_Context: TypeAlias = contextlib.AbstractContextManager
_AsyncContext: TypeAlias = contextlib.AbstractAsyncContextManager

P = ParamSpec("P")
T = TypeVar("T")

TIMEOUT = 10.0
"""Seconds, for each request. A stream may be silent for longer than the server's heartbeat (15 s) and no more than this:"""
SILENCE = 60.0


class _Base:
    """What both have: an address, a token, and how an answer is read."""

    def __init__(self, url: str, token: str | None) -> None:
        self.url = url.rstrip("/")
        self._headers = {} if token is None else {"authorization": f"Bearer {token}"}

    def _settings(self) -> dict[str, Any]:
        """What httpx's clients are made with.

        ``trust_env``: a proxy of the environment must not get between, nor be given the token. ``verify``: to load the system's
        authorities takes 20 ms, and plain HTTP needs none.
        """
        return {"timeout": TIMEOUT, "trust_env": False, "verify": self.url.lower().startswith("https:")}

    def _request(self, ask: Ask[Any]) -> dict[str, Any]:
        """The request, as httpx's ``request`` takes it."""
        return {
            "method": ask.method,
            "url": self.url + ask.path,
            "params": ask.query,
            "json": ask.body,
            "headers": {**self._headers, **(ask.headers or {})},
        }

    def _streaming(self, ask: Ask[Any]) -> dict[str, Any]:
        request = self._request(ask)
        headers = {**request["headers"], "accept": "text/event-stream"}
        return {**request, "headers": headers, "timeout": httpx.Timeout(TIMEOUT, read=SILENCE)}

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """Httpx's errors as ours."""
        try:
            yield
        except (httpx.TransportError, httpx.InvalidURL) as error:
            raise Unreachable(
                f"no answer from {self.url}: {error or type(error).__name__}. "
                "Start a server with fake-control-plane serve, or give the admin address that it printed"
            ) from error


def _result(ask: Ask[T], response: httpx.Response) -> T:
    """What the answer says, or the error that it is."""
    good = response.is_success or response.status_code in ask.also
    if good and ask.text:
        return ask.read(response.text)
    try:
        value = response.json()
    except ValueError as error:
        raise UnexpectedAnswer(
            f"{response.request.url} answered HTTP {response.status_code} without JSON: is that the admin port?"
        ) from error
    if not good:
        raise refused(response.status_code, value)
    return ask.read(value)


def _blocking(describe: Callable[P, Ask[T]]) -> Callable[Concatenate[Client, P], T]:
    """A method of ``Client`` that sends this request."""

    @wraps(describe)
    def method(client: Client, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return client.ask(describe(*args, **kwargs))

    return method


def _awaited(describe: Callable[P, Ask[T]]) -> Callable[Concatenate[AsyncClient, P], Awaitable[T]]:
    """A method of ``AsyncClient`` that sends this request."""

    @wraps(describe)
    async def method(client: AsyncClient, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await client.ask(describe(*args, **kwargs))

    return method


def _followed(describe: Callable[P, Ask[T]]) -> Callable[Concatenate[Client, P], _Context[Events]]:
    """A method of ``Client`` that opens this stream."""

    @wraps(describe)
    def method(client: Client, /, *args: P.args, **kwargs: P.kwargs) -> _Context[Events]:
        return client.stream(describe(*args, **kwargs))

    return method


def _followed_async(
    describe: Callable[P, Ask[T]],
) -> Callable[Concatenate[AsyncClient, P], _AsyncContext[AsyncEvents]]:
    """A method of ``AsyncClient`` that opens this stream."""

    @wraps(describe)
    def method(client: AsyncClient, /, *args: P.args, **kwargs: P.kwargs) -> _AsyncContext[AsyncEvents]:
        return client.stream(describe(*args, **kwargs))

    return method


class Client(_Base):
    """The admin port at ``url`` (``http://127.0.0.1:PORT``). ``token`` where the server has one. Use it in a ``with``.

    Each method raises ``errors.ClientError``: ``Unreachable``, ``UnexpectedAnswer``, or ``Refused`` with the server's words.
    """

    def __init__(self, url: str, *, token: str | None = None) -> None:
        super().__init__(url, token)
        self._http = httpx.Client(**self._settings())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections."""
        self._http.close()

    def ask(self, ask: Ask[T]) -> T:
        """Send one request of ``console`` or ``controls``."""
        with self._told():
            response = self._http.request(**self._request(ask))
        return _result(ask, response)

    @contextlib.contextmanager
    def stream(self, ask: Ask[Any]) -> Iterator[Events]:
        """Send a request whose answer is events without end."""
        with contextlib.ExitStack() as stack:
            with self._told():
                response = stack.enter_context(self._http.stream(**self._streaming(ask)))
                if not response.is_success:
                    response.read()
                    _result(ask, response)
            yield Events(response.iter_lines(), told=self._told)

    follow = _followed(controls.follow)
    orgs = _blocking(console.orgs)
    create_org = _blocking(console.create_org)
    org = _blocking(console.org)
    rotate_key = _blocking(console.rotate_key)
    disable = _blocking(console.disable)
    enable = _blocking(console.enable)
    set_plan = _blocking(console.set_plan)
    set_plan_state = _blocking(console.set_plan_state)
    set_cap = _blocking(console.set_cap)
    cancel_plan = _blocking(console.cancel_plan)
    devices = _blocking(console.devices)
    device = _blocking(console.device)
    register = _blocking(console.register)
    revoke = _blocking(console.revoke)
    restore = _blocking(console.restore)
    remove = _blocking(console.remove)
    faults = _blocking(controls.faults)
    add_fault = _blocking(controls.add_fault)
    fault = _blocking(controls.fault)
    remove_fault = _blocking(controls.remove_fault)
    clear_faults = _blocking(controls.clear_faults)
    fault_kinds = _blocking(controls.fault_kinds)
    clock = _blocking(controls.clock)
    advance_clock = _blocking(controls.advance_clock)
    dialect = _blocking(controls.dialect)
    set_dialect = _blocking(controls.set_dialect)
    set_codes = _blocking(controls.set_codes)
    status = _blocking(controls.status)
    health = _blocking(controls.health)
    metrics = _blocking(controls.metrics)
    openapi = _blocking(controls.openapi)
    control_plane_openapi = _blocking(controls.control_plane_openapi)
    journal = _blocking(controls.journal)


class AsyncClient(_Base):
    """``Client``, awaited. Use it in an ``async with``."""

    def __init__(self, url: str, *, token: str | None = None) -> None:
        super().__init__(url, token)
        self._http = httpx.AsyncClient(**self._settings())

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections."""
        await self._http.aclose()

    async def ask(self, ask: Ask[T]) -> T:
        """Send one request of ``console`` or ``controls``."""
        with self._told():
            response = await self._http.request(**self._request(ask))
        return _result(ask, response)

    @contextlib.asynccontextmanager
    async def stream(self, ask: Ask[Any]) -> AsyncIterator[AsyncEvents]:
        """Send a request whose answer is events without end."""
        async with contextlib.AsyncExitStack() as stack:
            with self._told():
                response = await stack.enter_async_context(self._http.stream(**self._streaming(ask)))
                if not response.is_success:
                    await response.aread()
                    _result(ask, response)
            yield AsyncEvents(response.aiter_lines(), told=self._told)

    follow = _followed_async(controls.follow)
    orgs = _awaited(console.orgs)
    create_org = _awaited(console.create_org)
    org = _awaited(console.org)
    rotate_key = _awaited(console.rotate_key)
    disable = _awaited(console.disable)
    enable = _awaited(console.enable)
    set_plan = _awaited(console.set_plan)
    set_plan_state = _awaited(console.set_plan_state)
    set_cap = _awaited(console.set_cap)
    cancel_plan = _awaited(console.cancel_plan)
    devices = _awaited(console.devices)
    device = _awaited(console.device)
    register = _awaited(console.register)
    revoke = _awaited(console.revoke)
    restore = _awaited(console.restore)
    remove = _awaited(console.remove)
    faults = _awaited(controls.faults)
    add_fault = _awaited(controls.add_fault)
    fault = _awaited(controls.fault)
    remove_fault = _awaited(controls.remove_fault)
    clear_faults = _awaited(controls.clear_faults)
    fault_kinds = _awaited(controls.fault_kinds)
    clock = _awaited(controls.clock)
    advance_clock = _awaited(controls.advance_clock)
    dialect = _awaited(controls.dialect)
    set_dialect = _awaited(controls.set_dialect)
    set_codes = _awaited(controls.set_codes)
    status = _awaited(controls.status)
    health = _awaited(controls.health)
    metrics = _awaited(controls.metrics)
    openapi = _awaited(controls.openapi)
    control_plane_openapi = _awaited(controls.control_plane_openapi)
    journal = _awaited(controls.journal)

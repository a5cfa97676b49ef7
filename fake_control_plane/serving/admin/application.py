"""The admin port as an ASGI application: the table of endpoints, the journal's stream, health, metrics and documents."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from importlib.metadata import version
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fake_control_plane import openapi as control_plane_openapi
from fake_control_plane.serving import metrics
from fake_control_plane.serving.admin import openapi
from fake_control_plane.serving.admin.access import Access, answer_headers
from fake_control_plane.serving.admin.api import ENDPOINTS, PREFIX
from fake_control_plane.serving.admin.endpoints import Asked, Endpoint
from fake_control_plane.serving.admin.fields import read_object, read_query
from fake_control_plane.serving.admin.held import Held
from fake_control_plane.serving.admin.journal import stream
from fake_control_plane.serving.admin.problems import Refused
from fake_control_plane.serving.views import Conflict, UnknownDevice, UnknownOrg, UnknownRule

LARGEST_BODY = 4 * 1024 * 1024
"""Bytes: 10,000 devices with ids of the greatest length fit."""

Handler = Callable[[Request], Awaitable[Response]]


def build(held: Held, access: Access, *, more_routes: Sequence[BaseRoute] = ()) -> Starlette:
    """The application. ``more_routes``: the dashboard's page and files (``/``, ``/dashboard/…``)."""
    by_path: dict[str, dict[str, Endpoint]] = {}
    for endpoint in ENDPOINTS:
        by_path.setdefault(PREFIX + endpoint.path, {})[endpoint.method] = endpoint
    application = Starlette(
        routes=[
            Route("/healthz", health),
            Route("/metrics", prometheus),
            Route("/openapi.json", admin_document),
            Route("/openapi/control-plane.json", control_plane_document),
            # Before the table: the stream is not a page of the journal.
            Route(PREFIX + "/journal/stream", stream),
            *(Route(path, _handler(methods), methods=list(methods)) for path, methods in by_path.items()),
            *more_routes,
        ],
        middleware=[Middleware(_Gate, access=access)],
        exception_handlers={Refused: _on_refused, HTTPException: _on_http, Exception: _on_defect},
    )
    application.router.redirect_slashes = False  # a path that is not in the table is an error
    application.state.held = held
    application.state.access = access
    return application


def _handler(methods: Mapping[str, Endpoint]) -> Handler:
    """One path of the table."""

    async def handle(request: Request) -> Response:
        endpoint = methods["GET" if request.method == "HEAD" else request.method]
        body = await _read(request) if endpoint.body is not None else {}
        if endpoint.body not in (None, "rule"):
            assert isinstance(endpoint.body, tuple)
            body = read_object(body, endpoint.body, where="body")
        query = read_query(request.query_params.multi_items(), endpoint.query)
        return JSONResponse(
            _act(endpoint, request, Asked(path=request.path_params, query=query, body=body)), endpoint.status
        )

    return handle


def _act(endpoint: Endpoint, request: Request, asked: Asked) -> Any:
    try:
        return endpoint.act(request.app.state.held, asked)
    except UnknownOrg as error:
        raise Refused("unknown_org", str(error)) from error
    except UnknownDevice as error:
        raise Refused("unknown_device", str(error)) from error
    except UnknownRule as error:
        raise Refused("unknown_rule", str(error)) from error
    except Conflict as error:
        raise Refused("conflict", str(error)) from error
    except ValueError as error:
        raise Refused("invalid_value", str(error)) from error
    except OSError as error:
        raise Refused("not_stored", str(error)) from error


async def _read(request: Request) -> Any:
    """The body's JSON object."""
    if "content-type" not in request.headers:
        raise Refused("not_json", "Content-Type: is missing; expected application/json", expected="application/json")
    data = bytearray()
    try:
        async for chunk in request.stream():
            data += chunk
            if len(data) > LARGEST_BODY:
                raise Refused(
                    "too_large",
                    f"the body has more than {LARGEST_BODY} bytes",
                    expected=f"at most {LARGEST_BODY} bytes",
                )
    except ClientDisconnect:
        raise Refused("malformed_json", "the body ended before its length") from None
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:  # a UnicodeDecodeError is a ValueError
        raise Refused("malformed_json", f"the body is not JSON: {error}", expected="a JSON object in UTF-8") from error
    if not isinstance(value, dict):
        raise Refused(
            "malformed_json", f"the body is a JSON {type(value).__name__}; expected an object", expected="a JSON object"
        )
    return value


# -- what is not in the table --------------------------------------------------------------------------------------------


async def health(request: Request) -> Response:
    """``GET /healthz``."""
    problems = request.app.state.held.problems()
    shown = problems if request.app.state.access.has_token(request.headers) else []
    return JSONResponse({"healthy": not problems, "problems": shown}, 503 if problems else 200)


async def prometheus(request: Request) -> Response:
    """``GET /metrics``."""
    held: Held = request.app.state.held
    orgs = [(org, held.service.devices(org.id)) for org in held.service.orgs()]
    text = metrics.render(held.tally, held.journal, orgs, healthy=not held.problems())
    return Response(text, headers={"content-type": CONTENT_TYPE_LATEST})


async def admin_document(_: Request) -> Response:
    """``GET /openapi.json``."""
    return JSONResponse(openapi.document(version=version("machineid-conformance")))


async def control_plane_document(request: Request) -> Response:
    """``GET /openapi/control-plane.json``: of the data port, which is another server than this one."""
    held: Held = request.app.state.held
    return JSONResponse(control_plane_openapi.document(held.about.get("base_url", "/")))


# -- errors, and the gate --------------------------------------------------------------------------------------------------


def _response(refused: Refused) -> JSONResponse:
    return JSONResponse(refused.body(), refused.problem.status, headers=refused.headers)


async def _on_refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    return _response(error)


async def _on_http(request: Request, error: Exception) -> Response:
    """Starlette's own errors: there is no such path, or not with this method."""
    assert isinstance(error, HTTPException)
    if error.status_code == 405:
        allowed = ", ".join(sorted((error.headers or {}).get("Allow", "").split(", ")))
        return _response(
            Refused(
                "method_not_allowed",
                f"{request.method} is not allowed here",
                expected=allowed,
                headers={"Allow": allowed},  # RFC 9110, 15.5.6
            )
        )
    if error.status_code == 404:
        return _response(Refused("unknown_path", f"there is nothing at {request.url.path[:200]}"))
    return _response(Refused("invalid_value", str(error.detail)))


async def _on_defect(_: Request, error: Exception) -> Response:
    """Starlette raises it again behind this answer, and the server writes the traceback to standard error."""
    return _response(Refused("internal", f"{type(error).__name__}: see the server's standard error"))


class _Gate:
    """Asks ``Access`` before anything else is looked at, and adds the headers of every answer."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app = app
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in answer_headers().items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            self._access.check(scope["method"], scope["path"], Headers(scope=scope))
        except Refused as refused:
            await _response(refused)(scope, receive, send_with_headers)
        else:
            await self._app(scope, receive, send_with_headers)

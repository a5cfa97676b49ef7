"""From an HTTP request to a call, and from a call to the answer.

``parse`` never raises: whatever a client sends is a call, of operation ``unknown`` at worst, and what is wrong with
it is a ``problem``: the JSON error that ``handle`` answers. Paths and bodies: the table in ``ENDPOINTS``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, TypeGuard
from urllib.parse import parse_qsl, unquote

from fake_control_plane.answers import Answer
from fake_control_plane.problems import DEVICE_ID_LIMIT, DEVICE_ID_SOMETHING, refusal
from fake_control_plane.state import ControlPlane

Operation = Literal[
    "register", "validate", "list", "usage", "revoke", "unrevoke", "remove", "org-create", "billing", "unknown"
]

PREFIX = "/api/v1/"

ENDPOINTS: Mapping[str, Mapping[str, Operation]] = MappingProxyType(
    {
        PREFIX + "org/create": {"POST": "org-create"},
        PREFIX + "devices/register": {"POST": "register"},
        PREFIX + "devices/validate": {"POST": "validate", "GET": "validate"},  # GET: legacy docs
        PREFIX + "devices/list": {"GET": "list"},
        PREFIX + "devices/revoke": {"POST": "revoke"},
        PREFIX + "devices/unrevoke": {"POST": "unrevoke"},
        PREFIX + "devices/remove": {"POST": "remove"},
        PREFIX + "usage": {"GET": "usage"},
        PREFIX + "billing/summary": {"GET": "billing"},
    }
)
"""Path, method, operation."""

_ABOUT_A_DEVICE: frozenset[Operation] = frozenset({"register", "validate", "revoke", "unrevoke", "remove"})
_SOMETHING = re.compile(DEVICE_ID_SOMETHING)
_FIELDS = 100
"""How many fields of a query are looked through for a key: the API has one."""
_KEY = re.compile(r"org_[A-Za-z0-9_\-]{6,}")


@dataclass(frozen=True, kw_only=True)
class Request:
    """An HTTP request, read to its end.

    ``target`` in origin or absolute form; ``headers`` with lower-case names, in order.
    """

    method: str
    target: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    host: str = ""


@dataclass(frozen=True, kw_only=True)
class Call:
    """What a request asks for.

    ``device`` is None where the operation is about none, or where it was missing or mistyped. ``key`` is the value of
    x-org-key. ``key_in_url``: that value, or something else that looks like an org key, stands in the URL; such a key
    is not accepted, and a device id is not looked at. ``path`` is path and query as sent: it may hold a secret.
    ``problem`` is the error that the request gets even with a good key.
    """

    operation: Operation
    device: str | None
    key: str | None
    key_in_url: bool
    method: str
    path: str
    problem: Answer | None = None


def parse(request: Request) -> Call:
    """The call that a request makes."""
    target = origin_form(request.target)
    path, _, query = target.partition("?")
    key = next((value.strip() for name, value in request.headers if name == "x-org-key"), None) or None
    methods = ENDPOINTS.get(path, {})
    operation: Operation = methods.get(request.method, "unknown")
    device: str | None = None
    problem: Answer | None = None
    if operation == "unknown":
        problem = _nowhere(path, methods)
    elif operation in _ABOUT_A_DEVICE:
        found = _device_in_query(query) if request.method == "GET" else _device_in_body(request.body)
        if isinstance(found, _Bad):
            problem = refusal(found.word, handler=handler_of(path))
        else:
            device = found
    return Call(
        operation=operation,
        device=device,
        key=key,
        key_in_url=_has_key(path, query, key),
        method=request.method,
        path=target,
        problem=problem,
    )


def handle(control_plane: ControlPlane, call: Call) -> Answer:
    """The answer to a call.

    An unknown endpoint comes first, then a wrong key, then a bad request, then what the state says.
    """
    if call.operation == "unknown":
        return call.problem or _nowhere(call.path, {})
    if call.operation == "org-create":
        return control_plane.create_org()
    refused = control_plane.unauthorized(call.key, handler=handler_of(call.path))
    if refused is not None or call.problem is not None:
        return refused or call.problem or Answer()
    if call.device is None:
        by_org: Mapping[str, Callable[[str | None], Answer]] = {
            "list": control_plane.list,
            "usage": control_plane.usage,
            "billing": control_plane.billing_summary,
        }
        return by_org[call.operation](call.key)
    by_device: Mapping[str, Callable[[str | None, str], Answer]] = {
        "register": control_plane.register,
        "validate": control_plane.validate_legacy if call.method == "GET" else control_plane.validate,
        "revoke": control_plane.revoke,
        "unrevoke": control_plane.unrevoke,
        "remove": control_plane.remove,
    }
    return by_device[call.operation](call.key, call.device)


def origin_form(target: str) -> str:
    """Path and query of a request target: absolute form (RFC 9112, 3.2.2) loses scheme and authority."""
    scheme, separator, rest = target.partition("://")
    if not separator or "/" in scheme or "?" in scheme:
        return target
    slash = re.search(r"[/?]", rest)
    if slash is None:
        return "/"
    return rest[slash.start() :] if slash[0] == "/" else "/" + rest[slash.start() :]


@dataclass(frozen=True)
class _Bad:
    word: str


def _device_in_body(body: bytes) -> str | _Bad:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):  # UnicodeDecodeError is a ValueError; nested too deeply is malformed to us
        return _Bad("malformed_json")
    if not isinstance(value, dict):
        return _Bad("malformed_body")
    return _device(value.get("deviceId"))


def _device_in_query(query: str) -> str | _Bad:
    return _device(dict(reversed(parse_qsl(query, keep_blank_values=True))).get("deviceId"))


def _device(value: object) -> str | _Bad:
    if value is None:
        return _Bad("missing_device_id")
    return value if is_device_id(value) else _Bad("invalid_device_id")


def is_device_id(value: object) -> TypeGuard[str]:
    """Whether a device can have this id."""
    return (
        isinstance(value, str)
        and len(value) <= DEVICE_ID_LIMIT
        and _SOMETHING.search(value) is not None
        and _is_unicode(value)
    )


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # a lone surrogate, which JSON can write and UTF-8 cannot
        return False
    return True


def _has_key(path: str, query: str, key: str | None) -> bool:
    readable = unquote(f"{path}?{query}")
    if key is not None and key in readable:
        return True
    if "org_" not in readable:
        return False
    some = "&".join(query.split("&", _FIELDS)[:_FIELDS])  # reading a thousand keeps a server's other clients waiting
    others = [value for name, value in parse_qsl(some) if name != "deviceId"]
    return any(_KEY.fullmatch(text) for text in [*unquote(path).split("/"), *others])


def _nowhere(path: str, methods: Mapping[str, Operation]) -> Answer:
    if not methods:
        return refusal("not_found", handler=handler_of(path))
    allowed = ", ".join(methods)
    headers = {"Allow": allowed}  # RFC 9110, 15.5.6: a 405 carries it
    return refusal("method_not_allowed", handler=handler_of(path), headers=headers, allowed=allowed)


def handler_of(path: str) -> str:
    """What bodies call the endpoint of this path: ``devices/validate``; ``unknown`` if there is none."""
    known = path.partition("?")[0]
    return known.removeprefix(PREFIX) if known in ENDPOINTS else "unknown"

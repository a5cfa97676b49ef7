"""The page and its files as routes of the admin port.

They hold no data, and need no token. The Content-Security-Policy lets the page load and ask nothing but this server, run no
inline script, use no inline style, and turn no text into HTML (Trusted Types without any policy): a device id is text, whatever is in it.
"""

from __future__ import annotations

from importlib import resources

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)

_HEADERS = {"content-security-policy": POLICY, "referrer-policy": "no-referrer"}

_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


def routes() -> list[BaseRoute]:
    """``/`` and ``/dashboard/NAME``. The files are read once, here: no request names a file of the disk.

    Raises:
        ValueError: a file of the page has an ending whose media type is not known.
    """
    found: list[BaseRoute] = []
    for file in sorted(resources.files(__package__).joinpath("page").iterdir(), key=lambda file: file.name):
        ending = file.name[file.name.rfind(".") :]
        if ending not in _TYPES:
            raise ValueError(f"dashboard: {file.name}: expected a file that ends with one of {', '.join(_TYPES)}")
        path = "/" if file.name == "index.html" else f"/dashboard/{file.name}"
        found.append(_route(path, file.read_bytes(), _TYPES[ending]))
    return found


def _route(path: str, content: bytes, kind: str) -> Route:
    async def send(_: Request) -> Response:
        return Response(content, headers={**_HEADERS, "content-type": kind})

    return Route(path, send)

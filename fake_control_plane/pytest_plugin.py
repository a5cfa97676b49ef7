"""pytest fixtures: a control plane in process, behind httpx (respx) and behind requests (responses).

Loaded by every pytest run of its users, so it imports nothing of ours, and no client, until a fixture is used.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    import responses
    import respx

    from fake_control_plane.in_process import InProcessControlPlane


@pytest.fixture
def machineid_base_url() -> str:
    """Where clients look for the control plane, ``https://machineid.io``: override it for those that are told another place."""
    from fake_control_plane.in_process import BASE_URL  # noqa: PLC0415 -- see the module

    return BASE_URL


@pytest.fixture
def machineid_control_plane(machineid_base_url: str) -> InProcessControlPlane:
    """An org of its own for this test, and its console: ``.org_key``, ``.register``, ``.revoke``, ``.fault``, ``.calls``."""
    from fake_control_plane.in_process import InProcessControlPlane  # noqa: PLC0415 -- see the module

    return InProcessControlPlane(base_url=machineid_base_url)


@pytest.fixture
def machineid_respx(machineid_control_plane: InProcessControlPlane) -> Iterator[respx.MockRouter]:
    """httpx, sync and async, meets the control plane; the router takes routes for the other hosts of a test."""
    try:
        import respx  # noqa: PLC0415 -- see the module

        from fake_control_plane.in_process import over_httpx  # noqa: PLC0415 -- see the module
    except ModuleNotFoundError as error:
        raise _missing("machineid_respx", "respx", error) from error

    with respx.mock(assert_all_called=False) as router:
        over_httpx.mount(machineid_control_plane, router)
        yield router


@pytest.fixture
def machineid_responses(machineid_control_plane: InProcessControlPlane) -> Iterator[responses.RequestsMock]:
    """requests, and with it the official SDK, meets the control plane; the mock takes responses for the other hosts of a test."""
    try:
        import responses  # noqa: PLC0415 -- see the module

        from fake_control_plane.in_process import over_requests  # noqa: PLC0415 -- see the module
    except ModuleNotFoundError as error:
        raise _missing("machineid_responses", "responses", error) from error

    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        over_requests.mount(machineid_control_plane, mock)
        yield mock


def _missing(fixture: str, extra: str, error: ModuleNotFoundError) -> pytest.UsageError:
    return pytest.UsageError(
        f"the fixture {fixture} needs {error.name}, which is not installed; pip install 'machineid-conformance[{extra}]'"
    )

"""The fake without a server: the same service behind requests (``responses``) and httpx (``respx``), for unit tests.

``exchange``       one call on a clock of its own: sans I/O, nothing waits
``control_plane``  ``InProcessControlPlane``: the console that a test holds
``over_httpx``     what came over the connection, read by httpx's own HTTP implementation; sync and async
``over_requests``  the same for requests and urllib3

The pytest fixtures are in ``fake_control_plane.pytest_plugin``; ``over_httpx`` and ``over_requests`` import their clients, so
import them only where those are installed.
"""

from fake_control_plane.in_process.control_plane import BASE_URL, InProcessControlPlane

__all__ = ["BASE_URL", "InProcessControlPlane"]

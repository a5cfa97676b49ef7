"""The table of the admin API: what ``application`` serves, ``openapi`` describes, and the client can call."""

from __future__ import annotations

from fake_control_plane.serving.admin import controls, devices, journal, orgs
from fake_control_plane.serving.admin.endpoints import Endpoint

PREFIX = "/admin/v1"
"""What the paths of ``ENDPOINTS`` stand behind."""

ENDPOINTS: tuple[Endpoint, ...] = (*orgs.ENDPOINTS, *devices.ENDPOINTS, *controls.ENDPOINTS, *journal.ENDPOINTS)

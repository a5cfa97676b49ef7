"""The dashboard: the console as one page, without a build step. ``page/app.js`` begins with what its files are."""

from __future__ import annotations

from fake_control_plane.serving.admin.dashboard.files import routes

__all__ = ["routes"]

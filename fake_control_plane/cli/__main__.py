"""``python -m fake_control_plane.cli``."""

from __future__ import annotations

import sys

from fake_control_plane.cli import main

if __name__ == "__main__":
    sys.exit(main())

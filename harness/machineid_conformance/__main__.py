"""``python -m machineid_conformance``: the same as the script ``machineid-conformance``."""

from __future__ import annotations

import sys

from machineid_conformance.cli import main

sys.exit(main())

"""The fake compared with the original: whether what the fake had to assume is so.

``comparison``  two answers to one call, and how they differ; pure
``script``      the calls, in order, and when to stop; sans I/O
``command``     ``fake-control-plane verify``: sends them, cleans up, reports
"""

from fake_control_plane.verify.comparison import Difference, Observed, compare

__all__ = ["Difference", "Observed", "compare"]

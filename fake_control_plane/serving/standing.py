"""A validate that comes again and again, with what was looked up for it the first time."""

from __future__ import annotations

from fake_control_plane.serving.hosted import HostedOrg


class Standing:
    """A POST validate of one device with one key. What it gets is decided each time anew; whose it is, and that no fault rule means it,
    holds until keys or rules change. Mutable: ``Service`` looks again then.

    ``hosted`` is the org that has the key; ``rules`` those (``FaultRules.in_force``) of which none means it; None: that is not known.
    """

    __slots__ = ("device", "hosted", "key", "rules")

    def __init__(self, key: str, device: str) -> None:
        self.key = key
        self.device = device
        self.hosted: HostedOrg | None = None
        self.rules: object = None

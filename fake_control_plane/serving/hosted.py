"""The orgs of one service, by id and by key, and what is seen of their devices."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from fake_control_plane.org import Org, Reason
from fake_control_plane.serving.entries import Verdict
from fake_control_plane.serving.views import DeviceView, OrgView, UnknownDevice, UnknownOrg


class Seen:
    """A registered device's validates since the service began. Mutable: it is written at every one of them."""

    __slots__ = ("at", "calls", "reason")

    def __init__(self) -> None:
        self.calls = 0
        self.reason: Reason | None = None
        self.at: float | None = None


class HostedOrg:
    """One org with its id, its current key, and what was seen of its devices."""

    __slots__ = ("id", "key", "org", "seen", "verdicts")

    def __init__(self, org_id: str, key: str, org: Org) -> None:
        self.id = org_id
        self.key = key
        self.org = org
        self.seen: dict[str, Seen] = {}
        self.verdicts: dict[Reason, Verdict] = {}
        """What the journal says of its validates; made anew when the dialect's codes change."""

    def note(self, device: str, reason: Reason, at: float) -> None:
        """A validate of this device was decided. Only of registered devices: anything else would grow without end."""
        seen = self.seen.get(device)
        if seen is None:
            if self.org.find(device) is None:
                return
            seen = self.seen[device] = Seen()
        seen.calls += 1
        seen.reason = reason
        seen.at = at

    def view(self) -> OrgView:
        """The org, to show."""
        org = self.org
        return OrgView(
            id=self.id,
            plan=org.plan,
            plan_state=org.plan_state,
            limit=org.limit,
            used=org.used,
            access_until=org.access_until,
            disabled=org.disabled,
        )

    def devices(self) -> tuple[DeviceView, ...]:
        """All registered devices in register order, to show."""
        return tuple(self.device(device.id) for device in self.org.devices)

    def device(self, device: str) -> DeviceView:
        """One device, to show. Raises UnknownDevice."""
        found = self.org.find(device)
        if found is None:
            raise UnknownDevice(self.id, [device])
        seen = self.seen.get(device) or _NEVER
        return DeviceView(
            id=device,
            revoked=found.revoked,
            now=self.org.decide(device),
            calls=seen.calls,
            last=seen.reason,
            last_at=seen.at,
        )


_NEVER = Seen()


class HostedOrgs:
    """All orgs of one service, in the order in which they were made."""

    def __init__(self) -> None:
        self._by_id: dict[str, HostedOrg] = {}
        self._by_key: dict[str, HostedOrg] = {}
        self._last = 0

    def __iter__(self) -> Iterator[HostedOrg]:
        return iter(self._by_id.values())

    def __len__(self) -> int:
        return len(self._by_id)

    @property
    def by_key(self) -> Mapping[str, HostedOrg]:
        """By current key: a live view."""
        return self._by_key

    def find(self, org_id: str) -> HostedOrg:
        """The org with this id. Raises UnknownOrg."""
        try:
            return self._by_id[org_id]
        except KeyError:
            known = f"expected one of org-1 to org-{self._last}" if self._last else "there are no orgs yet"
            raise UnknownOrg(f"no org has the id {org_id!r}; {known}") from None

    def add(self, key: str, org: Org) -> HostedOrg:
        """Give an org the next id."""
        return self.put(f"org-{self._last + 1}", key, org)

    def put(self, org_id: str, key: str, org: Org) -> HostedOrg:
        """Take in an org with the id that it has. Raises ValueError for an id that is none, or is another's."""
        word, _, number = org_id.partition("-")
        if word != "org" or not number.isdecimal() or org_id in self._by_id:
            raise ValueError(f"org id: got {org_id!r}; expected org-N, another for each org")
        self._last = max(self._last, int(number))
        hosted = self._by_id[org_id] = self._by_key[key] = HostedOrg(org_id, key, org)
        return hosted

    def rekey(self, hosted: HostedOrg, key: str) -> None:
        """The org has another key from now on."""
        del self._by_key[hosted.key]
        hosted.key = key
        self._by_key[key] = hosted

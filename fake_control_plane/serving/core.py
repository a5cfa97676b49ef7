"""What a ``Service`` holds, how it is loaded, and the one way in which a change becomes acknowledged."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, TypedDict, Unpack

from fake_control_plane.dialects import CURRENT, LEGACY, Dialect
from fake_control_plane.fault_rules import FaultRules
from fake_control_plane.org import Device, Org
from fake_control_plane.serving.clock import Clock
from fake_control_plane.serving.guards import KEY_MARK, Guards
from fake_control_plane.serving.hosted import HostedOrg, HostedOrgs
from fake_control_plane.serving.identifiers import OrgKeys, request_ids
from fake_control_plane.serving.journal import Journal
from fake_control_plane.serving.parts import Saved, SavedOrg, Setting, Store
from fake_control_plane.serving.views import Change
from fake_control_plane.state import ControlPlane

Layer = Literal["tcp", "dns", "tls"]

DIALECTS: Mapping[str, Dialect] = {dialect.name: dialect for dialect in (CURRENT, LEGACY)}


class Parts(TypedDict, total=False):
    """What a ``Service`` is made with.

    Without ``store`` the state lives in memory; with one, what it has is loaded, and goes before ``dialect``. ``seed`` makes org
    keys and request ids repeatable; ``new_id`` (36 characters at each call) and ``new_key`` replace them. ``layers``: at which of the
    layers below HTTP whoever serves can deliver a listener fault; a rule of another one is refused.
    """

    seed: int | None
    new_id: Callable[[], str]
    new_key: Callable[[], str]
    clock: Clock
    dialect: Dialect
    store: Store | None
    journal: Journal
    guards: Guards
    layers: frozenset[Layer]


class Core:
    """Holds everything.

    Raises:
        ValueError: what the store has cannot be taken in; the message says what and why.
    """

    def __init__(self, **parts: Unpack[Parts]) -> None:
        store, seed = parts.get("store"), parts.get("seed")
        self._store = store
        saved = (store.load() if store is not None else None) or Saved()
        self._minted = int(saved.settings.get("minted", 0))
        self._clock = parts.get("clock") or Clock()
        self._journal = parts.get("journal") or Journal()
        self._guards = parts.get("guards") or Guards()
        self._layers = parts.get("layers", frozenset({"tcp"}))
        self._new_id = parts.get("new_id") or request_ids(seed)
        self._control_plane = ControlPlane(
            new_id=self._new_id,
            new_key=parts.get("new_key") or OrgKeys(seed, minted=self._minted),
            now=self._clock.now,
            dialect=parts.get("dialect", CURRENT),
        )
        self._orgs = HostedOrgs()
        self._rules = FaultRules()
        self._subscribers: dict[Callable[[Change], None], None] = {}
        self._load(saved)
        self._dialect_changed()

    @property
    def dialect(self) -> Dialect:
        """The dialect in force, overrides included."""
        return self._control_plane.dialect

    @property
    def clock(self) -> Clock:
        """The service's clock; ``move_clock`` moves it."""
        return self._clock

    @property
    def guards(self) -> Guards:
        """What keeps this fake from becoming a back door."""
        return self._guards

    @property
    def journal(self) -> Journal:
        """Where calls and actions are written down."""
        return self._journal

    def _load(self, saved: Saved) -> None:
        settings = saved.settings
        self._clock.move(float(settings.get("clock", 0.0)))
        name = settings.get("dialect", self.dialect.name)
        self._control_plane.dialect = replace(
            dialect_named(name) if "dialect" in settings else self.dialect,
            codes={**self.dialect.codes, **settings.get("codes", {})},
        )
        for kept in saved.orgs:
            if not kept.key.startswith(KEY_MARK):
                raise ValueError(
                    f"the stored key of {kept.id} was not minted by a fake control plane (those begin with {KEY_MARK}); "
                    "a key of the real service is never accepted. Use a state file that only this server has written"
                )
            org = Org.restored(kept.settings, saved.devices.get(kept.id, ()), now=self._clock.now)
            self._control_plane.adopt(kept.key, org)
            self._orgs.put(kept.id, kept.key, org)
        for rule in saved.rules.values():
            self._rules.restore(rule)
        self._rules.go_on_behind(int(settings.get("rules", 0)))

    # -- a change: made by the caller, then these, then acknowledged by returning ------------------------------------------

    def _adopt(self, key: str) -> HostedOrg:
        """An org was made by the control plane: give it its id, and store it."""
        hosted = self._orgs.add(key, self._control_plane.org(key))
        self._minted += 1
        self._save_setting("minted", self._minted)
        self._save_org(hosted)
        return hosted

    def _save_org(self, hosted: HostedOrg) -> None:
        if self._store is not None:
            self._store.save_org(SavedOrg(id=hosted.id, key=hosted.key, settings=hosted.org.settings))

    def _save_devices(self, hosted: HostedOrg, devices: Sequence[str]) -> None:
        """Each as it is now: registered and changed ones are saved, the others forgotten."""
        found = {device: hosted.org.find(device) for device in devices}
        gone = [device for device, value in found.items() if value is None]
        for device in gone:
            hosted.seen.pop(device, None)
        if self._store is not None:
            if kept := [value for value in found.values() if isinstance(value, Device)]:
                self._store.save_devices(hosted.id, kept)
            if gone:
                self._store.forget_devices(hosted.id, gone)

    def _save_setting(self, name: Setting, value: Any) -> None:
        if self._store is not None:
            self._store.save_setting(name, value)

    def _commit(self) -> None:
        if self._store is not None:
            self._store.commit()

    def _acknowledge(
        self, action: str, org: str | None = None, devices: Sequence[str] = (), *, detail: str | None = None
    ) -> None:
        """The end of every action: stored, journaled (once for each device), told.

        Raises:
            OSError: it could not be stored. It is in force, and is not acknowledged.
        """
        self._commit()
        for device in devices or (None,):
            self._journal.record(self._clock.now(), "action", org, action, device, detail=detail)
        self._journal.flush()
        self._tell(Change(action=action, org=org, devices=tuple(devices)))

    def _tell(self, change: Change) -> None:
        for told in tuple(self._subscribers):
            told(change)

    def _dialect_changed(self) -> None:
        """What is derived from the dialect is derived anew."""

    def flush(self) -> None:
        """Hand the journal to its file: a port does so before it sends a batch of answers."""
        self._journal.flush()

    def close(self) -> None:
        """Commit, and give store and journal back."""
        if self._store is not None:
            self._store.commit()
            self._store.close()
        self._journal.close()


def dialect_named(name: str) -> Dialect:
    """A dialect by its name. Raises ValueError for another word."""
    try:
        return DIALECTS[name]
    except KeyError:
        raise ValueError(f"dialect: got {name!r}; expected one of {', '.join(DIALECTS)}") from None

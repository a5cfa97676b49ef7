from __future__ import annotations

import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fake_control_plane.org import Device, OrgSettings
from fake_control_plane.serving.parts import Saved, SavedOrg
from fake_control_plane.serving.store import CommitError, SqliteStore, StateFileError

FULL = OrgSettings(plan="pro", custom_limit=7, access_until=1.5e9, plan_state="frozen", disabled=True)


def reopened(path: Path) -> Saved:
    store = SqliteStore(path)
    saved = store.load()
    store.close()
    assert saved is not None
    return saved


def test_a_new_file_has_nothing_and_then_what_was_committed(tmp_path: Path) -> None:
    path = tmp_path / "state"
    store = SqliteStore(path)
    assert store.load() is None
    store.save_org(SavedOrg(id="org-1", key="org_fake_a", settings=OrgSettings()))
    store.save_org(SavedOrg(id="org-2", key="org_fake_b", settings=FULL))
    store.save_devices("org-2", [Device(id="b"), Device(id="a", revoked=True), Device(id="\x00 é😀")])
    store.save_rule("fault-1", {"id": "fault-1", "fault": {"reset": {}}})
    store.save_setting("clock", 12.5)
    store.commit()
    store.close()
    assert reopened(path) == Saved(
        orgs=[
            SavedOrg(id="org-1", key="org_fake_a", settings=OrgSettings()),
            SavedOrg(id="org-2", key="org_fake_b", settings=FULL),
        ],
        devices={"org-1": [], "org-2": [Device(id="b"), Device(id="a", revoked=True), Device(id="\x00 é😀")]},
        rules={"fault-1": {"id": "fault-1", "fault": {"reset": {}}}},
        settings={"clock": 12.5},
    )
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_changes_keep_the_place_and_what_comes_again_comes_last(tmp_path: Path) -> None:
    path = tmp_path / "state"
    store = SqliteStore(path)
    store.save_org(SavedOrg(id="org-1", key="k", settings=OrgSettings()))
    store.save_org(SavedOrg(id="org-2", key="l", settings=OrgSettings()))
    store.save_devices("org-1", [Device(id=name) for name in "abcd"])
    store.save_devices("org-1", [Device(id="b", revoked=True)])
    store.forget_devices("org-1", ["a", "d"])
    store.save_devices("org-1", [Device(id="a")])
    store.save_org(SavedOrg(id="org-1", key="rotated", settings=FULL))
    for rule in ("x", "y", "z"):
        store.save_rule(rule, {"id": rule})
    store.forget_rule("y")
    store.save_setting("dialect", "current")
    store.save_setting("dialect", "legacy")
    store.commit()
    store.close()
    saved = reopened(path)
    assert [(org.id, org.key) for org in saved.orgs] == [("org-1", "rotated"), ("org-2", "l")]
    assert saved.devices["org-1"] == [Device(id="b", revoked=True), Device(id="c"), Device(id="a")]
    assert list(saved.rules) == ["x", "z"]
    assert saved.settings == {"dialect": "legacy"}


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(["save", "revoke", "forget", "commit"]), st.sampled_from("abcdef")), max_size=40)
)
def test_register_order_is_that_of_a_dictionary(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, str]]
) -> None:
    path = tmp_path_factory.mktemp("store") / "state"
    store = SqliteStore(path)
    store.save_org(SavedOrg(id="org-1", key="k", settings=OrgSettings()))
    model: dict[str, bool] = {}
    for step, device in steps:
        if step == "commit":
            store.commit()
        elif step == "forget":
            store.forget_devices("org-1", [device])
            model.pop(device, None)
        else:
            model[device] = step == "revoke"
            store.save_devices("org-1", [Device(id=device, revoked=model[device])])
    store.close()
    assert [(device.id, device.revoked) for device in reopened(path).devices["org-1"]] == list(model.items())


def test_one_device_is_one_row(tmp_path: Path) -> None:
    """Not the whole org: what a revoke costs does not grow with the fleet."""
    store = SqliteStore(tmp_path / "state")
    store.save_org(SavedOrg(id="org-1", key="k", settings=OrgSettings()))
    store.save_devices("org-1", [Device(id=f"device-{number}") for number in range(1000)])
    store.commit()
    before = store._database.total_changes
    store.save_devices("org-1", [Device(id="device-500", revoked=True)])
    store.commit()
    assert store._database.total_changes - before == 1
    store.close()


def test_what_was_not_committed_is_not_there(tmp_path: Path) -> None:
    path = tmp_path / "state"
    store = SqliteStore(path)
    store.save_org(SavedOrg(id="org-1", key="k", settings=OrgSettings()))
    store.commit()
    store.save_devices("org-1", [Device(id="a")])
    store._database.close()  # as a SIGKILL would
    assert reopened(path).devices == {"org-1": []}


def test_a_disk_that_is_full_loses_nothing_that_waits(tmp_path: Path) -> None:
    path = tmp_path / "state"
    store = SqliteStore(path)
    store.save_org(SavedOrg(id="org-1", key="k", settings=OrgSettings()))
    store.commit()
    (pages,) = store._database.execute("PRAGMA page_count").fetchone()
    store._database.execute(f"PRAGMA max_page_count = {pages}")
    store.save_devices("org-1", [Device(id=f"device-{number:04}") for number in range(1000)])
    with pytest.raises(CommitError, match="database or disk is full"):
        store.commit()
    assert store.problem is not None
    assert str(path) in store.problem
    store.save_devices("org-1", [Device(id="device-0007", revoked=True)])
    with pytest.raises(OSError, match="Make room"):
        store.commit()
    store._database.execute("PRAGMA max_page_count = 1000000")
    store.commit()
    assert store.problem is None
    store.close()
    devices = reopened(path).devices["org-1"]
    assert [device.id for device in devices] == [f"device-{number:04}" for number in range(1000)]
    assert [device.id for device in devices if device.revoked] == ["device-0007"]


# -- files that are not to be used ---------------------------------------------------------------------------------------


def test_one_server_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "state"
    first = SqliteStore(path)
    with pytest.raises(StateFileError, match="another server uses this file"):
        SqliteStore(path)
    first.close()
    first.close()
    SqliteStore(path).close()


def test_a_file_of_another_program_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "other"
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE notes (text)")
    database.close()
    before = path.read_bytes()
    with pytest.raises(StateFileError, match="belongs to another program"):
        SqliteStore(path)
    assert path.read_bytes() == before
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["other"]


@pytest.mark.parametrize("content", [b"hello", b"hello, world\n" * 1000])
def test_a_file_that_is_no_database_is_left_as_it_is(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "notes"
    path.write_bytes(content)
    with pytest.raises(StateFileError, match="expected a state file"):
        SqliteStore(path)
    assert path.read_bytes() == content


def test_a_file_of_a_newer_release_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "state"
    SqliteStore(path).close()
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA user_version = 99")
    database.close()
    with pytest.raises(StateFileError, match=r"version 99.*Upgrade"):
        SqliteStore(path)


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(StateFileError, match=r"cannot be opened.*a folder that exists"):
        SqliteStore(tmp_path / "nowhere" / "state")


def test_a_damaged_file_is_said_to_be(tmp_path: Path) -> None:
    path = tmp_path / "state"
    store = SqliteStore(path)
    store.save_org(SavedOrg(id="org-1", key="k", settings=OrgSettings()))
    store.save_devices("org-1", [Device(id=f"device-{number}") for number in range(2000)])
    store.close()
    content = bytearray(path.read_bytes())
    content[4096:] = b"\xa5" * (len(content) - 4096)  # every page but the first
    path.write_bytes(content)
    # SQLite finds out when it comes to the damage: at the opening, or at the reading.
    with pytest.raises(StateFileError, match="Choose another file"), closing(SqliteStore(path)) as damaged:
        damaged.load()

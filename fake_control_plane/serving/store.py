"""The state on disk: one SQLite file, so that it survives a restart and a SIGKILL at any moment.

A change is one row (a revoke touches one device). Changes gather until ``commit`` and are then written in one
transaction, in the order in which they were made; a commit that fails leaves them waiting, so that what is in memory and
what is on disk never part. The file is in WAL mode with ``synchronous=NORMAL``: what was committed survives the death of the
process; a power cut may take the last commits, and never damages the file.

The file holds org keys, so it is made with mode 600. One server at a time: it is locked until ``close``.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fake_control_plane.org import Device, OrgSettings
from fake_control_plane.serving.parts import Saved, SavedOrg, Setting

VERSION = 1
"""Of the tables below. A server reads its own version and older ones."""

_OURS = 0x4D494443
"""SQLite's application_id of our files: MIDC in ASCII."""

_TABLES = """
CREATE TABLE org (
    position INTEGER PRIMARY KEY,  -- the order in which they were made
    id TEXT NOT NULL UNIQUE, key TEXT NOT NULL UNIQUE, plan TEXT NOT NULL, cap INTEGER, access_until REAL,
    plan_state TEXT NOT NULL, disabled INTEGER NOT NULL
) STRICT;
CREATE TABLE device (
    position INTEGER PRIMARY KEY,  -- register order: SQLite gives each new row the highest position and one more
    org TEXT NOT NULL, id TEXT NOT NULL, revoked INTEGER NOT NULL, UNIQUE (org, id)
) STRICT;
CREATE TABLE rule (position INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, value TEXT NOT NULL) STRICT;
CREATE TABLE setting (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
"""

_SAVE_ORG = """
INSERT INTO org (id, key, plan, cap, access_until, plan_state, disabled) VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (id) DO UPDATE SET key = excluded.key, plan = excluded.plan, cap = excluded.cap,
    access_until = excluded.access_until, plan_state = excluded.plan_state, disabled = excluded.disabled
"""
_SAVE_DEVICE = """
INSERT INTO device (org, id, revoked) VALUES (?, ?, ?) ON CONFLICT (org, id) DO UPDATE SET revoked = excluded.revoked
"""
_SAVE_RULE = "INSERT INTO rule (id, value) VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET value = excluded.value"
_SAVE_SETTING = "INSERT INTO setting VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value"


class StateFileError(Exception):
    """The file of ``--state`` cannot be used: whose it is, and what to do."""


class CommitError(OSError):
    """The changes are not on disk (it is full, or gone). They wait, and the next commit tries them again."""


class SqliteStore:
    """The state in the file ``path``, which is made if it is not there.

    Raises:
        StateFileError: the file is not ours, is of a newer version, is damaged, is in use by another server, or cannot be made.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.problem: str | None = None
        self._waiting: list[tuple[str, tuple[object, ...]]] = []
        try:
            # SQLite would make it with the umask's mode. Its -wal file gets the mode of this one.
            with contextlib.suppress(FileExistsError):
                os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
            # Commits are begun and ended here by name; who waits for a lock would wait for ever: servers live long.
            self._database = sqlite3.connect(path, isolation_level=None, timeout=0)
        except (OSError, sqlite3.Error) as error:
            raise StateFileError(
                f"--state {path}: cannot be opened: {error}. Choose a file in a folder that exists and may be written to"
            ) from error
        try:
            self._new = self._prepare()
        except BaseException as error:
            self._database.close()
            if isinstance(error, sqlite3.Error):
                raise StateFileError(_why(path, error)) from error
            raise

    # -- reading -------------------------------------------------------------------------------------------------------

    def load(self) -> Saved | None:
        """What was committed last; None for a file that was made now.

        Raises:
            StateFileError: the file is damaged.
        """
        if self._new:
            return None
        read = self._database.execute
        try:
            orgs = [
                SavedOrg(
                    id=org,
                    key=key,
                    settings=OrgSettings(
                        plan=plan, custom_limit=cap, access_until=until, plan_state=state, disabled=bool(disabled)
                    ),
                )
                for org, key, plan, cap, until, state, disabled in read(
                    "SELECT id, key, plan, cap, access_until, plan_state, disabled FROM org ORDER BY position"
                )
            ]
            devices: dict[str, list[Device]] = {org.id: [] for org in orgs}
            for org, device, revoked in read("SELECT org, id, revoked FROM device ORDER BY position"):
                devices[org].append(Device(id=device, revoked=bool(revoked)))
            rules = {rule: json.loads(value) for rule, value in read("SELECT id, value FROM rule ORDER BY position")}
            settings = {name: json.loads(value) for name, value in read("SELECT name, value FROM setting")}
        except (sqlite3.Error, ValueError, KeyError) as error:
            raise StateFileError(_why(self.path, error)) from error
        return Saved(orgs=orgs, devices=devices, rules=rules, settings=settings)

    # -- changes, gathered ---------------------------------------------------------------------------------------------

    def save_org(self, org: SavedOrg) -> None:
        """Add an org behind the others, or replace what is known of it."""
        its = org.settings
        values = (org.id, org.key, its.plan, its.custom_limit, its.access_until, its.plan_state, int(its.disabled))
        self._waiting.append((_SAVE_ORG, values))

    def save_devices(self, org_id: str, devices: Sequence[Device]) -> None:
        """Add these devices behind the others, in this order, or change them in their places."""
        self._waiting += [(_SAVE_DEVICE, (org_id, device.id, int(device.revoked))) for device in devices]

    def forget_devices(self, org_id: str, devices: Sequence[str]) -> None:
        """Remove these."""
        self._waiting += [("DELETE FROM device WHERE org = ? AND id = ?", (org_id, device)) for device in devices]

    def save_rule(self, rule_id: str, rule: Mapping[str, Any]) -> None:
        """Add a fault rule behind the others, or change it in its place."""
        self._waiting.append((_SAVE_RULE, (rule_id, json.dumps(rule))))

    def forget_rule(self, rule_id: str) -> None:
        """Remove a fault rule."""
        self._waiting.append(("DELETE FROM rule WHERE id = ?", (rule_id,)))

    def save_setting(self, name: Setting, value: Any) -> None:
        """One of ``Saved.settings``: a JSON value."""
        self._waiting.append((_SAVE_SETTING, (name, json.dumps(value))))

    # -- the disk ------------------------------------------------------------------------------------------------------

    def commit(self) -> None:
        """Write all that was gathered, as one.

        Raises:
            CommitError: the disk does not take it. ``problem`` says so until a commit succeeds.
        """
        if not self._waiting:
            return
        database = self._database
        try:
            database.execute("BEGIN IMMEDIATE")
            for statement, values in self._waiting:
                database.execute(statement, values)
            database.execute("COMMIT")
        except sqlite3.Error as error:
            # SQLite may have rolled back by itself (a full disk), and then there is nothing to roll back.
            with contextlib.suppress(sqlite3.Error):
                database.execute("ROLLBACK")
            self.problem = (
                f"the state cannot be written to {self.path}: {error}; changes are refused until it can. "
                "Make room on that disk: the next change tries again"
            )
            raise CommitError(self.problem) from error
        self._waiting.clear()
        self.problem = None

    def close(self) -> None:
        """Write what was gathered and give the file back; safe to call twice.

        Raises:
            CommitError: what was gathered is lost.
        """
        try:
            if self._waiting:
                self.commit()
        finally:
            self._waiting.clear()
            self._database.close()

    def _prepare(self) -> bool:
        """Lock the file, see whose it is, and make the tables of a new one. True if it is new."""
        database = self._database
        # The lock is taken by the first read or write, and held until the connection is closed.
        database.execute("PRAGMA locking_mode = EXCLUSIVE")
        (application,) = database.execute("PRAGMA application_id").fetchone()
        (version,) = database.execute("PRAGMA user_version").fetchone()
        (tables,) = database.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        if tables and application != _OURS:
            raise StateFileError(
                f"--state {self.path}: this SQLite file belongs to another program. Choose another file: this one is left as it is"
            )
        if version > VERSION:
            raise StateFileError(
                f"--state {self.path}: the file is of version {version}, and this release knows versions up to {VERSION}. "
                "Upgrade machineid-conformance, or choose another file"
            )
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = NORMAL")
        # One transaction: a SIGKILL in it leaves an empty file, which the next server takes for a new one.
        database.execute("BEGIN EXCLUSIVE")
        if not tables:
            for statement in _TABLES.split(";\n"):
                database.execute(statement)
            database.execute(f"PRAGMA application_id = {_OURS}")
            database.execute(f"PRAGMA user_version = {VERSION}")
        database.execute("COMMIT")
        return not tables


def _why(path: Path, error: Exception) -> str:
    if isinstance(error, sqlite3.Error) and getattr(error, "sqlite_errorname", "") in ("SQLITE_BUSY", "SQLITE_LOCKED"):
        return f"--state {path}: another server uses this file. End that server, or choose another file for this one"
    return (
        f"--state {path}: expected a state file of fake-control-plane, which this is not, or no longer: {error}. "
        "Choose another file: this one is left as it is"
    )

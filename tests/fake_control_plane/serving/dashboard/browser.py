"""The dashboard in a real Chromium, for the tests and the pictures."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, ConsoleMessage, Locator, Page, expect, sync_playwright

NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
"""The first draws no windows around its pages, which saves half of the work."""

CHROMIUM = next((path for path in map(shutil.which, NAMES) if path is not None), None)

needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on PATH: .ci/tools installs it")

PATIENCE = 30_000
"""Milliseconds after which a test that waits for something on the page has failed: machines may be busy."""

_OPTIONS = (
    "--no-sandbox",  # it runs as root in containers
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
)


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser, until the block ends."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(_OPTIONS))
        expect.set_options(timeout=PATIENCE)
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def opened(browser: Browser, ready: dict[str, Any], **context: Any) -> Iterator[Page]:
    """The page of the server that said ``ready``, connected. An error in its scripts, or of its policy, fails the test."""
    with blank(browser, **context) as page:
        page.goto(ready["admin_url"] + "/")
        live(page)
        yield page


@contextmanager
def blank(browser: Browser, **context: Any) -> Iterator[Page]:
    """An empty page, as ``opened``."""
    complaints: list[str] = []

    def complain(message: ConsoleMessage) -> None:
        # What a refused request writes by itself: that the page shows it is tested where it happens.
        if message.type in {"error", "warning"} and not message.text.startswith("Failed to load resource"):
            complaints.append(message.text)

    made = browser.new_context(**({"viewport": {"width": 1440, "height": 900}} | context))
    made.set_default_timeout(PATIENCE)
    try:
        page = made.new_page()
        page.on("console", complain)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("dialog", lambda dialog: complaints.append(f"a dialog of the browser: {dialog.message}"))
        yield page
        assert not complaints, complaints
    finally:
        made.close()


def live(page: Page) -> None:
    """Wait until the page follows the journal, and has the faults' form."""
    expect(page.locator("#link")).to_have_attribute("data-state", "live")
    expect(page.locator("#fault-kind option").first).to_be_attached()


@dataclass(frozen=True, kw_only=True)
class Admin:
    """The admin API of the server that said ``ready``, for what the test does behind the page's back.

    ``verify=False``: httpx loads the system's authorities for each client, 20 ms of them, and plain HTTP needs none.
    """

    ready: dict[str, Any]

    def post(self, path: str, body: Any = None) -> Any:
        answer = httpx.post(
            f"{self.ready['admin_url']}/admin/v1{path}", json={} if body is None else body, verify=False
        )
        assert answer.is_success, answer.text
        return answer.json()

    def act(self, path: str) -> Any:
        answer = httpx.post(f"{self.ready['admin_url']}/admin/v1{path}", verify=False)
        assert answer.is_success, answer.text
        return answer.json()

    def get(self, path: str) -> Any:
        answer = httpx.get(f"{self.ready['admin_url']}/admin/v1{path}", verify=False)
        assert answer.is_success, answer.text
        return answer.json()

    def register(self, *devices: str, org: str = "org-1") -> None:
        self.post(f"/orgs/{org}/register", {"devices": list(devices)})

    def states(self, org: str = "org-1") -> dict[str, str]:
        """What a validate of each device would say now."""
        return {device["id"]: device["now"] for device in self.get(f"/orgs/{org}/devices")["devices"]}

    def validate(self, device: str, key: str | None = None) -> httpx.Response:
        return httpx.post(
            f"{self.ready['base_url']}/api/v1/devices/validate",
            json={"deviceId": device},
            headers={"x-org-key": key or self.ready["org_key"]},
            verify=False,
        )


def row(page: Page, device: str) -> Locator:
    """The row of a device that is in sight."""
    cell = page.locator(".cell.id").filter(has_text=re.compile(f"^{re.escape(device)}$"))
    return page.locator("#device-rows .body .row:visible").filter(has=cell)


def state(page: Page, device: str) -> Locator:
    """What the page says of a device."""
    return row(page, device).locator(".now")


def says(page: Page, text: str | re.Pattern[str]) -> None:
    """Wait until the page says that this is what came of it."""
    expect(page.locator("#result")).to_have_text(text)


def journal(page: Page, column: str) -> list[str]:
    """One column of the journal's rows in sight, newest first, once what the page knows by now is drawn."""
    page.evaluate("() => new Promise(requestAnimationFrame)")  # rows are drawn in the frame after the count is set
    rows = page.locator("#journal-rows .body .row:visible").evaluate_all(
        "(rows, column) => rows.map((row) => [Number(row.ariaRowIndex ?? row.getAttribute('aria-rowindex')), "
        "row.querySelector('.' + column).textContent])",
        column,
    )
    return [text for _, text in sorted(json.loads(json.dumps(rows)))]


def between(least: float, most: float) -> re.Pattern[str]:
    """A whole number within these bounds, as text."""
    return re.compile(f"^({'|'.join(str(number) for number in range(round(least), round(most) + 1))})$")

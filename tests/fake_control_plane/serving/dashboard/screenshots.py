"""Pictures of the dashboard, to be looked at.

python -m tests.fake_control_plane.serving.dashboard.screenshots FOLDER
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, expect

from tests.fake_control_plane.serving.dashboard import browser as chrome
from tests.fake_control_plane.serving.dashboard.browser import Admin
from tests.fake_control_plane.serving.dashboard.test_dashboard_load import DEVICES, RATE, steady
from tests.fake_control_plane.serving.servers import process

THREE = ("worker:dev:queue-consumer:01", "worker:dev:queue-consumer:02", "swarm:dev:tool-runner:01")
NARROW = {"viewport": {"width": 360, "height": 780}, "device_scale_factor": 2}


def take(folder: Path) -> None:
    """All of them, each from a fresh server where it matters."""
    with chrome.chromium() as browser:
        with process("--plan", "pro") as ready:
            few(browser, ready, folder)
        with process("--plan", "max") as ready:
            many(browser, ready, folder)


def few(browser: Browser, ready: dict[str, Any], folder: Path) -> None:
    """Empty, three devices, a fault, disabled; dark and narrow; dialogs, errors, the connection lost."""
    admin = Admin(ready=ready)

    def shot(page: Page, name: str) -> None:
        page.screenshot(path=folder / f"{name}.png")

    with chrome.opened(browser, ready) as page:
        shot(page, "empty")
        admin.register(*THREE)
        admin.post("/orgs/org-1/revoke", {"devices": [THREE[1]]})
        for _ in range(4):
            for device in THREE:
                admin.validate(device)
        expect(page.locator("#journal-count")).to_have_text("17 shown")
        chrome.row(page, THREE[0]).click()
        expect(chrome.row(page, THREE[0]).locator(".calls")).to_have_text("4")
        shot(page, "three-devices")

        page.click("#fault-details summary")
        page.fill("#parameter-status", "503")
        page.select_option("#fault-operation", "validate")
        page.fill("#fault-device", "worker:*")
        page.click("#fault-form button[type=submit]")
        admin.validate(THREE[0])
        expect(page.locator("#fault-list")).to_contain_text("1 hit")
        shot(page, "fault-armed")
        page.click("#fault-details summary")
        page.click("#arm")
        shot(page, "disable-armed")
        page.click("#confirm-disable")
        expect(page.locator("#disabled")).to_be_visible()
        shot(page, "org-disabled")
        page.fill("#cap", "1")
        page.click("#cap-form button")
        page.click("#register")
        page.fill("#register-ids", "one-more")
        shot(page, "dialog")
        page.click("#register-dialog button[type=submit]")
        expect(page.locator("#errors .error")).to_be_visible()
        shot(page, "error")
        page.press("body", "?")
        shot(page, "keys")
    with chrome.opened(browser, ready, color_scheme="dark") as page:
        expect(page.locator("#device-count")).to_have_text("3 devices")
        shot(page, "dark-disabled")
        page.click("#enable")
        expect(page.locator("#disabled")).to_be_hidden()
        page.click("#fault-details summary")
        shot(page, "dark")
    with chrome.opened(browser, ready, **NARROW) as page:
        expect(page.locator("#device-count")).to_have_text("3 devices")
        shot(page, "narrow")
        page.screenshot(path=folder / "narrow-whole.png", full_page=True)


def many(browser: Browser, ready: dict[str, Any], folder: Path) -> None:
    """A thousand devices under load."""
    admin = Admin(ready=ready)
    admin.register(*DEVICES)
    admin.post("/orgs/org-1/revoke", {"devices": list(DEVICES[::7])})
    with chrome.opened(browser, ready) as page, steady(ready):
        expect(page.locator("#fact-rate")).to_have_text(chrome.between(0.9 * RATE, 1.1 * RATE))
        page.screenshot(path=folder / "thousand-devices.png")


if __name__ == "__main__":
    target = Path(sys.argv[1])
    target.mkdir(parents=True, exist_ok=True)
    take(target)

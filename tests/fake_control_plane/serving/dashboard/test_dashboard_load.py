"""The dashboard with 1,000 devices and 500 decisions a second: it shows them, keeps few elements, and does not freeze."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from playwright.sync_api import expect

from tests.fake_control_plane.serving.dashboard import browser as chrome
from tests.fake_control_plane.serving.dashboard.browser import Admin, says
from tests.fake_control_plane.serving.servers import process

pytestmark = chrome.needs_chromium

DEVICES = [f"worker:dev:fleet:{number:04}" for number in range(1000)]
RATE = 500
WINDOW = 6000
"""Milliseconds of watching."""

_WATCH = """(window) => new Promise((done) => {
  const seen = { long: [], gaps: [], frames: 0 };
  const observer = new PerformanceObserver((list) => seen.long.push(...list.getEntries().map((entry) => entry.duration)));
  observer.observe({ type: "longtask" });
  const began = performance.now();
  let last = began;
  const frame = (now) => {
    seen.frames += 1;
    seen.gaps.push(now - last);
    last = now;
    if (now - began < window) requestAnimationFrame(frame);
    else {
      observer.disconnect();
      done(seen);
    }
  };
  requestAnimationFrame(frame);
})"""
"""Resolves with the tasks of more than 50 ms (Long Tasks API) and the gaps between two frames, in milliseconds."""


@contextmanager
def steady(ready: dict[str, Any]) -> Iterator[None]:
    """Validates of all devices in turn, at the rate, until the block ends."""
    command = [sys.executable, "-m", "tests.fake_control_plane.serving.dashboard.steady_load"]
    with subprocess.Popen(
        [*command, ready["base_url"], ready["org_key"], str(RATE), *DEVICES],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as load:
        try:
            assert load.stdin is not None
            assert load.stdout is not None
            assert load.stdout.readline() == "begun\n"
            yield
            load.stdin.close()
            assert int(load.stdout.readline()) > 0
        finally:
            load.kill()


def test_a_thousand_devices_and_five_hundred_decisions_a_second() -> None:
    with (
        process("--plan", "max") as ready,
        chrome.chromium() as browser,
        chrome.opened(browser, ready) as page,
    ):
        admin = Admin(ready=ready)
        admin.register(*DEVICES)
        expect(page.locator("#device-count")).to_have_text("1,000 devices")
        with steady(ready):
            # The smoothed rate has come up: the page sees them all.
            expect(page.locator("#fact-rate")).to_have_text(chrome.between(0.9 * RATE, 1.1 * RATE))
            seen = page.evaluate(_WATCH, WINDOW)
            print(
                f"long tasks {len(seen['long'])}, {sum(seen['long']):.0f} ms of {WINDOW}; frames {seen['frames']}; "
                f"longest gap {max(seen['gaps']):.0f} ms"
            )
            # A page that draws every entry, or every device, does nothing else: it is two thirds idle at least.
            assert sum(seen["long"]) < WINDOW / 3, seen["long"]
            assert max(seen["gaps"]) < 1000, max(seen["gaps"])
            assert page.locator("*").count() < 1500, "elements of rows that nobody sees"

            # It does what it is told meanwhile.
            page.fill("#search", "fleet:0777")
            expect(page.locator("#device-count")).to_have_text("1 of 1,000 devices")
            page.click("#select-all")
            page.click("#revoke")
            says(page, "Revoked worker:dev:fleet:0777.")
            page.fill("#journal-search", "fleet:0777")
            page.select_option("#journal-kind", "deny")
            expect(page.locator("#journal-rows .body .row:visible").first).to_contain_text("DEVICE_REVOKED")
            page.fill("#search", "")
            page.press("#device-rows", "End")
            expect(chrome.row(page, DEVICES[-1])).to_be_visible()
            page.press("#device-rows", "Control+a")
            page.press("#device-rows", "v")
            says(page, "Revoked 1,000 devices.")
        assert set(admin.states().values()) == {"device-revoked"}

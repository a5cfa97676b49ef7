"""The dashboard in Chromium: what the console can do, done on the page to a running server and to running workers."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from tests.fake_control_plane.serving.dashboard import browser as chrome
from tests.fake_control_plane.serving.dashboard.browser import Admin, row, says, state
from tests.fake_control_plane.serving.servers import process

pytestmark = chrome.needs_chromium

WORKER = Path(__file__).with_name("worker.py")
KEY = re.compile(r"^org_\w{6,}$")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chrome.chromium() as found:
        yield found


@pytest.fixture
def ready() -> Iterator[dict[str, Any]]:
    with process("--plan", "pro") as said:
        yield said


@pytest.fixture
def admin(ready: dict[str, Any]) -> Admin:
    return Admin(ready=ready)


@pytest.fixture
def page(browser: Browser, ready: dict[str, Any], admin: Admin) -> Iterator[Page]:
    with chrome.opened(browser, ready) as found:
        yield found


def test_a_running_worker_is_revoked_on_the_page_and_stops(page: Page, ready: dict[str, Any]) -> None:
    device = "worker:dev:queue-consumer:07"
    environment = {
        **os.environ,
        "MACHINEID_ORG_KEY": ready["org_key"],
        "MACHINEID_BASE_URL": ready["base_url"],
        "MACHINEID_DEVICE_ID": device,
    }
    with subprocess.Popen(
        [sys.executable, str(WORKER)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as worker:
        try:
            assert worker.stdin is not None
            assert worker.stdout is not None
            assert worker.stdout.readline() == "ready\n"
            expect(state(page, device)).to_have_text("Allowed")
            for job in range(3):
                print(job, file=worker.stdin, flush=True)
                assert worker.stdout.readline() == f"did {job}\n"
            expect(row(page, device).locator(".calls")).to_have_text("3")

            row(page, device).click()
            page.click("#revoke")
            says(page, f"Revoked {device}.")
            expect(state(page, device)).to_have_text("Revoked")
            print("one more", file=worker.stdin, flush=True)
            assert worker.stdout.readline() == "stopped: DEVICE_REVOKED\n"
            assert worker.wait(30) == 0
        finally:
            worker.kill()
    expect(row(page, device).locator(".last")).to_have_text("Revoked")
    expect(page.locator("#journal-rows [data-decision=deny]").first).to_have_text("deny 200")


def test_in_bulk(page: Page, admin: Admin) -> None:
    ids = [f"worker:dev:bulk:{number:02}" for number in range(10)]
    page.click("#register")
    page.fill("#register-ids", "\n".join(ids))
    page.click("#register-dialog button[type=submit]")
    says(page, "Registered 10 devices.")
    expect(page.locator("#device-count")).to_have_text("10 devices")

    page.fill("#search", "bulk:00")
    expect(page.locator("#device-count")).to_have_text("1 of 10 devices")
    page.fill("#search", "BULK:0")  # in any case
    page.click("#select-all")
    expect(page.locator("#selected")).to_have_text("10 selected")
    row(page, ids[0]).click()  # all but this one
    page.click("#revoke")
    says(page, "Revoked 9 devices.")
    assert admin.states() == {ids[0]: "allow"} | dict.fromkeys(ids[1:], "device-revoked")
    expect(page.locator("#fact-denied")).to_have_text("9")

    page.select_option("#state", "device-revoked")
    expect(page.locator("#device-count")).to_have_text("9 of 10 devices")
    page.select_option("#state", "")
    page.click("#restore")
    says(page, "Restored 9 devices.")
    assert set(admin.states().values()) == {"allow"}

    page.click("#remove")
    page.click("#confirm-dialog [data-close]")
    assert len(admin.states()) == 10, "removed without a yes"
    page.click("#remove")
    page.click("#confirm-yes")
    says(page, "Removed 9 devices.")
    assert list(admin.states()) == [ids[0]]
    expect(page.locator("#selected")).to_have_text("None selected")


def test_a_key_that_follows_the_search_within_one_frame_goes_as_far_as_the_list(page: Page, admin: Admin) -> None:
    ids = [f"worker:dev:bulk:{number:02}" for number in range(25)]
    admin.register(*ids)
    expect(page.locator("#device-count")).to_have_text("25 devices")
    page.fill("#search", "bulk:00")
    expect(row(page, ids[1])).to_have_count(0)
    page.evaluate(
        """() => {
            const search = document.getElementById("search");
            search.value = "";
            search.dispatchEvent(new Event("input"));
            document.getElementById("device-rows").dispatchEvent(new KeyboardEvent("keydown", { key: "End" }));
        }"""
    )
    expect(row(page, ids[-1])).to_be_visible()


def test_an_error_of_the_api_is_shown_with_its_remedy(page: Page, admin: Admin) -> None:
    page.fill("#cap", "1")
    page.click("#cap-form button")
    says(page, "Cap of org-1: 1 device.")
    page.click("#register")
    page.fill("#register-ids", "one\ntwo")
    page.click("#register-dialog button[type=submit]")
    error = page.locator("#errors .error")
    expect(error).to_contain_text("register 2 devices: not done.")
    expect(error).to_contain_text("What to do: At the cap: raise the plan or the cap, or remove a device.")
    assert admin.states() == {}
    page.keyboard.press("Escape")
    expect(error).to_have_count(0)


def test_org_wide_disable_is_armed_first(page: Page, admin: Admin) -> None:
    admin.register("one", "two")
    expect(page.locator("#device-count")).to_have_text("2 devices")
    page.click("#arm")
    expect(page.locator("#armed-text")).to_have_text("Armed: 2 devices of org-1 that are allowed now will be denied.")
    expect(page.locator("#disabled")).to_be_hidden()
    page.keyboard.press("Escape")
    expect(page.locator("#disable-armed")).to_be_hidden()
    assert admin.get("/orgs/org-1")["disabled"] is False

    page.click("#arm")
    page.click("#confirm-disable")
    expect(page.locator("#disabled")).to_contain_text("Org execution disabled. Every validate of org-1 is denied")
    expect(state(page, "two")).to_have_text("Org disabled")
    assert admin.validate("two").json()["allowed"] is False
    expect(page.locator("#enable")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#disabled")).to_be_hidden()
    expect(state(page, "two")).to_have_text("Allowed")
    assert admin.validate("two").json()["allowed"] is True


def test_a_key_is_rotated_shown_once_and_copied(browser: Browser, ready: dict[str, Any], admin: Admin) -> None:
    admin.register("one")
    with chrome.opened(browser, ready, permissions=["clipboard-read", "clipboard-write"]) as page:
        page.click("#key-form button")
        page.click("#confirm-yes")
        expect(page.locator("#key")).to_have_value(KEY)
        key = page.input_value("#key")
        page.click("#copy-key")
        expect(page.locator("#copied")).to_have_text("Copied.")
        assert page.evaluate("navigator.clipboard.readText()") == key
        page.click("#key-dialog button[type=submit]")
        expect(page.locator("#key-dialog")).to_be_hidden()
        assert page.input_value("#key") == ""
        assert key not in page.content()
    assert admin.validate("one", key).json()["allowed"] is True
    assert admin.validate("one").status_code == 401


def test_plan_cap_cancellation_and_the_clock(page: Page, admin: Admin) -> None:
    admin.register(*(f"device-{number}" for number in range(5)))
    page.select_option("#plan", "scale")
    page.click("#plan-form button")
    says(page, "Plan of org-1: scale, 250 devices.")
    page.fill("#plan-state", "frozen")
    page.click("#plan-state-form button")
    says(page, "Plan of org-1 is frozen.")
    expect(state(page, "device-0")).to_have_text("Plan frozen")
    page.fill("#plan-state", "active")
    page.click("#plan-state-form button")
    expect(state(page, "device-0")).to_have_text("Allowed")

    page.select_option("#cancel", "86400")
    page.click("#cancel-form button")
    says(page, re.compile("Plan of org-1 ends .* UTC"))
    expect(page.locator("#fact-plan")).to_contain_text("until")
    page.fill("#clock-by", "2")
    page.click("#clock-form button")
    says(page, re.compile("The server.s clock says .* UTC"))
    expect(page.locator("#clock-moved")).to_have_text("2 days ahead")
    expect(page.locator("#fact-used")).to_have_text("5 of 3, over the cap")
    expect(state(page, "device-4")).to_have_text("Over the cap")


def test_several_orgs(page: Page, admin: Admin) -> None:
    admin.register("of-the-first")
    page.click("#new-org")
    page.select_option("#new-plan", "max")
    page.fill("#new-cap", "2")
    page.click("#org-dialog button[type=submit]")
    expect(page.locator("#key")).to_have_value(KEY)
    key = page.input_value("#key")
    page.click("#key-dialog button[type=submit]")
    expect(page.locator("#org")).to_have_value("org-2")
    expect(page.locator("#fact-used")).to_have_text("0 of 2")
    admin.register("of-the-second", org="org-2")
    expect(state(page, "of-the-second")).to_have_text("Allowed")
    expect(row(page, "of-the-first")).to_have_count(0)
    assert admin.validate("of-the-second", key).json()["allowed"] is True

    page.reload()  # the choice is kept
    expect(page.locator("#org")).to_have_value("org-2")
    expect(page.locator("#org option")).to_have_text(["org-1 · pro", "org-2 · max"])
    page.select_option("#org", "org-1")
    expect(state(page, "of-the-first")).to_have_text("Allowed")


def test_a_fault_is_armed_counted_and_cleared(page: Page, admin: Admin) -> None:
    admin.register("one", "two")
    page.click("#fault-details summary")
    page.select_option("#fault-kind", "status")
    page.fill("#parameter-status", "503")
    page.select_option("#fault-operation", "validate")
    page.fill("#fault-device", "o*")
    page.select_option("#fault-trigger", "first")
    page.fill("#trigger-first", "2")
    page.click("#fault-form button[type=submit]")
    says(page, re.compile("Armed fault-1: .*"))
    (rule,) = admin.get("/faults")["rules"]
    assert (rule["fault"]["status"]["status"], rule["operation"], rule["device"], rule["trigger"]) == (
        503, "validate", "o*", {"first": 2},
    )  # fmt: skip
    assert [admin.validate(device).status_code for device in ("one", "two", "one", "one")] == [503, 200, 503, 200]
    item = page.locator("#fault-list li")
    expect(item).to_contain_text("2 hits of 3 matching calls")
    expect(page.locator("#fact-faults")).to_have_text("1")
    page.select_option("#journal-kind", "rule")
    expect(page.locator("#journal-count")).to_have_text("2 shown")
    page.get_by_role("button", name="Clear fault-1").click()
    says(page, "Cleared fault-1.")
    expect(item).to_have_count(0)

    page.fill("#fault-line", "latency=0.1 jitter=0.2")  # contradicts itself: only the server knows
    page.click("#line-form button")
    expect(page.locator("#errors .error")).to_contain_text("arm the fault: not done.")
    page.fill("#fault-line", "latency=0.1 every=2")
    page.click("#line-form button")
    expect(item).to_contain_text("latency=0.1")
    page.click("#clear-faults")
    says(page, "Cleared 1 fault.")


def test_what_is_typed_while_the_server_answers_stays(page: Page) -> None:
    held: list[Route] = []
    page.route(
        "**/admin/v1/faults", lambda route: held.append(route) if route.request.method == "POST" else route.continue_()
    )
    page.click("#fault-details summary")
    page.fill("#fault-line", "status=503 operation=validate")
    with page.expect_request("**/admin/v1/faults"):
        page.click("#line-form button")
    page.fill("#fault-line", "hang")
    (route,) = held
    route.continue_()
    expect(page.locator("#fault-list")).to_contain_text("503")
    says(page, re.compile("Armed"))
    page.click("#clear-faults")  # by its end, all that the first answer led to is done
    says(page, "Cleared 1 fault.")
    expect(page.locator("#fault-line")).to_have_value("hang")


def test_every_kind_of_fault_has_a_form(page: Page, admin: Admin) -> None:
    page.click("#fault-details summary")
    for kind in admin.get("/fault-kinds")["kinds"]:
        page.select_option("#fault-kind", kind["name"])
        names = page.locator("#fault-parameters [data-name]").evaluate_all("all => all.map((one) => one.dataset.name)")
        assert set(names) == set(kind["parameters"]), kind["name"]
        for name in ("operation", "device", "org"):
            assert page.locator(f"#fault-{name}").is_disabled() is (kind["level"] == "listener"), kind["name"]


def test_the_journal_is_filtered_and_paused(page: Page, admin: Admin) -> None:
    admin.register("alpha", "beta")
    for device in ("alpha", "beta", "stranger"):
        admin.validate(device)
    shown = page.locator("#journal-count")
    page.select_option("#journal-kind", "call")
    expect(shown).to_have_text("3 shown")
    assert chrome.journal(page, "device") == ["stranger", "beta", "alpha"]
    page.select_option("#journal-kind", "deny")
    expect(shown).to_have_text("1 shown")
    page.select_option("#journal-kind", "call")
    page.fill("#journal-search", "BETA")
    expect(shown).to_have_text("1 shown")
    page.fill("#journal-search", "")

    page.click("#pause")
    expect(page.locator("#pause")).to_have_attribute("aria-pressed", "true")
    admin.validate("alpha")
    admin.validate("alpha")
    expect(shown).to_have_text("3 shown · paused, 2 more since")
    assert chrome.journal(page, "device") == ["stranger", "beta", "alpha"]
    page.click("#pause")
    expect(shown).to_have_text("5 shown")
    assert chrome.journal(page, "device") == ["alpha", "alpha", "stranger", "beta", "alpha"]
    page.locator("#journal-rows .body .row:visible").first.dblclick()
    expect(page.locator("#entry-fields")).to_contain_text("request id")

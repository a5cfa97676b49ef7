"""The dashboard where things go wrong: device ids that are HTML, a token, a connection that is lost, a server that is another."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from playwright.sync_api import Browser, Error, expect

from tests.fake_control_plane.serving.dashboard import browser as chrome
from tests.fake_control_plane.serving.dashboard.browser import Admin, row, says, state
from tests.fake_control_plane.serving.dashboard.relay import relay
from tests.fake_control_plane.serving.servers import process

pytestmark = chrome.needs_chromium


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chrome.chromium() as found:
        yield found


def test_a_device_id_is_text_whatever_is_in_it(browser: Browser) -> None:
    ids = [
        "<img src=x onerror=\"document.title='owned'\">",
        "</span><script>document.title='owned'</script>",
        "javascript:alert(1)",
        "&lt;b&gt;",
        "${document.title='owned'}",
    ]
    with process("--plan", "pro") as ready, chrome.opened(browser, ready) as page:
        admin = Admin(ready=ready)
        title = page.title()
        admin.register(*ids)
        for device in ids:
            admin.validate(device)
            expect(state(page, device)).to_have_text("Allowed")
            row(page, device).click()
            page.click("#revoke")
            says(page, f"Revoked {device}.")
            row(page, device).click()
        newest = page.locator("#journal-rows .body .row:visible").first
        expect(newest.locator(".operation")).to_have_text("revoke")
        expect(newest.locator(".device")).to_have_text(ids[-1])
        newest.dblclick()
        expect(page.locator("#entry-fields")).to_contain_text(ids[-1])
        page.keyboard.press("Escape")
        page.click("#fault-details summary")
        page.fill("#fault-line", "status=503 device='<img src=x onerror=alert(1)>'")
        page.click("#line-form button")
        expect(page.locator("#fault-list")).to_contain_text("<img src=x")
        page.fill("#fault-line", "<img src=x onerror=alert(1)>")
        page.click("#line-form button")
        expect(page.locator("#errors")).to_contain_text("'<img' is unknown")
        assert page.locator("img, script:not([src])").count() == 0
        assert page.title() == title


def test_the_policy_lets_nothing_in(browser: Browser) -> None:
    with process() as ready:
        for path in ("/", "/dashboard/app.js", "/dashboard/style.css", "/dashboard/icon.svg"):
            answer = httpx.get(ready["admin_url"] + path)
            assert answer.status_code == 200, path
            policy = dict(part.split(" ", 1) for part in answer.headers["content-security-policy"].split("; "))
            assert policy["default-src"] == "'none'"
            assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
            assert "unsafe" not in answer.headers["content-security-policy"]
        assert httpx.get(ready["admin_url"] + "/dashboard/../files.py").status_code == 404
        assert httpx.get(ready["admin_url"] + "/dashboard/..%2ffiles.py").status_code == 404
        page_text = httpx.get(ready["admin_url"] + "/").text
        assert not re.search(r"<style|\sstyle=|\son\w+=|https?://", page_text), (
            "inline style or script, or another host"
        )
        with chrome.opened(browser, ready) as page:
            foreign: list[str] = []
            page.on("request", lambda request: foreign.append(request.url))
            page.reload()
            chrome.live(page)
            assert {urlsplit(url).netloc for url in foreign} == {urlsplit(ready["admin_url"]).netloc}
        # The browser says it twice: to the script, and on the console, which fails the test that meets it.
        with (
            pytest.raises(AssertionError, match="TrustedHTML"),
            chrome.opened(browser, ready) as page,
            pytest.raises(Error, match="TrustedHTML"),
        ):
            page.evaluate("document.body.innerHTML = '<b>text</b>'")


def test_a_token_is_asked_for_once_and_kept_in_the_tab(browser: Browser, tmp_path: Path) -> None:
    file = tmp_path / "token"
    with process("--admin-token-file", str(file)) as ready, chrome.blank(browser) as page:
        page.goto(ready["admin_url"] + "/")
        dialog = page.locator("#token-dialog")
        expect(dialog).to_be_visible()
        page.fill("#token", "not-the-token")
        page.keyboard.press("Enter")
        expect(page.locator("#token-text")).to_contain_text(re.compile("not this server.s token"))
        token = file.read_text(encoding="ascii").strip()
        page.fill("#token", token)
        page.keyboard.press("Enter")
        chrome.live(page)
        expect(dialog).to_be_hidden()
        expect(page.locator("#fact-used")).to_have_text("0 of 3")
        page.reload()
        chrome.live(page)
        expect(dialog).to_be_hidden()
        assert token not in page.url
        assert token not in page.content()
        assert token not in page.evaluate("JSON.stringify(localStorage) + document.cookie")
        assert token in page.evaluate("JSON.stringify(sessionStorage)")
        # Another tab asks for itself.
        other = page.context.new_page()
        other.goto(ready["admin_url"] + "/")
        expect(other.locator("#token-dialog")).to_be_visible()


def test_a_lost_connection_is_said_and_nothing_is_missed(browser: Browser) -> None:
    with process("--plan", "pro") as ready, relay(ready["admin_url"]) as way:
        admin = Admin(ready=ready)
        admin.register("before")
        with chrome.opened(browser, {"admin_url": way.url}) as page:
            resumed: list[str] = []
            page.on("request", lambda request: resumed.append(request.headers.get("last-event-id", "")))
            admin.validate("before")
            expect(row(page, "before").locator(".calls")).to_have_text("1")
            page.select_option("#journal-kind", "call")
            expect(page.locator("#journal-count")).to_have_text("1 shown")

            way.cut()
            expect(page.locator("#lost")).to_contain_text("No connection to the server since")
            expect(page.locator("#link")).to_have_text("Not connected")
            page.click("#select-all")
            page.click("#revoke")
            expect(page.locator("#errors .error")).to_contain_text("revoke before: not done.")
            for number in range(3):
                admin.validate(f"meanwhile-{number}")
            last = admin.get("/status")["journal"]["last"]

            way.mend()
            expect(page.locator("#lost")).to_be_hidden()
            says(page, "Connected again.")
            expect(page.locator("#journal-count")).to_have_text("4 shown")
            assert chrome.journal(page, "device") == ["meanwhile-2", "meanwhile-1", "meanwhile-0", "before"]
            name = admin.get("/status")["journal"]["name"]
            assert f"{name}-{last - 3}" in resumed, resumed
            assert admin.states() == {"before": "allow"}


def test_a_server_that_was_started_again_is_told_apart(browser: Browser, tmp_path: Path) -> None:
    file = tmp_path / "state.sqlite"
    with contextlib.ExitStack() as first:
        ready = first.enter_context(process("--state", str(file)))
        admin = Admin(ready=ready)
        admin.register("kept")
        port = str(urlsplit(ready["admin_url"]).port)
        with chrome.blank(browser) as page:
            page.goto(ready["admin_url"] + "/")
            chrome.live(page)
            admin.validate("kept")
            page.select_option("#journal-kind", "call")
            expect(page.locator("#journal-count")).to_have_text("1 shown")
            first.close()
            expect(page.locator("#lost")).to_be_visible()
            with process("--state", str(file), "--admin-port", port) as again:
                expect(page.locator("#link")).to_have_attribute("data-state", "live")
                Admin(ready={**again, "org_key": ready["org_key"]}).validate("kept")
                expect(state(page, "kept")).to_have_text("Allowed")
                expect(page.locator("#journal-count")).to_have_text("1 shown")


def test_a_server_whose_time_is_over_says_so(browser: Browser) -> None:
    with process("--expires", "1s") as ready, chrome.opened(browser, ready) as page:
        expect(page.locator("#unwell")).to_contain_text("it denies everything. Start it again.")

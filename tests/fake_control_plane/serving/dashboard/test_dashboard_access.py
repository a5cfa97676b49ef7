"""The dashboard for everybody: by keyboard alone, with enough contrast in light and dark (WCAG 2.2 AA), on a narrow screen."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib import resources
from typing import Any, Literal

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.fake_control_plane.serving.dashboard import browser as chrome
from tests.fake_control_plane.serving.dashboard.browser import Admin, row, says, state
from tests.fake_control_plane.serving.servers import process

pytestmark = chrome.needs_chromium

AXE = resources.files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8")
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
Scheme = Literal["light", "dark"]

_COLOURS = """
  const parts = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const light = (colour) => parts(colour).slice(0, 3).map((part) => part / 255)
    .map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4))
    .reduce((sum, part, at) => sum + part * [0.2126, 0.7152, 0.0722][at], 0);
  const ground = (node) => {
    const colour = parts(getComputedStyle(node).backgroundColor);
    return colour.length === 4 && colour[3] === 0 ? ground(node.parentElement) : getComputedStyle(node).backgroundColor;
  };
  const ratio = (one, other) => (Math.max(light(one), light(other)) + 0.05) / (Math.min(light(one), light(other)) + 0.05);
  const shown = (one) => one.checkVisibility() && one.closest(".unseen") === null;
"""
"""Contrast as WCAG 2.2 defines it (relative luminance, contrast ratio)."""
TEXT = f"""() => {{ {_COLOURS}
  return [...document.querySelectorAll("body *")]
    .filter((one) => shown(one) && [...one.childNodes].some((node) => node.nodeType === 3 && node.data.trim() !== "") || one.value)
    .map((one) => [one.textContent.trim(), ratio(getComputedStyle(one).color, ground(one))]);
}}"""
"""Each text and its contrast with what it stands on."""
EDGES = f"""() => {{ {_COLOURS}
  return [...document.querySelectorAll("input, select, textarea, button")]
    .filter((one) => shown(one) && !one.disabled && one.ariaDisabled !== "true" && !one.closest(".head"))
    .map((one) => [one.id || one.textContent, ratio(getComputedStyle(one).borderTopColor, ground(one.parentElement))]);
}}"""
"""Each field or button, and the contrast of its edge with what is beside it."""


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


def check(page: Page) -> int:
    """Let axe look at all that is shown. Returns of how many texts the contrast was measured."""
    page.evaluate(AXE)
    found = page.evaluate("(rules) => axe.run(document, { runOnly: rules, resultTypes: ['violations'] })", RULES)

    assert [
        f"{one['id']}: {node['html'][:120]} {node['failureSummary']}"
        for one in found["violations"]
        for node in one["nodes"]
    ] == []
    # Axe leaves out what is partly out of sight, such as the last row: the measure does not.
    ratios = page.evaluate(TEXT)
    assert [(text, ratio) for text, ratio in ratios if ratio < 4.5] == []
    return len(ratios)


def busy(page: Page, admin: Admin) -> None:
    """Something of everything on the page: each state, decision and shape, a fault, an error, org-wide disable armed."""
    admin.register("one", "two", "three")
    admin.post("/orgs/org-1/revoke", {"devices": ["two"]})
    admin.validate("one")
    admin.validate("two")
    page.click("#fault-details summary")
    page.fill("#fault-line", "status=503 nth=1")
    page.click("#line-form button")
    expect(page.locator("#fault-list li")).to_have_count(1)
    assert admin.validate("one").status_code == 503
    page.fill("#fault-line", "nonsense")
    page.click("#line-form button")
    expect(page.locator("#errors .error")).to_be_visible()
    expect(page.locator("#journal-rows [data-decision=failure]")).to_have_count(1)
    row(page, "one").click()
    page.click("#pause")
    page.click("#arm")
    expect(page.locator("#disable-armed")).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast_names_and_roles(browser: Browser, ready: dict[str, Any], admin: Admin, scheme: Scheme) -> None:
    with chrome.opened(browser, ready, color_scheme=scheme, reduced_motion="reduce") as page:
        ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (max(map(int, re.findall(r"\d+", ground))) < 64) is (scheme == "dark"), ground
        assert check(page) > 30
        busy(page, admin)
        assert check(page) > 60
        page.click("#confirm-disable")
        expect(page.locator("#disabled")).to_be_visible()
        for opener, dialog in (
            ("#help", "#help-dialog"),
            ("#register", "#register-dialog"),
            ("#new-org", "#org-dialog"),
            ("#key-form button", "#confirm-dialog"),
        ):
            page.click(opener)
            expect(page.locator(dialog)).to_be_visible()
            check(page)
            page.keyboard.press("Escape")
            expect(page.locator(dialog)).to_be_hidden()


def test_the_check_of_contrast_can_fail(browser: Browser, ready: dict[str, Any]) -> None:
    with chrome.opened(browser, ready, reduced_motion="reduce") as page:
        page.evaluate("document.querySelector('h1').style.color = '#888'")  # 3.5 to 1
        with pytest.raises(AssertionError, match="color-contrast"):
            check(page)
        assert [round(ratio, 1) for text, ratio in page.evaluate(TEXT) if text == "Fake control plane"] == [3.5]


def test_the_theme_can_be_chosen_and_is_kept(browser: Browser, ready: dict[str, Any]) -> None:
    with chrome.opened(browser, ready, color_scheme="light", reduced_motion="reduce") as page:
        ground = "getComputedStyle(document.body).backgroundColor"
        light = page.evaluate(ground)
        page.press("body", "t")
        page.press("body", "t")
        expect(page.locator("#theme")).to_have_text("Theme: dark")
        dark = page.evaluate(ground)
        assert dark != light
        page.reload()
        chrome.live(page)
        assert page.evaluate(ground) == dark
        page.click("#theme")
        assert page.evaluate(ground) == light


def test_edges_of_fields_can_be_seen(browser: Browser, ready: dict[str, Any]) -> None:
    """WCAG 1.4.11: what shows where a field or a button is has a contrast of 3 to 1 with what is beside it."""
    for scheme in ("light", "dark"):
        with chrome.opened(browser, ready, color_scheme=scheme, reduced_motion="reduce") as page:
            page.click("#fault-details summary")
            ratios = page.evaluate(EDGES)
            assert len(ratios) > 25
            assert [(name, ratio) for name, ratio in ratios if ratio < 3] == []


def test_by_keyboard_alone(browser: Browser, ready: dict[str, Any], admin: Admin) -> None:
    with chrome.opened(browser, ready) as page:
        press = page.keyboard.press
        press("r")
        page.keyboard.type("one\ntwo\nthree")
        press("Tab")  # Cancel
        press("Tab")
        press("Enter")
        says(page, "Registered 3 devices.")
        expect(page.locator("#register")).not_to_be_focused()  # r came from nowhere, and goes back there

        expect(page.locator("#device-count")).to_have_text("3 devices")
        press("d")
        expect(page.locator("#device-rows")).to_be_focused()
        press("ArrowDown")
        expect(row(page, "one")).to_have_class(re.compile("active"))
        press("Shift+ArrowDown")
        expect(page.locator("#selected")).to_have_text("2 selected")
        press("v")
        says(page, "Revoked 2 devices.")
        assert admin.states() == {"one": "device-revoked", "two": "device-revoked", "three": "allow"}
        press("Escape")
        expect(page.locator("#selected")).to_have_text("None selected")
        press("u")  # without a selection: the active one
        says(page, "Restored two.")
        press("End")
        press("Space")
        press("Delete")
        expect(page.locator("#confirm-dialog")).to_be_visible()
        press("Tab")
        press("Enter")
        says(page, "Removed three.")
        expect(page.locator("#device-rows")).to_be_focused()

        press("/")
        page.keyboard.type("vrp?")  # letters, and no shortcuts, in a field
        expect(page.locator("#search")).to_have_value("vrp?")
        expect(page.locator("dialog[open]")).to_have_count(0)
        press("Control+a")
        press("Backspace")

        reach(page, "register")
        press("End")
        expect(page.locator("#remove")).to_be_focused()
        press("ArrowLeft")
        press("ArrowLeft")
        expect(page.locator("#revoke")).to_be_focused()

        reach(page, "arm")
        press("Enter")
        expect(page.locator("#confirm-disable")).to_be_focused()
        press("Enter")
        expect(page.locator("#enable")).to_be_focused()
        press("Enter")
        expect(page.locator("#arm")).to_be_focused()

        press("f")
        expect(page.locator("#fault-kind")).to_be_focused()
        page.keyboard.type("laten")
        press("Tab")
        page.keyboard.type("0.25")
        press("Enter")
        says(page, re.compile("^Armed fault-1: latency=0.25"))

        press("Escape")  # out of the field
        expect(page.locator("#journal-rows [aria-rowindex='2'] .operation")).to_have_text("fault-add")
        press("j")
        press("ArrowDown")  # the newest
        press("Enter")
        expect(page.locator("#entry-fields")).to_contain_text("fault-add")
        press("Escape")
        press("?")
        expect(page.locator("#help-dialog")).to_contain_text("pause the journal")
        press("Shift+Tab")
        press("Space")  # single keys off
        press("Escape")
        press("p")
        expect(page.locator("#pause")).to_have_attribute("aria-pressed", "false")
        press("?")
        expect(page.locator("#help-dialog")).to_be_hidden()


def reach(page: Page, target: str) -> None:
    """Press Tab until the element has the focus."""
    for _ in range(80):
        if page.evaluate("document.activeElement.id") == target:
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"no Tab leads to {target}")


def test_the_focus_is_seen_everywhere_and_trapped_nowhere(
    browser: Browser, ready: dict[str, Any], admin: Admin
) -> None:
    admin.register("one")
    with chrome.opened(browser, ready, reduced_motion="reduce") as page:
        expect(state(page, "one")).to_have_text("Allowed")
        seen: list[str] = []
        while True:
            page.keyboard.press("Tab")
            name, style, width = page.evaluate(
                "(() => { const one = document.activeElement; const style = getComputedStyle(one);"
                " return [one.id || one.className || one.tagName, style.outlineStyle, parseFloat(style.outlineWidth)]; })()"
            )
            if name == "BODY" or (seen and name == seen[0]):
                break
            assert style != "none", name
            assert width >= 2, name
            seen.append(name)
            assert len(seen) < 80, seen
        assert seen[0] == "skip"
        assert {"org", "search", "register", "device-rows", "journal-rows", "pause", "arm", "cap", "clock-by"} <= set(
            seen
        )
        assert not {"revoke", "remove"} & set(seen), "a toolbar is one stop"


def test_on_a_narrow_screen(browser: Browser, ready: dict[str, Any], admin: Admin) -> None:
    with chrome.opened(browser, ready, viewport={"width": 360, "height": 740}, reduced_motion="reduce") as page:
        busy(page, admin)
        assert page.evaluate("document.documentElement.scrollWidth") == 360
        check(page)
        admin.register(*(f"device-{number}" for number in range(20)))
        expect(page.locator("#device-count")).to_have_text("23 devices")
        assert page.locator("#device-rows").evaluate("one => one.clientHeight") < 740, "a table scrolls by itself"
        page.click("#disarm")
        row(page, "three").click()
        page.click("#revoke")
        says(page, "Revoked 2 devices.")


def test_nothing_moves_where_motion_is_not_wanted(browser: Browser, ready: dict[str, Any]) -> None:
    moving = (
        "[...document.querySelectorAll('*')].filter((one) => { const style = getComputedStyle(one);"
        " return style.animationName !== 'none' || parseFloat(style.transitionDuration) > 0; }).length"
    )
    with chrome.opened(browser, ready, reduced_motion="no-preference") as page:
        assert page.evaluate(moving) > 0
    with chrome.opened(browser, ready, reduced_motion="reduce") as page:
        assert page.evaluate(moving) == 0

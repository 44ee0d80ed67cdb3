"""The console for everyone: keyboard, language, theme, phones, names of controls, contrast."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect
from tests.e2e import console_shelf as shelf
from tests.e2e.conftest import Console, OpenConsole

pytestmark = pytest.mark.browser

PAGES = ("ask", "documents", "chat", "cluster", "system")
PHONE = {"width": 390, "height": 844}

# What a screen reader would find no name for, and ids that are not alone.
NAMELESS = """() => {
    const controls = document.querySelectorAll(
        "a, button, input:not([hidden]), select, textarea, summary, progress, [role=tab]");
    const named = (node) => node.getAttribute("aria-label")?.trim()
        || node.textContent.trim() && !["SELECT", "TEXTAREA"].includes(node.tagName)
        || [...(node.labels ?? [])].some((label) => label.textContent.trim());
    const ids = [...document.querySelectorAll("[id]")].map((node) => node.id);
    return [
        ...[...controls].filter((node) => !named(node)).map((node) => node.outerHTML),
        ...ids.filter((id, at) => ids.indexOf(id) !== at).map((id) => `twice: ${id}`),
        ...(document.querySelectorAll("main").length === 1 ? [] : ["not one main"]),
        ...(document.querySelectorAll("h1").length === 1 ? [] : ["not one h1"]),
    ];
}"""

# WCAG 2.2, 1.4.3: text against the nearest ground behind it.
FAINT = """() => {
    const probe = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
    const rgba = (colour) => {
        probe.clearRect(0, 0, 1, 1);
        probe.fillStyle = colour;
        probe.fillRect(0, 0, 1, 1);
        return probe.getImageData(0, 0, 1, 1).data;
    };
    const linear = (part) =>
        part / 255 <= 0.04045 ? part / 255 / 12.92 : ((part / 255 + 0.055) / 1.055) ** 2.4;
    const light = ([r, g, b]) =>
        0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
    const ground = (node) => {
        for (let at = node; at; at = at.parentElement) {
            const colour = rgba(getComputedStyle(at).backgroundColor);
            if (colour[3] === 255) return colour;
        }
        return [255, 255, 255, 255];
    };
    const faint = [];
    for (const node of document.querySelectorAll("body *")) {
        const own = [...node.childNodes].some((one) => one.nodeType === 3 && one.data.trim());
        if (!own || !node.checkVisibility({ opacityProperty: true })) continue;
        if (node.closest("noscript, .visually-hidden, .skip-link, option, :disabled")) continue;
        const pair = [light(rgba(getComputedStyle(node).color)), light(ground(node))];
        const ratio = (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05);
        if (ratio < 4.5) faint.push(`${ratio.toFixed(2)} ${node.className} ${node.textContent}`);
    }
    return faint;
}"""


def show(console: Console, name: str) -> Page:
    page = console.open(name)
    ready = {
        "ask": "button.sample",
        "documents": ".documents",
        "chat": ".statement",
        "cluster": ".command",
        "system": ".score",
    }
    page.wait_for_selector(ready[name])
    return page


def test_everything_on_ask_is_reached_with_the_keyboard(console: Console) -> None:
    page = console.page
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    page.keyboard.press("/")
    expect(page.get_by_label("Your question")).to_be_focused()
    page.keyboard.type("How fast?")
    page.keyboard.press("Shift+Enter")
    page.keyboard.type("In numbers.")
    page.keyboard.press("Enter")
    page.wait_for_selector(".answer-foot")
    assert console.shop.asked[0]["question"] == "How fast?\nIn numbers."
    while page.evaluate("document.activeElement.className") != "chip-citation":
        page.keyboard.press("Shift+Tab")
    expect(page.get_by_role("tooltip")).to_be_visible()
    chip = page.locator(":focus")
    page.keyboard.press("Enter")
    expect(page.locator("dialog mark").first).to_be_visible()
    for _ in range(6):
        page.keyboard.press("Tab")
        assert page.evaluate(
            "document.activeElement === document.body || !!document.activeElement.closest('dialog')"
        )
    page.keyboard.press("Escape")
    expect(page.locator("dialog")).to_have_count(0)
    expect(chip).to_be_focused()


def test_the_tabs_of_a_document_answer_to_arrows(console: Console) -> None:
    page = console.ask("How fast?")
    page.locator(".source").first.click()
    page.get_by_role("tab", name="Document").focus()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("tab", name="Why this passage?")).to_be_focused()
    expect(page.get_by_role("tab", selected=True)).to_have_text("Why this passage?")


def test_the_language_is_switched_at_once_kept_and_declared(console: Console) -> None:
    page = console.page
    page.locator("textarea.composer-field").fill("half a question")
    page.get_by_role("button", name="中文").click()
    expect(page.get_by_role("heading", name="向文档提问")).to_be_visible()
    assert page.evaluate("document.documentElement.lang") == "zh-CN"
    assert page.locator("textarea.composer-field").input_value() == "half a question"
    expect(page.locator("section.sample-column").first).to_have_attribute("lang", "zh-CN")
    page.reload()
    expect(page.get_by_role("link", name="提问")).to_be_visible()
    page.get_by_role("button", name="English").click()
    expect(page.get_by_role("link", name="Ask")).to_be_visible()


def test_switching_the_language_keeps_the_conversation(console: Console) -> None:
    page = console.ask("How fast?")
    page.wait_for_selector(".answer-foot")
    page.get_by_role("button", name="中文").click()
    expect(page.locator(".sentence")).to_have_count(2)
    expect(page.locator(".answer-foot")).to_contain_text("引用原句")


def test_a_chinese_browser_sees_chinese(open_console: OpenConsole) -> None:
    page = open_console(locale="zh-CN").page
    expect(page.get_by_role("heading", name="向文档提问")).to_be_visible()


def test_the_theme_follows_the_system_until_one_is_chosen(open_console: OpenConsole) -> None:
    page = open_console(color_scheme="dark").page
    page.wait_for_selector("button.sample")
    root = page.locator("html")
    expect(root).to_have_attribute("data-theme", "dark")
    page.emulate_media(color_scheme="light")
    expect(root).to_have_attribute("data-theme", "light")
    page.get_by_role("button", name="Dark").click()
    expect(root).to_have_attribute("data-theme", "dark")
    page.reload()
    expect(root).to_have_attribute("data-theme", "dark")


def test_every_control_has_a_name_and_every_page_its_landmarks(console: Console) -> None:
    for name in PAGES:
        assert show(console, name).evaluate(NAMELESS) == [], name
    page = console.open("ask")
    console.ask("How fast?")
    page.locator(".source").first.click()
    page.wait_for_selector("dialog mark")
    assert page.evaluate(NAMELESS) == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_stands_out_from_its_ground(open_console: OpenConsole, theme: str) -> None:
    console = open_console(color_scheme=theme)
    for name in PAGES:
        page = show(console, name)
        page.wait_for_timeout(50)
        assert page.evaluate(FAINT) == [], f"{name}, {theme}"
    console.open("ask")
    console.ask("How fast?").wait_for_selector(".answer-foot")
    console.ask("What is the capital of Mongolia?").wait_for_selector(".refusal")
    console.ask("please fail").get_by_role("alert").wait_for()
    assert console.page.evaluate(FAINT) == []


def test_a_phone_shows_each_page_without_scrolling_sideways(open_console: OpenConsole) -> None:
    console = open_console(viewport=PHONE, has_touch=True)
    wide = """() => [...document.querySelectorAll("main *")]
        .filter((node) => node.getBoundingClientRect().right > innerWidth + 1
            && !node.closest("pre, .table-scroll, .visually-hidden"))
        .map((node) => node.className)"""
    for name in PAGES:
        assert show(console, name).evaluate(wide) == [], name
    navigation = console.page.get_by_role("navigation", name="Pages").bounding_box()
    assert navigation is not None
    assert navigation["y"] + navigation["height"] == PHONE["height"]


def test_on_a_phone_the_first_tap_shows_the_passage_and_the_document_fills_the_screen(
    open_console: OpenConsole,
) -> None:
    console = open_console(viewport=PHONE, has_touch=True)
    console.page.wait_for_selector("button.sample")
    page = console.ask("How fast?")
    page.wait_for_selector(".answer-foot")
    page.locator(".chip-citation").first.tap()
    expect(page.get_by_role("tooltip").locator("mark")).to_have_text(shelf.QUOTE_EN)
    page.get_by_role("button", name="Open document").tap()
    expect(page.locator("dialog mark").first).to_be_in_viewport()
    box = page.locator("dialog").bounding_box()
    assert box is not None
    assert (box["x"], box["width"]) == (0, PHONE["width"])


def test_a_small_sheet_closes_on_escape_and_on_a_press_elsewhere(
    open_console: OpenConsole,
) -> None:
    page = show(open_console(viewport=PHONE, has_touch=True), "chat")
    sheet, button = page.locator(".chat-options-sheet"), page.locator(".chat-options summary")
    button.click()
    box = sheet.bounding_box()
    assert box is not None
    assert 0 <= box["x"] <= box["x"] + box["width"] <= PHONE["width"]
    page.keyboard.press("Escape")
    expect(sheet).to_be_hidden()
    expect(button).to_be_focused()
    button.click()
    page.mouse.click(PHONE["width"] / 2, 640)
    expect(sheet).to_be_hidden()


def test_a_streamed_answer_is_announced_once_it_grows(console: Console) -> None:
    console.shop.pause_s = 0.2
    page = console.ask("How fast?")
    answer = page.locator(".answer")
    expect(answer).to_have_attribute("aria-live", "polite")
    expect(answer).to_have_attribute("aria-busy", "true")
    first = page.locator(".sentence").first.element_handle()
    page.wait_for_selector(".answer-foot")
    assert first is not None
    assert first.evaluate("(node) => node.isConnected"), "a shown sentence was rebuilt"
    expect(answer).not_to_have_attribute("aria-busy", "true")

"""Chat and System: the bare model, connecting a bigger one, the shelf of models, hostile text."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect
from tests.e2e import console_shelf as shelf
from tests.e2e.conftest import Console, OpenConsole

pytestmark = pytest.mark.browser

LOCAL = {"url": "http://127.0.0.1:11434/v1", "models": ["qwen2.5:7b"]}


def test_chat_says_what_a_small_model_can_and_cannot_do(console: Console) -> None:
    page = console.open("chat")
    expect(page.locator(".statement")).to_have_count(2)
    expect(page.locator(".welcome-text")).to_contain_text("135 million parameters")
    expect(page.get_by_label("Model", exact=True)).to_have_value("smollm2-135m-instruct")


def test_a_reply_is_written_with_its_lists_and_code(console: Console) -> None:
    page = console.open("chat")
    console.ask("What is a banyan?")
    expect(page.locator(".prose li")).to_have_count(2)
    expect(page.locator(".prose pre")).to_have_text('print("one canopy, many trunks")')
    expect(page.locator(".answer-foot")).to_contain_text("tokens/s")


def test_the_options_go_with_the_message(console: Console) -> None:
    page = console.open("chat")
    page.locator(".chat-options summary").click()
    page.get_by_label("System prompt").fill("Be brief.")
    page.get_by_label("Temperature").fill("0.2")
    page.get_by_label("Most tokens").fill("64")
    page.locator(".chat-options summary").click()
    console.ask("Hello")
    page.wait_for_selector(".answer-foot")
    console.ask("Again")
    expect(page.locator(".answer-foot")).to_have_count(2)
    last = console.shop.asked[-1]
    assert (last["temperature"], last["max_tokens"]) == (0.2, 64)
    messages = last["messages"]
    assert isinstance(messages, list)
    assert [one["role"] for one in messages] == ["system", "user", "assistant", "user"]


def test_stopping_a_reply_keeps_what_was_written(console: Console) -> None:
    console.shop.pause_s = 0.1
    page = console.open("chat")
    console.ask("What is a banyan?")
    expect(page.locator(".prose p")).to_contain_text("banyan is")
    page.get_by_role("button", name="Stop").click()
    expect(page.locator(".answer-foot")).to_contain_text("Stopped.")
    expect(page.locator(".prose p")).to_contain_text("banyan is")


def test_chinese_to_the_packaged_model_offers_to_connect_another(console: Console) -> None:
    console.shop.found = [LOCAL]
    page = console.open("chat")
    offer = page.locator(".notice-hint")
    expect(offer).to_be_hidden()
    page.locator("textarea.composer-field").press_sequentially("你好")
    offer.get_by_role("button", name="Connect a model").click()
    page.get_by_role("button", name="Look on this machine").click()
    page.get_by_role("button", name="http://127.0.0.1:11434/v1").click()
    page.get_by_role("button", name="Test and connect").click()
    expect(page.locator(".connect-good")).to_contain_text("你好，有什么可以帮你？")
    page.get_by_role("button", name="Let it write answers").click()
    expect(page.get_by_label("Model", exact=True)).to_have_value("qwen2.5-7b")
    expect(offer).to_be_hidden()
    assert console.shop.answer_model == "qwen2.5-7b"
    console.open("ask")
    modes = page.get_by_label("How answers are made")
    expect(modes).to_contain_text("Written by qwen2.5-7b")
    modes.select_option(label="Quoted sentences")
    console.ask("How fast?").wait_for_selector(".answer-foot")
    assert console.shop.asked[-1]["mode"] == "extractive"


def test_a_server_that_does_not_answer_is_said_with_the_remedy(console: Console) -> None:
    page = console.open("chat")
    page.get_by_role("button", name="Connect a model").click()
    page.get_by_label("Address").fill("http://127.0.0.1:9/v1")
    page.get_by_label("Key").fill("secret-key")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("Start the server, or check the address")
    assert console.shop.asked == [{"url": "http://127.0.0.1:9/v1", "key": "secret-key"}]
    assert page.get_by_label("Address").input_value() == "http://127.0.0.1:9/v1"


def test_a_model_is_downloaded_and_removed(console: Console) -> None:
    page = console.open("system")
    offer = page.locator(".model", has_text="all-minilm-l6-v2")
    offer.get_by_role("button", name="Download").click()
    expect(offer.locator(".pill")).to_have_text("Installed")
    offer.get_by_role("button", name="Remove all-minilm-l6-v2").click()
    page.locator("dialog").get_by_role("button", name="Remove").click()
    expect(offer.get_by_role("button", name="Download")).to_be_visible()


def test_a_model_with_terms_is_downloaded_only_once_they_are_accepted(console: Console) -> None:
    page = console.open("system")
    gemma = page.locator(".model", has_text="gemma-3-270m")
    gemma.get_by_role("button", name="Download").click()
    expect(page.locator("dialog")).to_contain_text("https://ai.google.dev/gemma/terms")
    page.get_by_role("button", name="Cancel").click()
    assert console.shop.asked == []
    gemma.get_by_role("button", name="Download").click()
    page.get_by_role("button", name="Accept and download").click()
    expect(gemma.locator(".pill")).to_have_text("Installed")
    assert console.shop.asked == [{"name": "gemma-3-270m", "accept_licence": "gemma"}]


def test_system_shows_the_machine_and_a_snippet_for_this_address(
    open_console: OpenConsole,
) -> None:
    console = open_console(permissions=["clipboard-read", "clipboard-write"])
    page = console.open("system")
    expect(page.locator(".tile-value")).to_have_text(["Ready", "54.7", "859 MB", "2"])
    snippet = page.locator(".snippet")
    expect(snippet).to_contain_text(f'base_url="{console.url}/v1"')
    page.get_by_role("button", name="Copy").last.click()
    expect(page.locator(".toast")).to_have_text("Copied")
    assert page.evaluate("navigator.clipboard.readText()") == snippet.inner_text()
    page.locator(".snippet-choice").get_by_label("Language").select_option("curl")
    expect(snippet).to_contain_text(f"curl {console.url}/v1/chat/completions")
    page.locator(".snippet-choice").get_by_label("Model").select_option("base:sample")
    expect(snippet).to_contain_text('"model": "base:sample"')


def test_markup_in_names_documents_answers_and_replies_stays_text(console: Console) -> None:
    page = console.ask(f"hostile {shelf.PAYLOAD}")
    page.wait_for_selector(".answer-foot")
    expect(page.locator(".sentence")).to_contain_text(shelf.PAYLOAD)
    page.locator(".chip-citation").hover()
    expect(page.get_by_role("tooltip")).to_contain_text(shelf.PAYLOAD)
    page.locator(".chip-citation").click()
    expect(page.locator("dialog mark")).to_have_text(f"Text {shelf.PAYLOAD} goes on.")
    page.keyboard.press("Escape")
    console.open("documents")
    expect(page.locator(".document-open", has_text="Report")).to_contain_text(shelf.PAYLOAD)
    console.open("chat")
    console.ask("hostile")
    expect(page.locator(".prose")).to_contain_text(shelf.PAYLOAD)
    assert page.locator("main img, main script").count() == 0
    assert page.evaluate("window.pwned") is None

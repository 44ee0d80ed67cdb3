"""The console in a real browser: what a person does on its pages, and what they then see."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from playwright.sync_api import FilePayload, Page, expect
from tests.e2e import console_shelf as shelf
from tests.e2e.conftest import Console, OpenConsole
from tests.e2e.console_stub import KEY, Shop

pytestmark = pytest.mark.browser

SPEED = "How fast does the packaged model write?"


def marked(page: Page) -> str:
    return "".join(page.locator("dialog mark").all_inner_texts())


def drop(page: Page, *names: str) -> None:
    """Drop files of these names on the page, as the browser hands them over."""
    transfer = page.evaluate_handle(
        """(names) => {
            const transfer = new DataTransfer();
            for (const name of names) transfer.items.add(new File(["text of it"], name));
            return transfer;
        }""",
        list(names),
    )
    zone = page.locator(".drop")
    zone.dispatch_event("dragenter", {"dataTransfer": transfer})
    expect(page.locator(".page.is-over")).to_be_visible()
    zone.dispatch_event("drop", {"dataTransfer": transfer})


def choose(page: Page, *names: str) -> None:
    files = [FilePayload(name=name, mimeType="application/pdf", buffer=b"%PDF") for name in names]
    page.locator("input[type=file]").first.set_input_files(files)


def test_ask_opens_first_with_three_questions_a_language(console: Console) -> None:
    page = console.page
    expect(page.get_by_role("heading", name="Ask your documents")).to_be_visible()
    assert page.locator("section.sample-column").count() == 2
    assert page.locator("button.sample").all_inner_texts() == shelf.QUESTIONS["sample"]
    assert page.locator("button.sample[lang=zh-CN]").count() == 3


def test_while_the_sample_is_being_read_the_page_says_so(open_console: OpenConsole) -> None:
    shop = Shop(bases=[replace(shelf.SAMPLE, documents=3, reading=27)])
    page = open_console(shop).page
    expect(page.locator(".sample-hint")).to_contain_text("still being read")
    expect(page.locator("button.sample")).to_have_count(0)
    page.wait_for_timeout(1800)  # it looks more than once
    shop.bases = [shelf.SAMPLE]
    expect(page.locator("button.sample")).to_have_count(6)
    expect(page.locator(".sample-hint")).to_contain_text("Not all of them can be answered")


def test_an_empty_base_leads_to_adding_documents(console: Console) -> None:
    page = console.page
    page.get_by_label("Knowledge base").select_option("handbook")
    page.get_by_role("link", name="Add documents").click()
    expect(page.get_by_role("heading", name="Team handbook")).to_be_visible()
    expect(page.locator(".documents-body")).to_contain_text("No documents yet")


def test_without_a_base_one_is_offered(open_console: OpenConsole) -> None:
    console = open_console(Shop(bases=[]))
    expect(console.page.locator(".samples")).to_contain_text("There is no knowledge base yet")
    console.open("documents").get_by_role("button", name="New base").click()
    console.page.get_by_label("Name").fill("First")
    console.page.keyboard.press("Enter")
    expect(console.page.get_by_role("heading", name="First")).to_be_visible()


def test_a_sample_question_is_answered_with_numbered_sources(console: Console) -> None:
    page = console.page
    page.get_by_role("button", name=SPEED).click()
    expect(page.locator(".sentence")).to_have_count(2)
    assert page.locator(".chip-citation").all_inner_texts() == ["1", "2", "1"]
    expect(page.locator(".source-mark")).to_have_text(["1", "2"])
    expect(page.locator(".answer-foot")).to_contain_text("Quoted sentences")
    assert console.shop.asked == [{"base": "sample", "question": SPEED}]


def test_a_follow_up_stays_in_the_conversation_until_a_new_one_begins(console: Console) -> None:
    page = console.ask(SPEED)
    page.wait_for_selector(".answer-foot")
    console.ask("And in Chinese?")
    expect(page.locator(".answer-foot")).to_have_count(2)
    page.get_by_role("button", name="New conversation").click()
    page.wait_for_selector("button.sample")
    console.ask(SPEED)
    page.wait_for_selector(".answer-foot")
    conversations = [body.get("conversation_id") for body in console.shop.asked]
    assert conversations == [None, "conversation-1", None]


def test_hovering_a_citation_shows_its_passage_with_the_quote_marked(console: Console) -> None:
    page = console.ask(SPEED)
    page.wait_for_selector(".answer-foot")
    page.locator(".chip-citation").first.hover()
    card = page.get_by_role("tooltip")
    expect(card.locator("mark")).to_have_text(shelf.QUOTE_EN)
    expect(card).to_contain_text("p. 2")
    expect(card).to_contain_text("Writing reads every weight once a token")
    page.keyboard.press("Escape")
    expect(card).to_have_count(0)


@pytest.mark.parametrize(
    ("question", "chip", "quote"),
    [(SPEED, 0, shelf.QUOTE_EN), (SPEED, 1, shelf.QUOTE_TABLE), ("怎样运行？", 0, shelf.QUOTE_ZH)],
    ids=["after emoji", "in a table cell", "in Chinese"],
)
def test_the_opened_document_marks_exactly_the_quote_and_shows_it(
    console: Console, question: str, chip: int, quote: str
) -> None:
    page = console.ask(question)
    page.wait_for_selector(".answer-foot")
    page.locator(".chip-citation").nth(chip).click()
    expect(page.locator("dialog mark").first).to_be_in_viewport()
    assert marked(page) == quote


def test_why_this_passage_shows_its_scores_and_the_steps(console: Console) -> None:
    page = console.ask(SPEED)
    page.locator(".source").first.click()
    page.get_by_role("tab", name="Why this passage?").click()
    names = page.locator("dialog .score-name")
    expect(names).to_have_text(["Words in common (BM25)", "Meaning, multilingual", "Combined"])
    expect(page.locator("dialog .score-rank").first).to_have_text("#2")
    expect(page.locator("dialog .step")).to_have_count(len(shelf.TRACE_STEPS))
    page.locator("summary.step-head").nth(1).click()
    expect(page.locator("details[open].step")).to_contain_text("Another passage11.4")


def test_a_refusal_says_so_and_offers_what_came_closest(console: Console) -> None:
    page = console.ask("What is the capital of Mongolia?")
    expect(page.locator(".refusal")).to_contain_text("Not in these documents")
    expect(page.locator(".refusal .source")).to_have_count(2)
    assert page.locator(".sentence").count() == 0
    page.locator(".refusal .source").first.click()
    expect(page.locator("dialog .block-table")).to_be_visible()


def test_a_failure_shows_its_remedy_and_asking_again_replaces_it(console: Console) -> None:
    console.shop.failures["ask"] = (503, "Too much is waiting.", "Try again in a minute.")
    page = console.ask(SPEED)
    expect(page.get_by_role("alert")).to_contain_text("Try again in a minute.")
    page.get_by_role("button", name="Try again").click()
    expect(page.locator(".sentence")).to_have_count(2)
    expect(page.get_by_role("alert")).to_have_count(0)
    expect(page.locator("article.turn")).to_have_count(1)


def test_stop_ends_the_answer_and_the_servers_work(console: Console) -> None:
    console.shop.pause_s = 0.3
    page = console.ask(SPEED)
    page.get_by_role("button", name="Stop").click()
    expect(page.locator(".answer-stopped")).to_be_visible()
    expect(page.get_by_role("button", name="Send")).to_be_disabled()
    for _ in range(40):
        if console.shop.left == ["ask"]:
            break
        page.wait_for_timeout(50)
    assert console.shop.left == ["ask"]


def test_an_answer_goes_on_while_another_page_is_open(console: Console) -> None:
    console.shop.pause_s = 0.15
    page = console.ask(SPEED)
    console.open("documents")
    page.wait_for_selector(".documents")
    console.open("ask")
    expect(page.locator(".sentence")).to_have_count(2)


def test_chosen_files_are_read_and_questions_about_them_offered(console: Console) -> None:
    page = console.open("documents")
    page.wait_for_selector(".documents tbody tr")
    choose(page, "travel-policy.pdf", "差旅制度.pdf")
    expect(page.locator(".upload.is-done")).to_have_count(2)
    expect(page.locator(".documents tbody tr")).to_have_count(6)
    page.get_by_role("button", name="差旅费用如何报销？").click()
    page.wait_for_selector(".answer-foot")
    assert console.shop.asked[-1]["question"] == "差旅费用如何报销？"
    assert sorted(str(body["name"]) for body in console.shop.asked[:2]) == [
        "travel-policy.pdf",
        "差旅制度.pdf",
    ]


def test_dropped_files_show_their_stage_then_the_reason_of_a_failure(console: Console) -> None:
    console.shop.hold_jobs = True
    page = console.open("documents")
    page.wait_for_selector(".documents tbody tr")
    drop(page, "report.pdf", "broken.pdf", ".DS_Store")
    expect(page.locator(".upload")).to_have_count(2)
    expect(page.locator(".upload", has_text="report.pdf")).to_contain_text(
        "Computing meaning, 12 of 61"
    )
    expect(page.locator(".upload", has_text="broken.pdf")).to_contain_text("Waiting its turn")
    console.shop.hold_jobs = False
    failed = page.locator(".upload.is-failed")
    expect(failed).to_contain_text("The file is damaged")
    expect(page.locator("tr.is-failed", has_text="broken.pdf")).to_contain_text("is damaged")


def test_a_file_the_server_refuses_says_why_and_does_not_stop_the_rest(console: Console) -> None:
    console.shop.upload_pause_s = 0.4
    page = console.open("documents")
    with page.expect_response(re.compile("small.pdf")):
        choose(page, "huge.pdf", "small.pdf")
    page.wait_for_timeout(100)  # the late answer must not undo what the jobs have told
    expect(page.locator(".upload.is-failed")).to_contain_text("over the limit max_upload_bytes")
    expect(page.locator(".upload.is-done")).to_contain_text("small.pdf")


def test_the_list_is_searched_and_a_document_opens(console: Console) -> None:
    page = console.open("documents")
    page.get_by_role("searchbox").fill("普通电脑")
    expect(page.locator(".documents tbody tr")).to_have_count(1)
    page.get_by_role("button", name="在普通电脑上运行模型", exact=True).click()
    expect(page.locator("dialog .blocks")).to_contain_text(shelf.QUOTE_ZH)
    assert page.locator("dialog .blocks").get_attribute("lang") == "zh-CN"


def test_deleting_a_document_asks_first(console: Console) -> None:
    page = console.open("documents")
    row = page.locator(".documents tbody tr", has_text="supplier-2026.pdf")
    row.get_by_role("button", name=re.compile("^Delete")).click()
    page.get_by_role("button", name="Cancel").click()
    assert len(console.shop.documents) == 4
    row.get_by_role("button", name=re.compile("^Delete")).click()
    page.locator("dialog").get_by_role("button", name="Delete").click()
    expect(row).to_have_count(0)
    assert len(console.shop.documents) == 3


def test_a_new_base_is_made_chosen_and_removed(console: Console) -> None:
    page = console.open("documents")
    page.get_by_role("button", name="New base").click()
    page.get_by_label("Name").fill("Contracts & Offers")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Contracts & Offers")).to_be_visible()
    assert console.shop.bases[-1].id == "contracts-offers"
    page.get_by_role("button", name="Remove base").click()
    page.locator("dialog").get_by_role("button", name="Remove base").click()
    expect(page.get_by_role("heading", name="Banyan sample")).to_be_visible()
    assert [base.id for base in console.shop.bases] == ["sample", "handbook"]


def test_the_sample_goes_with_one_click_and_comes_back_with_undo(console: Console) -> None:
    page = console.open("documents")
    page.get_by_role("button", name="Remove sample").click()
    expect(page.get_by_role("heading", name="Team handbook")).to_be_visible()
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_role("heading", name="Banyan sample")).to_be_visible()
    page.get_by_role("button", name="Remove sample").click()
    page.reload()  # leaving the page does not keep what was removed
    expect(page.get_by_role("heading", name="Team handbook")).to_be_visible()
    assert [base.id for base in console.shop.bases] == ["handbook"]


def test_signing_in_needs_the_right_key(open_console: OpenConsole) -> None:
    opened = open_console(Shop(keys_required=True))
    page = opened.page
    page.get_by_label("Key").fill("wrong")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_contain_text("That key is not known.")
    page.get_by_label("Key").fill(KEY)
    page.keyboard.press("Enter")
    expect(page.locator("button.sample").first).to_be_visible()
    opened.open("system")
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_label("Key")).to_be_visible()

"""The console's own modules, called in the browser: words, cuts, events, prose, ids."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser
from tests.e2e.conftest import Console, opening
from tests.e2e.console_stub import CONSOLE

pytestmark = pytest.mark.browser

SCRIPTS = sorted((CONSOLE / "js").glob("*.js"))


@pytest.fixture(scope="module")
def console(chromium: Browser) -> Iterator[Console]:
    """One page for all: nothing here changes what it shows."""
    with opening(chromium) as open_one:
        yield open_one()


@pytest.fixture(scope="module")
def source() -> str:
    return "\n".join(
        path.read_text("utf-8") for path in SCRIPTS if not path.stem.startswith("words")
    )


def words(console: Console) -> dict[str, list[str]]:
    script = 'import("/static/js/words.js").then((module) => module.WORDS)'
    found: dict[str, list[str]] = console.page.evaluate(script)
    return found


def call(console: Console, module: str, body: str, argument: Any = None) -> Any:
    """Run ``body`` with the module's exports as ``m`` and the argument as ``a``."""
    script = f'async (a) => {{ const m = await import("/static/js/{module}.js"); {body} }}'
    return console.page.evaluate(script, argument)


def test_english_and_chinese_have_the_same_keys_and_blanks(console: Console) -> None:
    for key, pair in words(console).items():
        assert len(pair) == 2, key
        assert all(text.strip() for text in pair), key
        if not key.endswith(".one"):
            blanks = [sorted(re.findall(r"\{\w+\}", text)) for text in pair]
            assert blanks[0] == blanks[1], key


def test_every_word_that_is_asked_for_exists_and_none_is_left_over(
    console: Console, source: str
) -> None:
    keys = set(words(console))
    asked = set(re.findall(r'\b(?:t|count)\(\s*"([\w.]+)"', source))
    asked |= {key for key in re.findall(r'"([\w]+(?:\.[\w]+)+)"', source) if key in keys}
    assert asked <= keys, asked - keys
    stems = {stem for stem in re.findall(r"`([\w.]*)\$\{", source) if stem}
    tails = set(re.findall(r"\}(\.[\w.]+)`", source))
    unused = {
        key
        for key in keys - asked
        if not key.startswith(tuple(stems))
        and not key.endswith(tuple(tails))
        and key.removesuffix(".one") not in asked
    }
    assert unused == set()


def test_a_cut_counts_characters_as_the_server_does(console: Console) -> None:
    text = "🌳 ab 中文 👩‍🌾 end"
    start, end = text.index("中文"), text.index(" end")
    parts = call(
        console,
        "spans",
        "return m.cut(a.text, 100, { start: 100 + a.start, end: 100 + a.end });",
        {"text": text, "start": start, "end": end},
    )
    assert [part["text"] for part in parts if part["inside"]] == [text[start:end]]
    assert "".join(part["text"] for part in parts) == text
    assert call(console, "spans", "return m.lengthOf(a);", text) == len(text)


def test_a_range_elsewhere_in_the_document_marks_nothing(console: Console) -> None:
    for outside in ({"start": 0, "end": 5}, {"start": 50, "end": 60}, None):
        parts = call(console, "spans", "return m.cut('hello', 20, a);", outside)
        assert parts == [{"text": "hello", "inside": False}]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_events_are_read_however_the_stream_is_cut(console: Console, size: int) -> None:
    stream = ': still working\n\ndata: {"a": 1}\r\n\r\nevent: x\ndata: two\ndata:lines\n\n'
    pieces = [stream[at : at + size] for at in range(0, len(stream), size)]
    body = """
        const pieces = (async function* () { yield* a; })();
        const found = [];
        for await (const data of m.eventData(pieces)) found.push(data);
        return found;
    """
    found = call(console, "sse", body, pieces)
    assert found == ['{"a": 1}', "two\nlines"]


def test_prose_becomes_paragraphs_lists_and_code_and_never_markup(console: Console) -> None:
    text = (
        "# Title\nA **bold** word, `a<b>` and <b>markup</b> [x](javascript:1)\n\n"
        "- one\n- two\n\n3. three\n\n```py\n<script>1</script>\n```\nopen `tick\n```\nno end"
    )
    body = """
        const box = document.createElement("div");
        box.append(...m.prose(a));
        return [[...box.querySelectorAll("*")].map((node) => node.tagName), box.textContent];
    """
    tags, shown = call(console, "prose", body, text)
    assert tags == ["H4", "P", "STRONG", "CODE", "UL", "LI", "LI", "OL", "LI", "PRE", "P", "PRE"]
    for kept in (
        "<b>markup</b>",
        "[x](javascript:1)",
        "<script>1</script>",
        "open `tick",
        "no end",
    ):
        assert kept in shown


def test_table_cells_keep_their_places(console: Console) -> None:
    line = r"| a 🌳 | b \| c |  | d |"
    cells = call(console, "blocks", "return m.cells(a, 10);", line)
    assert [cell["text"] for cell in cells] == ["a 🌳", r"b \| c", "", "d"]
    for cell in cells:
        start = cell["start"] - 10
        assert line[start : start + len(cell["text"])] == cell["text"]


@pytest.mark.parametrize(
    ("title", "base_id"),
    [("Contracts & Offers", "contracts-offers"), ("合同", "base"), ("Sample", "sample-2")],
)
def test_a_base_gets_an_id_of_plain_letters_that_is_free(
    console: Console, title: str, base_id: str
) -> None:
    assert call(console, "bases", 'return m.idFor(a, ["sample"]);', title) == base_id


def test_no_script_makes_markup_of_text(source: str) -> None:
    for forbidden in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("):
        assert forbidden not in source


def test_nothing_points_outside_the_server() -> None:
    allowed = {"http://www.w3.org/2000/svg", "http://127.0.0.1:11434/v1"}
    files = [path for path in Path(CONSOLE).rglob("*") if path.suffix in {".js", ".css", ".html"}]
    assert len(files) > 40
    for path in files:
        text = path.read_text("utf-8")
        assert set(re.findall(r"https?://[^\s\"'`)]+", text)) <= allowed, path


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_a_script_imports_what_it_uses_and_its_functions_fit_a_screen(path: Path) -> None:
    text = path.read_text("utf-8")
    for names in re.findall(r"^import \{([^}]*)\} from", text, re.MULTILINE):
        for name in re.findall(r"\w+", names):
            assert len(re.findall(rf"\b{name}\b", text)) > 1, f"{name} is imported for nothing"
    lines = text.split("\n")
    for start, line in enumerate(lines):
        head = re.match(r"^(\s*)(?:export )?(?:async )?function\*? (\w+)", line)
        if head:
            length = lines.index(f"{head[1]}}}", start) - start + 1
            assert length <= 50, f"{head[2]} has {length} lines"

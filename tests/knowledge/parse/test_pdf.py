"""PDF as a whole: what a person would read, in the order they would read it."""

from __future__ import annotations

import pytest

from banyan.core.errors import BrokenDocument, EmptyDocument, EncryptedDocument, ParserLimit
from banyan.knowledge.parse.limits import ParseLimits

BODY = [
    "The banyan sends roots down from its branches, and where they",
    "touch the ground they thicken into trunks. A single tree can so",
    "cover more than a hectare without being one column of wood.",
]


def test_lines_become_a_paragraph_with_its_page(read, pdf):
    document = read(pdf.bytes([pdf.lines(BODY), pdf.lines(["Second page text."])]), "tree.pdf")
    assert [block.kind for block in document.blocks] == ["paragraph", "paragraph"]
    assert document.blocks[0].text == " ".join(BODY)
    assert [block.page for block in document.blocks] == [1, 2]
    assert document.media_type == "application/pdf"


def test_larger_and_bold_lines_are_headings_of_descending_rank(read, pdf):
    page = [
        pdf.text(x=72, y=780, text="A Large Title", size=20),
        pdf.text(x=72, y=740, text="A Section", size=14),
        *pdf.lines(BODY, top=720),
        pdf.text(x=72, y=650, text="A bold label", bold=True),
        *pdf.lines(BODY, top=635),
    ]
    found = [(b.kind, b.level, b.text) for b in read(pdf.bytes([page]), "t.pdf").blocks]
    assert found[:2] == [("heading", 1, "A Large Title"), ("heading", 2, "A Section")]
    assert found[3] == ("heading", 3, "A bold label")
    assert [kind for kind, _, _ in found].count("paragraph") == 2


def test_the_left_column_is_read_before_the_right(read, pdf):
    left = [f"left column line number {n} fills its width" for n in range(12)]
    right = [f"right column line number {n} fills its width" for n in range(12)]
    rows = [
        item
        for one, other in zip(pdf.lines(left, x=60), pdf.lines(right, x=320), strict=True)
        for item in (one, other)
    ]
    text = read(pdf.bytes([rows]), "columns.pdf").text
    assert text.index("left column line number 11") < text.index("right column line number 0")


def test_a_line_across_both_columns_comes_where_it_stands(read, pdf):
    width = "which fills the whole width of its own column"
    upper = [pdf.lines([f"{side} upper {n} {width}" for n in range(6)], x=x, top=700, size=8)
             for side, x in (("left", 60), ("right", 320))]  # fmt: skip
    lower = [pdf.lines([f"{side} lower {n} {width}" for n in range(6)], x=x, top=560, size=8)
             for side, x in (("left", 60), ("right", 320))]  # fmt: skip
    banner = pdf.text(x=60, y=600, text="BANNER " * 14, size=9)
    text = read(pdf.bytes([[*upper[0], *upper[1], banner, *lower[0], *lower[1]]]), "b.pdf").text
    order = ["left upper 5", "right upper 0", "BANNER", "left lower 0", "right lower 0"]
    places = [text.index(words) for words in order]
    assert places == sorted(places)


def test_a_ruled_table_stays_a_table(read, pdf):
    cells = [["City", "People"], ["Wuhan", "13 million"], ["Oslo", "0.7 million"]]
    page = pdf.lines(BODY)
    for row, texts in enumerate(cells):
        for column, text in enumerate(texts):
            page.append(pdf.text(x=75 + 60 * column, y=685 - 20 * row, text=text))
    page += [pdf.stroke(x0=70, y0=y, x1=210, y1=y) for y in (700, 680, 660, 640)]
    page += [pdf.stroke(x0=x, y0=640, x1=x, y1=700) for x in (70, 130, 210)]
    blocks = read(pdf.bytes([page]), "table.pdf").blocks
    table = "| City | People |\n|---|---|\n| Wuhan | 13 million |\n| Oslo | 0.7 million |"
    assert [(b.kind, b.text) for b in blocks] == [("paragraph", " ".join(BODY)), ("table", table)]


def test_aligned_cells_without_rules_are_a_table_too(read, pdf):
    rows = [("Model", "Score"), ("large", "0.91"), ("medium", "0.87"), ("small", "0.80")]
    page = pdf.lines(BODY)
    for index, (left, right) in enumerate(rows):
        page.append(pdf.text(x=72, y=690 - 12 * index, text=left))
        page.append(pdf.text(x=200, y=690 - 12 * index, text=right))
    blocks = read(pdf.bytes([page]), "t.pdf").blocks
    assert blocks[-1].kind == "table"
    assert blocks[-1].text.splitlines()[2] == "| large | 0.91 |"


def test_running_headers_and_page_numbers_are_dropped_after_their_first_page(read, pdf):
    pages = [
        [
            pdf.text(x=72, y=820, text="Annual Report of Banyan Gardens"),
            *pdf.lines([f"What page {n} alone says.", "And more below it."], top=700),
            pdf.text(x=72, y=500, text=f"Something else on sheet {n}."),
            pdf.text(x=300, y=30, text=str(n)),
        ]
        for n in range(1, 6)
    ]
    text = read(pdf.bytes(pages), "report.pdf").text
    assert text.count("Annual Report of Banyan Gardens") == 1
    assert "What page 5 alone says." in text
    assert not [line for line in text.splitlines() if line.strip().isdigit()]


def test_what_repeats_on_two_pages_only_is_kept(read, pdf):
    pages = [pdf.lines(["The same first line.", f"Page {n}."]) for n in range(2)]
    assert read(pdf.bytes(pages), "two.pdf").text.count("The same first line.") == 2


def test_a_paragraph_cut_by_a_page_break_is_put_together(read, pdf):
    pages = [pdf.lines(["The sentence begins here and"]), pdf.lines(["ends on the next page."])]
    blocks = read(pdf.bytes(pages), "cut.pdf").blocks
    assert [block.text for block in blocks] == [
        "The sentence begins here and ends on the next page."
    ]


def test_hyphenated_words_are_made_whole_and_bullets_are_a_list(read, pdf):
    page = pdf.lines(["An exam-", "ple of hyphens."])
    page += pdf.lines(["- first point", "- second point"], top=700)
    blocks = read(pdf.bytes([page]), "h.pdf").blocks
    assert blocks[0].text == "An example of hyphens."
    assert (blocks[1].kind, blocks[1].text) == ("list", "- first point\n- second point")


def test_chinese_lines_join_without_a_space(read, pdf):
    page = pdf.lines(["榕树的气根从枝条垂下来，接触地面以后", "就会变粗，成为新的树干。"])
    assert read(pdf.bytes([page]), "zh.pdf").text == (
        "榕树的气根从枝条垂下来，接触地面以后就会变粗，成为新的树干。"
    )


def test_the_title_is_the_metadata_unless_a_program_wrote_it(read, pdf):
    page = [pdf.text(x=72, y=780, text="Shown Title", size=20), *pdf.lines(BODY, top=740)]
    assert read(pdf.bytes([page], title="Meant Title"), "a.pdf").title == "Meant Title"
    assert read(pdf.bytes([page], title="Microsoft Word - x.doc"), "a.pdf").title == "Shown Title"
    assert read(pdf.bytes([pdf.lines(BODY)]), "folder/a.pdf").title == "a.pdf"


def test_a_page_lying_on_its_side_reads_like_any_other(read, pdf):
    upright = read(pdf.bytes([pdf.lines(BODY)]), "t.pdf")
    turned = read(pdf.bytes([pdf.lines(BODY)], extra="/Rotate 90"), "t.pdf")
    assert turned.text == upright.text


def test_a_scan_says_that_it_has_no_text_layer(read, pdf):
    with pytest.raises(EmptyDocument, match="no text layer") as caught:
        read(pdf.bytes([[pdf.stroke(x0=0, y0=0, x1=9, y1=9)]]), "scan.pdf")
    assert "OCR" in caught.value.remedy


def test_a_damaged_file_and_one_behind_a_password_say_so(read, pdf):
    with pytest.raises(BrokenDocument):
        read(b"%PDF-1.7\n garbage", "broken.pdf")
    locked = pdf.bytes([pdf.lines(BODY)]).replace(
        b"/Root 1 0 R",
        b"/Encrypt << /Filter /Standard /V 1 /R 2 /O <"
        + b"00" * 32 + b"> /U <" + b"00" * 32 + b"> /P -4 >> /ID [<00><00>] /Root 1 0 R",
    )  # fmt: skip
    with pytest.raises(EncryptedDocument):
        read(locked, "locked.pdf")


def test_too_many_pages_name_the_limit(read, pdf):
    with pytest.raises(ParserLimit, match="max_pages = 2"):
        read(pdf.bytes([pdf.lines(["x"])] * 3), "long.pdf", ParseLimits(max_pages=2))

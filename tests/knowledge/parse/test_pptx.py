from __future__ import annotations

import io

from pptx import Presentation
from pptx.chart.data import CategoryChartData
from pptx.enum.chart import XL_CHART_TYPE
from pptx.util import Inches


def saved(presentation) -> bytes:
    buffer = io.BytesIO()
    presentation.save(buffer)
    return buffer.getvalue()


def test_a_slide_is_a_page_with_title_points_table_and_notes(read):
    presentation = Presentation()
    slide = presentation.slides.add_slide(presentation.slide_layouts[1])
    slide.shapes.title.text = "Growth"
    frame = slide.placeholders[1].text_frame
    frame.text = "first"
    point = frame.add_paragraph()
    point.text, point.level = "second", 1
    table = slide.shapes.add_table(2, 2, Inches(1), Inches(5), Inches(4), Inches(1)).table
    for index, text in enumerate(["A", "B", "1", "2"]):
        table.cell(index // 2, index % 2).text = text
    slide.notes_slide.notes_text_frame.text = "Say it slowly."
    presentation.slides.add_slide(presentation.slide_layouts[5]).shapes.title.text = "End"
    found = [(b.kind, b.text, b.page) for b in read(saved(presentation), "a.pptx").blocks]
    assert found == [
        ("heading", "Growth", 1),
        ("list", "- first\n- second", 1),
        ("table", "| A | B |\n|---|---|\n| 1 | 2 |", 1),
        ("paragraph", "Notes: Say it slowly.", 1),
        ("heading", "End", 2),
    ]


def test_grouped_shapes_are_read_from_top_to_bottom(read):
    presentation = Presentation()
    slide = presentation.slides.add_slide(presentation.slide_layouts[6])
    group = slide.shapes.add_group_shape()
    for top, text in ((3, "lower"), (1, "upper")):
        box = group.shapes.add_textbox(Inches(1), Inches(top), Inches(2), Inches(1))
        box.text_frame.text = text
    assert read(saved(presentation), "a.pptx").text == "upper\n\nlower"


def test_a_chart_is_read_as_its_numbers(read):
    presentation = Presentation()
    slide = presentation.slides.add_slide(presentation.slide_layouts[6])
    data = CategoryChartData()
    data.categories = ["east", "west"]
    data.add_series("sales", (19.2, 21.4))
    where = (Inches(1), Inches(1), Inches(4), Inches(3))
    slide.shapes.add_chart(XL_CHART_TYPE.COLUMN_CLUSTERED, *where, data)
    assert "| east | 19.2 |" in read(saved(presentation), "a.pptx").text

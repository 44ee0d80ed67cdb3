from __future__ import annotations

import datetime
import io

import openpyxl

from banyan.knowledge.parse.cells import shown


def saved(workbook) -> bytes:
    buffer = io.BytesIO()
    workbook.save(buffer)
    return buffer.getvalue()


def test_a_sheet_is_a_page_with_its_tables(read):
    workbook = openpyxl.Workbook()
    sheet = workbook.active
    sheet.title = "Stock"
    sheet["A1"], sheet["B1"], sheet["A2"], sheet["B2"] = "item", "count", "nails", 200
    sheet["E1"], sheet["F1"], sheet["E2"], sheet["F2"] = "town", "open", "Oslo", True
    sheet["A5"] = "Counted by hand."
    other = workbook.create_sheet("Prices")
    other.append(["item", "price"])
    other.append(["nails", 1234.5])
    other["B2"].number_format = '#,##0.00 "€"'
    found = [(b.kind, b.text, b.page) for b in read(saved(workbook), "a.xlsx").blocks]
    assert found == [
        ("heading", "Stock", 1),
        ("table", "| item | count |\n|---|---|\n| nails | 200 |", 1),
        ("table", "| town | open |\n|---|---|\n| Oslo | TRUE |", 1),
        ("paragraph", "Counted by hand.", 1),
        ("heading", "Prices", 2),
        ("table", "| item | price |\n|---|---|\n| nails | €1,234.50 |", 2),
    ]


def test_a_formula_never_computed_is_shown_as_written(read):
    workbook = openpyxl.Workbook()
    workbook.active.append(["a", "twice"])
    workbook.active.append([2, "=A2*2"])
    assert "| 2 | =A2*2 |" in read(saved(workbook), "a.xlsx").text


def test_the_file_names_the_document_and_not_the_sheet(read):
    workbook = openpyxl.Workbook()
    workbook.active.append(["a", "b"])
    assert read(saved(workbook), "folder/prices.xlsx").title == "prices.xlsx"


def test_values_are_shown_as_the_sheet_shows_them():
    moment = datetime.datetime(2024, 3, 1, 9, 30)
    assert shown(moment, "yyyy-mm-dd hh:mm") == "2024-03-01 09:30"
    assert shown(datetime.datetime(2024, 3, 1), "yyyy-mm-dd") == "2024-03-01"
    assert shown(0.125, "0.0%") == "12.5%"
    assert shown(1234567, "#,##0") == "1,234,567"
    assert shown(-3.14159, "0.00") == "-3.14"
    assert shown(1e20, "General") == "1e+20"
    assert shown(5.0, "General") == "5"
    assert shown(-12, '[$$-409]#,##0.00;[Red]"x"') == "-$12.00"

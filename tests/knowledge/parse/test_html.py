from __future__ import annotations


def page(body: str, head: str = "") -> bytes:
    return f"<!doctype html><html><head>{head}</head><body>{body}</body></html>".encode()


LONG = "The garden opens at nine and closes at dusk on every day of the week. "


def test_headings_paragraphs_lists_code_and_tables_keep_their_kind(blocks):
    body = """<h1>Title</h1><p>One
    <b>bold</b> line.</p><ul><li>first<ul><li>inner</li></ul></li><li><p>second</p></li></ul>
    <ol><li>one</li><li>two</li></ol><pre>def f():\n    return 1</pre>
    <table><tr><th>A</th><th>B</th></tr><tr><td>1</td><td>2|3</td></tr></table>"""
    assert blocks(page(body), "a.html") == [
        ("heading", "Title"),
        ("paragraph", "One bold line."),
        ("list", "- first\n- inner\n- second"),
        ("list", "1. one\n2. two"),
        ("code", "def f():\n    return 1"),
        ("table", "| A | B |\n|---|---|\n| 1 | 2\\|3 |"),
    ]


def test_what_surrounds_the_content_is_left_out(read):
    body = (
        "<nav>Home Products</nav><div class='cookie-banner'>We use cookies</div>"
        f"<main><h1>Opening hours</h1><p>{LONG * 3}</p></main>"
        "<aside>Related</aside><footer>Imprint</footer><script>alert(1)</script>"
    )
    text = read(page(body), "a.html").text
    assert "Opening hours" in text
    for noise in ("Home", "cookies", "Related", "Imprint", "alert"):
        assert noise not in text


def test_a_page_that_is_nothing_but_a_menu_keeps_it(read):
    assert "Home" in read(page("<nav><a href=/>Home</a> <a>Shop</a></nav>"), "a.html").text


def test_the_article_is_chosen_among_much_else(read):
    body = f"<div>Adverts here</div><article><p>{LONG * 5}</p></article>"
    assert "Adverts" not in read(page(body), "a.html").text


def test_a_table_for_layout_gives_its_blocks(blocks):
    body = "<table><tr><td><h2>Left</h2><p>Text</p></td><td>Right</td></tr></table>"
    assert blocks(page(body), "a.html") == [
        ("heading", "Left"),
        ("paragraph", "Text"),
        ("paragraph", "Right"),
    ]


def test_the_title_element_names_the_document(read):
    assert read(page("<p>x</p>", "<title>The Name</title>"), "a.html").title == "The Name"


def test_the_declared_encoding_is_believed_where_it_works(read):
    data = page("<p>榕树是一种树。</p>", '<meta charset="gb2312">').decode().encode("gb2312")
    assert read(data, "a.html").text == "榕树是一种树。"
    lying = page("<p>榕树是一种树。</p>", '<meta charset="ascii">')
    assert read(lying, "a.html").text == "榕树是一种树。"


def test_two_breaks_in_a_row_part_paragraphs(blocks):
    body = "<td>One<br> <br>Two<br>lines<br/><br/><br/>Three</td>"
    assert blocks(page(body), "a.html") == [
        ("paragraph", "One"),
        ("paragraph", "Two\nlines"),
        ("paragraph", "Three"),
    ]


def test_line_breaks_stay_and_hidden_text_goes(blocks):
    body = "<p>Road 1<br>Town</p><p hidden>secret</p><div aria-hidden='true'>icon</div>"
    assert blocks(page(body), "a.html") == [("paragraph", "Road 1\nTown")]

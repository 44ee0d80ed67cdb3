from __future__ import annotations

import pytest

from banyan.core.errors import ParserLimit

TABLE = "| name | note |\n|---|---|\n| Ann | likes, commas |\n| Bo | plain |"


@pytest.mark.parametrize(
    "source",
    [
        'name,note\nAnn,"likes, commas"\nBo,plain\n',
        "name\tnote\nAnn\tlikes, commas\nBo\tplain\n",
        "name;note\nAnn;likes, commas\nBo;plain\n",
        "\ufeffname|note\r\nAnn|likes, commas\r\nBo|plain\r\n",
    ],
)
def test_the_delimiter_is_found(blocks, source):
    assert blocks(source.encode(), "people.csv") == [("table", TABLE)]


def test_a_chinese_table_in_its_own_encoding_is_read(blocks):
    source = "城市,人口\n武汉,一千三百万\n我的家,是在这里的\n"
    [(kind, text)] = blocks(source.encode("gb18030"), "a.csv")
    assert kind == "table"
    assert "| 武汉 | 一千三百万 |" in text


def test_rows_with_long_texts_become_records(blocks):
    source = f"title,text\nFirst,{'word ' * 500}\nSecond,{'other ' * 500}\n"
    found = blocks(source.encode(), "articles.csv")
    assert [kind for kind, _ in found] == ["heading", "paragraph"] * 2
    assert found[0][1] == "First"


def test_a_million_columns_name_the_limit(read):
    with pytest.raises(ParserLimit, match="max_table_columns"):
        read(b"x," * 1_000_000 + b"x\n1\n", "wide.csv")


def test_a_quote_that_never_closes_keeps_its_text(read):
    assert "b c" in read(b'a,"b c\nd,e\n', "a.csv").text

from __future__ import annotations

import pytest

from banyan.core.errors import BrokenDocument
from banyan.knowledge.parse.encoding import decode, is_text

SIMPLIFIED = "大型语言模型可以在普通的机器上运行，但是要看内存有多大。我们的文件里说明了这一点。"
TRADITIONAL = "大型語言模型可以在普通的機器上運行，但是要看記憶體有多大。我們的文件裡說明了這一點。"


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "utf-16-le", "utf-16-be", "gb18030"]
)
def test_simplified_chinese_survives(encoding):
    text = f"Title 2024\n{SIMPLIFIED}"
    assert decode(text.encode(encoding), "a.txt").lstrip("\ufeff") == text


@pytest.mark.parametrize("encoding", ["utf-8", "big5"])
def test_traditional_chinese_survives(encoding):
    assert decode(TRADITIONAL.encode(encoding), "a.txt") == TRADITIONAL


def test_western_text_is_not_taken_for_chinese():
    text = "Le café était fermé, déjà. Où êtes-vous? C'est ça, ma chère amie, à bientôt là-bas."
    assert decode(text.encode("cp1252"), "a.txt") == text


def test_one_damaged_byte_does_not_lose_the_rest():
    data = SIMPLIFIED.encode() + b"\xff" + SIMPLIFIED.encode()
    assert decode(data, "a.txt").count(SIMPLIFIED) == 2


def test_bytes_that_are_no_text_are_broken():
    with pytest.raises(BrokenDocument, match="NUL"):
        decode(b"abc\x00\x00\x00def", "a.txt")
    assert not is_text(bytes(range(32)) * 10)
    assert is_text(SIMPLIFIED.encode("gb18030"))

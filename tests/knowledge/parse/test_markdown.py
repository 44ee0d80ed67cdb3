from __future__ import annotations


def test_every_construct_keeps_its_kind(blocks):
    source = b"""---
title: "From the front matter"
tags: [a]
---
# One

Wrapped
lines.

- a
- b

| x | y |
|---|---|
| 1 | 2 |

```python
# not a heading
x = 1
```
"""
    assert blocks(source, "a.md") == [
        ("heading", "One"),
        ("paragraph", "Wrapped lines."),
        ("list", "- a\n- b"),
        ("table", "| x | y |\n|---|---|\n| 1 | 2 |"),
        ("code", "# not a heading\nx = 1"),
    ]


def test_the_title_is_the_front_matters_or_the_first_heading(read):
    assert read(b"---\ntitle: Named\n---\n# Other\n", "a.md").title == "Named"
    assert read(b"# First\n\ntext\n\n# Second\n", "a.md").title == "First"
    assert read(b"no heading", "a.md").title == "a.md"


def test_embedded_html_is_text_and_never_script(read):
    assert read(b"Hello <b>there</b>\n\n<script>bad()</script>\n", "a.md").text == "Hello there"

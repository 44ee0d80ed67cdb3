"""Suggestions: the questions that headings promise to answer, in the language of the heading.

Rules, not a model: a heading that is a question is asked as it is; one that names a task becomes
how to do it; a noun becomes what it is. A heading that fits no rule well (numbers, "Introduction",
whole sentences) is left out rather than turned into a clumsy question.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterable, Iterator

from banyan.core.context import Principal
from banyan.core.errors import UnknownDocument
from banyan.knowledge import sample
from banyan.knowledge.language import detect

HEADINGS_READ = 2_000
_LONGEST_ENGLISH = 60
_LONGEST_CHINESE = 24

_NUMBERING = re.compile(
    r"^(?:chapter|section|part|appendix)?\s*[\dIVX]+(?:[.\d]*[.):]|\s)\s*", re.I
)
_CHINESE_NUMBERING = re.compile(
    r"^(?:第?[一二三四五六七八九十百\d]+[章节条、.．:：]|[（(][一二三四五六七八九十\d]+[)）])\s*"
)
_SAYS_NOTHING = re.compile(
    r"(?:introduction|overview|summary|abstract|contents|table of contents|conclusions?|references"
    r"|bibliography|appendix|notes?|examples?|see also|links?|index|background|misc\w*|other|faq"
    r"|general|details|untitled|sheet ?\d*|slide ?\d*|page ?\d*|简介|介绍|概述|摘要|目录|总结|结论"
    r"|参考文献|附录|前言|背景|其他|说明|示例|注意事项?|小结)",
    re.I,
)
_ENGLISH_QUESTION = re.compile(
    r"(?:what|which|who|whose|when|where|why|how|is|are|can|could|do|does|did|should|will|may)"
    r"\b.*",
    re.I,
)
_HOW_TO = re.compile(r"how to (?P<task>.+)", re.I)
_GERUND = re.compile(r"(?P<verb>[a-z]{3,}ing)\b(?P<rest> .+)", re.I)
_CHINESE_HOW_TO = re.compile(r"(?:如何|怎么|怎样)(?P<task>.+)")
_CHINESE_TASK = re.compile(
    r"(?:安装|配置|使用|添加|删除|创建|连接|运行|启动|升级|导入|导出|设置|选择|提交|申请|查看|管理"
    r"|备份|恢复|部署|更新|下载|上传).{2,}"
)
_CHINESE_QUESTION = re.compile(r".*(?:什么|多少|哪些|哪里|哪个|为什么|是否|能否|几|吗|呢)[^。]*")
_PLURAL = re.compile(r".*(?:[^s'u]s|ies)", re.I)
_TASK = re.compile(
    r"(?:add|apply|ask|back up|build|change|check|choose|configure|connect|create|delete|deploy"
    r"|download|enable|export|find|get|import|install|make|manage|measure|move|open|pull|read"
    r"|remove|report|request|reset|restore|run|search|set|start|stop|submit|test|troubleshoot"
    r"|turn|uninstall|update|upgrade|upload|use|write) .+",
    re.I,
)


def questions(
    db: sqlite3.Connection,
    base_id: str,
    principal: Principal,
    document_id: str | None,
    limit: int,
) -> list[str]:
    """Up to ``limit`` different questions, taken in turn from different documents.

    The sample base has its own fixed ones.
    """
    if base_id == sample.BASE_ID and document_id is None:
        return list(sample.QUESTIONS[:limit])
    by_document: dict[str, list[str]] = {}
    for document, heading in _headings(db, base_id, principal, document_id):
        asked = question(heading)
        if asked:
            by_document.setdefault(document, []).append(asked)
    return list(_in_turn(by_document.values(), limit))


def _headings(
    db: sqlite3.Connection, base_id: str, principal: Principal, document_id: str | None
) -> Iterator[tuple[str, str]]:
    """(document, heading) of the newest documents first; innermost headings, then titles."""
    found = db.execute(
        "SELECT d.id, d.label, d.title, c.heading_path FROM documents d"
        " JOIN chunks c ON c.document_id = d.id WHERE d.base_id = ? AND (? IS NULL OR d.id = ?)"
        " ORDER BY d.added_at DESC, d.id, c.position LIMIT ?",
        (base_id, document_id, document_id, HEADINGS_READ),
    ).fetchall()
    visible = [row for row in found if principal.may_see(row[1])]
    if document_id is not None and not visible:
        raise UnknownDocument(f"There is no document {document_id!r} in this base.")
    for document, _, title, path in visible:
        innermost = (json.loads(path) or [title])[-1]
        yield document, innermost


def _in_turn(groups: Iterable[list[str]], limit: int) -> Iterator[str]:
    """The first of each group, then the second of each, without repeats."""
    lists = [list(dict.fromkeys(group)) for group in groups]
    seen: set[str] = set()
    for place in range(max(map(len, lists), default=0)):
        for group in lists:
            if place < len(group) and group[place].casefold() not in seen and len(seen) < limit:
                seen.add(group[place].casefold())
                yield group[place]


def question(heading: str) -> str | None:
    """The question a heading answers, or None where none would sound right."""
    heading = " ".join(heading.split())
    if detect(heading) == "zh":
        return _chinese(heading)
    return _english(heading)


def _english(heading: str) -> str | None:
    heading = _NUMBERING.sub("", heading).strip(" .:-–—*#`")
    if not _is_usable(heading, _LONGEST_ENGLISH, shortest=4):
        return None
    if heading.endswith("?"):
        return heading[0].upper() + heading[1:]
    if match := _HOW_TO.fullmatch(heading):
        return f"How do I {_lower_first(match['task'])}?"
    if _ENGLISH_QUESTION.fullmatch(heading):
        return None  # "What Banyan is": neither a question nor a noun
    if _TASK.fullmatch(heading):
        return f"How do I {_lower_first(heading)}?"
    if _GERUND.fullmatch(heading):
        return f"What should I know about {_lower_first(heading)}?"
    if len(heading.split()) > 5 or re.search(
        r"[,;!]|\b(?:is|are|was|were|has|have|can)\b", heading
    ):
        return None
    return f"What {'are' if _PLURAL.fullmatch(heading) else 'is'} {_with_case(heading)}?"


def _chinese(heading: str) -> str | None:
    heading = _CHINESE_NUMBERING.sub("", heading).strip(" 。：:、—-*#`")
    if not _is_usable(heading, _LONGEST_CHINESE, shortest=2):
        return None
    if heading.endswith(("?", "？")):
        return heading[:-1] + "？"
    if match := _CHINESE_HOW_TO.fullmatch(heading):
        return f"如何{match['task']}？"
    if _CHINESE_QUESTION.fullmatch(heading):
        return f"{heading}？"
    if _CHINESE_TASK.fullmatch(heading):
        return f"如何{heading}？"
    if re.search(r"[，；！、]", heading):
        return None
    return f"{heading}是什么？"


def _is_usable(heading: str, longest: int, *, shortest: int) -> bool:
    return (
        shortest <= len(heading) <= longest
        and any(character.isalpha() for character in heading)
        and not _SAYS_NOTHING.fullmatch(heading)
        and not re.search(r"[/\\<>{}\[\]=|_@]", heading)
    )


def _lower_first(words: str) -> str:
    """``Install the engine`` inside a sentence; names such as ``GPU`` keep their capitals."""
    first = words.split()[0]
    is_name = first[1:] != first[1:].lower()
    return words if is_name else words[0].lower() + words[1:]


def _with_case(noun: str) -> str:
    """Headline capitals go when only the first word has one; otherwise they may be a name."""
    rest = noun.split()[1:]
    if rest and all(word == word.lower() for word in rest):
        return _lower_first(noun)
    return noun

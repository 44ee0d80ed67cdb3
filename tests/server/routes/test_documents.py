"""Documents over HTTP: listed, opened as blocks with their places, deleted."""

from __future__ import annotations

import httpx
from tests.server.stubs import HOSTILE


def test_documents_are_listed_as_records(client: httpx.Client) -> None:
    [record] = client.get("/api/bases/sample/documents").json()["documents"]
    assert record["title"] == HOSTILE
    assert record["status"] == "ready"


def test_an_opened_document_says_where_each_block_begins(client: httpx.Client) -> None:
    body = client.get("/api/documents/d1").json()
    assert body["document"]["id"] == "d1"
    assert [(block["kind"], block["start"]) for block in body["blocks"]] == [
        ("heading", 0),
        ("paragraph", len("Trees") + 2),
    ]
    assert body["blocks"][1]["text"] == HOSTILE


def test_a_document_is_deleted_once(client: httpx.Client) -> None:
    assert client.delete("/api/documents/d1").json() == {"deleted": "d1"}
    assert client.delete("/api/documents/none").status_code == 404


def test_a_passage_is_found_by_its_id(client: httpx.Client) -> None:
    assert client.get("/api/passages/p1").json()["scores"] == {"bm25": 1.0}
    assert client.get("/api/passages/none").json()["error"]["code"] == "unknown_document"

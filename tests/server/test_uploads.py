"""Uploads: names are checked, bodies bounded, nothing lands outside the inbox or stays half."""

from __future__ import annotations

import socket
import time
from pathlib import Path
from typing import BinaryIO

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.server.harness import Running, head
from tests.server.stubs import StubApp

from banyan.core.errors import BanyanError, InputError
from banyan.server import uploads
from banyan.server.uploads import MAX_PART_BYTES, display_name

BYTES = {"content-type": "application/octet-stream"}


def _inbox(app: StubApp) -> list[Path]:
    return [path for path in (app.settings.home / "inbox").rglob("*") if path.is_file()]


def _put(client: httpx.Client, name: str, content: bytes = b"text") -> httpx.Response:
    path = "/api/bases/sample/files"
    return client.put(path, params={"name": name}, content=content, headers=BYTES)


@pytest.mark.parametrize(
    ("given_name", "shown"),
    [
        ("a.pdf", "a.pdf"),
        ("folder/sub/a.pdf", "folder/sub/a.pdf"),
        ("folder\\a.pdf", "folder/a.pdf"),
        ("报告/年度 2026.pdf", "报告/年度 2026.pdf"),
        ("<img src=x>.pdf", "<img src=x>.pdf"),
        (".hidden", ".hidden"),
        ("a..b.pdf", "a..b.pdf"),
    ],
)
def test_ordinary_names_are_kept_as_they_are(given_name: str, shown: str) -> None:
    assert display_name(given_name) == shown


@pytest.mark.parametrize(
    "name",
    [
        "../a.pdf",
        "a/../../b.pdf",
        "..\\..\\a.pdf",
        "/etc/passwd",
        "\\\\server\\share\\a",
        "a//b.pdf",
        "./a.pdf",
        "a/.",
        "..",
        "a/",
        "a\x00.pdf",
        "a\nb.pdf",
        "a\x7f.pdf",
        "a\u202efdp.exe",
        "\ud800.pdf",
        "x" * 513,
        "语" * 86,
    ],
)
def test_dangerous_names_are_refused(name: str) -> None:
    with pytest.raises(InputError):
        display_name(name)


@given(st.text(max_size=80))
def test_whatever_name_is_accepted_stays_below_its_folder(name: str) -> None:
    try:
        shown = display_name(name)
    except BanyanError:
        return
    inbox = Path("/inbox")
    assert (inbox / shown).resolve().is_relative_to(inbox)
    last = shown.rpartition("/")[2]
    assert "/" not in last
    assert len(last.encode()) <= MAX_PART_BYTES


def test_an_upload_is_saved_in_a_folder_of_its_own_and_queued(
    client: httpx.Client, app: StubApp
) -> None:
    content = bytes(range(256)) * 1000
    response = _put(client, "reports/a.pdf", content)
    assert response.status_code == 202
    assert response.json()["path"] == "reports/a.pdf"
    [saved] = app.library.saved
    assert saved.read_bytes() == content
    assert saved.name == "a.pdf"
    assert saved.parent.parent == app.settings.home / "inbox"
    _put(client, "reports/a.pdf", b"other")
    assert saved.read_bytes() == content
    assert len(_inbox(app)) == 2


@pytest.mark.parametrize("name", ["../../a", "a\x00b", "/etc/passwd", "..%2f..%2fa\n", ""])
def test_a_dangerous_upload_writes_nothing(client: httpx.Client, app: StubApp, name: str) -> None:
    assert _put(client, name).status_code == 400
    assert not _inbox(app)
    assert not app.library.saved


def test_an_upload_over_the_limit_is_refused_and_leaves_nothing(
    client: httpx.Client, app: StubApp
) -> None:
    response = _put(client, "a.bin", b"x" * 300_001)
    assert response.status_code == 413
    assert "max_upload_bytes = 300000" in response.json()["error"]["message"]

    def unannounced() -> object:
        for _ in range(40):
            yield b"x" * 10_000

    response = client.put(
        "/api/bases/sample/files?name=a.bin",
        content=unannounced(),  # type: ignore[arg-type] # httpx sends it in chunks
        headers=BYTES,
    )
    assert response.status_code == 413
    assert not _inbox(app)
    assert not app.library.saved


def test_a_disk_that_takes_no_more_is_said_to_be_full_and_nothing_stays(
    client: httpx.Client, app: StubApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path) -> BinaryIO:
        path.parent.mkdir(parents=True)
        path.touch()
        return open("/dev/full", "wb")

    monkeypatch.setattr(uploads, "_create", full)
    response = _put(client, "a.bin")
    assert response.status_code == 500
    assert response.json()["error"]["code"] == "store_error"
    assert "No space left" in response.json()["error"]["message"]
    assert not _inbox(app)


def test_an_upload_into_no_base_is_refused_before_it_is_stored(
    client: httpx.Client, app: StubApp
) -> None:
    response = client.put("/api/bases/none/files?name=a.txt", content=b"x" * 1000, headers=BYTES)
    assert response.status_code == 404
    assert response.json()["error"]["code"] == "unknown_base"
    assert not (app.settings.home / "inbox").exists()


def test_a_client_that_leaves_in_the_middle_leaves_nothing_behind(
    server: Running, app: StubApp
) -> None:
    request = head(
        "PUT",
        "/api/bases/sample/files?name=a.bin",
        "Content-Type: application/octet-stream",
        "Content-Length: 200000",
    )
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(request + b"x" * 100_000)
        _until(lambda: bool(_inbox(app)))
    _until(lambda: not _inbox(app))
    assert not app.library.saved


def test_an_empty_file_is_accepted_for_the_parser_to_judge(
    client: httpx.Client, app: StubApp
) -> None:
    assert _put(client, "empty.txt", b"").status_code == 202
    assert app.library.saved[0].read_bytes() == b""


def _until(true: object) -> None:
    for _ in range(200):
        if true():  # type: ignore[operator] # a callable
            return
        time.sleep(0.01)
    raise AssertionError("it did not happen")

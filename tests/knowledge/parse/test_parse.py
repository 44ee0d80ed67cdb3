"""The facade: real files, a real process, and whatever strangers may drop in."""

from __future__ import annotations

import os
import socket
import threading
import time
from pathlib import Path

import pytest

from banyan.core.context import Context
from banyan.core.errors import (
    BrokenDocument,
    Cancelled,
    DocumentError,
    EmptyDocument,
    MismatchedType,
    ParserLimit,
    UnsupportedFormat,
)
from banyan.knowledge.parse import parse as facade
from banyan.knowledge.parse.limits import ParseLimits
from banyan.knowledge.parse.parse import Parser, parse

LIMITS = ParseLimits()


def write(folder: Path, name: str, data: bytes | str) -> Path:
    path = folder / name
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


@pytest.fixture(scope="module")
def parser():
    with Parser(LIMITS) as warm:
        yield warm


def test_a_file_becomes_a_document(tmp_path):
    document = parse(write(tmp_path, "a.md", "# Trees\n\nA banyan."), LIMITS, Context())
    assert document.title == "Trees"
    assert document.text == "Trees\n\nA banyan."


def test_the_given_name_is_used_in_messages_and_decides_between_text_formats(tmp_path, parser):
    path = write(tmp_path, "upload-17", "# Not Markdown")
    assert parser.parse(path, Context(), "notes/a.md").blocks[0].kind == "heading"
    with pytest.raises(EmptyDocument, match=r"plan\.md"):
        parser.parse(write(tmp_path, "upload-18", " \n "), Context(), "plan.md")


def test_one_process_serves_many_files_and_survives_bad_ones(tmp_path):
    good = write(tmp_path, "good.txt", "Fine.")
    with Parser(LIMITS) as warm:
        pids = set()
        for name, data in [("x.pdf", b"%PDF-1.4 broken"), ("y.docx", b"PK\x03\x04no")]:
            with pytest.raises(DocumentError):
                warm.parse(write(tmp_path, name, data), Context())
            assert warm.parse(good, Context()).text == "Fine."
            pids.add(warm._child._process.pid)
    assert len(pids) == 1


def test_empty_and_huge_files_are_refused_before_reading(tmp_path, parser):
    with pytest.raises(EmptyDocument, match="0 bytes"):
        parser.parse(write(tmp_path, "a.txt", ""), Context())
    with pytest.raises(ParserLimit, match="max_upload_bytes = 3"):
        parse(write(tmp_path, "b.txt", "four"), ParseLimits(max_upload_bytes=3), Context())


def test_links_pipes_folders_and_devices_are_refused(tmp_path, parser):
    target = write(tmp_path, "secret.txt", "do not follow")
    link, pipe = tmp_path / "link.txt", tmp_path / "pipe.txt"
    link.symlink_to(target)
    os.mkfifo(pipe)
    found = {}
    for path in (link, pipe, tmp_path, Path("/dev/zero")):
        with pytest.raises(UnsupportedFormat) as caught:
            parser.parse(path, Context())
        found[path.name] = str(caught.value)
    assert "symbolic link" in found["link.txt"]
    assert "pipe" in found["pipe.txt"]
    assert "device" in found["zero"]
    assert "folder" in found[tmp_path.name]


def test_a_missing_file_is_a_document_error(tmp_path, parser):
    with pytest.raises(BrokenDocument, match="cannot be opened"):
        parser.parse(tmp_path / "gone.txt", Context())


def test_a_name_that_lies_is_told_what_the_content_is(tmp_path, parser):
    with pytest.raises(MismatchedType, match=r"holds a PNG image"):
        parser.parse(write(tmp_path, "report.pdf", b"\x89PNG\r\n\x1a\n" + bytes(50)), Context())
    with pytest.raises(MismatchedType, match=r"holds a PDF") as caught:
        parser.parse(write(tmp_path, "notes.txt", b"%PDF-1.4\n"), Context())
    assert ".pdf" in caught.value.remedy


@pytest.fixture
def misbehave(monkeypatch):
    """``misbehave(code)``: from now on, parser processes run ``code`` when asked for a document."""

    def start_with(code: str) -> None:
        patched = (
            "import sys; sys.path[:] = sys.argv[3:]\n"
            "from banyan.knowledge.parse import child\n"
            "def read_document(file, name, limits):\n"
            f"    {code}\n"
            "child.read_document = read_document\n"
            "child.main(int(sys.argv[1]), int(sys.argv[2]))\n"
        )
        monkeypatch.setattr(facade, "_START", patched)

    return start_with


def test_a_hang_is_cut_off_at_the_time_limit_with_all_it_started(tmp_path, misbehave):
    misbehave("import time; time.sleep(60)")
    started = time.monotonic()
    with pytest.raises(ParserLimit, match=r"parse_timeout_s = 0\.5"):
        parse(write(tmp_path, "a.txt", "x"), ParseLimits(parse_timeout_s=0.5), Context())
    assert time.monotonic() - started < 10


def test_a_crash_is_one_broken_document_that_names_the_signal(tmp_path, misbehave):
    misbehave("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")
    with pytest.raises(BrokenDocument, match="SIGSEGV"):
        parse(write(tmp_path, "a.txt", "x"), LIMITS, Context())


def test_a_crash_leaves_the_parser_ready_for_the_next_file(tmp_path, misbehave):
    misbehave(
        "import os\n"
        "    if name == 'bad.txt': os._exit(3)\n"
        "    from banyan.knowledge.records import Block, Document\n"
        "    return Document(title='t', media_type='m', blocks=(Block(kind='code', text='x'),))"
    )
    with Parser(LIMITS) as warm:
        with pytest.raises(BrokenDocument, match="exit status 3"):
            warm.parse(write(tmp_path, "bad.txt", "x"), Context())
        assert warm.parse(write(tmp_path, "good.txt", "x"), Context()).text == "x"


def test_memory_over_the_limit_is_refused_to_the_parser(tmp_path, misbehave):
    misbehave("bytearray(2 << 30); import os; os._exit(5)")
    with pytest.raises(BrokenDocument, match="exit status 1"):  # MemoryError came before
        parse(write(tmp_path, "a.txt", "x"), LIMITS, Context())


def test_a_parser_that_runs_out_of_memory_names_the_limit(read, monkeypatch):
    def greedy(file, draft):
        raise MemoryError

    monkeypatch.setattr("banyan.knowledge.parse.text.read", greedy)
    with pytest.raises(ParserLimit, match="parse_memory_bytes = 1073741824"):
        read(b"x", "a.txt")


@pytest.mark.parametrize(
    "code",
    [
        "import socket; socket.create_connection(('127.0.0.1', {port}))",
        "import subprocess; subprocess.run(['true'])",
        "import os; os.system('true')",
        "import os; os.fork()",
        "open('{folder}/written', 'w').write('x' * 10)",
    ],
)
def test_the_parser_process_may_not_reach_out(tmp_path, misbehave, code):
    with socket.create_server(("127.0.0.1", 0)) as server:
        misbehave(code.format(port=server.getsockname()[1], folder=tmp_path))
        with pytest.raises(BrokenDocument, match="crash"):
            parse(write(tmp_path, "a.txt", "x"), LIMITS, Context())
    written = tmp_path / "written"
    assert not written.exists() or written.read_bytes() == b""


def test_the_parser_process_sees_no_secrets(tmp_path, misbehave, monkeypatch):
    monkeypatch.setenv("BANYAN_SECRET_TOKEN", "hunter2")
    misbehave(
        "import os\n"
        "    from banyan.knowledge.records import Block, Document\n"
        "    block = Block(kind='paragraph', text=repr(sorted(os.environ)))\n"
        "    return Document(title='t', media_type='m', blocks=(block,))"
    )
    text = parse(write(tmp_path, "a.txt", "x"), LIMITS, Context()).text
    assert "SECRET" not in text


def test_nonsense_from_the_process_is_not_believed(tmp_path, misbehave):
    misbehave(
        "from types import SimpleNamespace as N\n"
        "    block = N(kind='script', text=1, level=0, page=0)\n"
        "    return N(title='t', media_type='m', blocks=[block])"
    )
    with pytest.raises(BrokenDocument, match="nonsense"):
        parse(write(tmp_path, "a.txt", "x"), LIMITS, Context())


def test_cancelling_ends_the_work_at_once(tmp_path, misbehave):
    misbehave("import time; time.sleep(60)")
    context = Context()
    threading.Timer(0.3, context.cancel.set).start()
    with pytest.raises(Cancelled):
        parse(write(tmp_path, "a.txt", "x"), LIMITS, context)


def test_a_process_that_died_while_idle_is_replaced_unnoticed(tmp_path):
    path = write(tmp_path, "a.txt", "Still here.")
    with Parser(LIMITS) as warm:
        warm.parse(path, Context())
        warm._child._process.kill()
        time.sleep(0.1)
        assert warm.parse(path, Context()).text == "Still here."

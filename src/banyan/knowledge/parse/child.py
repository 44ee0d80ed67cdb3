"""The parser process: confined, it turns open files into documents until its parent leaves.

Parsers run foreign code on hostile bytes. So this process has a cap on its address space, writes
no file, starts no process and opens no connection; it gets an open file and never a path, has no
secrets in its environment, and answers with JSON. A crash or a hang here is one failed file.
"""

from __future__ import annotations

import importlib
import os
import resource
import signal
import socket
import sys
from typing import BinaryIO

from banyan.core.errors import BrokenDocument, DocumentError
from banyan.knowledge.parse.draft import Draft
from banyan.knowledge.parse.frames import receive_frame, send_frame
from banyan.knowledge.parse.limits import ParseLimits
from banyan.knowledge.parse.peak import peak_bytes
from banyan.knowledge.parse.sniff import sniff
from banyan.knowledge.records import Document

REQUEST_CAP_BYTES = 64 * 1024
_ORPHAN_GRACE_S = 5
_FORBIDDEN = ("socket.connect", "socket.bind", "socket.getaddrinfo", "subprocess.", "os.exec",
              "os.fork", "os.posix_spawn", "os.system", "os.spawn")  # fmt: skip


def main(channel_fd: int, memory_bytes: int) -> None:
    """Serve the socket ``channel_fd`` until it closes."""
    confine(memory_bytes)
    channel = socket.socket(fileno=channel_fd)
    while True:
        _, descriptors, _, _ = socket.recv_fds(channel, 1, 1)
        if not descriptors:
            return
        with os.fdopen(descriptors[0], "rb") as file:
            _serve(channel, file)


def confine(memory_bytes: int) -> None:
    """Give up what a parser does not need. Not undone: for a process of its own only."""
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    # openpyxl would import numpy if it could: 0.1 s and much address space for nothing.
    sys.modules["numpy"] = None  # type: ignore[assignment]  # the documented way to forbid one
    sys.addaudithook(_refuse)


def _refuse(event: str, _arguments: object) -> None:
    if event.startswith(_FORBIDDEN):
        raise PermissionError(f"{event} is not for parsers")


def _serve(channel: socket.socket, file: BinaryIO) -> None:
    request = receive_frame(channel, REQUEST_CAP_BYTES)
    if not isinstance(request, dict):
        raise TypeError(request)
    limits, name = ParseLimits(**request["limits"]), request["name"]
    # Should the parent die meanwhile, the default action of the alarm ends this process.
    signal.alarm(int(limits.parse_timeout_s) + _ORPHAN_GRACE_S)
    try:
        reply = _as_json(read_document(file, name, limits))
    except DocumentError as error:
        reply = {"error": type(error).__name__, "message": str(error), "remedy": error.remedy}
    signal.alarm(0)
    send_frame(channel, reply | {"peak_bytes": peak_bytes()})


def read_document(file: BinaryIO, name: str, limits: ParseLimits) -> Document:
    """The document in ``file``, read in this process; raises only ``DocumentError``."""
    draft = Draft(name, limits)
    try:
        format_ = sniff(file, name)
        parser = importlib.import_module(f"banyan.knowledge.parse.{format_.name}")
        parser.read(file, draft)
        return draft.document(format_.media_type)
    except DocumentError:
        raise
    except MemoryError:
        del draft
        raise limits.passed("parse_memory_bytes", f"{name} needs too much memory") from None
    except RecursionError:
        raise BrokenDocument(f"{name} is nested too deeply to be read.") from None
    except (
        Exception
    ) as error:  # the border to foreign parsers: whatever they raise, the file is bad
        detail = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise BrokenDocument(
            f"{name} is damaged or not what its format demands ({detail}).",
            remedy="Open it in the program that made it and save it again.",
        ) from error


def _as_json(document: Document) -> dict[str, object]:
    return {
        "title": document.title,
        "media_type": document.media_type,
        "blocks": [[block.kind, block.text, block.level, block.page] for block in document.blocks],
    }

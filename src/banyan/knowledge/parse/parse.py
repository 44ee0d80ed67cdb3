"""From a file to a document: the facade of the parsers, and the process they run in.

``parse`` reads one file; a ``Parser`` keeps its process for many. The process (``child.py``) is
confined, watched and killed with everything it started when it passes its time.
"""

from __future__ import annotations

import os
import resource
import select
import signal
import socket
import stat
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, get_args

from banyan.core.context import Context
from banyan.core.errors import BrokenDocument, DocumentError, EmptyDocument, UnsupportedFormat
from banyan.knowledge.parse.frames import FrameTooLong, receive_frame, send_frame
from banyan.knowledge.parse.limits import ParseLimits
from banyan.knowledge.parse.peak import used_bytes
from banyan.knowledge.records import Block, BlockKind, Document

_ERRORS = {error.__name__: error for error in DocumentError.__subclasses__()}
_KINDS: dict[str, BlockKind] = {kind: kind for kind in get_args(BlockKind)}
_POLL_S = 0.1
_DEATH_GRACE_S = 1.0
_TRANSFER_TIMEOUT_S = 10.0
_RETIRE_SHARE = 0.4
_MEMORY_SHARE = 0.7
_START = (
    "import sys; sys.path[:] = sys.argv[3:]; from banyan.knowledge.parse.child import main; "
    "main(int(sys.argv[1]), int(sys.argv[2]))"
)


def parse(path: Path, limits: ParseLimits, context: Context, name: str | None = None) -> Document:
    """The document in the file at ``path``; ``name`` is what messages call it, if not its own.

    Raises a ``DocumentError`` that says why there is none, or ``Cancelled``/``DeadlineExceeded``.
    """
    with Parser(limits) as parser:
        return parser.parse(path, context, name)


class Parser:
    """One warm parser process, for one caller at a time; it is replaced when it dies or grows."""

    def __init__(self, limits: ParseLimits) -> None:
        self._limits = limits
        self._child: _Child | None = None
        self.peak_bytes = 0
        """The most memory the process has held so far, as of its last answer."""

    def __enter__(self) -> Parser:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        if self._child is not None:
            self._child.kill()
            self._child = None

    def parse(self, path: Path, context: Context, name: str | None = None) -> Document:
        """As the function ``parse``."""
        name = name or path.name
        context.check()
        with _open(path, name, self._limits) as file:
            if self._child is not None and self._child.has_answer(0):
                self.close()  # unasked for: it has died since the last file
            if self._child is None:
                self._child = _Child(self._limits)
            try:
                reply = self._ask(self._child, file, name, context)
            except BaseException:
                self.close()
                raise
        self.peak_bytes = _number(reply.get("peak_bytes"))
        if self.peak_bytes > _RETIRE_SHARE * self._limits.parse_memory_bytes:
            self.close()
        return _document(reply, name)

    def _ask(self, child: _Child, file: BinaryIO, name: str, context: Context) -> dict[str, object]:
        limits = self._limits
        deadline = time.monotonic() + limits.parse_timeout_s
        try:
            child.send(file, name)
            while not child.has_answer(_POLL_S):
                context.check()
                if time.monotonic() > deadline:
                    raise limits.passed("parse_timeout_s", f"{name} was not read in time")
            reply = child.receive()
        except FrameTooLong:
            raise limits.passed("max_document_chars", f"{name} holds too much text") from None
        except (EOFError, OSError):
            raise self._death(child, name) from None
        except ValueError:
            raise _nonsense(name) from None
        if not isinstance(reply, dict):
            raise _nonsense(name)
        return reply

    def _death(self, child: _Child, name: str) -> DocumentError:
        """Why the child died without an answer."""
        code, self.peak_bytes = child.kill(_DEATH_GRACE_S)
        if self.peak_bytes > _MEMORY_SHARE * self._limits.parse_memory_bytes:
            return self._limits.passed("parse_memory_bytes", f"{name} needs too much memory")
        how = signal.Signals(-code).name if code < 0 else f"exit status {code}"
        return BrokenDocument(
            f"{name} made its parser crash ({how}).",
            remedy="Open it in the program that made it and save it again.",
        )


class _Child:
    """The parser process and the socket to it."""

    def __init__(self, limits: ParseLimits) -> None:
        self._limits = limits
        self._inherited_bytes = used_bytes(resource.getrusage(resource.RUSAGE_SELF))
        self._channel, theirs = socket.socketpair()
        self._channel.settimeout(_TRANSFER_TIMEOUT_S)
        with theirs:
            arguments = [str(theirs.fileno()), str(limits.parse_memory_bytes), *sys.path]
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-B", "-X", "utf8", "-c", _START, *arguments],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={"MALLOC_ARENA_MAX": "1"},
                start_new_session=True,
                cwd="/",
            )
        self._status: tuple[int, int] | None = None

    def send(self, file: BinaryIO, name: str) -> None:
        socket.send_fds(self._channel, [b"F"], [file.fileno()])
        send_frame(self._channel, {"name": name[-255:], "limits": asdict(self._limits)})

    def has_answer(self, timeout_s: float) -> bool:
        return bool(select.select([self._channel], [], [], timeout_s)[0])

    def receive(self) -> object:
        # JSON takes at most six bytes a character; the rest is for the frame around blocks.
        return receive_frame(self._channel, 6 * self._limits.max_document_chars + (1 << 24))

    def kill(self, grace_s: float = 0.0) -> tuple[int, int]:
        """End the process and all it started: its exit code (-signal) and peak memory in bytes,
        0 where that cannot be told from this process's own.

        One that ends by itself within ``grace_s`` keeps its own exit code.
        """
        if self._status is None:
            self._channel.close()
            self._status = self._end(time.monotonic() + grace_s)
        return self._status

    def _end(self, deadline: float) -> tuple[int, int]:
        pid = self._process.pid
        ended, status, usage = os.wait4(pid, os.WNOHANG)
        while not ended and time.monotonic() < deadline:
            time.sleep(0.01)
            ended, status, usage = os.wait4(pid, os.WNOHANG)
        if not ended:
            os.killpg(pid, signal.SIGKILL)
            _, status, usage = os.wait4(pid, 0)
        self._process.returncode = os.waitstatus_to_exitcode(status)
        peak = used_bytes(usage)
        return self._process.returncode, peak if peak > self._inherited_bytes else 0


def _open(path: Path, name: str, limits: ParseLimits) -> BinaryIO:
    """The regular file at ``path``, open; links, devices and pipes are refused unopened."""
    try:
        mode = path.lstat().st_mode
        if not stat.S_ISREG(mode):
            raise UnsupportedFormat(
                f"{name} is {_kind_of_file(mode)}, not a file.", remedy="Add the file itself."
            )
        # Between lstat and open the path may change: the flags and fstat close that gap.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise BrokenDocument(f"{name} cannot be opened: {error.strerror or error}.") from None
    file = os.fdopen(descriptor, "rb")
    try:
        _check_size(os.fstat(descriptor), name, limits)
    except DocumentError:
        file.close()
        raise
    return file


def _check_size(facts: os.stat_result, name: str, limits: ParseLimits) -> None:
    if not stat.S_ISREG(facts.st_mode):
        raise UnsupportedFormat(f"{name} is {_kind_of_file(facts.st_mode)}, not a file.")
    if facts.st_size == 0:
        raise EmptyDocument(f"{name} is an empty file (0 bytes).")
    if facts.st_size > limits.max_upload_bytes:
        raise limits.passed("max_upload_bytes", f"{name} has {facts.st_size} bytes")


def _kind_of_file(mode: int) -> str:
    if stat.S_ISLNK(mode):
        return "a symbolic link"
    if stat.S_ISDIR(mode):
        return "a folder"
    return "a named pipe" if stat.S_ISFIFO(mode) else "a device or socket"


def _document(reply: dict[str, object], name: str) -> Document:
    """The child's answer, believed only as far as it is well formed."""
    if "error" in reply:
        error = _ERRORS.get(str(reply["error"]), BrokenDocument)
        raise error(str(reply.get("message")), remedy=str(reply.get("remedy", "")))
    blocks = reply.get("blocks")
    if not isinstance(blocks, list):
        raise _nonsense(name)
    return Document(
        title=str(reply.get("title")),
        media_type=str(reply.get("media_type")),
        blocks=tuple(_block(values, name) for values in blocks),
    )


def _block(values: object, name: str) -> Block:
    match values:
        case [str(kind), str(text), int(level), int() | None as page] if kind in _KINDS:
            return Block(kind=_KINDS[kind], text=text, level=level, page=page)
    raise _nonsense(name)


def _nonsense(name: str) -> BrokenDocument:
    return BrokenDocument(f"{name} made its parser answer nonsense.")


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0

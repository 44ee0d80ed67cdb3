"""API keys: made here, shown once, kept only as hashes in ``<home>/keys.json``.

A key is 256 random bits, so one SHA-256 is enough: there is nothing to guess that a slow hash
would protect. The file is read again when it has changed, so that ``banyan keys`` works beside a
running server.
"""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from banyan.core.errors import InputError, LimitExceeded, NotFound, StoreError

PREFIX = "banyan-"
MAX_KEYS = 1000
MAX_NAME_CHARS = 100
MAX_SECRET_CHARS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """What is kept of a key: never the key itself. ``created_at`` is ISO 8601, UTC."""

    id: str
    name: str
    sha256: str
    created_at: str


class KeyRing:
    """The keys of one home. Several processes may use one file at the same time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp: tuple[int, int, int] | None = None
        self._keys: tuple[Key, ...] = ()

    def keys(self) -> tuple[Key, ...]:
        """All keys, oldest first; raise ``StoreError`` when the file cannot be read."""
        stamp = self._read_stamp()
        if stamp != self._stamp:
            self._keys = self._read() if stamp else ()
            self._stamp = stamp
        return self._keys

    def add(self, name: str) -> str:
        """Make a key called ``name`` and return it; it cannot be shown again."""
        if not name.strip() or not name.isprintable() or len(name) > MAX_NAME_CHARS:
            raise InputError(
                f"A key's name is 1 to {MAX_NAME_CHARS} printable characters.",
                remedy="For example: banyan keys add laptop.",
            )
        secret = PREFIX + secrets.token_urlsafe(32)
        key = Key(
            id=secrets.token_hex(4),
            name=name.strip(),
            sha256=_digest(secret),
            created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        )
        with self._locked():
            keys = self._fresh()
            if len(keys) >= MAX_KEYS:
                raise LimitExceeded(
                    "The number of keys", limit="MAX_KEYS", value=len(keys) + 1, allowed=MAX_KEYS
                )
            self._write((*keys, key))
        return secret

    def remove(self, key_id: str) -> None:
        """Forget a key by its id or name; raise ``NotFound``. Its sessions end with it."""
        with self._locked():
            keys = self._fresh()
            kept = tuple(key for key in keys if key_id not in (key.id, key.name))
            if len(kept) == len(keys):
                raise NotFound(f"There is no key {key_id!r}.", remedy="See `banyan keys list`.")
            self._write(kept)

    def match(self, secret: str) -> Key | None:
        """The key that ``secret`` is, or None. The time taken says nothing about the keys."""
        if len(secret) > MAX_SECRET_CHARS:
            return None
        digest = _digest(secret)
        found = None
        for key in self.keys():
            if hmac.compare_digest(key.sha256, digest):
                found = key
        return found

    def has(self, key_id: str) -> bool:
        """Whether a key of that id still exists."""
        return any(key.id == key_id for key in self.keys())

    def _fresh(self) -> tuple[Key, ...]:
        self._stamp = None
        return self.keys()

    def _read_stamp(self) -> tuple[int, int, int] | None:
        try:
            status = self._path.stat()
        except FileNotFoundError:
            return None
        return status.st_mtime_ns, status.st_size, status.st_ino

    def _read(self) -> tuple[Key, ...]:
        try:
            rows = json.loads(self._path.read_text(encoding="utf-8"))
            return tuple(Key(**row) for row in rows["keys"])
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise StoreError(
                f"The file of keys, {self._path}, cannot be read.",
                remedy="Mend it, or remove it and make new keys with `banyan keys add`.",
            ) from error

    def _write(self, keys: tuple[Key, ...]) -> None:
        text = json.dumps({"keys": [asdict(key) for key in keys]}, indent=1)
        temporary = self._path.with_suffix(".json.new")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self._path)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self._path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()

"""The C sources of this folder as a library, compiled by the machine's own compiler at first use.

It is kept beside the sources as Python keeps its bytecode, under a name made of what went into it;
where nobody may write there, each start compiles anew, which takes a second or two.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

from banyan.engine.config import processor_flags

FOLDER: Final = Path(__file__).parent
FLAGS: Final = frozenset({"avx512f", "avx512bw", "avx512vl", "avx512dq", "avx512_bf16"})
COMPILERS: Final = ("cc", "gcc", "clang")
OPTIONS: Final = (
    *("-O3", "-std=gnu11", "-shared", "-fPIC"),
    *(f"-m{flag.replace('_', '')}" for flag in sorted(FLAGS)),
)
COMPILE_TIMEOUT_S: Final = 60.0

Kernel = Callable[..., None]
Signature = tuple[type, ...]
_address, _size, _threads = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_uint
SIGNATURES: Final[dict[str, Signature]] = {
    "four_bit_multiply": (*[_address] * 6, *[_size] * 3, _threads),
    "attend_decodes": (*[_address] * 9, *[_size] * 4, ctypes.c_float, _threads),
    "rms_norm": (*[_address] * 4, *[_size] * 2, _threads),
    "add_to_stream": (*[_address] * 2, *[_size] * 2, _threads),
    "silu_gate": (*[_address] * 2, *[_size] * 2, _threads),
    "rotate_heads": (*[_address] * 3, *[_size] * 4, _threads),
}


@functools.cache
def kernel(name: str) -> Kernel | None:
    """A function of the library; None where it cannot run or cannot be compiled."""
    library = _library()
    if library is None:
        return None
    function = library[name]
    function.argtypes = SIGNATURES[name]
    function.restype = None
    return function


@functools.cache
def _library() -> ctypes.CDLL | None:
    compiler = next(filter(None, map(shutil.which, COMPILERS)), None)
    if compiler is None or not processor_flags() >= FLAGS:
        return None
    try:
        return compiled(compiler, FOLDER / "__pycache__")
    except (OSError, subprocess.SubprocessError):
        return None


def compiled(compiler: str, folder: Path) -> ctypes.CDLL:
    """The library, from ``folder`` if this compiler has compiled these sources before.

    Raises ``OSError`` and ``SubprocessError``.
    """
    sources = sorted(FOLDER.glob("*.[ch]"))
    key = b"".join(source.read_bytes() for source in sources)
    key += " ".join((compiler, *OPTIONS)).encode()
    kept = folder / f"native.{hashlib.sha256(key).hexdigest()[:16]}.so"
    if kept.exists():
        return ctypes.CDLL(str(kept))
    with tempfile.TemporaryDirectory(prefix="banyan-") as made_in:
        made = Path(made_in, kept.name)
        units = [str(source) for source in sources if source.suffix == ".c"]
        command = [compiler, *OPTIONS, "-o", str(made), *units]
        subprocess.run(command, check=True, capture_output=True, timeout=COMPILE_TIMEOUT_S)
        library = ctypes.CDLL(str(made))
        _keep(made, kept)
    return library


def _keep(made: Path, kept: Path) -> None:
    """Copy it whole or not at all."""
    part = kept.with_suffix(f".{os.getpid()}")
    with contextlib.suppress(OSError):
        kept.parent.mkdir(exist_ok=True)
        shutil.copyfile(made, part)
        part.replace(kept)
    with contextlib.suppress(OSError):
        part.unlink(missing_ok=True)

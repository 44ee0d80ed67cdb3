"""The C library: where it cannot run or be compiled there is none, and it is compiled once."""

from __future__ import annotations

import shutil
import stat

import pytest

from banyan.engine.native import library

needs_library = pytest.mark.skipif(
    library.kernel("rms_norm") is None, reason="needs a C compiler and AVX-512 BF16"
)


@pytest.fixture
def compiler() -> str:
    return next(filter(None, map(shutil.which, library.COMPILERS)))


@pytest.fixture(autouse=True)
def nothing_remembered():
    yield
    library._library.cache_clear()
    library.kernel.cache_clear()


@pytest.mark.parametrize("lacking", ["instructions", "compiler"])
def test_there_is_none_without_the_instructions_or_a_compiler(lacking, monkeypatch):
    library._library.cache_clear()
    library.kernel.cache_clear()
    if lacking == "instructions":
        flags = library.FLAGS - {"avx512_bf16"}
        monkeypatch.setattr(library, "processor_flags", lambda: flags)
    else:
        monkeypatch.setattr(library, "COMPILERS", ("no-such-compiler",))
    assert library.kernel("rms_norm") is None


def test_there_is_none_where_the_compiler_fails(tmp_path, monkeypatch):
    library._library.cache_clear()
    library.kernel.cache_clear()
    broken = tmp_path / "cc"
    broken.write_text("#!/bin/sh\nexit 1\n")
    broken.chmod(broken.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr(library, "processor_flags", lambda: library.FLAGS)
    monkeypatch.setattr(library, "COMPILERS", (str(broken),))
    monkeypatch.setattr(library, "FOLDER", tmp_path)
    assert library.kernel("rms_norm") is None


@needs_library
def test_it_is_compiled_once_and_kept(tmp_path, compiler, monkeypatch):
    library.compiled(compiler, tmp_path / "new")
    [kept] = (tmp_path / "new").iterdir()
    monkeypatch.setattr(library.subprocess, "run", lambda *_, **__: pytest.fail("compiled again"))
    assert library.compiled(compiler, tmp_path / "new")._name == str(kept)


@needs_library
def test_a_folder_nobody_can_write_to_is_no_obstacle(tmp_path, compiler):
    blocked = tmp_path / "file"
    blocked.touch()
    found = library.compiled(compiler, blocked / "folder")
    assert all(found[name] for name in library.SIGNATURES)
    assert blocked.read_bytes() == b""

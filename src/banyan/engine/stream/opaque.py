"""Opaque: matrices in the processor library's block order as bytes, and such bytes as a matrix.

torch shows the inside of such a tensor to its compiler alone. These are the calls the compiler uses
to keep a constant in a file and to map it again (torch/csrc/inductor/aoti_torch/c/shim.h, the C
interface that torch keeps stable for compiled models).
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import torch
from torch import Tensor

from banyan.core.errors import EngineFailed

_CPU: Final = 0
_LIBRARY: Final = "libtorch_cpu.so"


def size_bytes(matrix: Tensor) -> int:
    return int(torch.ops.mkldnn._nbytes(matrix))


def order_of(matrix: Tensor) -> bytes:
    """The block order, as the library describes it."""
    return bytes(torch.ops.mkldnn._get_mkldnn_serialized_md(matrix).tolist())


def copy_into(buffer: Tensor, matrix: Tensor) -> None:
    """Its bytes into ``buffer`` uint8 [size_bytes]."""
    source = torch.ops.mkldnn.data_ptr(matrix)
    ctypes.memmove(buffer.data_ptr(), source, size_bytes(matrix))


def view(buffer: Tensor, shape: Sequence[int], dtype: torch.dtype, order: bytes) -> Tensor:
    """``buffer`` uint8 as a matrix in that order: no copy, and valid as long as the buffer is.

    Raises ``EngineFailed`` when the library does not take it.
    """
    library = ctypes.CDLL(str(Path(torch.__file__).parent / "lib" / _LIBRARY))
    sizes = (ctypes.c_int64 * len(shape))(*shape)
    strides = (ctypes.c_int64 * len(shape))(*_strides(shape))
    handle = ctypes.c_void_p()
    failed = library.aoti_torch_create_tensor_from_blob_v2(
        ctypes.c_void_p(buffer.data_ptr()),
        ctypes.c_int64(len(shape)),
        sizes,
        strides,
        ctypes.c_int64(0),
        getattr(library, f"aoti_torch_dtype_{str(dtype).removeprefix('torch.')}")(),
        _CPU,
        -1,
        ctypes.byref(handle),
        library.aoti_torch_layout__mkldnn(),
        order,
        ctypes.c_int64(len(order)),
    )
    if failed:
        raise EngineFailed("The processor library does not take a matrix in its block order.")
    matrix: Tensor = torch._C._aoti.alloc_tensor_by_stealing_from_void_ptr(_capsule(handle))
    return matrix


def _strides(shape: Sequence[int]) -> list[int]:
    strides = [1]
    for size in reversed(shape[1:]):
        strides.insert(0, strides[0] * size)
    return strides


def _capsule(handle: ctypes.c_void_p) -> object:
    """A pointer as torch's binding takes it."""
    make = ctypes.pythonapi.PyCapsule_New
    make.restype = ctypes.py_object
    make.argtypes = (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p)
    return make(handle, None, None)

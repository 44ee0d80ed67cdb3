"""The functions of ``rows.c`` on tensors. Ask ``takes`` first."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

from banyan.engine.native.library import kernel

LANES: Final = 16


def takes(x: Tensor, dtype: torch.dtype, lanes: int = LANES) -> bool:
    """Whether the library is here and takes ``x``: of that type, on the CPU, in one piece, its last
    axis a multiple of ``lanes``."""
    fits = x.dtype == dtype and x.is_cpu and x.is_contiguous() and x.shape[-1] % lanes == 0
    return fits and kernel("rms_norm") is not None


def rms_norm(x: Tensor, weight: Tensor, eps: Tensor) -> Tensor:
    """float32 [..., n], weighed by float32 [n] -> bf16."""
    out = torch.empty(x.shape, dtype=torch.bfloat16)
    rows, width = _rows(x)
    places = (x.data_ptr(), weight.data_ptr(), eps.data_ptr(), out.data_ptr())
    _call("rms_norm", *places, rows, width)
    return out


def add_to_stream(x: Tensor, y: Tensor) -> Tensor:
    """float32 ``x`` += bf16 ``y``, of the same shape."""
    _call("add_to_stream", x.data_ptr(), y.data_ptr(), *_rows(x))
    return x


def silu_gate(gate_up: Tensor) -> Tensor:
    """bf16 [..., 2 n] -> silu of the first half times the second half, [..., n]."""
    rows, width = _rows(gate_up)
    out = gate_up.new_empty((*gate_up.shape[:-1], width // 2))
    _call("silu_gate", gate_up.data_ptr(), out.data_ptr(), rows, width // 2)
    return out


def rotate_heads(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """bf16 [T, heads, d] by bf16 angles [T, 1, d], in place; rows may stand apart."""
    rows, heads, width = x.shape
    places = (x.data_ptr(), cos.data_ptr(), sin.data_ptr())
    _call("rotate_heads", *places, rows, heads, width, x.stride(0))
    return x


def _call(name: str, *arguments: int) -> None:
    run = kernel(name)
    if run is None:
        raise RuntimeError("the library is not here")
    run(*arguments, torch.get_num_threads())


def _rows(x: Tensor) -> tuple[int, int]:
    width = x.shape[-1]
    return x.numel() // width, width

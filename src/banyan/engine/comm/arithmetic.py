"""Arithmetic: the sum of several buffers, added up in float32 and rounded once at the end.

The numpy form is the reference and needs nothing else. For half precision torch's kernels, where
torch is loaded, give the same numbers bit for bit and several times faster; what is not a number
stays that, with other bits.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from banyan.engine.comm.collective import NumberKind

if TYPE_CHECKING:
    from numpy.typing import NDArray


def add(parts: Sequence[memoryview], out: memoryview, kind: NumberKind) -> None:
    """out = parts[0] + parts[1] + ..., added in that order; ``out`` may be one of the parts.

    Views are of format "B", equally long, and hold whole numbers.
    """
    if kind == "float32":
        _add_float32(parts, out)
    elif "torch" in sys.modules:
        _add_torch(parts, out, kind)
    else:
        add_reference(parts, out, kind)


def add_reference(parts: Sequence[memoryview], out: memoryview, kind: NumberKind) -> None:
    """The same with numpy alone."""
    with np.errstate(over="ignore", invalid="ignore"):
        total = widened(parts[0], kind).copy()
        for part in parts[1:]:
            total += widened(part, kind)
        target = np.frombuffer(out, dtype=np.uint8)
        target[:] = narrowed(total, kind).view(np.uint8)


def widened(part: memoryview, kind: NumberKind) -> NDArray[np.float32]:
    """The numbers of a buffer as float32; of float32 itself a view."""
    if kind == "float32":
        return np.frombuffer(part, dtype=np.float32)
    if kind == "float16":
        return np.frombuffer(part, dtype=np.float16).astype(np.float32)
    return (np.frombuffer(part, dtype=np.uint16).astype(np.uint32) << 16).view(np.float32)


def narrowed(total: NDArray[np.float32], kind: NumberKind) -> NDArray[np.generic]:
    """Float32 rounded to ``kind``, to nearest, ties to even (bfloat16 as uint16)."""
    if kind == "float32":
        return total
    if kind == "float16":
        return total.astype(np.float16)
    bits = total.view(np.uint32)
    # Round to nearest, ties to even, by adding just under half of what is cut off.
    rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16
    quiet = np.isnan(total)
    return np.where(quiet, (bits >> 16) | 0x40, rounded).astype(np.uint16)


def _add_float32(parts: Sequence[memoryview], out: memoryview) -> None:
    *early, last = (np.frombuffer(part, dtype=np.float32) for part in parts)
    target = np.frombuffer(out, dtype=np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        if not early:
            target[:] = last
            return
        total = early[0]
        for number in early[1:]:
            total = total + number
        # The target is written at the very end, for it may be any of the parts.
        np.add(total, last, out=target)


def _add_torch(parts: Sequence[memoryview], out: memoryview, kind: NumberKind) -> None:
    import torch

    if not len(out):
        return
    dtype = getattr(torch, kind)
    views = [torch.frombuffer(part, dtype=dtype) for part in parts]
    target = torch.frombuffer(out, dtype=dtype)
    if len(views) == 2:
        torch.add(views[0], views[1], out=target)  # in float32 inside, rounded once
        return
    total = views[0].float()
    term = torch.empty_like(total)
    for view in views[1:]:
        total.add_(term.copy_(view))  # adding the short numbers themselves is slower
    target.copy_(total)

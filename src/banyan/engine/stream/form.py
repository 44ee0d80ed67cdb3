"""Form: a layer's weights taken apart into a description and one run of bytes, and put together
again as views of such bytes.

The description is JSON values: records by name with their fields, tensors by type, shape and place.
The bytes are those that products read, so that nothing is converted when a layer comes back.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, Final, get_type_hints

import torch
from torch import Tensor

from banyan.engine.experts import Experts
from banyan.engine.feed_forward import GatedFfn
from banyan.engine.four_bit import OwnFourBit, TorchFourBit
from banyan.engine.linear import Dense, Int8, Packed4, Reordered, Stacked
from banyan.engine.norm import RmsNorm
from banyan.engine.stream import opaque
from banyan.engine.weights import LayerWeights

ALIGNMENT: Final = 256
"""Where a tensor may begin in a layer. A card's libraries choose their kernels by it, and on this
they choose the same as for memory that torch has allocated."""
RECORDS: Final[Mapping[str, Callable[..., object]]] = {
    kind.__name__: kind
    for kind in (
        *(LayerWeights, GatedFfn, Experts, RmsNorm),
        *(Dense, Reordered, Int8, Packed4, OwnFourBit, TorchFourBit, Stacked),
    )
}

Json = Any


def kinds() -> Json:
    """All that can be described: what a description means depends on it."""
    return {name: sorted(get_type_hints(kind)) for name, kind in RECORDS.items()}


@dataclass(frozen=True, slots=True)
class Form:
    """A layer taken apart. ``tensors`` are at their places in the description, in its order."""

    description: Json
    tensors: tuple[tuple[int, Tensor], ...]
    size_bytes: int

    def copy_into(self, buffer: Tensor) -> None:
        """The layer's bytes into ``buffer`` uint8 [size_bytes or more], zeros between them."""
        end = 0
        for offset, tensor in self.tensors:
            size = _size(tensor)
            buffer[end:offset] = 0
            place = buffer[offset : offset + size]
            if tensor.is_mkldnn:
                opaque.copy_into(place, tensor)
            else:
                place.copy_(tensor.contiguous().view(-1).view(torch.uint8))
            end = offset + size
        buffer[end:] = 0


def take_apart(weights: LayerWeights) -> Form:
    """Raises ``TypeError`` for weights of a kind that is not in ``RECORDS``."""
    tensors: list[tuple[int, Tensor]] = []
    description = _described(weights, tensors)
    return Form(description, tuple(tensors), _end(tensors))


def _described(value: object, tensors: list[tuple[int, Tensor]]) -> Json:
    """The description of ``value``, whose tensors are added at the end of ``tensors``.

    A function of its own: one inside ``take_apart`` would keep each layer until cycles are
    collected.
    """
    if isinstance(value, Tensor):
        begin = -(-_end(tensors) // ALIGNMENT) * ALIGNMENT
        tensors.append((begin, value))
        return _description(value, begin)
    if isinstance(value, tuple):
        return {"items": [_described(item, tensors) for item in value]}
    if is_dataclass(value) and type(value).__name__ in RECORDS:
        parts = {
            entry.name: _described(getattr(value, entry.name), tensors) for entry in fields(value)
        }
        return {"record": type(value).__name__, "fields": parts}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"{type(value).__name__} cannot be kept in a file")


def _end(tensors: list[tuple[int, Tensor]]) -> int:
    """Where the last of them ends."""
    return tensors[-1][0] + _size(tensors[-1][1]) if tensors else 0


def put_together(description: Json, buffer: Tensor) -> LayerWeights:
    """The layer whose bytes are in ``buffer`` uint8, on whatever device that is: views of it, valid
    as long as it is."""
    made = _made(description, buffer)
    if not isinstance(made, LayerWeights):
        raise TypeError(f"{type(made).__name__} is no layer")
    return made


def _made(value: Json, buffer: Tensor) -> object:
    if not isinstance(value, dict):
        return value
    if "items" in value:
        return tuple(_made(item, buffer) for item in value["items"])
    if "record" in value:
        parts = {name: _made(part, buffer) for name, part in value["fields"].items()}
        return RECORDS[value["record"]](**parts)
    dtype = getattr(torch, value["type"])
    place = buffer[value["offset"] : value["offset"] + value["size"]]
    if "order" in value:
        return opaque.view(place, value["shape"], dtype, bytes.fromhex(value["order"]))
    return place.view(dtype).view(value["shape"])


def _description(tensor: Tensor, offset: int) -> Json:
    plain = {
        "type": str(tensor.dtype).removeprefix("torch."),
        "shape": list(tensor.shape),
        "offset": offset,
        "size": _size(tensor),
    }
    return {**plain, "order": opaque.order_of(tensor).hex()} if tensor.is_mkldnn else plain


def _size(tensor: Tensor) -> int:
    if tensor.is_mkldnn:
        return opaque.size_bytes(tensor)
    return tensor.numel() * tensor.element_size()

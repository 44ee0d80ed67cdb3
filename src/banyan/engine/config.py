"""What a model is and how the engine shall run it: facts, without torch.

``ModelConfig`` and ``EncoderConfig`` are read from a checkpoint and never changed; ``EngineConfig``
is what an operator chose, and ``resolve`` turns its "auto" into facts.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from banyan.core.errors import CheckpointInvalid, InputError, UnsupportedModel
from banyan.core.layout import ModelShape

Precision = Literal["auto", "fp32", "bf16", "packed"]
KvPrecision = Literal["auto", "bf16", "int8"]
Activation = Literal["silu", "gelu_tanh"]
Pooling = Literal["mean", "cls"]
RopeKind = Literal["plain", "linear", "dynamic", "yarn", "llama3", "divisors"]

PRECISIONS: tuple[Precision, ...] = ("auto", "fp32", "bf16", "packed")
KV_PRECISIONS: tuple[KvPrecision, ...] = ("auto", "bf16", "int8")
BF16_FLAGS = frozenset({"amx_bf16", "avx512_bf16"})
CPUINFO = Path("/proc/cpuinfo")
MAX_EXPERTS = 4096
"""More than any model has; what bounds the work of opening a file that lies."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RopeConfig:
    """Rotary position embedding (Su et al. 2021) and how it was stretched.

    ``linear`` divides positions by ``factor`` (Chen et al. 2023); ``dynamic`` raises theta with the
    length (NTK); ``yarn`` is Peng et al. 2023; ``llama3`` is Meta's smoothed variant; ``divisors``
    divides each frequency by its own number, as GGUF files store the llama3 variant.
    """

    theta: float = 10_000.0
    kind: RopeKind = "plain"
    factor: float = 1.0
    original_context: int = 0
    low_frequency_factor: float = 1.0
    high_frequency_factor: float = 4.0
    beta_fast: float = 32.0
    beta_slow: float = 1.0
    truncate: bool = True
    attention_factor: float = 1.0
    divisors: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        for name in ("factor", "beta_fast", "beta_slow", "attention_factor"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise CheckpointInvalid(f"The checkpoint's rotation has {name} = {value}.")
        if not (math.isfinite(self.theta) and self.theta > 1):
            raise CheckpointInvalid(f"The checkpoint's rotation has theta = {self.theta}.")
        if self.kind in ("dynamic", "llama3", "yarn") and self.original_context <= 0:
            raise CheckpointInvalid("The checkpoint's rotation names no original context.")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelConfig:
    """The architecture of a decoder.

    ``ropes`` are the distinct rotations and ``layer_ropes[i]`` the one of layer i; ``windows[i]``
    is how many positions layer i sees, itself included (None: all). ``sandwich_norms`` are
    Gemma's norms after attention and after the feed-forward network.

    ``experts`` 0: one feed-forward network of width ``ffn`` in each layer. Otherwise there are so
    many of that width, each token goes through ``experts_per_token`` of them, and
    ``normalise_experts`` says that the shares of those add up to one.
    """

    family: str
    layers: int
    hidden: int
    ffn: int
    heads: int
    kv_heads: int
    head_dim: int
    vocab: int
    norm_eps: float
    activation: Activation
    attention_scale: float
    ropes: tuple[RopeConfig, ...]
    layer_ropes: tuple[int, ...]
    windows: tuple[int | None, ...]
    context_length: int
    qkv_bias: bool = False
    output_bias: bool = False
    ffn_bias: bool = False
    qk_norm: bool = False
    sandwich_norms: bool = False
    experts: int = 0
    experts_per_token: int = 0
    normalise_experts: bool = True
    embedding_scale: float = 1.0
    tied: bool = False
    bos_id: int | None = None
    eos_ids: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        sizes = ("layers", "hidden", "ffn", "heads", "kv_heads", "head_dim", "vocab")
        for name in (*sizes, "context_length"):
            if getattr(self, name) <= 0:
                raise CheckpointInvalid(f"The checkpoint says {name} = {getattr(self, name)}.")
        if self.heads % self.kv_heads:
            raise CheckpointInvalid(
                f"{self.heads} attention heads cannot share {self.kv_heads} key-value heads."
            )
        if self.head_dim % 2:
            raise CheckpointInvalid(f"A head of {self.head_dim} numbers cannot be rotated.")
        if not len(self.layer_ropes) == len(self.windows) == self.layers:
            raise CheckpointInvalid(f"The layer list does not name {self.layers} layers.")
        if self.experts:
            self._check_experts()

    def _check_experts(self) -> None:
        if not 0 < self.experts <= MAX_EXPERTS:
            raise CheckpointInvalid(
                f"The checkpoint says it has {self.experts} experts; 1 to {MAX_EXPERTS} are run."
            )
        if not 0 < self.experts_per_token <= self.experts:
            raise CheckpointInvalid(
                f"A token cannot go through {self.experts_per_token} of {self.experts} experts."
            )
        if self.ffn_bias:
            raise UnsupportedModel("The checkpoint's experts have biases, which are not run.")

    @property
    def shape(self) -> ModelShape:
        """What planning needs to know."""
        return ModelShape(
            layers=self.layers,
            hidden=self.hidden,
            ffn=self.ffn,
            heads=self.heads,
            kv_heads=self.kv_heads,
            head_dim=self.head_dim,
            vocab=self.vocab,
            tied=self.tied,
            experts=self.experts,
            experts_per_token=self.experts_per_token,
            windows=self.windows,
            qkv_bias=self.qkv_bias,
            output_bias=self.output_bias,
            ffn_bias=self.ffn_bias,
            qk_norm=self.qk_norm,
            sandwich_norms=self.sandwich_norms,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderConfig:
    """The architecture of a BERT encoder and how its rows become one vector."""

    layers: int
    hidden: int
    ffn: int
    heads: int
    vocab: int
    positions: int
    norm_eps: float
    pooling: Pooling = "mean"
    max_tokens: int = 512

    def __post_init__(self) -> None:
        for name in ("layers", "hidden", "ffn", "heads", "vocab", "positions", "max_tokens"):
            if getattr(self, name) <= 0:
                raise CheckpointInvalid(f"The checkpoint says {name} = {getattr(self, name)}.")
        if self.hidden % self.heads:
            raise CheckpointInvalid(f"{self.hidden} cannot be cut into {self.heads} heads.")


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineConfig:
    """How an engine shall run. Sizes in bytes; ``threads`` 0 is every core. ``device``: ``cpu`` or
    ``cuda:N``.

    ``packed_copy`` keeps a bf16 copy beside packed weights: prefill is then as fast as in bf16,
    for the memory of both. ``precision.py`` says when auto means that.

    ``kv_precision`` is in what keys and values are kept: as the activations are (auto), in bf16, or
    in int8, of which a cache of the same bytes holds nearly twice the tokens of bf16.

    ``device_memory`` is what one rank may take of its device in all (0: what it needs): layers
    that do not fit beside the rest pass through, on a processor from a file in the folder
    ``staging``, on a card from ``host_memory`` bytes of the host (0: what it needs).
    """

    precision: Precision = "auto"
    threads: int = 0
    kv_precision: KvPrecision = "auto"
    kv_cache_bytes: int = 512 << 20
    max_batch_tokens: int = 512
    max_sequences: int = 32
    max_waiting: int = 256
    page_size: int = 16
    packed_copy: bool = False
    device: str = "cpu"
    device_memory: int = 0
    host_memory: int = 0
    staging: str = ""

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise InputError(
                f"{self.precision!r} is not a precision.",
                remedy=f"Choose one of {', '.join(PRECISIONS)}.",
            )
        if self.kv_precision not in KV_PRECISIONS:
            raise InputError(
                f"{self.kv_precision!r} is not a precision of keys and values.",
                remedy=f"Choose one of {', '.join(KV_PRECISIONS)}.",
            )
        if self.threads < 0:
            raise InputError(f"threads = {self.threads} is negative.", remedy="0 is every core.")
        names = ("kv_cache_bytes", "max_batch_tokens", "max_sequences", "max_waiting", "page_size")
        for name in names:
            if getattr(self, name) <= 0:
                raise InputError(f"{name} = {getattr(self, name)} must be positive.")
        if min(self.device_memory, self.host_memory) < 0:
            raise InputError("A memory budget is negative.", remedy="0 is no budget.")

    def resolve(
        self,
        *,
        bf16_is_fast: bool | None = None,
        four_bit: bool = False,
        copy_fits: bool = False,
    ) -> EngineConfig:
        """The same choices with "auto" and 0 replaced by what this machine is.

        Auto is bf16 on cards and where the processor multiplies it (AMX or AVX512-BF16), and fp32
        elsewhere. A ``four_bit`` checkpoint on such a processor is packed, with the bf16 copy if
        ``copy_fits`` into memory.
        """
        fast = has_fast_bf16() if bf16_is_fast is None else bf16_is_fast
        on_card = self.device != "cpu"
        precision, copy = self.precision, self.packed_copy
        if precision == "auto":
            precision = "bf16" if fast or on_card else "fp32"
            if four_bit and fast and not on_card:
                precision, copy = "packed", copy or copy_fits
        if precision == "packed" and on_card:
            raise InputError(
                "Packed weights are computed by processors, not by cards.",
                remedy="Choose bf16, or leave the precision on auto.",
            )
        threads = self.threads or available_cores()
        return replace(self, precision=precision, packed_copy=copy, threads=threads)


def available_cores() -> int:
    """Cores this process may run on, which may be fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def has_fast_bf16(cpuinfo: Path = CPUINFO) -> bool:
    """True where the processor has bf16 instructions; False where that cannot be read."""
    return not BF16_FLAGS.isdisjoint(processor_flags(cpuinfo))


def processor_flags(cpuinfo: Path = CPUINFO) -> frozenset[str]:
    """What an x86 processor says it can do; empty where that cannot be read."""
    try:
        text = cpuinfo.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return frozenset()
    flags = next((line for line in text.splitlines() if line.startswith("flags")), "")
    return frozenset(flags.split())

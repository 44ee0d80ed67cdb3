"""Checkpoint: a model's architecture and its tensors, whatever they were stored in.

The one place that knows that checkpoints come as GGUF files and as Hugging Face folders. Tensors
carry canonical names: ``embedding``, ``norm``, ``head`` (absent where tied), and for each layer
``layers.N.`` + q k v o gate up down (``.weight``, ``.bias``) and attention_norm ffn_norm
q_norm k_norm attention_post_norm ffn_post_norm (``.weight``). A layer with experts has a
``router.weight`` and ``experts.E.`` + gate up down (``.weight``) instead of those three.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from banyan.core.errors import CheckpointInvalid
from banyan.engine import gguf_model, huggingface, safetensors
from banyan.engine.config import ModelConfig
from banyan.engine.gguf import GgufFile
from banyan.engine.metadata import read_json
from banyan.engine.stored import Stored


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """``norm_offset`` is what must be added to every norm's weights as stored; ``interleaved``
    says that the rows of q and k are stored in the order of interleaved rotation. One that is a
    share of a pipeline's stage may lack the model's start (``embedding``) or end."""

    source: str
    config: ModelConfig
    tensors: Mapping[str, Stored]
    norm_offset: float = 0.0
    interleaved: bool = False
    has_start: bool = True
    has_end: bool = True

    def tensor(self, name: str, *shape: int) -> Stored:
        """The tensor ``name``, its rows in the engine's order.

        Raises ``CheckpointInvalid`` when it is absent or not of ``shape``.
        """
        tensor = self.tensors.get(name)
        if tensor is None:
            raise CheckpointInvalid(f"{self.source} holds no tensor for {name}.")
        if tensor.shape != shape:
            raise CheckpointInvalid(
                f"{self.source}: tensor {tensor.name} is {tensor.shape}, not {shape}."
            )
        if self.interleaved:
            part = name.split(".")[-2:-1]
            if part == ["q"]:
                return gguf_model.unpermuted(tensor, self.config.heads)
            if part == ["k"]:
                return gguf_model.unpermuted(tensor, self.config.kv_heads)
        return tensor


def open_checkpoint(path: Path) -> Checkpoint:
    """Open a GGUF file, a folder that holds one, or a Hugging Face folder, reading no weights yet.

    Raises ``CheckpointInvalid`` (damaged, incomplete) or ``UnsupportedModel`` (sound, not run).
    """
    gguf = find_gguf(path)
    return _open_gguf(gguf) if gguf is not None else _open_folder(path)


def find_gguf(path: Path) -> Path | None:
    """The GGUF file that ``path`` is or holds; None for a Hugging Face folder.

    Raises ``CheckpointInvalid`` when ``path`` is neither, or holds several GGUF files.
    """
    if path.is_file():
        if path.suffix == ".gguf":
            return path
        raise CheckpointInvalid(f"{path} is neither a GGUF file nor a folder.")
    if not path.is_dir():
        raise CheckpointInvalid(f"{path} does not exist.")
    if (path / "config.json").is_file():
        return None
    found = sorted(path.glob("*.gguf"))
    if len(found) == 1:
        return found[0]
    if found:
        raise CheckpointInvalid(
            f"{path} holds {len(found)} GGUF files.", remedy="Name the one you mean."
        )
    raise CheckpointInvalid(f"{path} holds neither a config.json nor a GGUF file.")


def _open_gguf(path: Path) -> Checkpoint:
    file = GgufFile(path)
    config = gguf_model.read_config(file)
    return Checkpoint(
        source=path.name,
        config=config,
        tensors=_renamed(
            gguf_model.experts_apart(file.tensors, config.experts),
            config,
            gguf_model.canonical_name,
        ),
        interleaved=config.family == "llama",
    )


def _open_folder(folder: Path) -> Checkpoint:
    # An architecture that is not run is reported before a byte of its weights is looked at.
    huggingface.check_family(read_json(folder / "config.json"), folder.name)
    raw = safetensors.read_folder(folder)
    config = huggingface.read_config(folder, most_layers=len(raw))
    return Checkpoint(
        source=folder.name,
        config=config,
        tensors=_renamed(raw, config, huggingface.canonical_name),
        norm_offset=1.0 if config.family == "gemma3" else 0.0,
    )


def _renamed(
    raw: Mapping[str, Stored], config: ModelConfig, rename: Callable[[str, str], str | None]
) -> dict[str, Stored]:
    named = ((rename(name, config.family), tensor) for name, tensor in raw.items())
    return {name: tensor for name, tensor in named if name is not None}

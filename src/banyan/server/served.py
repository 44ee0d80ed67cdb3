"""What this server answers as, and the check that a request names one of them.

A path is a good name for a model on the command line and never one over HTTP: whoever may ask
must not be able to make the server open files.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from banyan.core.context import Context
from banyan.core.errors import InputError, UnknownModel
from banyan.core.types import ModelInfo
from banyan.models.catalogue import catalogue, close_to
from banyan.server.grounded import PREFIX
from banyan.server.site import Site

MAX_SHOWN_CHARS = 100


def served(site: Site, context: Context) -> list[ModelInfo]:
    """One named model, or all models and the knowledge bases the caller may see."""
    models = [info for info in site.app.models() if info.kind != "base"]
    if site.model is not None:
        alone = ModelInfo(name=site.model, kind="chat", state="ready", owner="local")
        return [next((info for info in models if info.name == site.model), alone)]
    if site.mode == "v1":
        return models
    bases = site.app.library.bases(context)
    return [
        *models,
        *(
            ModelInfo(name=PREFIX + base.id, kind="base", state="ready", note=base.title)
            for base in bases
        ),
    ]


def check_served(site: Site, name: str, kind: Literal["chat", "embedding"]) -> str:
    """The name itself; raise ``UnknownModel`` unless such a model is served here."""
    if site.model is not None and name == site.model:
        return name
    kinds = {} if site.model is not None else {info.name: info.kind for info in site.app.models()}
    if name not in kinds:
        raise unknown(name, [*kinds, *([site.model] if site.model else [])])
    if kinds[name] != kind:
        raise InputError(
            f"{name} is a model of the kind {kinds[name]}; this needs one of the kind {kind}.",
            remedy="GET /v1/models says the kind of each.",
            field="model",
        )
    return name


def unknown(name: str, known: Iterable[str]) -> UnknownModel:
    """The error for a model that is not served, with what comes close to it."""
    if name in catalogue():
        return UnknownModel(
            f"The model {name} is not installed.", remedy=f"`banyan models pull {name}`"
        )
    shown = name[:MAX_SHOWN_CHARS]
    return UnknownModel(
        f"There is no model {shown!r} here{close_to(shown, known)}.",
        remedy="GET /v1/models lists what there is.",
    )

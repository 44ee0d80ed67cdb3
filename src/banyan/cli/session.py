"""Opening the product for one command, and closing it however the command ends."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from banyan.cli.output import note
from banyan.core.context import Context
from banyan.core.errors import InputError, UnknownBase
from banyan.core.settings import Settings

if TYPE_CHECKING:
    from banyan.app import App

SAMPLE = "sample"
DEFAULT_BASE = "default"
"""The base that documents go to where none is named and none is there."""


@contextmanager
def opened(settings: Settings, *, answer_model: str | None = None) -> Iterator[App]:
    """The wired product; importing it is what costs time, so only commands that use it do.

    ``answer_model``, where given, writes the answers in place of the chosen one.
    """
    from banyan.app import App

    app = App(settings, answer_model=answer_model)
    try:
        yield app
    finally:
        app.close()


def chosen_base(app: App, given: str, context: Context) -> str:
    """The base to work on: the one given, else the user's default or only one, else the sample.

    The sample is made when it is first needed, and finished where a process that made it was ended
    (one that was removed stays removed). Raises
    ``UnknownBase`` when there is none, ``InputError`` when several could be meant.
    """
    bases = app.library.bases(context)
    known = [base.id for base in bases]
    half_made = any(base.id == SAMPLE and base.reading for base in bases)
    for_sample = given == SAMPLE or not [base for base in known if base != SAMPLE]
    if for_sample and (SAMPLE not in known or half_made):
        note("Looking for the packaged sample base; making it takes some seconds, once.")
        app.library.ensure_sample(context)
        known = [base.id for base in app.library.bases(context)]
    if given:
        if given not in known:
            raise UnknownBase(
                f"There is no knowledge base {given!r}.",
                remedy=f"There are: {', '.join(known) or 'none'}; `banyan add PATH --base {given}` "
                "makes it.",
            )
        return given
    own = own_base(known)
    if own:
        return own
    several = [base for base in known if base != SAMPLE]
    if several:
        raise InputError(
            "There are several knowledge bases.",
            remedy=f"Say which: --base {' or '.join(several)}.",
        )
    if not known:
        raise UnknownBase("There is no knowledge base yet.", remedy="`banyan add PATH` makes one.")
    return known[0]


def own_base(known: list[str]) -> str:
    """The base called default or, without it, the user's only one; else an empty string."""
    own = [base for base in known if base != SAMPLE]
    if DEFAULT_BASE in own:
        return DEFAULT_BASE
    return own[0] if len(own) == 1 else ""

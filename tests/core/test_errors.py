"""The tree on the module's first page is the tree in the code."""

from __future__ import annotations

import re

from banyan.core import errors
from banyan.core.errors import BanyanError, LimitExceeded, UnknownModel

ROW = re.compile(
    r"^    [│├└─ ]*(\w+) +(the caller|the operator|wait, then retry|nobody) +(\d+) +(\d+)$"
)


def _subclasses(kind: type[BanyanError]) -> list[type[BanyanError]]:
    return [kind, *(below for child in kind.__subclasses__() for below in _subclasses(child))]


def test_the_drawn_tree_lists_every_error_with_its_status_and_exit_code() -> None:
    drawn = {
        found.group(1): (int(found.group(3)), int(found.group(4)))
        for found in map(ROW.match, (errors.__doc__ or "").splitlines())
        if found
    }
    own = [kind for kind in _subclasses(BanyanError)[1:] if kind.__module__ == errors.__name__]
    assert drawn == {kind.__name__: (kind.http_status, kind.exit_code) for kind in own}


def test_every_error_of_the_package_says_what_it_means() -> None:
    for kind in _subclasses(BanyanError):
        assert kind.__doc__


def test_a_code_is_the_class_name_in_snake_case() -> None:
    assert UnknownModel("no such model").code == "unknown_model"


def test_a_limit_quotes_its_name_and_value() -> None:
    error = LimitExceeded("the question", limit="max_question_chars", value=5000, allowed=4000)
    assert "max_question_chars = 4000" in str(error)
    assert "5000" in str(error)
    assert "max_question_chars" in error.remedy

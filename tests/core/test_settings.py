"""Settings come from one table; an unknown name or an unreadable value is refused by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from banyan.core.errors import InputError
from banyan.core.settings import Settings, table


def test_an_empty_environment_gives_the_defaults_with_the_home_expanded() -> None:
    settings = Settings.from_environment({})
    assert settings.port == 8080
    assert settings.home == Path("~/.local/share/banyan").expanduser()


def test_each_kind_of_value_is_read_from_its_variable() -> None:
    given = {"BANYAN_PORT": "9000", "BANYAN_RERANK": "false", "BANYAN_HOME": "x", "OTHER": "1"}
    settings = Settings.from_environment(given)
    assert (settings.port, settings.rerank, settings.home) == (9000, False, Path("x"))


def test_an_unknown_variable_is_refused_not_ignored() -> None:
    with pytest.raises(InputError, match="BANYAN_PROT is not a setting"):
        Settings.from_environment({"BANYAN_PROT": "9000"})


@pytest.mark.parametrize(("name", "text"), [("BANYAN_PORT", "many"), ("BANYAN_RERANK", "perhaps")])
def test_an_unreadable_value_is_refused_with_the_variable_in_the_message(
    name: str, text: str
) -> None:
    with pytest.raises(InputError, match=name):
        Settings.from_environment({name: text})


def test_the_table_documents_every_setting_in_one_sentence() -> None:
    for name, default, text in table():
        assert name.startswith("BANYAN_")
        assert default is not None
        assert text.endswith(".")


@pytest.mark.parametrize(
    ("name", "text"),
    [("MAX_STREAMS", "0"), ("PORT", "70000"), ("THREADS", "-1"), ("REQUEST_TIMEOUT_S", "nan")],
)
def test_a_number_out_of_range_is_refused_by_the_name_of_its_setting(name: str, text: str) -> None:
    with pytest.raises(InputError, match=f"BANYAN_{name}=.* out of range"):
        Settings.from_environment({f"BANYAN_{name}": text})

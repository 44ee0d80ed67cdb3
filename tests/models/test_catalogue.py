"""Every entry of the catalogue is complete, checkable and licensed."""

from __future__ import annotations

import re

import pytest

from banyan.core.errors import UnknownModel
from banyan.core.settings import Settings
from banyan.models.catalogue import catalogue, find
from banyan.models.records import CatalogueEntry, check_name

ENTRIES = list(catalogue().values())
SHA256 = re.compile(r"[0-9a-f]{64}")


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_an_entry_names_licence_origin_and_hashes(entry: CatalogueEntry) -> None:
    check_name(entry.name)
    assert entry.kind in {"chat", "embedding"}
    assert entry.licence
    assert entry.purpose.endswith((".", ")"))
    assert entry.source.startswith("https://")
    assert entry.wheels
    assert entry.files
    assert all(SHA256.fullmatch(part.sha256) for part in (*entry.wheels, *entry.files))
    assert all(file.size_bytes > 0 and file.members for file in entry.files)


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_the_files_of_an_entry_stay_in_its_folder(entry: CatalogueEntry) -> None:
    paths = [file.path for file in entry.files]
    assert len(set(paths)) == len(paths)
    assert not any(path.startswith("/") or ".." in path.split("/") for path in paths)
    assert entry.bundled or entry.load == "." or entry.load in paths


def test_terms_that_must_be_accepted_have_a_place_and_are_never_a_default() -> None:
    for entry in ENTRIES:
        assert bool(entry.terms) == bool(entry.terms_url)
        assert not (entry.terms and entry.default)


def test_the_default_models_of_the_settings_are_in_the_catalogue() -> None:
    assert find(Settings().chat_model).default


def test_an_unknown_name_gets_near_ones() -> None:
    with pytest.raises(UnknownModel, match="close to it: smollm2-135m-instruct"):
        find("smollm2-135m")

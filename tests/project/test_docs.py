"""The documents say what is true: commands exist, files are mapped, versions agree."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import banyan

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
TARGETS = set(
    re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
)
# What these hold is true of several files together.
CROSS_CUTTING = {
    "test_crash.py",
    "test_hostile.py",
    "test_leaks.py",
    "test_sample_questions.py",
}
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("src/**/*.md")])


def _is_target(target: str) -> bool:
    kind, _, name = target.partition("-")
    folder = {"bench": "bench", "eval": "evals"}.get(kind)
    if folder and name:
        return (ROOT / folder / f"{name.replace('-', '_')}.py").exists()
    return target in TARGETS


def test_every_make_command_in_the_documents_exists() -> None:
    for path in DOCUMENTS:
        for target in re.findall(r"`(?:[A-Z]+=\S+ )*make ([a-z][a-z-]+)[^`]*`", path.read_text()):
            assert _is_target(target), f"{path.name} names `make {target}`"


def test_the_readme_shows_the_two_commands() -> None:
    assert "make run" in README
    assert "make test" in README


def test_the_readme_maps_every_folder_of_the_package() -> None:
    for folder in sorted((ROOT / "src" / "banyan").iterdir()):
        if folder.is_dir() and (folder / "__init__.py").exists():
            assert f"`{folder.name}/`" in README, f"README's map lacks {folder.name}/"


def test_the_changelog_begins_with_this_version() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    versions = re.findall(r"^## ([0-9.]+)", text, re.MULTILINE)
    assert versions[0] == banyan.__version__


def test_relative_links_in_the_documents_lead_somewhere() -> None:
    for path in DOCUMENTS:
        for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", path.read_text(encoding="utf-8")):
            assert (path.parent / link).exists(), f"{path.relative_to(ROOT)} links to {link}"


def test_every_test_file_mirrors_a_source_file() -> None:
    for folder in ("core", "models", "engine", "knowledge", "server", "cli"):
        for test in (ROOT / "tests" / folder).rglob("test_*.py"):
            relative = test.relative_to(ROOT / "tests")
            source = ROOT / "src" / "banyan" / relative.parent / relative.name[len("test_") :]
            mirrors = source.exists() or source.with_suffix("").is_dir()
            assert mirrors or relative.name in CROSS_CUTTING, f"{relative} mirrors no source"


@pytest.mark.parametrize("key", ["model.writer", "base.sample.remove", "why.title"])
def test_the_sample_names_the_consoles_buttons_as_they_are(key: str) -> None:
    words = (ROOT / "src/banyan/server/console/js/words.js").read_text("utf-8")
    found = re.search(rf'"{re.escape(key)}": \["(.+?)", "(.+?)"\]', words)
    assert found
    for language, label in zip(("en", "zh"), found.groups(), strict=True):
        pages = (ROOT / "src/banyan/knowledge/sample" / language).glob("*.md")
        assert any(
            re.search(f'["“]{re.escape(label)}["”]', page.read_text("utf-8")) for page in pages
        )

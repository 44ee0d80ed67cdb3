from __future__ import annotations

import threading
from pathlib import Path

from tests.knowledge.factory import BASE, HASH, add, library, page

from banyan.core.context import Context
from banyan.core.fakes import HashEmbedder
from banyan.knowledge.embed import Embedders
from banyan.knowledge.library import Library
from banyan.knowledge.parse.limits import ParseLimits
from banyan.knowledge.refresh import refresh
from banyan.knowledge.store import Store

ENGLISH = HashEmbedder(16, "english-16")
BOTH = Embedders(multilingual=HASH, english=ENGLISH)


def _titles(shelf: Library) -> set[str]:
    with shelf.snapshot(BASE) as view:
        rows, _ = view.cosine(ENGLISH.name, ENGLISH.embed(["tree"], Context())[0], None)
        return {passage.title for passage in view.passages(rows)}


def _old_documents(folder: Path) -> Library:
    plain = library(folder)
    plain.create_base(BASE, "Base", Context())
    add(plain, "en", page("English", "The banyan is a tree."))
    add(plain, "hr", page("Hidden", "The oak is a tree."), label="hr")
    add(plain, "zh", page("榕树", "榕树是一种树。"))
    return plain


def test_an_embedder_that_came_later_gives_its_vectors_to_its_language(tmp_path: Path) -> None:
    plain = _old_documents(tmp_path)
    before = plain.documents(BASE, Context())
    contents = [plain.document(record.id, Context())[1] for record in before]
    assert _titles(plain) == set()
    list(refresh(Store(tmp_path), BOTH, Context()))
    assert _titles(plain) == {"English", "Hidden"}
    after = plain.documents(BASE, Context())
    assert [(one.id, one.label) for one in after] == [(one.id, one.label) for one in before]
    assert [plain.document(record.id, Context())[1] for record in after] == contents


def test_with_every_vector_there_nothing_is_done(tmp_path: Path) -> None:
    _old_documents(tmp_path)
    store = Store(tmp_path)
    list(refresh(store, BOTH, Context()))
    assert list(refresh(store, BOTH, Context())) == []


def test_the_worker_refreshes_when_it_starts(tmp_path: Path) -> None:
    plain = _old_documents(tmp_path)
    richer = Library(tmp_path, embedders=BOTH, limits=ParseLimits())
    stop = threading.Event()
    thread = threading.Thread(target=richer.work, args=(stop,))
    thread.start()
    for _ in range(500):
        if len(_titles(plain)) == 2:
            break
        stop.wait(0.02)
    stop.set()
    thread.join(30)
    assert _titles(plain) == {"English", "Hidden"}

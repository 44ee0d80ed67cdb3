"""EPUB books: the chapters in the order of the book's spine, each read like a page."""

from __future__ import annotations

import posixpath
import zipfile
from collections.abc import Iterator
from typing import BinaryIO
from urllib.parse import unquote

from lxml import etree
from lxml.etree import _Element as Element

from banyan.core.errors import BrokenDocument, EncryptedDocument
from banyan.knowledge.parse.archive import open_archive, refuse_declarations
from banyan.knowledge.parse.draft import Draft
from banyan.knowledge.parse.html import add_html, decode_html

_CONTAINER = "META-INF/container.xml"
_ENCRYPTION = "META-INF/encryption.xml"
_PAGES = ("application/xhtml+xml", "text/html")
_FONT_ALGORITHMS = (b"http://www.idpf.org/2008/embedding", b"http://ns.adobe.com/pdf/enc#RC")


def read(file: BinaryIO, draft: Draft) -> None:
    with open_archive(file, draft.name) as archive:
        _refuse_encryption(archive, draft.name)
        root = _xml(archive, _CONTAINER, draft.name)
        package_path = next((r.get("full-path") or "" for r in root.iter("{*}rootfile")), "")
        package = _xml(archive, package_path, draft.name)
        title = next(package.iter("{*}title"), None)
        draft.title = (title.text or "") if title is not None else ""
        for path in _chapters(package, posixpath.dirname(package_path)):
            add_html(_page(archive, path, draft.name), draft, whole=True)


def _refuse_encryption(archive: zipfile.ZipFile, name: str) -> None:
    """Obscured fonts are common and harmless; anything else encrypted is a protected book."""
    if _ENCRYPTION not in archive.namelist():
        return
    listing = archive.read(_ENCRYPTION)
    fonts = sum(listing.count(algorithm) for algorithm in _FONT_ALGORITHMS)
    if listing.count(b"EncryptedData>") // 2 > fonts:
        raise EncryptedDocument(
            f"{name} is protected (DRM).", remedy="Ask the publisher for an open copy."
        )


def _chapters(package: Element, folder: str) -> Iterator[str]:
    """The members' names in spine order; what is no page (a cover picture) is passed over."""
    manifest = {item.get("id"): item for item in package.iter("{*}item")}
    for reference in package.iter("{*}itemref"):
        item = manifest.get(reference.get("idref"))
        if item is not None and item.get("media-type") in _PAGES:
            yield posixpath.normpath(posixpath.join(folder, unquote(item.get("href") or "")))


def _xml(archive: zipfile.ZipFile, path: str, name: str) -> Element:
    data = _member(archive, path, name)
    refuse_declarations(data, name, allow_doctype=True)
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False)
    return etree.fromstring(data, parser)


def _page(archive: zipfile.ZipFile, path: str, name: str) -> str:
    return decode_html(_member(archive, path, name), name)


def _member(archive: zipfile.ZipFile, path: str, name: str) -> bytes:
    try:
        return archive.read(path)
    except KeyError:
        raise BrokenDocument(f"{name} names a part that is missing: {path}.") from None

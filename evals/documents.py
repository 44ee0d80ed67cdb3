"""Whether every real file ends as text or as a reason, how fast, and in how much memory.

    make eval-documents

One row per file of DATA/documents, each read by a parser process of its own: ``status`` is
``text`` or the error's code, ``seconds`` includes the start of the process (about 0.1 s).
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from pathlib import Path

from banyan.core.context import Context
from banyan.core.errors import DocumentError
from banyan.core.settings import GIB
from banyan.knowledge.parse.limits import ParseLimits
from banyan.knowledge.parse.parse import Parser
from banyan.knowledge.records import Document
from banyan.knowledge.split import split

Row = dict[str, object]
RESULTS = Path("results/documents.json")
MOST_SECONDS, MOST_BYTES = 30.0, GIB


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--home", type=Path, help="not used here")
    parser.add_argument("--data", type=Path, required=True, help="folder of the evaluation sets")
    parser.add_argument("--full", action="store_true", help="not used here: all files are read")
    folder = parser.parse_args().data / "documents"
    if not folder.is_dir():
        sys.exit(f"{folder} does not exist; name the evaluation sets with --data (make: DATA=...).")
    rows = [_row(path, folder) for path in sorted(folder.rglob("*")) if path.is_file()]
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(rows, indent=1, ensure_ascii=False) + "\n")
    for row in rows:
        print(f"{row['seconds']:6.2f} s {row['chars']:>8} {row['status']:<20} {row['file']}")
    _summarise(rows)


def _row(path: Path, folder: Path) -> Row:
    started, status, reason, document = time.perf_counter(), "text", "", None
    with Parser(ParseLimits()) as parser:
        try:
            document = parser.parse(path, Context())
        except DocumentError as error:
            status, reason = error.code, str(error)
        seconds = time.perf_counter() - started
    return {
        "file": path.relative_to(folder).as_posix(),
        "status": status,
        "seconds": round(seconds, 3),
        "peak_bytes": parser.peak_bytes,
        "reason": reason,
        **_counts(document),
    }


def _counts(document: Document | None) -> Row:
    if document is None:
        return {"chars": 0, "pages": 0, "pieces": 0, "headings": 0, "tables": 0}
    kinds = Counter(block.kind for block in document.blocks)
    return {
        "chars": len(document.text),
        "pages": max((block.page or 0 for block in document.blocks), default=0),
        "pieces": len(split(document)),
        "headings": kinds["heading"],
        "tables": kinds["table"],
    }


def _summarise(rows: list[Row]) -> None:
    slowest = max(float(str(row["seconds"])) for row in rows)
    largest = max(int(str(row["peak_bytes"])) for row in rows)
    print(f"\n{dict(Counter(row['status'] for row in rows))}")
    print(f"slowest {slowest:.2f} s, largest {largest / 1e6:.0f} MB, {len(rows)} rows in {RESULTS}")
    if slowest > MOST_SECONDS or largest > MOST_BYTES:
        sys.exit(f"A file took over {MOST_SECONDS:.0f} s or {MOST_BYTES} bytes.")


if __name__ == "__main__":
    main()

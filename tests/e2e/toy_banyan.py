"""``banyan`` whose ranks are toys: ``toy_banyan.py ARGUMENTS``."""

from __future__ import annotations

import sys

from tests.engine.cluster.toys import TOY_RANK

from banyan.cli.main import main
from banyan.engine.cluster import rank_process

if __name__ == "__main__":
    rank_process.COMMAND = (sys.executable, str(TOY_RANK))  # type: ignore[misc]  # toys
    main()

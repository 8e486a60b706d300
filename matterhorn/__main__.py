"""Entry point of ``python -m matterhorn`` and of ``accelerate launch -m matterhorn``."""

import gc
import os
import sys

UNCOLLECTED = 50_000
"""Allocations between two garbage collections, instead of Python's 700. Imports create few cycles to collect, and
collecting would take a tenth of the time from shell to answer for one sentence.
"""


def main() -> None:
    """Run the command line. Ctrl-C ends it silently, with exit code 130, even during imports."""
    gc.set_threshold(UNCOLLECTED)
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")  # otherwise pydantic scans all installed packages
    try:
        from .cli import main as run

        run()
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()

"""Entry point of ``python -m matterhorn`` and of ``accelerate launch -m matterhorn``."""

import gc
import os
import sys

UNCOLLECTED = 50_000
"""New objects between two looks for garbage, instead of 700: what imports leave is none, and looking takes a tenth of
the time that one sentence needs from shell to answer."""


def main() -> None:
    """Entry point. Stopped by the keyboard, it says nothing, however early that comes."""
    gc.set_threshold(UNCOLLECTED)
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")  # else it scans all installed packages
    try:
        from .cli import main as run

        run()
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()

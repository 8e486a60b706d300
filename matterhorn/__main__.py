"""``python -m matterhorn``, and ``accelerate launch -m matterhorn``."""

import sys


def main() -> None:
    """Entry point. Stopped by the keyboard, it says nothing, however early that comes."""
    try:
        from .cli import main as run

        run()
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()

"""``python -m matterhorn``, and ``accelerate launch -m matterhorn``."""

from .cli import main

if __name__ == "__main__":
    main()

"""Write plots and mark them as ours, so that they may be overwritten later."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..storage import MARK, put_file

SOFTWARE = 0x0131
"""EXIF tag for the program that made an image."""


def save_picture(figure: Any, path: Path, dpi: int = 110) -> None:
    """Write a matplotlib figure to a file, in the format of its ending, and close it."""
    from matplotlib import pyplot

    options = _marked(path.suffix.lower())
    put_file(path, lambda fresh: figure.savefig(fresh, dpi=dpi, **options))
    pyplot.close(figure)


def _marked(ending: str) -> dict[str, Any]:
    """Return options of ``savefig`` that write :data:`~matterhorn.storage.MARK` into a file with this ending."""
    if ending in (".png", ".svg", ".pdf"):
        return {"metadata": {"Software" if ending == ".png" else "Creator": MARK}}
    from PIL import Image

    exif = Image.Exif()
    exif[SOFTWARE] = MARK
    return {"pil_kwargs": {"exif": exif}}

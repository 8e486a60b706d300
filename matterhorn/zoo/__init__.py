"""The models that come with the package."""

from __future__ import annotations

from pathlib import Path

from ..errors import InputError

ZOO = Path(__file__).parent


def shipped() -> list[str]:
    """Names of the shipped models."""
    return sorted(path.parent.name for path in ZOO.glob("*/config.json"))


def find(name: str | Path) -> Path:
    """Folder of a model: a shipped one by its name, else a folder."""
    if str(name) in shipped():
        return ZOO / str(name)
    if Path(name).is_dir():
        return Path(name)
    cure = f"give a folder or one of: {', '.join(shipped()) or 'none shipped'}"
    raise InputError(f"no model {str(name)!r}", field="model", cure=cure)

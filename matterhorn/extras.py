"""Optional parts of the installation. Commands check for them before any work, with a one-line error."""

from __future__ import annotations

from importlib.util import find_spec

from .errors import InputError


def present(*packages: str) -> bool:
    """Whether all these packages are installed."""
    return all(find_spec(package) is not None for package in packages)


def need(extra: str, *packages: str, instead: str | None = None) -> None:
    """Refuse to go on without an extra of the installation; ``instead``: what else the user can do.

    Raises:
        InputError: one of its packages is not installed.
    """
    missing = [package for package in packages if find_spec(package) is None]
    if missing:
        cure = f'pip install "matterhorn-snn[{extra}]"' + (f", or {instead}" if instead else "")
        raise InputError(f"this needs {missing[0]}, which is not installed", field=extra, cure=cure)

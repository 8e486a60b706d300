"""Optional parts of the installation. Commands check for them before any work, with a one-line error."""

from __future__ import annotations

from importlib.util import find_spec

from .errors import InputError


def present(*packages: str) -> bool:
    """Whether all these packages are installed."""
    return all(map(_is_installed, packages))


def _is_installed(package: str) -> bool:
    """Whether a package is installed. A folder of its name in the working directory, without code, is none."""
    spec = find_spec(package)
    return spec is not None and spec.origin is not None


def need(extra: str, *packages: str, instead: str | None = None) -> None:
    """Refuse to go on without an extra of the installation; ``instead``: what else the user can do.

    Raises:
        InputError: one of its packages is not installed.
    """
    missing = [package for package in packages if not _is_installed(package)]
    if missing:
        cure = f'pip install "matterhorn-snn[{extra}]"' + (f", or {instead}" if instead else "")
        raise InputError(f"this needs {missing[0]}, which is not installed", field=extra, cure=cure)

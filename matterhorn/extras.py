"""Optional parts of the installation. Commands check for them before any work, with a one-line error."""

from __future__ import annotations

from importlib.util import find_spec

from .errors import InputError


def present(*packages: str) -> bool:
    """Whether all these packages are installed."""
    return all(map(_is_installed, packages))


def _is_installed(package: str) -> bool:
    """Whether a package is installed. A folder of this name without an ``__init__.py``, e.g. in the working directory,
    does not count.
    """
    spec = find_spec(package)
    return spec is not None and spec.origin is not None


def need(extra: str, *packages: str, instead: str | None = None) -> None:
    """Check that the packages of an extra are installed. ``instead``: an alternative to suggest in the error.

    Raises:
        InputError: one of its packages is not installed.
    """
    missing = [package for package in packages if not _is_installed(package)]
    if missing:
        cure = f'pip install "matterhorn-snn[{extra}]"' + (f", or {instead}" if instead else "")
        raise InputError(f"this needs {missing[0]}, which is not installed", field=extra, cure=cure)

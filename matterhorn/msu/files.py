"""Finding and reading device and circuit files."""

from __future__ import annotations

from pathlib import Path

from ..errors import InputError
from ..reading import Model, read_yaml, validated
from .circuit import Circuit
from .device import Device

HERE = Path(__file__).parent


def device_names() -> list[str]:
    """Names of the devices that come with the package."""
    return sorted(path.stem for path in (HERE / "devices").glob("*.yaml"))


def circuit_names() -> list[str]:
    """Names of the circuits that come with the package."""
    return sorted(path.stem for path in (HERE / "circuits").glob("*.yaml"))


def load_device(name: str | Path) -> Device:
    """A device by name (see :func:`device_names`) or from a file of one's own."""
    return _load(name, "device", device_names(), Device)


def load_circuit(name: str | Path) -> Circuit:
    """A circuit by name (see :func:`circuit_names`) or from a file of one's own."""
    return _load(name, "circuit", circuit_names(), Circuit)


def _load(name: str | Path, kind: str, known: list[str], model: type[Model]) -> Model:
    path = HERE / f"{kind}s" / f"{name}.yaml" if str(name) in known else Path(name)
    if not path.is_file():
        raise InputError(f"no {kind} {str(name)!r}", cure=f"give a YAML file or one of {', '.join(known)}")
    return validated(model, read_yaml(path), path)

"""Find and read the files of devices and circuits."""

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
    """Load a device by name (see :func:`device_names`) or from a YAML file.

    Raises:
        InputError: there is no such device, or its file is not valid.
    """
    return _load(name, "device", device_names(), Device)


def load_circuit(name: str | Path) -> Circuit:
    """Load a circuit by name (see :func:`circuit_names`) or from a YAML file.

    Raises:
        InputError: there is no such circuit, or its file is not valid.
    """
    return _load(name, "circuit", circuit_names(), Circuit)


def _load(name: str | Path, kind: str, known: list[str], model: type[Model]) -> Model:
    path = HERE / f"{kind}s" / f"{name}.yaml" if str(name) in known else Path(name)
    if not path.is_file():
        raise InputError(f"no {kind} {str(name)!r}", cure=f"give a YAML file or one of {', '.join(known)}")
    return validated(model, read_yaml(path), path)

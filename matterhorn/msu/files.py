"""Finding and reading device and circuit files."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from ..errors import InputError
from .circuit import Circuit
from .device import Device

HERE = Path(__file__).parent

CURES = {
    "extra_forbidden": "remove it or correct its spelling",
    "missing": "every number needs value, unit and source",
    "model_type": "write it as {value: …, unit: …, source: …}",
}
"""What to do about a field that pydantic refuses."""

Model = TypeVar("Model", bound=BaseModel)


def device_names() -> list[str]:
    """Names of the devices that come with the package."""
    return sorted(path.stem for path in (HERE / "devices").glob("*.yaml"))


def circuit_names() -> list[str]:
    """Names of the circuits that come with the package."""
    return sorted(path.stem for path in (HERE / "circuits").glob("*.yaml"))


def load_device(name: str | Path) -> Device:
    """A device by name (see :func:`device_names`) or from a file of one's own."""
    return read_yaml(_find(name, "devices", device_names()), Device)


def load_circuit(name: str | Path) -> Circuit:
    """A circuit by name (see :func:`circuit_names`) or from a file of one's own."""
    return read_yaml(_find(name, "circuits", circuit_names()), Circuit)


def _find(name: str | Path, folder: str, known: list[str]) -> Path:
    if str(name) in known:
        return HERE / folder / f"{name}.yaml"
    path = Path(name)
    if not path.is_file():
        raise InputError(f"no {folder[:-1]} {str(name)!r}", cure=f"give a YAML file or one of {', '.join(known)}")
    return path


def read_yaml(path: Path, model: type[Model]) -> Model:
    """A data file as the model of what must be in it.

    Raises:
        InputError: names the file, the field and the cure.
    """
    try:
        plain = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"cannot read ({error.strerror})", file=path, cure="give a YAML file") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"not YAML: {str(error).splitlines()[0]}", file=path) from error
    if not isinstance(plain, dict):
        raise InputError("no fields", file=path, cure="copy one of the files that come with the package")
    try:
        return model.model_validate(plain)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or None
        problem = first["msg"].removeprefix("Value error, ")
        raise InputError(problem, file=path, field=field, cure=CURES.get(first["type"], "")) from error

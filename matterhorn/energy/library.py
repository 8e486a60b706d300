"""Chips as files: find, inherit, override, validate. Errors name the file, the key and the allowed range."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from os.path import isfile
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..reading import Strict, read_yaml, validated
from ..units import parse, si_factor
from .chip import Chip

Part = TypeVar("Part", bound=Strict)

SHIPPED = Path(__file__).parent / "chips"
DEFAULT = "rram-22nm"


def shipped() -> list[str]:
    """Names of the chips that come with the package."""
    return sorted(path.stem for path in SHIPPED.glob("*.yaml"))


def load(name: str | Path, overrides: Sequence[str] = ()) -> Chip:
    """Load a chip by name or by the path of a YAML file, then apply overrides such as ``noc.hop.energy=1 pJ``.

    Raises:
        InputError: there is no such chip, its file is not valid, or an override is not possible.
    """
    path = _locate(name)
    return _made(path, _inherited(path, (), {}), overrides)


def load_shipped() -> list[Chip]:
    """Load all chips that come with the package. A file that several of them inherit from is read once."""
    known: dict[Path, dict[str, Any]] = {}
    return [_made(path, _inherited(path, (), known), ()) for path in map(_locate, shipped())]


def with_value(part: Part, key: str, si: float | NDArray[np.float64]) -> Part:
    """Return the chip (or a part of it) with one number replaced by another SI value. Ranges are not checked again.

    An array ``[n]`` stands for n chips; every bill on it then has arrays of joules.
    """
    first, _, below = key.partition(".")
    inner = getattr(part, first)
    if below:
        return part.model_copy(update={first: with_value(inner, below, si)})
    return part.model_copy(update={first: inner.model_copy(update={"value": si / si_factor(inner.unit)[0]})})


def _locate(name: str | Path) -> Path:
    cure = f"give one of {', '.join(shipped())}, or a .yaml file"
    if not isinstance(name, (str, Path)):
        raise InputError(f"a {type(name).__name__}, no chip", field="chip", cure=cure)
    path = Path(name)
    if path.suffix in (".yaml", ".yml"):
        if not isfile(path):  # (also where the name is too long for the system)
            raise InputError("no such chip file", file=path, cure="give the path of a YAML file")
        return path
    if str(name) not in shipped():
        raise InputError(f"no chip {str(name)!r}", field="chip", cure=cure)
    return SHIPPED / f"{name}.yaml"


def _made(path: Path, plain: dict[str, Any], overrides: Sequence[str]) -> Chip:
    """Make a chip from the content of a file and the overrides."""
    plain.setdefault("name", path.stem)
    if not overrides:
        return validated(Chip, plain, path)
    changed = deepcopy(plain)
    for override in overrides:
        _set(changed, override)
    try:
        return validated(Chip, changed, None)
    except InputError as error:
        validated(Chip, plain, path)  # a fault of the file itself is named as such
        raise InputError(str(error), field="--set") from error


def _inherited(path: Path, seen: tuple[Path, ...], known: dict[Path, dict[str, Any]]) -> dict[str, Any]:
    """Return the content of a file, merged over that of the chip that it inherits from. ``known`` caches the files
    read.
    """
    if path not in known:
        known[path] = read_yaml(path)
    own = dict(known[path])
    parent = own.pop("inherits", None)
    if parent is None:
        return own
    above = path.parent / parent if str(parent).endswith((".yaml", ".yml")) else _locate(str(parent))
    if above.resolve() in (*seen, path.resolve()):
        raise InputError("a chip inherits itself", file=path, field="inherits", cure="break the circle")
    base = _inherited(above, (*seen, path.resolve()), known)
    base.pop("name", None)
    return _merged(base, own)


def _merged(base: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    """Merge own keys over inherited ones. A number (with a ``value``) is replaced as a whole, so that it brings its
    source.
    """
    merged = dict(base)
    for key, value in own.items():
        inherited = merged.get(key)
        if isinstance(value, dict) and isinstance(inherited, dict) and not {"value", "unit", "source"} & set(value):
            merged[key] = _merged(inherited, value)
        else:
            merged[key] = value
    return merged


def _set(plain: dict[str, Any], override: str) -> None:
    """Apply one ``key=value unit`` to a chip's plain form."""
    key, equals, text = override.partition("=")
    *groups, last = key.strip().split(".")
    place: Any = plain
    for group in groups:
        place = place.get(group) if isinstance(place, dict) else None
    if not equals or not isinstance(place, dict) or last not in place:
        raise InputError(f"no key {key!r} to set", field="--set", cure='see "matterhorn chips NAME"; --set KEY="1 pJ"')
    if not isinstance(place[last], dict):
        place[last] = text.strip()
        return
    if "value" not in place[last]:
        raise InputError(f"{key!r} is a group", field="--set", cure=f"set one of {', '.join(place[last])}")
    try:
        value, unit = parse(text)
    except ValueError as error:
        raise InputError(str(error), field=f"--set {key}", cure='give e.g. "1 pJ"') from error
    place[last] = {"value": value, "unit": unit, "source": "set by the user"}

"""What a study varies: data, and what a value makes of a device and a circuit."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import Field, ValidationError, model_validator

from ..errors import InputError
from ..msu import PARTS, Circuit, Device, deviating, load_circuit, load_device, only
from ..msu.circuit import Comparator, Jitter, Wires
from ..msu.device import Read, Stuck
from ..units import Quantity, Strict

Property = Literal["deviation", "read", "drift", "stuck", "wires", "on_off", "offset", "jitter"]
SOURCE = "varied by a study"


class Study(Strict):
    """Values of one property, from the least harmful on.

    Attributes:
        scale: on what axis values are drawn and interpolated. keep: parts that stay on besides the one varied.
        deviation: programming noise beside the property, in per cent. device: another one than the other studies'.
        chips: at most so many, where a property makes all chips alike.
    """

    title: str
    unit: str
    values: list[float] = Field(min_length=1, max_length=50)
    scale: Literal["linear", "log"] = "linear"
    keep: tuple[str, ...] = ()
    deviation: float | None = Field(default=None, ge=0, le=100)
    device: str | None = None
    chips: int | None = Field(default=None, ge=1)

    @model_validator(mode="after")
    def _sound(self) -> Study:
        rising, falling = sorted(set(self.values)), sorted(set(self.values), reverse=True)
        if self.values not in (rising, falling):
            raise ValueError("values: give them in one direction, each once")
        if self.scale == "log" and min(self.values) <= 0:
            raise ValueError("values: a log scale needs values above 0")
        for part in self.keep:
            if part not in PARTS:
                raise ValueError(f"keep: no part {part!r}, give some of {', '.join(PARTS)}")
        return self


class Plan(Strict):
    """All studies, and the device and circuit that their parts come from."""

    device: str
    circuit: str
    studies: dict[Property, Study] = Field(min_length=1)


def load_plan(path: Path | None = None) -> Plan:
    """The plan in a file; None takes the one that comes with the package."""
    own = resources.files("matterhorn.study") / "points.yaml"
    try:
        text = own.read_text(encoding="utf-8") if path is None else path.read_text(encoding="utf-8")
        return Plan.model_validate(yaml.safe_load(text))
    except OSError as error:
        raise InputError(f"cannot read ({error.strerror})", file=path, cure="give a YAML file") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"not YAML: {str(error).splitlines()[0]}", file=path) from error
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise InputError(first["msg"].removeprefix("Value error, "), file=path, field=field) from error


def set_to(name: Property, value: float, study: Study, plan: Plan) -> tuple[Device, Circuit, float]:
    """Device, circuit and seconds since programming at one value of a property."""
    device, circuit = load_device(study.device or plan.device), load_circuit(plan.circuit)
    keep, seconds = set(study.keep), 0.0
    try:
        if name == "drift":
            keep, seconds = keep | {"drift"}, value
        elif name == "read":
            device = device.model_copy(update={"read": Read(relative=_quantity(value, "%")) if value else None})
            keep |= {"read"}
        elif name == "stuck":
            half = _quantity(value / 2, "%")
            device, keep = device.model_copy(update={"stuck": Stuck(low=half, high=half)}), keep | {"stuck"}
        elif name == "on_off":
            low = _quantity(device.high * 1e6 / value, "uS")
            device = Device.model_validate({**dict(device), "conductance_low": low})
        else:
            circuit, keep = _circuit(name, value, circuit), keep | {_PART.get(name, name)}
    except ValidationError as error:
        raise InputError(error.errors()[0]["msg"], field=f"studies.{name}.values", cure="leave it out") from error
    device, circuit = only(device, *keep - {"deviation"}), only(circuit, *keep - {"deviation"})
    share = value if name == "deviation" else study.deviation
    return (device if share is None else deviating(device, share / 100)), circuit, seconds


_PART = {"offset": "comparator"}


def _circuit(name: Property, value: float, circuit: Circuit) -> Circuit:
    """The circuit with one of its parts at a value; 0 takes the part away."""
    parts: dict[str, Any] = {}
    if name == "wires":
        ohms = _quantity(value, "ohm")
        parts["wires"] = Wires(word_line=ohms, bit_line=ohms) if value else None
    elif name == "offset":
        parts["comparator"] = Comparator(offset=_quantity(value, "mV")) if value else None
    elif name == "jitter":
        late = _quantity(value, "ps")
        parts["jitter"] = Jitter(pulse=late, ramp=late) if value else None
    return circuit.model_copy(update=parts)


def _quantity(value: float, unit: str) -> Quantity:
    return Quantity(value=value, unit=unit, source=SOURCE)

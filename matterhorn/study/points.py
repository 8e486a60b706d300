"""Which properties a study varies, as data, and how a value changes a device and a circuit."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, model_validator

from ..errors import InputError
from ..msu import PARTS, Circuit, Device, deviating, load_circuit, load_device, only
from ..msu.circuit import Comparator, Jitter, Wires
from ..msu.device import Read, Stuck
from ..reading import Strict, read_yaml, validated
from ..units import Quantity

Property = Literal["deviation", "read", "drift", "stuck", "wires", "on_off", "offset", "jitter"]
SOURCE = "varied by a study"


class Study(Strict):
    """Values of one property to try.

    Attributes:
        title, unit: name of the property and unit of its values, for people.
        values: the values, starting with the least harmful.
        scale: axis on which values are plotted and interpolated.
        keep: non-idealities that stay on in addition to the varied one.
        deviation: programming noise in addition to the property, in percent. None: none.
        device: device of this study. None: that of the plan.
        chips: maximum number of chips, for properties that make all chips alike. None: no maximum.
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
    def _check_values(self) -> Study:
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
    """All studies, and the device and circuit whose non-idealities they vary."""

    device: str
    circuit: str
    studies: dict[Property, Study] = Field(min_length=1)

    def only(self, names: Sequence[str]) -> Plan:
        """Return the plan with the studies of some properties only.

        Raises:
            InputError: there is no such property.
        """
        if unknown := [name for name in names if name not in self.studies]:
            cure = f"choose from {', '.join(self.studies)}"
            raise InputError(f"no property {unknown[0]!r}", field="--only", cure=cure)
        return self.model_copy(update={"studies": {n: study for n, study in self.studies.items() if n in names}})


def load_plan(path: Path | None = None) -> Plan:
    """Load the plan in a file. None: the plan that comes with the package."""
    path = path or Path(__file__).parent / "points.yaml"
    return validated(Plan, read_yaml(path), path)


def sources_of(plan: Plan) -> dict[str, Any]:
    """Return everything in a plan that a chip's score depends on, as plain values.

    Values are left out, so that more of them can be tried later. Devices and the circuit are included in full, since
    their files may change.
    """
    names = {plan.device, *(study.device for study in plan.studies.values() if study.device)}
    devices = {name: load_device(name).model_dump(mode="json") for name in sorted(names)}
    plain = plan.model_dump(mode="json", exclude={"studies": {"__all__": {"title", "values", "chips"}}})
    return {"plan": plain, "devices": devices, "chip_circuit": load_circuit(plan.circuit).model_dump(mode="json")}


NEEDS: dict[str, tuple[str, ...]] = {"deviation": (), "on_off": (), "offset": ("comparator",)}
"""Parts that have to be on for a property, if this is not the part with its name."""


def set_to(name: Property, value: float, study: Study, plan: Plan) -> tuple[Device, Circuit, float]:
    """Return device, circuit and seconds since programming at one value of a property.

    Raises:
        InputError: the value is not possible.
    """
    device, circuit = load_device(study.device or plan.device), load_circuit(plan.circuit)
    try:
        if name == "on_off":
            low = _quantity(device.high * 1e6 / value, "uS")
            device = Device.model_validate({**dict(device), "conductance_low": low})
        elif name in ("read", "stuck"):
            device = device.model_copy(update=_varied(name, value))
        else:
            circuit = circuit.model_copy(update=_varied(name, value))
    except ValidationError as error:
        raise InputError(error.errors()[0]["msg"], field=f"studies.{name}.values", cure="leave it out") from error
    keep = (*study.keep, *NEEDS.get(name, (name,)))
    device, circuit = only(device, *keep), only(circuit, *keep)
    share = value if name == "deviation" else study.deviation
    return device if share is None else deviating(device, share / 100), circuit, value if name == "drift" else 0.0


def _varied(name: Property, value: float) -> dict[str, Any]:
    """Return the parts of a device or circuit that one value of a property changes. At 0, they are removed."""
    if name == "read":
        return {"read": Read(relative=_quantity(value, "%")) if value else None}
    if name == "stuck":
        return {"stuck": Stuck(low=_quantity(value / 2, "%"), high=_quantity(value / 2, "%"))}
    if name == "wires":
        return {"wires": Wires(word_line=_quantity(value, "ohm"), bit_line=_quantity(value, "ohm")) if value else None}
    if name == "offset":
        return {"comparator": Comparator(offset=_quantity(value, "mV")) if value else None}
    if name == "jitter":
        return {"jitter": Jitter(pulse=_quantity(value, "ps"), ramp=_quantity(value, "ps")) if value else None}
    return {}


def _quantity(value: float, unit: str) -> Quantity:
    return Quantity(value=value, unit=unit, source=SOURCE)

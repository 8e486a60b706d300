"""Bill layers that another simulator has counted, given as a table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from ..errors import InputError
from ..reading import Strict, validated
from ..topology import Site
from .activity import Activity
from .billing import Bill, bill_windows
from .chip import Chip
from .codings import Form
from .library import DEFAULT, load
from .mapping import Hardware, hardware_of, place_layers
from .rivals import mean_bits


class Row(Strict):
    """One layer of a table, of one sample (means are fine).

    Attributes:
        layer: its name. fan_in, fan_out: rows and columns of its weights (of a convolution: kernel × kernel × channels
            in, and channels out). vectors: input vectors that it works on (tokens, or positions of an image).
        neurons: that send to it; else vectors × fan_in. spikes: that these send; without them each sends a word.
        operations: synaptic operations; else every spike reaches vectors × fan_in × fan_out / neurons synapses.
        code: ``rate``, or ``ttfs`` for at most one spike in a window. steps: time steps of a window.
        kappa: mean time steps for which a spike drives its row in a synapse unit; else 1, or half the steps of TTFS.
        weight_bits, level_bits: of a weight, and of a word where there are no spikes.
        after: the layer that feeds it, or ``input``; else the one before it.
    """

    layer: str = Field(min_length=1)
    fan_in: int = Field(ge=1, le=2**24)
    fan_out: int = Field(ge=1, le=2**24)
    vectors: float = Field(1, gt=0)
    neurons: float | None = Field(None, gt=0)
    spikes: float | None = Field(None, ge=0)
    operations: float | None = Field(None, ge=0)
    code: Literal["rate", "ttfs"] = "rate"
    steps: int = Field(1, ge=1, le=2**16)
    kappa: float | None = Field(None, ge=0)
    weight_bits: int = Field(8, ge=1, le=64)
    level_bits: int = Field(8, ge=1, le=32)
    after: str | None = None


class Layer(Activity):
    """An activity of a layer with a name of its own; ``connection`` is ``<layer> <- <what feeds it>``."""

    @property
    def name(self) -> str:
        """The layer."""
        return self.connection.split(" <- ")[0]

    @property
    def source(self) -> Site:
        """What feeds it; readers of one source share packets where they have one fan-in."""
        return Site(self.fan_in, self.connection.split(" <- ")[1])

    @property
    def fires(self) -> bool:
        """Levels come from potentials."""
        return True

    @property
    def dynamic(self) -> bool:
        """It has weights."""
        return False

    @property
    def outputs(self) -> float:
        """Every input vector makes one vector of outputs."""
        return self.vectors * self.fan_out


def layers_of(rows: Iterable[Mapping[str, Any]], file: str | Path = "rows") -> list[Layer]:
    """Layers of a table: see :class:`Row`; empty cells are as if they were not there.

    Raises:
        InputError: a cell is missing or out of range, a name is there twice or feeds from nowhere, spikes and neurons
            do not fit, or layers that one population feeds count different spikes.
    """
    found: list[Layer] = []
    sent: dict[Site, tuple[float, float]] = {}
    before = "input"
    for number, plain in enumerate(rows, 1):
        place = Path(f"{file}, row {number}")
        row = validated(Row, {key: cell for key, cell in plain.items() if cell not in ("", None)}, place)
        names = ["input", *(layer.name for layer in found)]
        if row.layer in names or " <- " in row.layer:
            raise InputError(f"{row.layer!r} cannot be its name", file=place, field="layer", cure="give it another")
        if (after := row.after or before) not in names:
            raise InputError(
                f"no {after!r} above it", file=place, field="after", cure=f"give one of {', '.join(names)}"
            )
        layer, before = _layer(row, after), row.layer
        most = layer.windows * (1 if row.code == "ttfs" else row.steps)
        if row.spikes is not None and row.spikes > most:
            cure = f"{row.code} sends at most {most:g}: mend spikes, neurons or steps"
            raise InputError(f"{row.spikes:g} spikes", file=place, field="spikes", cure=cure)
        if layer.operations > layer.products * row.steps:
            raise InputError("more than products in all steps", file=place, field="operations", cure="mend the row")
        if sent.setdefault(layer.source, (layer.windows, layer.events)) != (layer.windows, layer.events):
            problem = f"other neurons or spikes of {after!r} than above"
            raise InputError(problem, file=place, field="spikes", cure="one population sends the same to all")
        found.append(layer)
    if not found:
        raise InputError("no layers", file=file, cure="give at least one row")
    return found


def _layer(row: Row, after: str) -> Layer:
    windows = row.vectors * row.fan_in if row.neurons is None else row.neurons
    products, top = row.vectors * row.fan_in * row.fan_out, 2**row.level_bits
    common: dict[str, Any] = {
        "block": 0, "connection": f"{row.layer} <- {after}", "fan_in": row.fan_in, "fan_out": row.fan_out, "heads": 1,
        "level_bits": row.level_bits, "operand_bits": row.weight_bits, "digits": row.weight_bits,
        "vectors": row.vectors, "windows": windows, "products": products,
    }  # fmt: skip
    if row.spikes is None:
        return Layer(
            **common, form="word", adds=min(row.level_bits, row.weight_bits), steps=0, events=windows, active=windows,
            operations=products, kappa=windows * top / 4, squares=windows * top**2 / 12, threshold_words=2,
            pulses=windows * row.level_bits / 2,
        )  # fmt: skip
    one = row.code == "ttfs"
    form: Form = "spike" if one else "train"
    slots = (row.steps / 2 if one else 1.0) if row.kappa is None else row.kappa
    mean, common["level_bits"] = row.spikes * slots / windows, max(1, row.steps.bit_length() - 1)
    return Layer(
        **common, form=form, pulses=row.spikes * mean_bits(form, slots), adds=1, steps=row.steps, events=row.spikes,
        active=min(windows, row.spikes), kappa=row.spikes * slots, compares=windows * row.steps, threshold_words=1,
        operations=row.spikes * products / windows if row.operations is None else row.operations,
        squares=row.spikes * slots**2 if one else windows * (mean + mean**2),
    )  # fmt: skip


def bill_layers(
    rows: Iterable[Mapping[str, Any]],
    chip: Chip | str = DEFAULT,
    hardware: Hardware | None = None,
    file: str | Path = "rows",
) -> Bill:
    """What layers cost for one sample: see :class:`Row`. Vectors stream through them, one a window.

    Args:
        rows: dictionaries, e.g. of ``csv.DictReader``. hardware: None for the arrays that are cheaper.
        file: what errors call them.

    Raises:
        InputError: see :func:`layers_of`; the chip has no such arrays, or its mesh is too small.

    Example:

    >>> rows = [{"layer": "fc1", "fan_in": 784, "fan_out": 100, "spikes": 900, "steps": 10},
    ...         {"layer": "fc2", "fan_in": 100, "fan_out": 10, "spikes": 60, "steps": 10}]
    >>> bill_layers(rows, chip="loihi").hardware
    'digital'
    """
    on, layers = chip if isinstance(chip, Chip) else load(chip), layers_of(rows, file)
    windows = max(layer.vectors for layer in layers) + len(layers) - 1
    kinds = hardware_of(on) if hardware is None else (hardware,)
    bills = [bill_windows(layers, windows, on, place_layers(layers, on, kind)) for kind in kinds]
    return min(bills, key=lambda bill: bill.total)

"""``matterhorn energy --config`` and ``--layers``: the bill of a network that did not run here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..energy.chip import Chip
from ..errors import InputError

FOREIGN_FORMAT = 2
"""Version of the document that ``matterhorn energy --config`` or ``--layers`` prints with ``--json``. Version 2 added
notes.
"""


def bill_foreign(
    chip: Chip, config: Path | None, layers: Path | None, tokens: int, bits: tuple[int | None, int | None]
) -> dict[str, Any]:
    """Make the document for ``--config`` or ``--layers``.

    ``bits``: bits of weights and of activations for a configuration, or None for what the configuration says.
    """
    from ..energy import bill_encoder, bill_layers
    from ..energy.answer import larger_dies
    from ..energy.layers import Row
    from ..energy.mapping import hardware_of
    from ..tasks.tables import open_table

    if config is not None:
        if layers is not None:
            raise InputError("a configuration, and layers", field="--layers", cure="give one of them")
        own, by_hardware = bill_encoder(config, chip, tokens, weight_bits=bits[0], activation_bits=bits[1])
    else:
        assert layers is not None
        if any(bits):
            raise InputError("bits beside a table", field="--weight-bits", cure="give columns weight_bits, level_bits")
        table = open_table(layers)
        if unknown := [column for column in table.columns if column not in Row.model_fields]:
            cure = f"columns are {', '.join(Row.model_fields)}"
            raise InputError("no such column", file=layers, field=", ".join(unknown), cure=cure)
        rows = [row for _, row in table.read(table.columns)]
        by_hardware = {kind: bill_layers(rows, chip, kind, layers).total for kind in hardware_of(chip)}
        own = bill_layers(rows, chip, None, layers)
    model = str(config or layers)
    return {
        "format": FOREIGN_FORMAT,
        "model": model,
        "chip": chip.name,
        "hardware": own.hardware,
        "tokens": None if config is None else tokens,
        "total_j": own.total,
        "by_hardware_j": by_hardware,
        "by_category": own.by_category,
        "by_connection": own.by_connection,
        "operations": own.operations,
        "latency_s": own.latency,
        "power_w": own.power,
        "area_m2": own.area,
        "notes": larger_dies({model: own.area}, chip),
    }

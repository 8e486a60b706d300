"""Networks side by side on a chip."""

from __future__ import annotations

from collections.abc import Mapping as Named
from typing import Any

from ..trace import Trace
from .activity import as_traced, coding, recode, silent_share
from .bill import make_bill
from .chip import Chip
from .mapping import hardware_of
from .study import map_trace, own_name


def compare_on(traces: Named[str, Trace], chip: Chip) -> list[dict[str, Any]]:
    """One row per network and kind of array: J and s per sentence of its own code, and J of a dense 4-bit twin."""
    rows = []
    for name, trace in traces.items():
        own = as_traced(trace)
        for hardware in hardware_of(chip):
            mapping = map_trace(trace, chip, hardware)
            bill = make_bill(own, trace, chip, mapping)
            dense = make_bill(recode(trace, coding("dense")), trace, chip, mapping)
            rows.append(
                {
                    "network": name,
                    "chip": chip.name,
                    "hardware": hardware,
                    "code": own_name(trace),
                    "silent_share": silent_share(own),
                    "per_sentence_j": bill.per_sentence,
                    "dense_per_sentence_j": dense.per_sentence,
                    "times_dense": dense.total / bill.total,
                    "movement_share": bill.movement_share,
                    "latency_per_sentence_s": bill.latency / bill.sequences,
                    "area_m2": bill.area,
                    "tiles": mapping.tiles,
                }
            )
    return rows

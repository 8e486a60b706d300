"""The energy page: one self-contained HTML file that works offline. Figures are those of the JSON answer, embedded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..energy.activity import CODINGS, as_traced, coding, recode, silent_share
from ..energy.chip import Chip
from ..energy.heat import tile_heat
from ..energy.mapping import hardware_of
from ..energy.shapes import SHAPES, as_wide, lay
from ..energy.study import break_even_hops, break_even_lengths, map_trace
from ..trace import ROLES, Trace
from .page_file import fill_page, write_page_file

SILENCES = [i / 20 for i in range(20)] + [0.975, 0.99]
HOP_FACTORS = [0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0]
LENGTHS = [16, 32, 64, 128, 256, 512]


def write_page(path: Path, answer: dict[str, Any], trace: Trace, chip: Chip) -> None:
    """Write the page for an answer and the trace and chip that it is about."""
    data = {"answer": answer, **page_data(trace, chip, answer["bert_base_tokens"])}
    write_page_file(path, fill_page("energy", f"{answer['model']} on {answer['chip']}", data))


def page_data(trace: Trace, chip: Chip, length: int) -> dict[str, Any]:
    """What the page shows beyond the answer: silence by layer, heat, tornado, break-even maps, the chip's numbers."""
    hardware = hardware_of(chip)[-1]
    activities = as_traced(trace)
    mapping = map_trace(trace, chip, hardware)
    base = as_wide(SHAPES["bert-base"], trace)
    laid = lay(trace, base, length)
    heat = tile_heat(activities, chip, mapping)
    return {
        "silence": {code.name: _silence(trace, code.name) for code in CODINGS if code.masked},
        "roles": list(ROLES),
        "mesh": {
            "columns": mapping.mesh.columns,
            "rows": mapping.mesh.rows,
            "joules": [[heat.get((x, y), 0.0) / trace.sequences for x in range(mapping.mesh.columns)]
                       for y in range(mapping.mesh.rows)],
            "labels": _labels(mapping.mesh.columns, mapping.mesh.rows, mapping.groups),
        },
        "silences": SILENCES,
        "hop_factors": HOP_FACTORS,
        "break_even_hops": break_even_hops(laid, chip, SILENCES, HOP_FACTORS),
        "lengths": LENGTHS,
        "break_even_lengths": break_even_lengths(trace, base, chip, SILENCES, LENGTHS),
        "chip": [
            {"key": key, "value": quantity.text, "source": quantity.source} for key, quantity in chip.quantities()
        ],
        "chip_title": chip.title,
        "chip_about": chip.about.strip(),
    }  # fmt: skip


def _silence(trace: Trace, name: str) -> list[list[float]]:
    """Silent share ``[block][role]``."""
    found = {(a.block, a.role): silent_share([a]) for a in recode(trace, coding(name))}
    blocks = sorted({block for block, _ in found})
    return [[found[block, role] for role in ROLES] for block in blocks]


def _labels(columns: int, rows: int, groups: dict[str, Any]) -> list[list[str]]:
    """Name of the group on every tile, empty where there is none."""
    names = {tile: name for name, group in groups.items() for tile in group.tiles}
    return [[names.get((x, y), "") for x in range(columns)] for y in range(rows)]

"""The energy page: one self-contained HTML file that works offline. Figures are those of the JSON answer, embedded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..energy.activity import CODINGS, Coding, as_traced, recode, silent_share
from ..energy.chip import Chip
from ..energy.mapping import Mapping, hardware_of
from ..energy.movement import tile_heat
from ..energy.shapes import SHAPES, as_wide, lay
from ..energy.study import break_even_hops, break_even_lengths, map_trace
from ..program.trace import Trace
from ..storage import put_file
from ..topology import CONNECTION
from .page_file import fill_page

SILENCES = [i / 20 for i in range(20)] + [0.975, 0.99]
HOP_FACTORS = [0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0]
LENGTHS = [16, 32, 64, 128, 256, 512]


def write_page(path: Path, answer: dict[str, Any], trace: Trace, chip: Chip) -> None:
    """Write the page for an answer and the trace and chip that it is about."""
    data = {"answer": answer, **page_data(trace, chip, answer["bert_base_tokens"])}
    put_file(path, fill_page("energy", f"{answer['model']} on {answer['chip']}", data))


def page_data(trace: Trace, chip: Chip, length: int) -> dict[str, Any]:
    """What the page shows beyond the answer: silence by layer, heat, tornado, break-even maps, the chip's numbers."""
    mapping = map_trace(trace, chip, hardware_of(chip)[-1])
    base = as_wide(SHAPES["bert-base"], trace)
    heat = tile_heat(as_traced(trace), chip, mapping)
    columns, rows = range(mapping.mesh.columns), range(mapping.mesh.rows)
    return {
        "silence": {code.name: _silence(trace, code) for code in CODINGS if code.masked},
        "connections": list(CONNECTION),
        "mesh": {
            "joules": [[heat.get((x, y), 0.0) / trace.sequences for x in columns] for y in rows],
            "labels": _labels(mapping),
        },
        "silences": SILENCES,
        "hop_factors": HOP_FACTORS,
        "break_even_hops": break_even_hops(lay(trace, base, length), chip, SILENCES, HOP_FACTORS),
        "lengths": LENGTHS,
        "break_even_lengths": break_even_lengths(trace, base, chip, SILENCES, LENGTHS),
        "chip": [{"key": key, "value": number.text, "source": number.source} for key, number in chip.quantities()],
        "chip_title": chip.title,
        "chip_about": chip.about.strip(),
    }


def _silence(trace: Trace, code: Coding) -> list[list[float]]:
    """Silent share ``[block][connection]``."""
    found = {(a.block, a.connection): silent_share([a]) for a in recode(trace, code)}
    return [[found[block, connection] for connection in CONNECTION] for block in range(trace.shape.layers)]


def _labels(mapping: Mapping) -> list[list[str]]:
    """Name of the group on every tile, empty where there is none."""
    names = {tile: name for name, group in mapping.groups.items() for tile in group.tiles}
    return [[names.get((x, y), "") for x in range(mapping.mesh.columns)] for y in range(mapping.mesh.rows)]

"""The energy page: one self-contained HTML file that works offline. It embeds the figures of the JSON answer."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from ..energy.activity import Activity, as_traced, quiet_share, recode, silent_share
from ..energy.billing import PARTS, Bill
from ..energy.chip import Chip
from ..energy.codings import Coding
from ..energy.mapping import Mapping
from ..energy.movement import tile_heat
from ..energy.shapes import SHAPES, in_proportion, lay
from ..energy.study import bill, break_even_hops, break_even_lengths, codings_of, map_trace, own_coding
from ..energy.words import CONNECTION_NAMES, MEMORIES, WHERE, in_words, line_name, number_name
from ..program.trace import Trace
from ..storage import put_file
from ..topology import CONNECTION, Site
from .bill_plot import COLORS
from .energy_table import measured
from .front import Point
from .page_file import fill_page

SILENCES = [i / 20 for i in range(20)] + [0.975, 0.99]
HOP_FACTORS = [0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0]
LENGTHS = [16, 32, 64, 128, 256, 512]


def write_page(path: Path, answer: dict[str, Any], trace: Trace, chip: Chip, points: Sequence[Point] = ()) -> None:
    """Write the page for an answer, its trace and chip, and the points of a front."""
    data = {"answer": answer, **page_data(trace, chip, answer), "front": [asdict(point) for point in points]}
    put_file(path, fill_page("energy", f"{answer['model']} on {answer['chip']}", data))


def page_data(trace: Trace, chip: Chip, answer: dict[str, Any]) -> dict[str, Any]:
    """Collect what the page shows in addition to the answer.

    It has where the energy goes, silence by layer, heat, break-even maps, words, and the chip's numbers.
    """
    hardware, length = answer["hardware"], answer["bert_base_tokens"]
    mapping = map_trace(trace, chip, hardware)
    base = replace(in_proportion(SHAPES["bert-base"], trace), layers=answer["bert_base_blocks"])
    heat = tile_heat(as_traced(trace), chip, mapping)
    columns, rows = range(mapping.mesh.columns), range(mapping.mesh.rows)
    lengths, taken = sorted({*LENGTHS, length}), {tile for group in mapping.groups.values() for tile in group.tiles}
    return {
        "parts": [
            {"name": name, "of": of, "color": color} for (name, of), color in zip(PARTS.items(), COLORS, strict=True)
        ],
        "measured": measured(answer),
        "words": {code.name: in_words(code.name) for code in codings_of(trace)},
        "arrays": WHERE,
        "memories": MEMORIES,
        "numbers": {key: number_name(key) for key in _keys(answer)},
        "lines": {name: line_name(name) for name in answer["by_connection"]},
        "goes": _consumers(bill(trace, chip, hardware), trace),
        "silence": {code.name: _shares(trace, code, silent_share) for code in codings_of(trace) if code.masked},
        "quiet": {code.name: _shares(trace, code, quiet_share) for code in codings_of(trace) if code.masked},
        "connections": list(CONNECTION),
        "names": CONNECTION_NAMES,
        "mesh": {
            "joules": [[heat.get((x, y), 0.0) / trace.sequences for x in columns] for y in rows],
            "used": [[(x, y) in taken for x in columns] for y in rows],
            "names": _names(mapping),
        },
        "silences": SILENCES,
        "hop_factors": HOP_FACTORS,
        "break_even_hops": break_even_hops(lay(trace, base, length), chip, SILENCES, HOP_FACTORS),
        "lengths": lengths,
        "break_even_lengths": break_even_lengths(trace, base, chip, SILENCES, lengths),
        "chip": [{"key": key, "value": number.text, "source": number.source} for key, number in chip.quantities()],
        "chip_title": chip.title,
        "chip_about": chip.about.strip(),
    }


def _keys(answer: dict[str, Any]) -> set[str]:
    """Keys of the numbers that the page names in words."""
    return {row["key"] for rows in (answer["tornado"], *answer["drivers"].values()) for row in rows}


def _consumers(own: Bill, trace: Trace) -> dict[str, dict[str, float]]:
    """Return J by consumer (connections and digital functions, over all blocks), largest first, and by category."""
    found: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for (name, category), joules in own.lines.items():
        if name in trace.connections:
            part = Site.parse(name).part
            what = CONNECTION_NAMES.get(part, part)
        else:
            what = trace.digital[name].operation.replace("_", " ") if name in trace.digital else name
        found[what][category] += joules
    return dict(sorted(found.items(), key=lambda item: -sum(item[1].values())))


def _shares(trace: Trace, code: Coding, share: Callable[[Sequence[Activity]], float]) -> list[list[float]]:
    """Return silent or quiet shares ``[block][connection]`` in a code; in the network's own code, as counted."""
    activities = as_traced(trace) if code == own_coding(trace) else recode(trace, code)
    found = {(a.block, a.connection): share([a]) for a in activities}
    return [[found[block, connection] for connection in CONNECTION] for block in range(trace.shape.layers)]


def _names(mapping: Mapping) -> list[dict[str, Any]]:
    """Return the labels of the mesh and their positions, in the middle of each block's tiles."""
    blocks: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for name, group in mapping.groups.items():
        blocks[f"block {Site.parse(name).block}" if "." in name else name] += group.tiles
    return [{"name": name, "x": x, "y": y} for name, own in blocks.items() for x, y in [own[len(own) // 2]]]

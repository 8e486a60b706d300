"""The spike raster: how one sentence passes through the layers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..coding import SILENT
from ..errors import visible
from ..program.program import Program
from ..program.trace import Trace
from ..runtime.record import SlotRecorder
from ..topology import Site
from .picture import save_picture
from .tables import percent

COLORS = {
    "input": "#2f6f9f",
    "queries": "#d1495b",
    "probabilities": "#edae49",
    "context": "#66a182",
    "hidden": "#6c5b95",
    "intermediate": "#30343f",
}


def plot_raster(program: Program, recorder: SlotRecorder, trace: Trace, title: str, path: Path) -> None:
    """Plot the spikes of the first token's neurons ([CLS], which the classifier reads), window by window.

    Below is the silent share over all tokens. It equals the quiet share of a population, since all its spikes reach the
    same number of synapses.

    Args:
        recorder, trace: record of one sentence.
        path: image file; its ending determines the format.
    """
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, (spikes, shares) = plt.subplots(
        2, 1, figsize=(15, 7), height_ratios=(3, 1), sharex=True, layout="constrained"
    )
    window = 2**program.config.activation_bits
    seen: set[str] = set()
    for place, (site, slots) in enumerate(recorder.slots.items()):
        kind, own = site.part, _first_token(site, slots, recorder, program)
        neuron = np.flatnonzero(own != SILENT)
        start = place * window
        spikes.scatter(
            start + own[neuron].astype(int),
            (neuron + 0.5) / len(own),
            s=3,
            color=COLORS[kind],
            label=None if kind in seen else kind,
            linewidths=0,
        )
        seen.add(kind)
        silent = float((slots == SILENT).mean())
        shares.bar(start + window / 2, 100 * silent, width=window * 0.85, color=COLORS[kind])
        if kind == "input":
            for axis in (spikes, shares):
                axis.axvline(start, color="#bbbbbb", linewidth=0.8)
            spikes.text(start + window * 0.3, 1.02, f"block {site.block}", fontsize=10)
    spikes.set(ylabel="neuron (share of the population)", ylim=(0, 1.08), xlim=(0, len(recorder.slots) * window))
    spikes.set_yticks([0, 0.5, 1])
    shares.set(ylabel="silent, %", xlabel=f"slot (windows of {window} slots, one after another)", ylim=(0, 100))
    spikes.legend(loc="upper center", bbox_to_anchor=(0.5, 1.16), ncols=6, frameon=False, markerscale=4)
    whole = f"all: {percent(trace.silent_share)} silent, {percent(trace.quiet_share)} quiet"
    figure.suptitle(f"Spikes of the first token: {visible(title)} ({whole})", fontsize=12, parse_math=False)
    save_picture(figure, path)


def _first_token(site: Site, slots: NDArray[np.uint8], recorder: SlotRecorder, program: Program) -> NDArray[np.uint8]:
    """Return the slots of the first token's neurons; of probabilities, those of all its heads and keys."""
    first: NDArray[np.uint8] = slots[0]
    if site.part == "probabilities":
        keys = int(recorder.sequences.lengths[0])
        first = slots.reshape(program.shape.heads, -1, keys)[:, 0].ravel()
    return first

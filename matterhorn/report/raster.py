"""The spike raster: one sentence's way through the layers."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..coding import SILENT
from ..engines.record import SlotRecorder
from ..models.spiking import SpikingNetwork

COLOURS = {
    "input": "#2f6f9f",
    "queries": "#d1495b",
    "probabilities": "#edae49",
    "mixed": "#66a182",
    "hidden": "#6c5b95",
    "middle": "#30343f",
}


def plot_raster(network: SpikingNetwork, recorder: SlotRecorder, title: str, path: Path, token: int = 0) -> None:
    """Draw the spikes of one token's neurons, window after window, and the silent share of all tokens below.

    Args:
        token: position in the sentence; 0 is [CLS], which the classifier reads.
        path: picture to write (its ending says which kind).
    """
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, (spikes, shares) = plt.subplots(
        2, 1, figsize=(15, 7), height_ratios=(3, 1), sharex=True, layout="constrained"
    )
    window = 2**network.config.activation_bits
    seen: set[str] = set()
    for place, (name, slots) in enumerate(recorder.slots.items()):
        kind = name.rsplit(".", 1)[1]
        own = slots[0, :, token].flatten() if slots.dim() == 4 else slots[0, token]
        neuron = np.flatnonzero((own != SILENT).numpy())
        start = place * window
        spikes.scatter(
            start + own.numpy()[neuron].astype(int),
            (neuron + 0.5) / len(own),
            s=3,
            color=COLOURS[kind],
            label=None if kind in seen else kind,
            linewidths=0,
        )
        seen.add(kind)
        quiet = float((slots[0] == SILENT).float().mean())
        shares.bar(start + window / 2, 100 * quiet, width=window * 0.85, color=COLOURS[kind])
        if kind == "input":
            for axis in (spikes, shares):
                axis.axvline(start, color="#bbbbbb", linewidth=0.8)
            spikes.text(start + window * 0.3, 1.02, f"block {name.split('.')[1]}", fontsize=10)
    spikes.set(ylabel="neuron (share of the population)", ylim=(0, 1.08), xlim=(0, len(recorder.slots) * window))
    spikes.set_yticks([0, 0.5, 1])
    shares.set(ylabel="silent, %", xlabel=f"slot (windows of {window} slots, one after another)", ylim=(0, 100))
    spikes.legend(loc="upper center", bbox_to_anchor=(0.5, 1.16), ncols=6, frameon=False, markerscale=4)
    figure.suptitle(f"Spikes of token {token}: {title}", fontsize=12)
    figure.savefig(path, dpi=110)
    plt.close(figure)

"""The bill as a picture: one stacked bar per code and kind of array, dense words first."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..energy.answer import NAMES
from ..errors import visible
from ..storage import put_file
from ..units import engineering

PARTS = {
    "computing": ("computing",),
    "movement": ("spike_movement", "dense_movement"),
    "weights, keys, values": ("weight_access", "kv_write", "kv_read"),
    "conduction": ("msu_conduction",),
    "periphery": ("msu_row_drivers", "msu_integrator", "msu_comparator", "msu_readout", "msu_control"),
    "neuron state": ("neuron_state", "thresholds"),
    "digital functions": ("digital_functions",),
    "leakage": ("leakage",),
}
"""Parts of a bar and the categories of the bill in them: together all of them."""

COLORS = ("#2f6f9f", "#d1495b", "#edae49", "#66a182", "#a3c9a8", "#6c5b95", "#30343f", "#b0b0b0")


def plot_bill(answer: dict[str, Any], path: Path) -> None:
    """Draw what ``energy_answer`` found, per sentence: dense words, plain TTFS, masked TTFS and the network's own code.

    Args:
        path: picture to write (its ending says which kind).
    """
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    codes = ("dense", "ttfs", "mttfs-k0", answer["code"])
    bills = sorted((e for e in answer["encodings"] if e["code"] in codes), key=lambda e: codes.index(e["code"]))
    arrays = list(dict.fromkeys(e["hardware"] for e in bills))
    bars = sorted(bills, key=lambda e: arrays.index(e["hardware"]))
    figure, axis = plt.subplots(figsize=(9, 1.4 + 0.38 * len(bars)), layout="constrained")
    left = [0.0] * len(bars)
    for (part, categories), color in zip(PARTS.items(), COLORS, strict=True):
        widths = [1e6 * sum(e["by_category"][c] for c in categories) / answer["n"] for e in bars]
        if any(widths):
            axis.barh(range(len(bars)), widths, left=left, color=color, label=part)
        left = [a + b for a, b in zip(left, widths, strict=True)]
    for row, (end, bar) in enumerate(zip(left, bars, strict=True)):
        axis.text(end, row, f" {engineering(bar['total_j'] / answer['n'])}", va="center", fontsize=9)
    axis.set_yticks(range(len(bars)), [f"{e['code']}, {NAMES[e['hardware']]}" for e in bars])
    axis.invert_yaxis()
    axis.set(xlabel="µJ per sentence", xlim=(0, 1.1 * max(left)))
    title = f"{visible(answer['model'])} on {visible(answer['chip'])}: the same levels, sent in other codes"
    axis.set_title(title, fontsize=11, parse_math=False)
    axis.spines[["top", "right"]].set_visible(False)
    figure.legend(
        loc="outside lower center", ncols=len(PARTS), frameon=False, fontsize=8, columnspacing=1, handlelength=1
    )
    put_file(path, lambda fresh: figure.savefig(fresh, dpi=110))
    plt.close(figure)

"""Plot of the bill: one stacked bar per code and kind of array, dense words first."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..energy.billing import PARTS
from ..energy.words import NAMES, in_words
from ..errors import visible
from ..units import engineering
from .picture import save_picture

COLORS = ("#0072b2", "#e69f00", "#d55e00", "#009e73", "#cc79a7", "#999999")
"""Colors of the parts, also used on the page. They are from Okabe and Ito's palette, which does not require telling red
from green.
"""


def plot_bill(answer: dict[str, Any], path: Path) -> None:
    """Plot the result of ``energy_answer`` per sentence: dense words, plain TTFS, masked TTFS and the network's own
    code.

    Args:
        path: image file; its ending determines the format.
    """
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    from matplotlib.patches import Patch

    codes = ("dense", "ttfs", "mttfs-k0", answer["code"])
    bills = sorted((e for e in answer["encodings"] if e["code"] in codes), key=lambda e: codes.index(e["code"]))
    arrays = list(dict.fromkeys(e["hardware"] for e in bills))
    bars = sorted(bills, key=lambda e: arrays.index(e["hardware"]))
    figure, axis = plt.subplots(figsize=(9, 1.4 + 0.38 * len(bars)), layout="constrained")
    shades = [1.0 if e["trained"] else 0.45 for e in bars]
    left, legend = [0.0] * len(bars), []
    for (part, categories), color in zip(PARTS.items(), COLORS, strict=True):
        widths = [1e6 * sum(e["by_category"][c] for c in categories) / answer["n"] for e in bars]
        if any(widths):
            drawn = axis.barh(range(len(bars)), widths, left=left, color=color)
            legend.append(Patch(color=color, label=part))
            for bar, shade in zip(drawn, shades, strict=True):
                bar.set_alpha(shade)
        left = [a + b for a, b in zip(left, widths, strict=True)]
    for row, (end, e) in enumerate(zip(left, bars, strict=True)):
        axis.text(end, row, f" {engineering(e['total_j'] / answer['n'])}", va="center", fontsize=9)
    axis.set_yticks(range(len(bars)), [f"{in_words(e['code'])}, {NAMES[e['hardware']]}" for e in bars])
    axis.invert_yaxis()
    axis.set(xlabel="µJ per sentence", xlim=(0, 1.1 * max(left)))
    title = f"{visible(answer['model'])} on {visible(answer['chip'])}: the same levels in other codes (pale: untrained)"
    axis.set_title(title, fontsize=11, parse_math=False)
    axis.spines[["top", "right"]].set_visible(False)
    figure.legend(
        handles=legend,
        loc="outside lower center",
        ncols=len(PARTS),
        frameon=False,
        fontsize=8,
        columnspacing=1,
        handlelength=1,
    )
    save_picture(figure, path)

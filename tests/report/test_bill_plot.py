"""The picture of a bill: nothing is left out of its bars, and their ends are the totals."""

from __future__ import annotations

import matplotlib.pyplot as plt
import pytest

from matterhorn.energy import CATEGORIES, energy_answer, load
from matterhorn.energy.billing import PARTS
from matterhorn.energy.words import in_words
from matterhorn.report.bill_plot import COLORS, plot_bill

from ..energy import synthetic


def test_every_category_is_in_one_part():
    assert len(COLORS) == len(PARTS) <= 6
    assert sorted(category for part in PARTS.values() for category in part) == sorted(CATEGORIES)


@pytest.mark.parametrize(("chip", "bars"), [("rram-22nm", 8), ("loihi", 4)])
def test_bars_add_up_to_the_bills(tmp_path, monkeypatch, chip, bars):
    answer = energy_answer(synthetic.minilm(), load(chip), model="a", task="b")
    kept = []
    monkeypatch.setattr(plt, "close", kept.append)
    plot_bill(answer, tmp_path / "bill.png")
    assert (tmp_path / "bill.png").read_bytes()[:4] == b"\x89PNG"
    axis = kept[0].axes[0]
    names = [label.get_text() for label in axis.get_yticklabels()]
    ends = [0.0] * len(names)
    for group in axis.containers:
        ends = [end + bar.get_width() for end, bar in zip(ends, group, strict=True)]
    own = f"{in_words(answer['code'])}, {'synapse units' if answer['hardware'] == 'msu' else 'digital arrays'}"
    assert len(names) == bars and names[0] == "dense words, digital arrays"
    assert ends[names.index(own)] == pytest.approx(1e6 * answer["per_sentence_j"])
    dense = next(e for e in answer["encodings"] if (e["code"], e["hardware"]) == ("dense", "digital"))
    assert ends[0] == pytest.approx(1e6 * dense["total_j"] / answer["n"])

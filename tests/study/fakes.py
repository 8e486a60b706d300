"""Stand-ins: a run that scores chips by their seed and noise, at once."""

from __future__ import annotations

from pathlib import Path

from matterhorn.study import Plan, load_plan

POINTS = """
device: rram-wan
circuit: array-128
studies:
  deviation: {title: "noise < of writing", unit: "%", values: [0, 10, 100]}
  drift: {title: time, unit: s, values: [1, 31536000], scale: log}
  on_off: {title: on and off, unit: "1", values: [40, 2], scale: log, deviation: 5}
"""


def plan_in(folder: Path, text: str = POINTS) -> Plan:
    (folder / "points.yaml").write_text(text)
    return load_plan(folder / "points.yaml")


class Scored:
    """0.9 without a chip, less with one; dies after so many chips."""

    def __init__(self, life: int = 1000):
        self.life = life
        self.chips: list[int] = []

    def on_chip(self, bank, seconds):
        return bank

    def score(self, bank=None) -> float:
        if bank is None:
            return 0.9
        if len(self.chips) == self.life:
            raise KeyboardInterrupt
        self.chips.append(bank.seed)
        noise = bank.device.programming
        return 0.8 - bank.seed / 100 - (0 if noise is None else noise.spread.coefficients[-1] / 10)

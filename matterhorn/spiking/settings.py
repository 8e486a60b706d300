"""Settings of :func:`matterhorn.spike`."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from ..reading import Strict


class Settings(Strict):
    """Settings of :func:`matterhorn.spike`: number formats, silence and training time.

    Attributes:
        weights, kv_bits, activation_bits: number formats, see :class:`matterhorn.program.Config`. If neither of the
            first two is given, :func:`matterhorn.spike` chooses them. It takes 4 bits for both without training. For
            pairs of texts it takes the formats of a task-free encoder that has learned to compare, if there is one for
            the backbone. If only ``weights="int4"`` is given, keys and values have 4 bits too.
        dead_zone: number k of levels on either side of the silent level that send nothing. Without training it is 0.
        silent_share, quiet_share: shares to hold in training. If both are given, the one that asks for more silence is
            decisive. None: not held.
        minutes: training time. The learning rate follows the clock. 0: only calibrate.
        batch_size: rows per training step.
        max_length: rows are truncated to this many tokens.
        seed: seed of all random choices.
        blocks: numbers, from 0, of the classifier's blocks to keep (:func:`matterhorn.quantize`). None: all.
    """

    weights: Literal["int1", "ternary", "int2", "int4"] = "int1"
    kv_bits: int = Field(1, ge=1, le=6)
    activation_bits: int = Field(4, ge=1, le=6)
    dead_zone: int = Field(3, ge=0)
    silent_share: float | None = Field(0.90, gt=0, lt=1)
    quiet_share: float | None = Field(None, gt=0, lt=1)
    minutes: float = Field(10.0, ge=0)
    batch_size: int = Field(32, gt=0)
    max_length: int = Field(128, ge=8, le=512)
    seed: int = 1
    blocks: list[int] | None = None

    @property
    def options(self) -> dict[str, Any]:
        """Options of :func:`matterhorn.quantize`. Probabilities span a wide range, so their dead zone is at most 1."""
        return {
            "weights": self.weights,
            "activation_bits": self.activation_bits,
            "kv_bits": self.kv_bits,
            "dead_zones": {"probabilities": min(1, self.dead_zone)},
            "blocks": self.blocks,
        }

    @property
    def untrained(self) -> Settings:
        """The same settings without a dead zone and held shares, for calibration without training."""
        return self.model_copy(update={"dead_zone": 0, "silent_share": None, "quiet_share": None})

"""What a user may set of the way from a classifier to a spiking one, and what follows from it."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from ..reading import Strict


class Settings(Strict):
    """Number formats, silence, time.

    Attributes:
        weights, kv_bits, activation_bits: see :class:`matterhorn.program.Config`. :func:`matterhorn.spike` chooses the
            first two where neither is given: 4 bits each where it does not train, or where a task has two sentences
            and there is an encoder of such formats that compares. With 4-bit weights alone, keys and values have 4 too.
        dead_zone: k. Without training it is 0.
        silent_share, quiet_share: to hold in training; with both, the one that asks for more silence decides.
        minutes: of training; rates follow the clock. 0: none, it is only calibrated.
        max_length: rows are cut to so many tokens.
        blocks: numbers of the classifier's blocks that the network has (:func:`matterhorn.quantize`); None: all.
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
        """Options of :func:`matterhorn.quantize`: attention, whose levels are of a wide range, keeps a narrow zone."""
        return {
            "weights": self.weights,
            "activation_bits": self.activation_bits,
            "kv_bits": self.kv_bits,
            "dead_zones": {"probabilities": min(1, self.dead_zone)},
            "blocks": self.blocks,
        }

    @property
    def untrained(self) -> Settings:
        """The same without a dead zone: what calibration alone can bear."""
        return self.model_copy(update={"dead_zone": 0, "silent_share": None, "quiet_share": None})

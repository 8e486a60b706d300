"""The spiking network as a Hugging Face model: pipelines and Auto classes run it like any other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput

from ..errors import InputError
from ..models.checkpoint import SpikingConfig, load_config, load_spiking
from ..models.spiking import SpikingNetwork
from .forward import classify
from .interface import Watcher, get_engine


class SpikingForSequenceClassification(PreTrainedModel):
    """A spiking checkpoint that answers as ``AutoModelForSequenceClassification`` does.

    ``model.engine`` names the engine (``exact``, ``stepped`` …); all give the same bits.
    """

    config_class = SpikingConfig
    config: SpikingConfig
    main_input_name = "input_ids"
    _tied_weights_keys: Any = {}  # noqa: RUF012

    def __init__(self, config: SpikingConfig, network: SpikingNetwork | None = None):
        super().__init__(config)
        self.network = SpikingNetwork(config) if network is None else network
        self.engine = "exact"
        self.post_init()

    def _init_weights(self, module: Any) -> None:
        """Nothing is drawn: a spiking network comes from conversion."""

    @classmethod
    def from_pretrained(cls, source: str | Path, *_: Any, **options: Any) -> SpikingForSequenceClassification:  # type: ignore[override]
        """Read a checkpoint folder, or a hub name."""
        folder = Path(source)
        if not folder.is_dir():
            from huggingface_hub import snapshot_download

            folder = Path(snapshot_download(str(source), revision=options.get("revision")))
        return cls(load_config(folder), load_spiking(folder)).eval()

    def save_pretrained(self, folder: str | Path, **_: Any) -> None:  # type: ignore[override]
        """Write a self-contained checkpoint folder."""
        from ..models.checkpoint import save_spiking

        save_spiking(self.network, Path(folder), task=self.config.task)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        watcher: Watcher | None = None,
        **_: Any,
    ) -> SequenceClassifierOutput:
        """Token numbers, mask, types ``[batch, L]`` → logits ``[batch, labels]``."""
        longest = self.config.max_position_embeddings
        if input_ids.shape[1] > longest:
            raise InputError(f"{input_ids.shape[1]} tokens", field="text", cure=f"give at most {longest}")
        present = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        types = torch.zeros_like(input_ids) if token_type_ids is None else token_type_ids
        engine = get_engine(self.engine)
        return SequenceClassifierOutput(
            logits=classify(self.network, input_ids, types, present.bool(), engine, watcher)
        )

"""The quantized network as a Hugging Face model: trained straight-through, evaluated in exact integers."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import PreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput

from ..coding import EIGHTHS
from ..errors import InputError
from ..nn import ActivationQuantizer, DigitalLinear, Events, QuantizedEmbeddings, QuantizedLinear, StoredQuantizer
from ..program.text import Encoded
from ..runtime.verify import Expected
from ..topology import POPULATIONS, STATIC, Site
from .block import Block
from .config import MatterhornConfig
from .watching import Batch, evaluating, tensors, watching


@dataclass
class QuantizedOutput(SequenceClassifierOutput):
    """What a pass gives: ``logits`` ``[batch, labels]``; ``loss`` and ``hidden_states`` where asked for; in training
    ``events``, what every population sent, padding counted with the rest."""

    events: dict[Site, Events] | None = None


class Pass(NamedTuple):
    """Logits, residual streams before and behind every block, and in training the events of one pass."""

    logits: Tensor
    states: tuple[Tensor, ...]
    events: dict[Site, Events]


class QuantizedForSequenceClassification(PreTrainedModel):  # type: ignore[no-untyped-call]
    """A BERT-like classifier with few-bit weights, level-coded activations and stored few-bit keys and values.

    Make one with :func:`matterhorn.quantize`, calibrate and train it, then :func:`matterhorn.convert` it.
    """

    config_class = MatterhornConfig
    config: MatterhornConfig
    base_model_prefix = ""
    main_input_name = "input_ids"

    def __init__(self, config: MatterhornConfig):
        super().__init__(config)
        formats, width = config.formats, config.formats.hidden_size
        self.embeddings = QuantizedEmbeddings(
            formats.vocab_size, formats.max_position_embeddings, formats.type_vocab_size, width, formats.layer_norm_eps
        )
        self.blocks = nn.ModuleList(Block(formats) for _ in range(formats.num_hidden_layers))
        self.pooler = DigitalLinear(width, width)
        self.classifier = DigitalLinear(width, len(config.labels))
        self._scales_seen = False
        self.post_init()  # type: ignore[no-untyped-call]

    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, (nn.Linear, QuantizedLinear)):
            nn.init.normal_(module.weight, std=0.02)
            nn.init.zeros_(module.bias)
        if isinstance(module, QuantizedLinear) and module.ratio is not None:  # (which earlier checkpoints lack)
            nn.init.ones_(module.ratio)

    def layers(self) -> list[Block]:
        """The blocks, typed."""
        return [cast(Block, block) for block in self.blocks]

    def populations(self) -> dict[Site, ActivationQuantizer]:
        """Every population that sends events, in the order in which they fire."""
        return {Site(i, p.name): block.population(p.name) for i, block in enumerate(self.layers()) for p in POPULATIONS}

    def connections(self) -> dict[Site, QuantizedLinear]:
        """Every connection with weights, in the order in which they run."""
        return {Site(i, name): block.connection(name) for i, block in enumerate(self.layers()) for name in STATIC}

    def stores(self) -> dict[Site, StoredQuantizer]:
        """Keys and values of every block."""
        return {Site(i, n): s for i, b in enumerate(self.layers()) for n, s in (("keys", b.keys), ("values", b.values))}

    def check_calibrated(self) -> None:
        """Refuse a network whose scales are not set.

        Raises:
            InputError: it has not been calibrated.
        """
        if self._scales_seen:
            return
        for site, module in (self.populations() | self.stores()).items():
            if bool(module.scale.isnan()):
                cure = "run matterhorn.calibrate(network, batches) first"
                raise InputError("a network whose scales are not set", field=str(site), cure=cure)
        self._scales_seen = True

    @torch.no_grad()
    def set_dead_zone(self, k: int) -> None:
        """Widen or narrow every population's dead zone; what silence is read as stays within it.

        Raises:
            InputError: k is wider than half the range of levels.
        """
        before, self.config.dead_zone = self.config.dead_zone, k
        try:
            formats = self.config.formats
        except InputError:
            self.config.dead_zone = before
            raise
        for site, population in self.populations().items():
            zone = population.dead_zone = formats.zone(site.part)
            low, high = EIGHTHS * (population.silent - zone), EIGHTHS * (population.silent + zone)
            population.silent_value.copy_(population.silent_value.clamp(low, high))

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        labels: Tensor | None = None,
        output_hidden_states: bool = False,
        **_: Any,
    ) -> QuantizedOutput:
        """Run a batch.

        Args:
            input_ids, attention_mask, token_type_ids: int64 ``[batch, L]``. labels: ``[batch]``, for a loss.
            output_hidden_states: give the residual streams of all tokens, ``[batch, L, width]``; without it the last
                block computes the first token only, where only that is read.

        Raises:
            InputError: the network has not been calibrated.
        """
        self.check_calibrated()
        given = self.run(input_ids, attention_mask, token_type_ids, every_token=output_hidden_states)
        return QuantizedOutput(
            loss=None if labels is None else loss_of(given.logits.float(), labels),
            logits=given.logits,
            hidden_states=given.states if output_hidden_states else None,
            events=given.events or None,
        )

    def run(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        *,
        every_token: bool = False,
    ) -> Pass:
        """As :meth:`forward`, for calibration: scales may be set on the way."""
        present = (torch.ones_like(input_ids) if attention_mask is None else attention_mask).bool()
        x = self.embeddings(input_ids, torch.zeros_like(input_ids) if token_type_ids is None else token_type_ids)
        states, shape = [x], self.config.formats.shape
        events: dict[Site, Events] = {}
        for i, block in enumerate(self.layers()):
            x, sent = block(x, present, shape.is_cut(i) and not every_token)
            states.append(x)
            events |= {Site(i, name): one for name, one in sent.items()}
        logits = self.classifier(F.hardtanh(self.pooler(x[:, 0])))
        return Pass(logits, tuple(states), events)

    @torch.no_grad()
    def expected(self, batch: Batch | Encoded) -> Expected:
        """Levels of every population before masking, and the logits: what a program must equal (for
        :func:`matterhorn.verify`).

        Levels are uint8 ``[batch, L, neurons]``, of probabilities ``[batch, heads, L, L]``.

        Raises:
            InputError: the network has not been calibrated.
        """
        self.check_calibrated()
        levels: dict[Site, NDArray[np.uint8]] = {}

        def keep(site: Site, population: ActivationQuantizer, x: Tensor) -> None:
            levels[site] = population.levels(x).to(torch.uint8).cpu().numpy()

        with watching(self.populations(), keep), evaluating(self):
            logits = self.run(**tensors(cast(Batch, batch), self.device), every_token=True).logits
        return Expected(levels, logits.cpu().numpy())


def read_network(folder: Path) -> QuantizedForSequenceClassification:
    """The quantized network that was saved in a folder, in eval mode.

    Raises:
        InputError: there is none.
    """
    config = folder / "config.json"
    if not config.is_file():
        raise InputError("no network here", file=config, cure="give the folder that matterhorn train wrote")
    kind = json.loads(config.read_text(encoding="utf-8")).get("model_type")
    if kind != MatterhornConfig.model_type:
        raise InputError(f"a {kind!r} checkpoint", file=config, field="model_type", cure="give a quantized network")
    network: QuantizedForSequenceClassification = QuantizedForSequenceClassification.from_pretrained(folder)
    return network


def loss_of(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy; mean squared error for one output. Logits ``[batch, outputs]``, labels ``[batch]``."""
    if logits.shape[-1] == 1:
        return F.mse_loss(logits.squeeze(-1), labels.float())
    return F.cross_entropy(logits, labels)

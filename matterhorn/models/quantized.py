"""The quantized network as a Hugging Face model.

It is trained with straight-through gradients and evaluated in exact integers.
"""

from __future__ import annotations

from collections.abc import Callable
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
from ..kernels.activation import activate
from ..nn import ActivationQuantizer, DigitalLinear, Events, QuantizedEmbeddings, QuantizedLinear, StoredQuantizer
from ..program.hub import CODE, CODE_FILE
from ..program.text import Encoded
from ..reading import read_mapping
from ..runtime.verify import Expected
from ..storage import put_folder, settle
from ..topology import POPULATIONS, STATIC, Site
from .block import Block
from .config import CarriesItsCode, MatterhornConfig
from .loading import check_dtype, whole_model
from .loss import loss_of
from .watching import Batch, evaluating, tensors, watching

HEAD_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "hardtanh": F.hardtanh,
    "tanh": torch.tanh,
    "relu": F.relu,
    "gelu": F.gelu,
}
"""Activations of the head in training, by their names in :mod:`matterhorn.kernels.activation`."""

HUB_OPTIONS = {"token", "private", "revision", "create_pr", "commit_message", "commit_description"}
"""Options of ``save_pretrained`` that ``push_to_hub`` takes."""


@dataclass
class QuantizedOutput(SequenceClassifierOutput):
    """Output of a pass: ``logits [batch, labels]``, ``loss`` and ``hidden_states`` if asked, ``events`` in training."""

    events: dict[Site, Events] | None = None


class Pass(NamedTuple):
    """Logits, residual streams before and after every block, and in training the events of one pass."""

    logits: Tensor
    states: tuple[Tensor, ...]
    events: dict[Site, Events]


class QuantizedForSequenceClassification(CarriesItsCode, PreTrainedModel):  # type: ignore[no-untyped-call]
    """A BERT-like classifier with few-bit weights, level-coded activations, and stored few-bit keys and values.

    Make one with :func:`matterhorn.quantize`, calibrate and train it, then :func:`matterhorn.convert` it.
    """

    config_class = MatterhornConfig
    config: MatterhornConfig
    base_model_prefix = ""
    main_input_name = "input_ids"
    accepts_loss_kwargs = False
    _keys_to_ignore_on_load_missing: list[str] = [r"\.ratio$"]  # noqa: RUF012 (as in Hugging Face)

    def __init__(self, config: MatterhornConfig):
        super().__init__(config)
        formats, width = config.formats, config.formats.hidden_size
        self.embeddings = QuantizedEmbeddings(
            formats.vocab_size,
            formats.max_position_embeddings,
            formats.type_vocab_size,
            formats.table_width,
            formats.layer_norm_eps,
        )
        self.projection = DigitalLinear(formats.embedding_size, width) if formats.embedding_size else None
        self.blocks = nn.ModuleList(Block(formats) for _ in range(formats.num_hidden_layers))
        self.pooler = DigitalLinear(width, width)
        self.classifier = DigitalLinear(width, len(config.labels))
        self._is_calibrated = False
        self.post_init()  # type: ignore[no-untyped-call]

    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, (nn.Linear, QuantizedLinear)):
            nn.init.normal_(module.weight, std=0.02)
            nn.init.zeros_(module.bias)
        if isinstance(module, QuantizedLinear) and module.ratio is not None:  # (which earlier checkpoints lack)
            nn.init.ones_(module.ratio)

    def layers(self) -> list[Block]:
        """Return the blocks."""
        return [cast(Block, block) for block in self.blocks]

    def populations(self) -> dict[Site, ActivationQuantizer]:
        """Return every population that sends events by site, in firing order."""
        return {Site(i, p.name): block.population(p.name) for i, block in enumerate(self.layers()) for p in POPULATIONS}

    def connections(self) -> dict[Site, QuantizedLinear]:
        """Return every connection with weights by site, in the order in which they run."""
        return {Site(i, name): block.connection(name) for i, block in enumerate(self.layers()) for name in STATIC}

    def stores(self) -> dict[Site, StoredQuantizer]:
        """Return the quantizers of keys and values of every block by site."""
        return {Site(i, n): s for i, b in enumerate(self.layers()) for n, s in (("keys", b.keys), ("values", b.values))}

    def check_calibrated(self) -> None:
        """Check that the network's scales are set.

        Raises:
            InputError: it has not been calibrated.
        """
        if self.training and self._is_calibrated:
            return
        scales = {site: module.scale for site, module in (self.populations() | self.stores()).items()}
        if bool(torch.stack([scale.isnan().any() for scale in scales.values()]).any()):
            site = next(site for site, scale in scales.items() if bool(scale.isnan().any()))
            cure = "run matterhorn.calibrate(network, batches) first"
            raise InputError("a network whose scales are not set", field=str(site), cure=cure)
        self._is_calibrated = True

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> QuantizedForSequenceClassification:
        """Handle ``to``, ``double``, ``half`` and similar calls. Another data type would change the answers."""
        check_dtype(fn(torch.zeros(1)).dtype)
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        return self

    @torch.no_grad()
    def set_dead_zone(self, k: int) -> None:
        """Widen or narrow every population's dead zone. The value that silence is read as stays within it.

        Raises:
            InputError: k is more than half the range of levels.
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
            input_ids, attention_mask, token_type_ids: int64 ``[batch, L]``, padded on the right. Types are ignored by a
                network without token types.
            labels: targets to compute a loss for, in the form that ``config.problem_type`` requires (:func:`loss_of`).
            output_hidden_states: return the residual streams of all tokens, ``[batch, L, width]``. Otherwise the last
                block computes only the first token, if only that one is read.

        Raises:
            InputError: the network is not calibrated; a row starts with padding, is too long or has numbers outside the
                tables; or labels have the wrong shape.
        """
        self.check_calibrated()
        given = self.run(input_ids, attention_mask, token_type_ids, every_token=output_hidden_states)
        return QuantizedOutput(
            loss=None if labels is None else loss_of(given.logits.float(), labels, self.config.problem_type),
            logits=given.logits,
            hidden_states=given.states if output_hidden_states else None,
            events=given.events or None,
        )

    def _check_tokens(self, input_ids: Tensor, attention_mask: Tensor | None, token_type_ids: Tensor | None) -> None:
        formats = self.config.formats
        if torch.cuda.is_available() and torch.cuda.is_current_stream_capturing():
            return  # a captured step ran before, and values cannot be read during capture
        if input_ids.shape[1] > formats.max_position_embeddings:
            cure = f"give at most {formats.max_position_embeddings}"
            raise InputError(f"{input_ids.shape[1]} tokens", field="input_ids", cure=cure)
        if attention_mask is not None and not bool(attention_mask[:, 0].all()):
            cure = "pad behind the text (padding_side = 'right') and leave out empty rows"
            raise InputError("a row begins with padding", field="attention_mask", cure=cure)
        for name, numbers, rows in (
            ("input_ids", input_ids, formats.vocab_size),
            ("token_type_ids", token_type_ids if formats.type_vocab_size else None, formats.type_vocab_size),
        ):
            if numbers is not None and bool(((numbers < 0) | (numbers >= rows)).any()):
                raise InputError(f"a number outside a table of {rows} rows", field=name, cure="use its own tokenizer")

    def run(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        *,
        every_token: bool = False,
    ) -> Pass:
        """Run like :meth:`forward`, but without checking that scales are set. Calibration sets them during a run."""
        present = (torch.ones_like(input_ids) if attention_mask is None else attention_mask).bool()
        self._check_tokens(input_ids, attention_mask, token_type_ids)
        x = self.embeddings(input_ids, torch.zeros_like(input_ids) if token_type_ids is None else token_type_ids)
        x = x if self.projection is None else self.projection(x)
        states, shape = [x], self.config.formats.shape
        events: dict[Site, Events] = {}
        for i, block in enumerate(self.layers()):
            x, sent = block(x, present, shape.is_cut(i) and not every_token)
            states.append(x)
            events |= {Site(i, name): one for name, one in sent.items()}
        logits = self.classifier(self.activate(self.pooler(x[:, 0])))
        return Pass(logits, tuple(states), events)

    def save_pretrained(self, save_directory: str | Path, **options: Any) -> None:  # type: ignore[override]
        """Save like any Hugging Face model, completely or not at all, with the module that Auto classes load.

        Other files in the folder are kept.
        """
        sends, name = options.pop("push_to_hub", False), options.pop("repo_id", Path(save_directory).resolve().name)

        def write(fresh: Path) -> None:
            (fresh / CODE_FILE).write_bytes(CODE.encode())
            super(QuantizedForSequenceClassification, self).save_pretrained(fresh, **options)

        if options.get("is_main_process", True):
            put_folder(Path(save_directory), "network", write)
        if sends:
            self.push_to_hub(name, **{key: value for key, value in options.items() if key in HUB_OPTIONS})

    @classmethod
    def from_pretrained(  # type: ignore[override]
        cls, pretrained_model_name_or_path: str | Path, *arguments: Any, **options: Any
    ) -> Any:
        """Load like any Hugging Face model, with the checks of :func:`~.loading.whole_model`. It must be in float32.

        Raises:
            InputError: it is not.
        """
        source = pretrained_model_name_or_path
        check_dtype(options.get("dtype"), options.get("torch_dtype"), getattr(options.get("config"), "dtype", None))
        settle(Path(source))
        found = whole_model(super().from_pretrained, source, *arguments, **options)
        check_dtype((found[0] if isinstance(found, tuple) else found).dtype)  # that of its configuration
        return found

    def activate(self, x: Tensor) -> Tensor:
        """Apply the activation of the head. In evaluation it is bit-identical to that of a program."""
        kind = self.config.head_activation
        if self.training:
            return HEAD_ACTIVATIONS[kind](x)
        return torch.from_numpy(activate(x.detach().float().cpu().numpy(), kind)).to(x.device)

    @torch.no_grad()
    def expected(self, batch: Batch | Encoded) -> Expected:
        """Return the levels of every population before masking, and the logits, which a program must equal.

        :func:`matterhorn.verify` uses it. Levels are uint8 ``[batch, L, neurons]``, or for probabilities ``[batch,
        heads, L, L]``.

        Raises:
            InputError: the network is not calibrated.
        """
        self.check_calibrated()
        levels: dict[Site, NDArray[np.uint8]] = {}

        def keep(site: Site, population: ActivationQuantizer, x: Tensor) -> None:
            levels[site] = population.levels(x).to(torch.uint8).cpu().numpy()

        with watching(self.populations(), keep), evaluating(self):
            logits = self.run(**tensors(cast(Batch, batch), self.device), every_token=True).logits
        return Expected(levels, logits.cpu().numpy())


def read_network(folder: Path) -> QuantizedForSequenceClassification:
    """Load the quantized network that was saved in a folder, in evaluation mode.

    Raises:
        InputError: there is none.
    """
    settle(folder)
    config = folder / "config.json"
    if not config.is_file():
        raise InputError("no network here", file=config, cure="give the folder that matterhorn train wrote")
    kind = read_mapping(config).get("model_type")
    if kind != MatterhornConfig.model_type:
        raise InputError(f"a {kind!r} checkpoint", file=config, field="model_type", cure="give a quantized network")
    network: QuantizedForSequenceClassification = QuantizedForSequenceClassification.from_pretrained(folder)
    return network

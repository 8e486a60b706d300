"""MPNet: no token types, positions start after the number of the padding token, scores have a bias by distance."""

from typing import Any

import torch
from torch import Tensor, nn

from .encoder import SIZES, Encoder

DISTANCE = 128
"""Distance from which on all distances share a bucket of the bias."""


def relative_bias(model: nn.Module) -> Tensor:
    """Compute the bias of the scores at all distances up to :data:`DISTANCE`, which is the same in all blocks.

    Float32 ``[heads, 2 · DISTANCE + 1]``.
    """
    encoder: Any = model.get_submodule("mpnet.encoder")
    text = torch.empty(1, DISTANCE + 1, device=encoder.relative_attention_bias.weight.device)
    with torch.no_grad():
        bias: Tensor = encoder.compute_position_bias(text)[0].float()
    return torch.cat([bias[:, -1], bias[:, 0, 1:]], -1)


MPNET = Encoder(
    models=("MPNetForSequenceClassification",),
    about="MPNet, e.g. all-mpnet-base-v2",
    tables={"word": "mpnet.embeddings.word_embeddings", "position": "mpnet.embeddings.position_embeddings"},
    modules={
        "embeddings.norm": "mpnet.embeddings.LayerNorm",
        "pooler": "classifier.dense",
        "classifier": "classifier.out_proj",
    },
    layers="mpnet.encoder.layer",
    layer={
        "query": "attention.attn.q",
        "key": "attention.attn.k",
        "value": "attention.attn.v",
        "output": "attention.attn.o",
        "attention_norm": "attention.LayerNorm",
        "ffn1": "intermediate.dense",
        "ffn2": "output.dense",
        "feed_forward_norm": "output.LayerNorm",
    },
    head_activation="tanh",
    config=SIZES,
    relative_bias=relative_bias,
)

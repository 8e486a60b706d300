"""BERT, and what is built like it: MiniLM, TinyBERT."""

from __future__ import annotations

from typing import cast

from torch import nn
from transformers import BertForSequenceClassification

from ...errors import InputError
from .encoder import Encoder, Layer

NAME = "BertForSequenceClassification"

CONFIG = (
    "vocab_size",
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "intermediate_size",
    "max_position_embeddings",
    "type_vocab_size",
    "layer_norm_eps",
    "pad_token_id",
    "id2label",
    "label2id",
    "problem_type",
)

CONNECTIONS = {
    "query": "attention.self.query",
    "key": "attention.self.key",
    "value": "attention.self.value",
    "output": "attention.output.dense",
    "ffn1": "intermediate.dense",
    "ffn2": "output.dense",
}


def read(model: object) -> Encoder | None:
    """The parts of a BERT; None if ``model`` is none.

    Raises:
        InputError: it is one with relative positions or one that looks only backwards.
    """
    if not isinstance(model, BertForSequenceClassification):
        return None
    positions = getattr(model.config, "position_embedding_type", "absolute")
    if positions != "absolute" or model.config.is_decoder:
        cure = "give an encoder with absolute positions"
        raise InputError(f"a BERT with {positions} positions or a causal mask", field="teacher", cure=cure)
    bert = model.bert
    tables = bert.embeddings
    return Encoder(
        config={name: getattr(model.config, name) for name in CONFIG},
        embeddings={
            "word": tables.word_embeddings.weight,
            "position": tables.position_embeddings.weight,
            "segment": tables.token_type_embeddings.weight,
        },
        embeddings_norm=tables.LayerNorm,
        layers=tuple(_layer(layer) for layer in bert.encoder.layer),
        pooler=cast(nn.Linear, bert.get_submodule("pooler.dense")),
        classifier=model.classifier,
    )


def _layer(layer: nn.Module) -> Layer:
    return Layer(
        {name: cast(nn.Linear, layer.get_submodule(path)) for name, path in CONNECTIONS.items()},
        attention_norm=cast(nn.LayerNorm, layer.get_submodule("attention.output.LayerNorm")),
        feed_forward_norm=cast(nn.LayerNorm, layer.get_submodule("output.LayerNorm")),
    )

"""DistilBERT: no token types, and its own names for all parts."""

from .encoder import Encoder

DISTILBERT = Encoder(
    models=("DistilBertForSequenceClassification",),
    about="DistilBERT",
    tables={
        "word": "distilbert.embeddings.word_embeddings",
        "position": "distilbert.embeddings.position_embeddings",
    },
    modules={
        "embeddings.norm": "distilbert.embeddings.LayerNorm",
        "pooler": "pre_classifier",
        "classifier": "classifier",
    },
    layers="distilbert.transformer.layer",
    layer={
        "query": "attention.q_lin",
        "key": "attention.k_lin",
        "value": "attention.v_lin",
        "output": "attention.out_lin",
        "attention_norm": "sa_layer_norm",
        "ffn1": "ffn.lin1",
        "ffn2": "ffn.lin2",
        "feed_forward_norm": "output_layer_norm",
    },
    head_activation="relu",
    config={
        "hidden_size": "dim",
        "num_hidden_layers": "n_layers",
        "num_attention_heads": "n_heads",
        "intermediate_size": "hidden_dim",
        "hidden_act": "activation",
    },
)

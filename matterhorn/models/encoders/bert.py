"""BERT, and what is built like it: MiniLM, TinyBERT."""

from .encoder import Encoder

SAME = (
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

BERT = Encoder(
    model="BertForSequenceClassification",
    config={name: name for name in SAME},
    tables={
        "word": "bert.embeddings.word_embeddings",
        "position": "bert.embeddings.position_embeddings",
        "segment": "bert.embeddings.token_type_embeddings",
    },
    modules={"embeddings.norm": "bert.embeddings.LayerNorm", "pooler": "bert.pooler.dense", "classifier": "classifier"},
    layers="bert.encoder.layer",
    layer={
        "query": "attention.self.query",
        "key": "attention.self.key",
        "value": "attention.self.value",
        "output": "attention.output.dense",
        "attention_norm": "attention.output.LayerNorm",
        "ffn1": "intermediate.dense",
        "ffn2": "output.dense",
        "feed_forward_norm": "output.LayerNorm",
    },
)

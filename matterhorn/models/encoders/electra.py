"""ELECTRA: embeddings may be narrower than the blocks."""

from .encoder import like_bert

ELECTRA = like_bert(
    ("ElectraForSequenceClassification",),
    "ELECTRA",
    "electra",
    head={
        "projection": "electra.embeddings_project",
        "pooler": "classifier.dense",
        "classifier": "classifier.out_proj",
    },
    activation="gelu",
)

"""BERT, and models with the same structure."""

from .encoder import like_bert

BERT = like_bert(
    ("BertForSequenceClassification",),
    "BERT, MiniLM, TinyBERT",
    "bert",
    head={"pooler": "bert.pooler.dense", "classifier": "classifier"},
    activation="tanh",
)

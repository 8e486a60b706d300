"""RoBERTa, and models with the same structure: positions start after the number of the padding token."""

from .encoder import like_bert

ROBERTA = like_bert(
    (
        "RobertaForSequenceClassification",
        "XLMRobertaForSequenceClassification",
        "CamembertForSequenceClassification",
    ),
    "RoBERTa, XLM-RoBERTa, CamemBERT",
    "roberta",
    head={"pooler": "classifier.dense", "classifier": "classifier.out_proj"},
    activation="tanh",
)

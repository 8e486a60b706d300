"""RoBERTa and what is built like it: positions start behind the padding's."""

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

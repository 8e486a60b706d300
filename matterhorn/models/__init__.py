"""Whole networks: the quantised one as a Hugging Face model, conversion from BERT, and the spiking one.

Importing this package registers ``matterhorn`` with the Auto classes.
"""

from transformers import AutoConfig, AutoModelForSequenceClassification

from .config import MatterhornConfig
from .from_bert import from_bert
from .quantised import MatterhornForSequenceClassification

AutoConfig.register(MatterhornConfig.model_type, MatterhornConfig, exist_ok=True)
AutoModelForSequenceClassification.register(MatterhornConfig, MatterhornForSequenceClassification, exist_ok=True)

__all__ = ["MatterhornConfig", "MatterhornForSequenceClassification", "from_bert"]

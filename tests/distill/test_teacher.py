"""Any supported classifier can be loaded as a teacher; others are refused in one line."""

from __future__ import annotations

import pytest
import torch
from transformers import AlbertConfig, AlbertForSequenceClassification

from matterhorn.distill.teacher import embedding_table, load_classifier, load_teacher
from matterhorn.errors import InputError
from matterhorn.tasks.task import get_task

from ..networks import small_teacher


@pytest.mark.parametrize("name", ["DistilBert", "MPNet"])
def test_a_teacher_of_any_encoder_gets_the_tasks_outputs(name, tmp_path):
    small_teacher(name).half().save_pretrained(tmp_path)
    teacher = load_teacher(tmp_path, get_task("mnli"), head=False)
    assert teacher.dtype == torch.float32 and list(teacher.config.id2label.values()) == get_task("mnli").labels
    assert torch.equal(embedding_table(str(tmp_path)), teacher.base_model.embeddings.word_embeddings.weight)


def test_others_are_refused_in_one_line(tmp_path):
    sizes = {"hidden_size": 32, "num_attention_heads": 4, "intermediate_size": 64, "embedding_size": 16}
    AlbertForSequenceClassification(AlbertConfig(vocab_size=90, **sizes)).save_pretrained(tmp_path / "albert")
    (tmp_path / "empty").mkdir()
    for folder, said in (("albert", "BertForSequenceClassification"), ("empty", "whole model.safetensors")):
        with pytest.raises(InputError, match=said) as error:
            load_classifier(tmp_path / folder)
        assert "\n" not in str(error.value)

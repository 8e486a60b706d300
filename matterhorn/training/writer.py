"""New rows for a task, written by a small language model that has read a few of its rows; no labels.

A student that sees the same few thousand sentences again and again learns them, not the task. A causal language model,
shown some rows, goes on with rows of its own; the teacher says what they mean (generate, annotate and learn, He et al.,
arXiv 2106.06168).
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm
from transformers import (
    AttentionInterface,
    AutoModelForCausalLM,
    AutoTokenizer,
    DynamicCache,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from ..errors import InputError
from .backbones import locate
from .data import WHOLE_SENTENCE, Examples
from .recipe import Writing
from .tasks import Task

SHOWN = 3
"""Rows in a prompt."""

LIKELIEST = 100
"""A token is drawn from so many, the most likely ones."""

BATCH = 256
"""Rows that are written side by side after one prompt."""

BULLET, BETWEEN = "-", " ||| "
"""What a row begins with in a prompt, and what parts its sentences."""


def written_rows(writing: Writing, task: Task, rows: Examples, folder: Path, seed: int) -> Examples:
    """All new rows of a recipe, each once. Every prompt's are a file in ``folder``; what is there is not written again.

    Args:
        rows: training rows that may be shown. Of pieces of sentences (SST-2) only whole sentences are.
    """
    shortest = WHOLE_SENTENCE if task.fragments else 1
    shown = sorted({BETWEEN.join(row) for row in rows.texts if len(row[0].split()) >= shortest})
    files = [folder / f"{number:04d}.txt" for number in range(writing.prompts)]
    missing = [number for number, file in enumerate(files) if not file.is_file()]
    if missing:
        folder.mkdir(parents=True, exist_ok=True)
        model, tokenizer = load_writer(writing.model)
        for number in tqdm(missing, desc="writing", mininterval=5):
            texts = write(model, tokenizer, shown, writing.title, writing.longest, seed + number)
            unfinished = files[number].with_suffix(".tmp")
            unfinished.write_text("".join(f"{text}\n" for text in texts), encoding="utf-8")
            unfinished.rename(files[number])
    lines = (line for file in files for line in file.read_text(encoding="utf-8").splitlines())
    known = set(shown)
    new = {tuple(line.split(BETWEEN)): None for line in lines if line not in known}
    readable = [row for row in new if len(row) == len(task.text) and all(part.strip() for part in row)]
    if not readable:
        raise InputError("no row that could be read", file=folder, field="writing", cure="give another model or title")
    return Examples(readable, [])


def load_writer(name: str) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """A causal language model of Llama's kind: packaged, a folder, a GGUF file (which needs ``gguf``), or of the hub.

    Raises:
        InputError: there is none of that name, or it cannot be read.
    """
    path = Path(locate(name))
    folder, file = (str(path.parent), {"gguf_file": path.name}) if path.suffix == ".gguf" else (str(path), {})
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, **file)
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16, **file).eval()
    except (OSError, ValueError, ImportError) as error:
        problem = f"cannot load {name!r} ({str(error).splitlines()[0]})"
        cure = "give a causal language model's name, folder or GGUF file (pip install gguf)"
        raise InputError(problem, field="writing.model", cure=cure) from error
    if not hasattr(getattr(model, "model", None), "layers"):
        raise InputError(f"{name!r} has no layers as Llama has", field="writing.model", cure="give another model")
    return model, tokenizer


def write(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, rows: list[str], title: str, longest: int, seed: int
) -> list[str]:
    """What the model makes of one prompt, a title and :data:`SHOWN` rows drawn with the seed: up to :data:`BATCH` rows.

    Args:
        title: what the rows are, the prompt's first line.
    """
    if len(rows) < SHOWN:
        raise InputError(f"{len(rows)} rows to show", field="writing", cure=f"give {SHOWN} training rows or more")
    shown = random.Random(seed).sample(rows, SHOWN)
    prompt = f"{title}\n" + "".join(f"{BULLET} {row}\n" for row in shown) + BULLET
    return continuations(model, tokenizer, prompt, longest, torch.Generator().manual_seed(seed))


@torch.inference_mode()
def continuations(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, prompt: str, longest: int, generator: torch.Generator
) -> list[str]:
    """What the model makes of the rest of a prompt's last line, :data:`BATCH` times; lines that
    do not end within ``longest`` tokens are left out."""
    read = tokenizer(prompt, return_tensors="pt").input_ids
    line_end = tokenizer("\n", add_special_tokens=False).input_ids[-1]
    model.set_attn_implementation("sdpa")
    shared = DynamicCache(config=model.config)
    logits = model(read, past_key_values=shared, logits_to_keep=1).logits[:, -1].expand(BATCH, -1)
    _share(model, shared)
    own, written, texts = DynamicCache(config=model.config), torch.empty(BATCH, 0, dtype=torch.long), []
    for place in range(longest):
        tokens = _draw(logits, generator)
        ends = (tokens == line_end) | (tokens == tokenizer.eos_token_id)
        texts += tokenizer.batch_decode(written[ends], skip_special_tokens=True)
        written = torch.cat([written, tokens[:, None]], 1)[~ends]
        if not len(written):
            break
        if place:
            own.batch_select_indices((~ends).nonzero()[:, 0])
        position = torch.full((len(written), 1), read.shape[1] + place)
        logits = model(written[:, -1:], past_key_values=own, position_ids=position).logits[:, -1]
    return [text.strip() for text in texts]


def _draw(logits: Tensor, generator: torch.Generator) -> Tensor:
    """One token per row ``[batch, vocabulary]`` → ``[batch]``, from the :data:`LIKELIEST`, as likely as they are."""
    values, tokens = logits.float().topk(LIKELIEST)
    chosen = torch.multinomial(values.softmax(-1), 1, generator=generator)
    return tokens.gather(1, chosen)[:, 0]


def _share(model: Any, prompt: Any) -> None:
    """Keep a prompt's keys and values ``[1, groups, P, head]`` in the layers, once for all sentences after it."""
    for layer, kept in zip(model.model.layers, prompt.layers, strict=True):
        layer.self_attn.prompt_keys, layer.self_attn.prompt_values = kept.keys[0], kept.values[0]
    model.set_attn_implementation("after_prompt")


def _after_prompt(
    module: Any, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, scaling: float, **_: object
) -> tuple[Tensor, None]:
    """Attention of one new token per sentence to the prompt, which all share, and to its own tokens.

    Args:
        query: ``[batch, heads, 1, head]``; key, value: ``[batch, groups, t, head]``.
    """
    batch, heads, _one, head = query.shape
    groups, own = key.shape[1], key.shape[2]
    query = query.view(batch, groups, heads // groups, head)
    scores = torch.cat([query @ key.mT, _with_all(query, module.prompt_keys.mT)], -1) * scaling
    weights = scores.float().softmax(-1).to(query.dtype)
    answer = weights[..., :own] @ value + _with_all(weights[..., own:], module.prompt_values)
    return answer.reshape(batch, 1, heads, head), None


def _with_all(each: Tensor, one: Tensor) -> Tensor:
    """``each`` ``[batch, groups, m, n]`` times ``one`` ``[groups, n, p]``: one product per group."""
    batch, groups, rows, _ = each.shape
    return (each.transpose(0, 1).flatten(1, 2) @ one).view(groups, batch, rows, -1).transpose(0, 1)


AttentionInterface.register("after_prompt", _after_prompt)

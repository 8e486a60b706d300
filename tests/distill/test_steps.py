"""Steps: what they remember, what they refuse, and how a fast way that fails gives way to a slower one."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from accelerate import Accelerator

from matterhorn.distill.batches import ENDLESS, usual_rows
from matterhorn.distill.loop import Clock, begin, run_phase, stalls
from matterhorn.distill.loss import Distillation
from matterhorn.distill.measure import Measured, ask
from matterhorn.distill.recipe import Distilling
from matterhorn.distill.silence import Silence
from matterhorn.distill.steps import Steps
from matterhorn.distill.teacher import freeze
from matterhorn.errors import InputError
from matterhorn.tasks.tokens import Tokens

from ..networks import small_batch, small_bert, small_network

GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


def steps(*, cuda: bool = False, way: str | None = None, **settings) -> Steps:
    phase = Distilling(**({"learning_rate": 1e-3, "tokens": 64, "dead_zone": 2, "silent_share": 0.8} | settings))
    student = small_network(k=2)
    loss = Distillation(student, partial(ask, freeze(small_bert())))
    loss.silence = Silence(student, small_batch(), batch_size=6, silent_share=0.8)
    made = Steps(begin(student, phase, 100, Accelerator(cpu=not cuda)), loss, phase)
    made.way = way or made.way
    return made


def weights(made: Steps) -> dict[str, torch.Tensor]:
    return {name: value.detach().cpu().clone() for name, value in made.descent.model.state_dict().items()}


def test_figures_are_means_since_they_were_read():
    made, seen = steps(), []
    for seed in range(3):
        made(small_batch(seed))
        seen.append(made.means()["loss"] * made.count)
    assert made.read()["loss"] == pytest.approx(seen[-1] / 3) and seen[0] < seen[1] < seen[2]
    made(small_batch(0))
    assert made.count == 1 and set(made.means()) == {"loss", "hidden", "learned", "silent", "quiet"}


def test_few_bit_weights_have_a_rate_of_their_own():
    """AdamW's first step has the size of the rate, whatever the gradient."""
    for rate, moved in ((None, 1e-3), (1e-4, 1e-4), (0.0, 0.0)):
        made = steps(way="plain", weight_rate=rate, warmup=0, weight_decay=0)
        before = weights(made)
        made(small_batch())
        after = weights(made)
        changed = {name: float((after[name] - before[name]).abs().max()) for name in before}
        few_bit = {name for name, value in before.items() if name.endswith("ffn1.weight") or "query.weight" in name}
        assert few_bit and all(changed[name] == pytest.approx(moved, rel=1e-2) for name in few_bit)
        assert changed["classifier.weight"] == pytest.approx(1e-3, rel=1e-2)
        biases = [change for name, change in changed.items() if name.endswith("ffn1.bias")]
        assert max(biases) == pytest.approx(1e-3, rel=1e-2)


@pytest.mark.parametrize("way", ["compiled", "graphs"])
def test_a_way_that_fails_gives_way_and_says_so(monkeypatch, capsys, way):
    plain, other = steps(way="plain"), steps(way=way)
    own, failed = other.step, []

    def fails(batch):
        if other.way != "plain":
            failed.append(other.way)
            raise RuntimeError("it cannot\nbe done")
        own(batch)

    monkeypatch.setattr(other, "step", fails)
    monkeypatch.setattr(other, "_replay", fails)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: None)
    monkeypatch.setattr(torch.compiler, "set_stance", failed.append)
    plain(small_batch())
    other(small_batch())
    told = capsys.readouterr().err
    assert other.way == "plain" and failed[0] == way and "it cannot; plain steps instead" in told
    assert all(torch.equal(value, weights(other)[name]) for name, value in weights(plain).items())


def test_a_gpu_without_memory_says_what_to_lower(monkeypatch):
    made = steps(way="plain")
    monkeypatch.setattr(made, "step", lambda _: (_ for _ in ()).throw(torch.OutOfMemoryError("CUDA out of memory")))
    before = weights(made)
    with pytest.raises(InputError, match=r"tokens: out of GPU memory at 6 rows of 11 tokens; lower it \(now 64\)"):
        made(small_batch())
    made.phase = made.phase.model_copy(update={"tokens": None})
    with pytest.raises(InputError, match=r"batch_size: out of GPU memory"):
        made(small_batch())
    assert all(torch.equal(value, weights(made)[name]) for name, value in before.items())


def test_a_step_that_diverges_changes_no_weight():
    made = steps(way="plain")
    made(small_batch())
    before = weights(made)
    own = made.loss

    def broken(model, batch):
        loss, figures = own(model, batch)
        return loss * torch.nan, figures

    made.loss = broken
    with pytest.raises(InputError, match=r"learning_rate: diverged: loss or gradient is NaN .* by step 1; lower it"):
        made(small_batch())
    held = {str(site) + ".scale" for site in made.descent.model.populations()}  # which follow silence, as ever
    same = [torch.equal(value, weights(made)[name]) for name, value in before.items() if "weight" in name]
    assert held and same and all(same)


def test_rows_that_are_learned_by_heart_are_said_once():
    def told(held, learned):
        entries = [{"divergence": a, "learned": b} for a, b in zip(held, learned, strict=True)]
        return [number for number in range(1, len(held) + 1) if stalls(entries[:number], 3)]

    falling = [1.0 - 0.1 * i for i in range(9)]
    assert told([0.9, 0.8, 0.7, 0.6, 0.65, 0.7, 0.7, 0.8, 0.9], falling) == [7]
    assert told(falling, falling) == [] and told([0.5] * 9, [0.3] * 9) == []
    assert stalls([{"hidden_error": 1.0, "hidden": b} for b in (3, 2, 1.5, 1.2)], 2) is False
    assert stalls([{"accuracy": 1.0}] * 20, 2) is False


def test_six_evaluations_of_a_phase_by_the_clock_can_tell_that_it_stalls():
    entries = [{"divergence": 0.5 + 0.1 * i, "learned": 1.0 - 0.1 * i} for i in range(6)]
    assert [number for number in range(1, 7) if stalls(entries[:number], 4)] == [5]


def test_scales_do_not_follow_steps_of_many_tokens_in_full():
    """2,560 rows of 8 tokens a step count as four times 64; steps of few tokens are as before."""
    rows = Tokens([[2] * 8] * 5120, [[0] * 8] * 5120, [])
    usual = [usual_rows(rows, Distilling(epochs=1, learning_rate=1e-3, tokens=n), 1) for n in (512, 2048, 8 * 2560)]
    assert usual == [64, 64, 2560 / 4]
    assert usual_rows(rows, Distilling(epochs=1, learning_rate=1e-3, batch_size=7), 1) == 7


def test_a_first_step_that_compiles_takes_no_warm_up_away():
    """30 s, then one a second, in ten minutes."""
    clock = Clock(0, 0.0)
    told = [clock.foresee(step, 29.0 + step, 600.0) for step in range(1, 601)]
    assert told[0] == ENDLESS and {*told[1:571]} == {571} and told[571] == 572  # over: the step it is
    assert (
        clock.foresee(602, 599.0, 600.0) > 602 and Clock(0, 0.0, (5, 9.0)).foresee(6, 9.0, 600.0) > 6
    )  # it stood still
    later = Clock(100, 200.0)  # gone on with: at the pace of before, until its own is known
    assert later.foresee(101, 203.0, 600.0) == 300 and later.foresee(102, 204.0, 600.0) == 102 + 396


@GPU
def test_a_graph_steps_as_a_plain_step_does():
    plain, fast = steps(cuda=True, way="plain"), steps(cuda=True, way="graphs")
    for seed in range(6):
        batch = {name: values.cuda() for name, values in small_batch(seed, longest=8 if seed % 2 else 11).items()}
        plain(batch)
        fast(batch)
    assert fast.way == "graphs" and fast.graphs is not None and len(fast.graphs.kept) == 2
    assert fast.read()["loss"] == pytest.approx(plain.read()["loss"], abs=1e-4)
    for name, value in weights(plain).items():
        assert torch.allclose(value.float(), weights(fast)[name].float(), atol=1e-4), name


@pytest.mark.parametrize(("minutes", "steps", "most"), [(60, 3, 3), (1e-6, 3, 1)])
def test_a_phase_ends_by_the_clock_or_its_steps_whichever_comes_first(tmp_path, minutes, steps, most):
    rows = Tokens(ids=[[2, 10 + row, 3] for row in range(8)], types=[[0, 0, 0]] * 8, labels=[0] * 8)
    phase = Distilling(learning_rate=1e-3, batch_size=4, dead_zone=2, minutes=minutes, steps=steps)
    student = small_network(k=2)
    loss = Distillation(student, partial(ask, freeze(small_bert())))
    done = run_phase(student, loss, lambda *_: Measured(0.0, {}), rows, rows, phase, tmp_path / "phase", 1)
    assert done.done and done.step == done.history[-1]["step"] == most

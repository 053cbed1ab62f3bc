"""What :mod:`buttress.experiments.papers.baevski2019` measures of a run: its critic, its codes, and what they tell."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.distributions import Distribution
from torch.nn import functional as F

from buttress.core import Examples
from buttress.diagnostics.evaluation import evaluating
from buttress.distributions.inspect import categorical
from buttress.experiments.papers._niekerk2020_judge import probe
from buttress.priors.uniform import Uniform
from buttress.quality.masked_codes import fit_masked_codes
from buttress.training.held_out import HeldOut
from buttress.training.run import Run

__all__ = ["accuracies", "codes_of", "judge", "likeliest", "untrained"]

STARTED = 20
"""Batches from which the codewords of an untrained model start."""


def judge(run: Run, label: str, masked_steps: int) -> dict[str, Any]:
    """Contrastive accuracy by step, codes in use, and the labels that probes read.

    Codes are the likeliest ones, without noise. Probes learn from the training recordings and are tested on the others.

    Args:
        run: A trained run whose z is made of codes, with a contrastive critic.
        label: The column that says what is said.
        masked_steps: Of the masked language model of the codes.
    """
    classes = codes_of(run.model)
    sides = _sides(run, run.model, label)
    (codes, lengths, _), (others, other_lengths, _) = sides
    used, units = _used(others, other_lengths, classes)
    model = fit_masked_codes(codes, lengths, classes, steps=masked_steps, seed=run.recipe.training.seed)
    with torch.no_grad():
        pooled = [model.pooled(found, long) for found, long, _ in sides]
    return {
        "accuracy": accuracies(run),
        "used": used,
        "units": units,
        "histogram": _read(sides, [_histogram(found, long, classes) for found, long, _ in sides]),
        "masked": _read(sides, pooled),
    }


def untrained(run: Run, label: str) -> float:
    """What the histogram tells, of codes of the same model without training, the codewords being its first outputs."""
    torch.manual_seed(run.recipe.training.seed)
    model = run.recipe.model(run.spec).train()
    size, examples = run.recipe.training.batch_size, run.splits().train
    prior = Uniform().build(model.space)()
    order = torch.randperm(len(examples))
    for index in order.split(size)[:STARTED]:
        batch = examples.read(index)
        model(model.observe(batch.x), prior=prior, given=batch.given)
        model.after_step()
    sides = _sides(run, model, label)
    return _read(sides, [_histogram(found, long, codes_of(model)) for found, long, _ in sides])


def accuracies(run: Run) -> list[float]:
    """Of held-out predictions at each step ahead, the share whose true code has the highest score."""
    first, predictions = torch.zeros(()), torch.zeros(())
    batches = run.held_out()
    with evaluating(run.model):
        for batch in map(batches.__getitem__, range(len(batches))):
            codes = likeliest(run.model.posterior(batch.x, batch.given))
            found = run.model.contrast(batch.x, codes[None], batch.given)
            first, predictions = first + found.first.sum((0, 1)), predictions + found.predictions.sum(0)
    shares: list[float] = (first / predictions).tolist()
    return shares


def codes_of(model: Any) -> int:
    """How many different codes there are, K."""
    found: int = model.space.classes
    return found


def likeliest(q: Distribution) -> Int[Tensor, "B P G"]:
    """The code of highest probability at each place and slot; of a point, that one."""
    base = categorical(q)
    found: Tensor = q.sample() if base is None else base.logits.argmax(-1)
    return found


def _sides(run: Run, model: Any, label: str) -> list[tuple[Tensor, Tensor, Tensor]]:
    splits = run.splits()
    return [_coded(side, model, label) for side in (splits.train, splits.held_out)]


def _coded(
    examples: Examples, model: Any, label: str
) -> tuple[Int[Tensor, "N P G"], Int[Tensor, " N"], Int[Tensor, " N"]]:
    """Codes, their number and the label of each example."""
    codes, lengths, labels = [], [], []
    batches = HeldOut(examples, model.observe, 0)
    with evaluating(model):
        for batch in map(batches.__getitem__, range(len(batches))):
            codes.append(likeliest(model.posterior(batch.x, batch.given)))
            valid = model.encoder.valid(model.likelihood.features(batch.x), batch.given)
            lengths.append(valid.sum(1))
            labels.append(examples.conditions[label][batch.given["index"]])
    return torch.cat(codes), torch.cat(lengths), torch.cat(labels)


def _read(sides: list[tuple[Tensor, Tensor, Tensor]], features: list[Float[Tensor, "N D"]]) -> float:
    """The share of held-out labels that a probe of these features finds."""
    return probe(features[0], sides[0][2], features[1], sides[1][2])


def _histogram(codes: Int[Tensor, "N P G"], lengths: Int[Tensor, " N"], classes: int) -> Float[Tensor, "N GK"]:
    """How often each code of each group occurs in an example."""
    inside = torch.arange(codes.shape[1]) < lengths[:, None]
    counts = [(F.one_hot(group, classes) * inside[..., None]).sum(1) for group in codes.unbind(2)]
    return torch.cat(counts, 1) / lengths[:, None]


def _used(codes: Int[Tensor, "N P G"], lengths: Int[Tensor, " N"], classes: int) -> tuple[float, int]:
    """The share of codes in use, of the group that uses least; and the number of combinations."""
    every = codes[torch.arange(codes.shape[1]) < lengths[:, None]]
    return min(len(group.unique()) for group in every.unbind(1)) / classes, len(every.unique(dim=0))

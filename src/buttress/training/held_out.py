"""Held-out data as training validates on them: always the same examples, observed with always the same noise.

A validation reads at most :data:`VALIDATION_EXAMPLES` examples, drawn once at random, so that it stays cheap; the
evidence after training is measured on all of them, or where ``Training.validation`` says so on all others.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from buttress.core import Batch, Examples, Splits
from buttress.diagnostics.estimators.active_units import activity, count_active
from buttress.diagnostics.estimators.codebook import health
from buttress.diagnostics.estimators.mutual_information import mutual_information
from buttress.diagnostics.evaluation import evaluating
from buttress.runtime.randomness import seed_step

__all__ = ["VALIDATION_EXAMPLES", "HeldOut", "divided", "look", "with_division"]

VALIDATION_EXAMPLES = 1000
"""Most held-out examples that a validation during training reads."""
OBSERVED = -3
"""The number of the "step" whose noise held-out data is observed with; see :mod:`buttress.runtime.randomness`."""


class HeldOut:
    """Batches of observed held-out examples: the same tensors whenever they are indexed.

    Args:
        examples: What is held out.
        observe: From stored data to x; may draw.
        seed: Of what it draws.
        batch_size: Examples in a batch.
        most: Look at no more examples than this; None for all.
        device: Where the batches should be.
        among: The numbers of the examples to look at, shape (M,); None for all.

    Example:
        >>> from buttress.data.linear_gaussian import LinearGaussianData
        >>> held_out = LinearGaussianData(n=100).open().held_out
        >>> batches = HeldOut(held_out, lambda raw: raw + torch.randn(raw.shape), seed=0, batch_size=4)
        >>> [len(batches[number]) for number in range(len(batches))]
        [4, 4, 2]
        >>> torch.equal(batches[1].x, batches[1].x)  # the noise is always the same
        True
    """

    def __init__(
        self,
        examples: Examples,
        observe: Callable[[Tensor], Tensor],
        seed: int,
        batch_size: int = 100,
        most: int | None = None,
        device: torch.device | str = "cpu",
        among: Int[Tensor, " M"] | None = None,
    ) -> None:
        self.examples, self.observe, self.seed, self.device = examples, observe, seed, device
        self.missing = examples.missing
        index = torch.arange(len(examples)) if among is None else among
        if most is not None and most < len(index):
            kept = torch.randperm(len(index), generator=torch.Generator().manual_seed(seed))[:most]
            index = index[kept.sort().values]
        if examples.sizes is not None:  # neighbours of one size need little padding
            index = index[examples.sizes[index].argsort(stable=True)]
        self.index: tuple[Int[Tensor, " B"], ...] = index.split(batch_size)

    def __len__(self) -> int:
        """Number of batches."""
        return len(self.index)

    def __getitem__(self, number: int) -> Batch:
        """One batch: x, and what is given with it."""
        raw = self.examples.read(self.index[number]).to(self.device)
        with torch.random.fork_rng([]), torch.no_grad():
            seed_step(self.seed, OBSERVED, number)
            return raw.with_x(self.observe(raw.x))


def divided(examples: Examples, share: float) -> tuple[Int[Tensor, " V"] | None, Int[Tensor, " M"] | None]:
    """The numbers of the held-out examples for validations and of those for evidence; None for all, where both share.

    Which ones these are depends on how many there are and on the share alone, so that runs of all seeds agree.

    Args:
        examples: What is held out.
        share: Of the examples for validations alone; 0 where both read all.

    Errors:
        ValueError: None would be left for validations, or fewer than two for evidence.

    Example:
        >>> from buttress.data.linear_gaussian import LinearGaussianData
        >>> validation, evidence = divided(LinearGaussianData(n=100).open().held_out, 0.3)
        >>> len(validation), sorted([*validation.tolist(), *evidence.tolist()]) == list(range(10))
        (3, True)
    """
    if share == 0:
        return None, None
    n = len(examples)
    few = round(share * n)
    if not 0 < few < n - 1:
        raise ValueError(
            f"training: validation is {share}, which leaves {few} of {n} held-out examples for validations and "
            f"{n - few} for evidence, wanted at least 1 and 2; try a share nearer to 0.5, 0, or more held-out data"
        )
    mixed = torch.randperm(n, generator=torch.Generator().manual_seed(n))
    return mixed[:few].sort().values, mixed[few:].sort().values


def with_division(splits: Splits, share: float) -> Splits:
    """The data with a note that says how the held-out examples are divided, where they are.

    Args:
        splits: The data, opened.
        share: As of :func:`divided`.

    Example:
        >>> from buttress.data.linear_gaussian import LinearGaussianData
        >>> print(with_division(LinearGaussianData(n=100).open(), 0.3).notes[-1])
        of the 10 held-out examples, 3 are for validations in training and 7 for the evidence (training.validation is
        0.3)
    """
    few, rest = divided(splits.held_out, share)
    if few is None or rest is None:
        return splits
    note = (
        f"of the {len(splits.held_out):,} held-out examples, {len(few):,} are for validations in training and "
        f"{len(rest):,} for the evidence (training.validation is {share:g})"
    )
    return replace(splits, notes=(*splits.notes, note))


def look(model: Any, batches: HeldOut, seed: int) -> dict[str, float]:
    """The true bound (whatever the objective's beta) and its parts, the mutual information and the active groups.

    Args:
        model: A LatentVariableModel, or the evaluation model of its algorithm, in any mode; it is evaluated in eval
            mode and left as it was.
        batches: What to measure on.
        seed: Of the noise.

    Returns:
        In nats per example ``elbo``, ``distortion``, ``rate``, ``mutual_information``, ``rate/<group>``; a count
        ``active_units``; where z is made of codes also ``code_perplexity`` and ``codes_used_share``, of these examples.

    Example:
        >>> from buttress.baseline import baseline
        >>> from buttress.data.linear_gaussian import LinearGaussianData
        >>> data = LinearGaussianData(dim=4, n=100)
        >>> model = baseline(data, data.open().spec).model(data.open().spec)
        >>> seen = look(model, HeldOut(data.open().held_out, model.observe, seed=0), seed=0)
        >>> abs(seen["elbo"] + seen["distortion"] + seen["rate"]) < 1e-9
        True
        >>> [name for name in seen if name.startswith("rate/")]
        ['rate/z0', 'rate/z1', 'rate/z2']
    """
    with evaluating(model), torch.no_grad():
        seed_step(seed, OBSERVED)
        distortion, rate = _terms(model, batches)
    information = mutual_information(model, batches, seed=seed).value
    moving = activity(model, batches, seed=seed)
    active = count_active(moving).value
    return {
        "elbo": -distortion - rate.sum().item(),
        "distortion": distortion,
        "rate": rate.sum().item(),
        "mutual_information": math.nan if information is None else information,
        "active_units": math.nan if active is None else active,
        **({} if moving.codes is None else health(model, moving.codes)),
        **{f"rate/{name}": value for name, value in zip(model.groups, rate.tolist(), strict=True)},
    }


def _terms(model: Any, batches: HeldOut) -> tuple[float, Float[Tensor, " G"]]:
    """Mean distortion and mean rate of each group."""
    count, distortion, rate = 0, 0.0, torch.zeros(len(model.groups), dtype=torch.float64)
    for number in range(len(batches)):
        batch = batches[number]
        terms = model(batch.x, given=batch.given)
        count += terms.distortion.shape[1]
        distortion += terms.distortion.double().mean(0).sum().item()
        rate += terms.latent.rate.double().sum(0).cpu()
    return distortion / count, rate / count

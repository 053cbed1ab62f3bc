r"""What each level of z costs, carries, and adds for the decoder, where z has levels such as "top" and "bottom".

$$ R_l = \sum_{g \in l} \mathrm{KL}_g, \qquad
   W_l = E_x E_{q(z|x)} \log p(x|z) - E_x E_{x' \ne x} E \log p(x|z_{-l}, z'_l), \quad z' \sim q(z|x') $$

W_l is what shuffling this level alone costs the decoder. An idle level has a W_l of 0, whatever its rate.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from buttress.diagnostics.aggregate import Aggregate
from buttress.diagnostics.estimate import Estimate, mean
from buttress.diagnostics.estimator import Subject, estimator
from buttress.diagnostics.estimators.mutual_information import densities
from buttress.diagnostics.estimators.rate import exact_kl
from buttress.diagnostics.estimators.worth import derangement, drawn, paired_error
from buttress.diagnostics.evaluation import choose, decode, evaluating
from buttress.diagnostics.levels import LatentLevel, levels_of
from buttress.diagnostics.passes import count, passes
from buttress.diagnostics.protocol import Batches, Model, conditional

__all__ = ["exchanged", "level_information", "level_rates", "level_worths"]


def level_rates(model: Model, batches: Batches) -> dict[str, Estimate]:
    """``rate/<level>`` in nats per example, where the rate has a closed form for each group.

    Args:
        model: Keeps the protocol; ``model.space`` names its levels.
        batches: Held-out data.

    Example:
        >>> from buttress.diagnostics.reference import LinearGaussian
        >>> level_rates(LinearGaussian.random(dims=3, latents=1).vae(), [torch.zeros(5, 3)])  # it has no levels
        {}
    """
    levels = levels_of(conditional(model).model)
    rows: dict[str, list[Tensor]] = {level.name: [] for level in levels}
    with evaluating(model) as asked:
        for block in passes(asked, batches) if levels else ():
            rate = exact_kl(block.q, block.prior)
            if rate is None or rate[0].numel() != block.q.event_shape.numel():
                return {}
            for level in levels:
                rows[level.name].append(rate.flatten(1)[:, level.places].sum(1).cpu())
    return {f"rate/{name}": mean(torch.cat(found), "closed form") for name, found in rows.items()}


def level_worths(
    model: Model,
    batches: Batches,
    *,
    samples: int = 4,
    seed: int = 0,
    levels: Sequence[LatentLevel] | None = None,
) -> dict[str, Estimate]:
    """``worth_shuffled/<level>``: nats lost when this level of z, and no other, comes from another example.

    Args:
        model: Keeps the protocol; ``model.space`` names its levels.
        batches: Held-out data.
        samples: Samples of z per example, each shuffled in its own way.
        seed: Of the noise and the shuffling.
        levels: Parts of z; None for the levels of the model.

    Example:
        >>> from buttress.diagnostics.reference import LinearGaussian
        >>> level_worths(LinearGaussian.random(dims=3, latents=1).vae(), [torch.zeros(5, 3)])  # it has no levels
        {}
    """
    levels = levels_of(conditional(model).model) if levels is None else levels
    if not levels or not conditional(model).density:
        return {}
    losses: dict[str, list[Tensor]] = {level.name: [] for level in levels}
    with evaluating(model, seed) as asked:
        z, n = drawn(asked, batches, samples, seed), count(batches)
        other = torch.stack([derangement(n, seed, s) for s in range(samples)])
        for block in passes(asked, batches):
            own = decode(asked, block.x, z[:, block.index], block.given)
            elsewhere = torch.stack([z[s % len(z), other[s, block.index]] for s in range(samples)])
            for level in levels:
                mixed = exchanged(z[:, block.index], elsewhere, level)
                losses[level.name].append((own - decode(asked, block.x, mixed, block.given)).cpu())
    return {f"worth_shuffled/{name}": _lost(torch.cat(found, 1), other, name) for name, found in losses.items()}


def exchanged(
    z: Shaped[Tensor, "S B *event"], elsewhere: Shaped[Tensor, "T B *event"], level: LatentLevel
) -> Shaped[Tensor, "T B *event"]:
    """z with one level of other examples.

    Example:
        >>> level = LatentLevel("top", torch.tensor([0]))
        >>> exchanged(torch.zeros(1, 1, 3), torch.ones(1, 1, 3), level).tolist()
        [[[1.0, 0.0, 0.0]]]
    """
    mixed = z.expand_as(elsewhere).flatten(2).clone()
    mixed[..., level.places] = elsewhere.flatten(2)[..., level.places]
    return mixed.reshape(elsewhere.shape)


def _lost(loss: Float[Tensor, "S N"], other: Tensor, name: str) -> Estimate:
    note = f"nats lost when the {name} level alone is that of another example"
    return Estimate(loss.mean().item(), paired_error(loss, other), loss.shape[1], "Monte Carlo", note=note)


def level_information(
    model: Model, batches: Batches, *, examples: int | None = 5000, seed: int = 0
) -> dict[str, Estimate]:
    """``mutual_information/<level>``: I_q(x; z_l) of each level alone, where z is flat and its family is known.

    Args:
        model: Keeps the protocol; ``model.space`` names its levels.
        batches: Held-out data.
        examples: N, at most.
        seed: Of the choice and the noise.

    Example:
        >>> from buttress.diagnostics.reference import LinearGaussian
        >>> level_information(LinearGaussian.random(dims=3, latents=1).vae(), [torch.zeros(5, 3)])  # it has no levels
        {}
    """
    levels = levels_of(conditional(model).model)
    found: dict[str, Estimate] = {}
    if not levels:
        return found
    with evaluating(model, seed) as asked:
        blocks = list(passes(asked, batches, keep=choose(count(batches), examples, seed)))
        for level in levels:
            if (parts := [part for block in blocks if (part := block.narrowed(level.places)) is not None]) == []:
                return {}
            aggregate = Aggregate(parts)
            terms = torch.cat([(own - mixed).mean(0).cpu() for _, _, own, mixed in densities(aggregate, 1, seed)])
            note = f"N = {aggregate.n}, of the {level.name} level alone"
            found[f"mutual_information/{level.name}"] = mean(terms, "all pairs", aggregate.ceiling, note)
    return found


@estimator("use of z by the decoder")
def measure(subject: Subject) -> dict[str, Estimate]:
    """Rate, information and worth of each level, where z has levels."""
    model, data, settings, seed = subject.model, subject.data, subject.settings, subject.seed
    return {
        **level_rates(model, data),
        **level_information(model, data, examples=settings["mi_examples"], seed=seed),
        **level_worths(model, data, samples=settings["samples"], seed=seed),
    }

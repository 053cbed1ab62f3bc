r"""What z is worth to the decoder: the nats it loses when z comes from elsewhere.

$$ W_\text{shuffled} = E_x E_{q(z|x)} \log p(x|z) - E_x E_{x' \ne x} E_{q(z|x')} \log p(x|z), \qquad
   W_\text{prior} = E_x E_{q(z|x)} \log p(x|z) - E_x E_{p(z)} \log p(x|z) $$

With the exact posterior, $W_\text{shuffled} = I + L \ge I$ with L the same divergence the other way
round, KL(p(x) p(z) || p(x, z)). So a worth far below the rate shows a rate that nobody reads: the trap of free bits.

Shuffling makes S N pairs e = (x_n, z_m), and each example is in 2 S of them, S times as the reader and S times as the
one whose z is read. So the losses $v_e$ are not independent of each other: two are related where they share an example,

$$ \operatorname{Var}(W_\text{shuffled})
   = \frac{1}{(S N)^2} \sum_{e \cap e' \ne \emptyset} \operatorname{Cov}(v_e, v_{e'}) \approx \frac{A}{(S N)^2 - K}, $$
$$ A = \sum_n \Bigl(\sum_{e \ni n} r_e\Bigr)^2 - \sum_{n < m} \Bigl(\sum_{e = nm} r_e\Bigr)^2, \qquad
   r_e = v_e - \bar v $$

where the second sum takes out what the first counts twice, and K, the number of related pairs of losses (the same sums
with 1 in place of $r_e$), makes up for $\bar v$ being a mean of the same losses. (Aronow et al. 2015: errors of dyads.)
The spread of the readers' own losses alone leaves out what a z costs those who read it: about half of the error.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from buttress.diagnostics.estimate import NO_DENSITY, Estimate, mean
from buttress.diagnostics.estimator import Subject, estimator
from buttress.diagnostics.evaluation import decode, draw, evaluating
from buttress.diagnostics.passes import count, passes
from buttress.diagnostics.protocol import Batches, Conditional, Model
from buttress.distributions.inspect import point

__all__ = ["Worth", "derangement", "drawn", "paired_error", "worth"]


@dataclass(frozen=True)
class Worth:
    """Nats lost when z comes from elsewhere, with paired standard errors.

    Args:
        shuffled: When each example reads the z of another one. Its error counts both the loss of each example and that
            which its z causes others; None for fewer than four examples, which show nothing of it.
        prior: When each example reads a z of the prior.
        losses: Nats that each example loses in each round of shuffling, (S, N).

    Example:
        >>> from buttress.diagnostics.reference import LinearGaussian
        >>> model = LinearGaussian.random(dims=3, latents=1).collapsed()
        >>> found = worth(model, [torch.zeros(50, 3)])
        >>> print(found.shuffled, found.prior)
        0 0
    """

    shuffled: Estimate
    prior: Estimate
    losses: Float[Tensor, "S N"]


def worth(
    model: Model, batches: Batches, *, samples: int = 4, seed: int = 0, within: Int[Tensor, " N"] | None = None
) -> Worth:
    """Measure over all of the data what z is worth. x is never shuffled: batches may differ in width.

    Memory grows with the data, unlike elsewhere: the z of all examples are held at once, ``samples`` of each, because
    an example reads the z of any other. That is 16 bytes for every number of z and example at the 4 samples of float32
    that are usual: 1.6 MB for 10,000 examples of 10 dimensions, but 2 GB for maps of 32 x 32 codes in 64 bits with
    60,000 examples.

    Args:
        model: Keeps the protocol.
        batches: Held-out data.
        samples: Samples of z per example, each shuffled in its own way.
        seed: Of the noise and the shuffling.
        within: Group of each example, to give it a z of its own group only: then a condition that all of a group share
            stays as it is.

    Example:
        >>> from buttress.diagnostics.reference import LinearGaussian
        >>> model = LinearGaussian(torch.ones(2, 1).double(), torch.zeros(2).double(), 1.0)
        >>> model.vae().worth_shuffled()  # in closed form
        2.0
        >>> print(worth(model.vae(), [model.sample(2000)[0]], samples=8).shuffled)
        1.99 ± 0.07
    """
    with evaluating(model, seed) as asked:
        z, n = drawn(asked, batches, samples, seed), count(batches)
        other = torch.stack([derangement(n, seed, s, within) for s in range(samples)])
        shuffled, prior = [], []
        for block in passes(asked, batches):
            index, x, given = block.index, block.x, block.given
            own = decode(asked, x, z[:, index], given, index)
            elsewhere = torch.stack([z[s % len(z), other[s, index]] for s in range(samples)])
            from_prior = draw(block.prior, index, samples, seed, "worth of the prior").to(z)
            shuffled.append((own - decode(asked, x, elsewhere, given, index)).cpu())
            prior.append((own - decode(asked, x, from_prior, given, index)).mean(0).cpu())
    loss = torch.cat(shuffled, 1)
    note = "nats lost when each example reads the z of another"
    return Worth(
        Estimate(loss.mean().item(), paired_error(loss, other), n, "Monte Carlo", note=note),
        mean(torch.cat(prior), "Monte Carlo", note="nats lost when each example reads a z of the prior"),
        loss,
    )


def drawn(model: Conditional, batches: Batches, samples: int, seed: int) -> Shaped[Tensor, "S N *event"]:
    """z of all examples; a single sample where q is a point, which gives the same z every time."""
    blocks = passes(model, batches)
    return torch.cat([draw(b.q, b.index, samples if point(b.q) is None else 1, seed, "worth") for b in blocks], 1)


def derangement(n: int, seed: int, number: int = 0, within: Int[Tensor, " N"] | None = None) -> Int[Tensor, " N"]:
    """A random permutation that leaves nothing in its place: one cycle through all n, or through each group.

    Args:
        n: Size.
        seed: Of the choice.
        number: Which of several.
        within: Group of each of the n, to permute each group by itself; those of a negative number are one group.

    Example:
        >>> bool((derangement(5, seed=0) == torch.arange(5)).any())
        False
        >>> derangement(4, seed=0, within=torch.tensor([0, 1, 0, 1])).tolist()
        [2, 3, 0, 1]
    """
    order = torch.from_numpy(np.random.default_rng([seed, number]).permutation(n))
    shuffled = torch.empty_like(order)
    groups = [order] if within is None else [order[within[order] == group] for group in within.unique()]
    for members in groups:
        shuffled[members] = members.roll(1)
    return shuffled


def paired_error(loss: Float[Tensor, "S N"], other: Int[Tensor, "S N"]) -> float | None:
    """Standard error of the mean loss, where n loses ``loss[s, n]`` by reading the z of ``other[s, n]``."""
    samples, n = loss.shape
    reader, read = torch.arange(n).expand_as(other).flatten(), other.flatten()
    residual = (loss - loss.mean()).flatten()
    pairs, which, often = (torch.minimum(reader, read) * n + torch.maximum(reader, read)).unique(
        return_inverse=True, return_counts=True
    )
    of_example = torch.zeros(n).to(residual).index_add(0, reader, residual).index_add(0, read, residual)
    of_pair = torch.zeros(len(pairs)).to(residual).index_add(0, which, residual)
    free = loss.numel() ** 2 - (4 * n * samples**2 - often.square().sum().item())
    if not free:
        return None
    twice = of_pair.square().sum()
    related = of_example.square().sum() - twice
    # a few examples may make the difference negative by chance: what is counted twice then stays in, which is too much
    return math.sqrt((related if related > 0 else related + twice).item() / free)


@estimator("use of z by the decoder")
def measure(subject: Subject) -> dict[str, Estimate]:
    """What the decoder loses when z comes from elsewhere."""
    if not subject.model.density:
        return {"worth_shuffled": NO_DENSITY, "worth_prior": NO_DENSITY}
    found = worth(
        subject.model, subject.data, samples=subject.settings["samples"], seed=subject.seed, within=subject.within
    )
    subject.kept["losses"] = found.losses
    added = "" if subject.within is None else " of the same condition"
    beyond = "; what is given stays in place" if subject.conditions else ""
    return {
        "worth_shuffled": replace(found.shuffled, note=f"{found.shuffled.note}{added}{beyond}"),
        "worth_prior": replace(found.prior, note=f"{found.prior.note}{beyond}"),
    }

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
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from buttress.diagnostics.estimate import Estimate, mean
from buttress.diagnostics.evaluation import blocks, count, decode, draw, evaluating
from buttress.diagnostics.protocol import Batches, Model
from buttress.distributions.inspect import point

__all__ = ["Worth", "derangement", "worth"]


@dataclass(frozen=True)
class Worth:
    """Nats lost when z comes from elsewhere, with paired standard errors.

    Args:
        shuffled: When each example reads the z of another one. Its error counts both the loss of each example and that
            which its z causes others; None for fewer than four examples, which show nothing of it.
        prior: When each example reads a z of the prior.

    Example:
        >>> from buttress.diagnostics.reference import LinearGaussian
        >>> model = LinearGaussian.random(dims=3, latents=1).collapsed()
        >>> found = worth(model, [torch.zeros(50, 3)])
        >>> print(found.shuffled, found.prior)
        0 ± 0 0 ± 0
    """

    shuffled: Estimate
    prior: Estimate


def worth(model: Model, batches: Batches, *, samples: int = 4, seed: int = 0) -> Worth:
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

    Example:
        >>> from buttress.diagnostics.reference import LinearGaussian
        >>> model = LinearGaussian(torch.ones(2, 1).double(), torch.zeros(2).double(), 1.0)
        >>> model.vae().worth_shuffled()  # in closed form
        2.0
        >>> print(worth(model.vae(), [model.sample(2000)[0]], samples=8).shuffled)
        1.99 ± 0.07
    """
    with evaluating(model, seed):
        z = torch.cat([draw(model.posterior(x), i, samples, seed, "worth") for i, x in blocks(batches)], 1)
        sampled = point(model.posterior(batches[0][:1])) is None  # a point reads the same z in every sample
        n = count(batches)
        other = torch.stack([derangement(n, seed, s) for s in range(samples)])
        shuffled, prior = [], []
        for index, x in blocks(batches):
            own = decode(model, x, z[:, index] if sampled else z[:1, index])
            elsewhere = torch.stack([z[s, other[s, index]] for s in range(samples)])
            from_prior = draw(model.prior(), index, samples, seed, "worth of the prior").to(z)
            shuffled.append((own - decode(model, x, elsewhere)).cpu())
            prior.append((own - decode(model, x, from_prior)).mean(0).cpu())
    loss = torch.cat(shuffled, 1)
    note = "nats lost when each example reads the z of another"
    return Worth(
        Estimate(loss.mean().item(), _error(loss, other), n, "Monte Carlo", note=note),
        mean(torch.cat(prior), "Monte Carlo", note="nats lost when each example reads a z of the prior"),
    )


def derangement(n: int, seed: int, number: int = 0) -> Int[Tensor, " N"]:
    """A random permutation that leaves nothing in its place: one cycle through all n.

    Example:
        >>> bool((derangement(5, seed=0) == torch.arange(5)).any())
        False
    """
    order = torch.from_numpy(np.random.default_rng([seed, number]).permutation(n))
    shuffled = torch.empty_like(order)
    shuffled[order] = order.roll(1)
    return shuffled


def _error(loss: Float[Tensor, "S N"], other: Int[Tensor, "S N"]) -> float | None:
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

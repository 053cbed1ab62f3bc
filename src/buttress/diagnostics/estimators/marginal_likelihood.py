r"""The negative log-likelihood by importance sampling, and its conversions.

$$ \mathrm{NLL} \le -L_k = -E \log \frac1k \sum_{i=1}^k w_i, \quad w_i = \frac{p(x|z_i)\, p(z_i)}{q(z_i|x)}, \qquad
   \mathrm{ESS} = \frac{(\sum_i w_i)^2}{\sum_i w_i^2} $$
$$ \text{bits per dimension} = \frac{\mathrm{NLL}}{D \ln 2}, \qquad
   \text{perplexity} = \exp \frac{\sum_n \mathrm{NLL}_n}{\sum_n T_n} $$

Burda et al. 2016. T_n counts the predicted tokens of a sentence with its end and without its beginning.

What the bound still lacks is extrapolated from how it rose with k, as if by the same share at each doubling:

$$ \hat c = d_2 \frac{\rho}{1 - \rho}, \quad \rho = d_2 / d_1, \quad
   d_1 = L_{k/2} - L_{k/4}, \quad d_2 = L_k - L_{k/2} $$

With $\rho = 1/2$, its value where few samples are enough, this is the jackknife's estimate of bias. The same samples
give the ELBO; $L_k - \mathrm{ELBO}$, which is positive for each example, is on average at most KL(q(z|x) || p(z|x)).

Where q is a point c(x) all samples are equal and the bound is -log p(x|c) - log p(c) for any k, so one sample is taken.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from buttress.diagnostics.estimate import NO_DENSITY, Estimate, mean, ratio, short
from buttress.diagnostics.estimator import Subject, estimator
from buttress.diagnostics.evaluation import choose, decode, draw_with_density, evaluating
from buttress.diagnostics.passes import Block, count, passes
from buttress.diagnostics.protocol import Batches, Conditional, Model
from buttress.distributions.inspect import log_density, point
from buttress.objectives.importance_weighted import importance_weighted_bound

__all__ = ["Likelihoods", "bits_per_dim", "likelihoods", "log_weights", "marginal_likelihood", "perplexity"]

WEIGHTS = 2**16
"""Most samples of z held at once."""
FEW, LOOSE = 0.1, 0.1
"""Effective samples as a share of k, below which a few samples carry the NLL; and nats that are no matter."""
SHARES = (0.5, 0.9)
"""What a doubling of k is taken to leave of the rise, at least and at most: the lower is that of many samples."""
POINT = "for point codes the NLL is the -ELBO"


@dataclass(frozen=True)
class Likelihoods:
    """Importance-weighted estimates of a set of examples.

    Args:
        nll: Of each example, in nats, (N,).
        effective_sample_size: Of each example, between 1 and ``samples``, (N,).
        tokens: Entries of each example that are not 0 (so not padding), (N,).
        samples: k.
        exact: Whether q is a point, so that no further sample could change the estimate.
        elbo: Of each example, by the same samples; None where it is not known.
        rises: By how much the NLL falls from k / 4 to k / 2 samples and from there to k, (2, N); None where k is
            below 8.

    Example:
        >>> nll, effective = torch.tensor([2.0, 4.0]), torch.tensor([9.0, 7.0])
        >>> found = Likelihoods(nll, effective, tokens=torch.tensor([2.0, 2.0]), samples=10)
        >>> print(found.estimate, "with", found.effective, "of 10 samples")
        3 ± 1 with 8 ± 1 of 10 samples
    """

    nll: Float[Tensor, " N"]
    effective_sample_size: Float[Tensor, " N"]
    tokens: Float[Tensor, " N"]
    samples: int
    exact: bool = False
    elbo: Float[Tensor, " N"] | None = None
    rises: Float[Tensor, "2 N"] | None = None

    @property
    def method(self) -> str:
        """How it was measured."""
        return "-log p(x, codes)" if self.exact else "importance-weighted Monte Carlo"

    @property
    def estimate(self) -> Estimate:
        """The NLL in nats per example."""
        note = f"k = {self.samples}; an upper bound on average, tighter as k grows{self._doubt}"
        if self.exact:
            note = f"an upper bound, equal to the -ELBO: q is a point, so more samples do not tighten it; {POINT}"
        return mean(self.nll, self.method, note=note)

    @property
    def _doubt(self) -> str:
        """What a low effective sample size means, or nothing."""
        few, loose = self.effective_sample_size.mean().item(), self.looseness
        if few >= FEW * self.samples or (loose is not None and (loose.value or 0) < LOOSE):
            return ""
        only = f"the NLL rests on about {short(few, 2)} of its {self.samples} samples of z"
        if loose is None or loose.value is None:
            return f"; {only}, so the true one may be some nats lower: raise nll_samples"
        return (
            f"; {only}. How it falls with their number suggests that the true one is about {short(loose.value, 2)} "
            "nats lower: raise nll_samples until it stops falling"
        )

    @property
    def looseness(self) -> Estimate | None:
        """How much too high the NLL may be; None where k is below 8 or q is a point."""
        if self.exact or self.rises is None:
            return None
        first, second = self.rises.mean(1).tolist()
        share = min(max(second / first, SHARES[0]), SHARES[1]) if 0 < first < math.inf else SHARES[0]
        note = f"extrapolated from k / 4, k / 2 and k = {self.samples}, each doubling leaving {share:.2f} of the rise"
        odds = share / (1 - share)
        spread = mean((2 * odds + odds**2) * self.rises[1] - odds**2 * self.rises[0], "")  # the delta method
        return replace(mean(odds * self.rises[1], self.method, note=note), error=spread.error)

    @property
    def bound_gap(self) -> Estimate | None:
        """-ELBO - NLL, paired: at least so much does q lack of p(z|x)."""
        if self.exact:
            return Estimate(None, None, len(self.nll), self.method, note=f"{POINT}: no gap can be seen in it")
        if self.elbo is None:
            return None
        return mean(
            -self.elbo - self.nll, self.method, note="a lower bound of KL(q(z|x) || p(z|x)), by the same samples"
        )

    @property
    def effective(self) -> Estimate:
        """The effective sample size, of k."""
        note = "samples, not nats"
        return mean(self.effective_sample_size, "Monte Carlo", float(self.samples), note)


def likelihoods(
    model: Model, batches: Batches, *, samples: int = 500, examples: int | None = None, seed: int = 0
) -> Likelihoods:
    """Measure the NLL of each example with exactly ``samples`` samples, in memory that depends on neither number.

    Args:
        model: Keeps the protocol.
        batches: Held-out data.
        samples: k, any number from 1; a multiple of nothing.
        examples: At most so many: a random choice of the data where there is more. None for all.
        seed: Of the choice and the noise.

    Errors:
        ValueError: samples is below 1.

    Example:
        >>> from buttress.diagnostics.reference import LinearGaussian
        >>> model = LinearGaussian.random(dims=3, latents=1)
        >>> x, _ = model.sample(5)
        >>> found = likelihoods(model.vae(), [x], samples=7)  # q is exact, so every weight is p(x)
        >>> torch.allclose(found.nll, -model.log_marginal(x)), round(found.effective_sample_size.mean().item(), 6)
        (True, 7.0)
    """
    if samples < 1:
        raise ValueError(f"importance-weighted NLL: samples is {samples}, wanted at least 1")
    columns: list[list[Tensor]] = []
    exact = False
    with evaluating(model, seed) as asked:
        keep = choose(count(batches), examples, seed)
        for block in passes(asked, batches, max(1, min(256, WEIGHTS // samples)), keep):
            x, exact = block.x, point(block.q) is not None
            weight = log_weights(asked, block, 1 if exact else samples, seed)
            effective = (2 * weight.logsumexp(0) - (2 * weight).logsumexp(0)).exp()
            tokens = (x != 0).flatten(1).sum(1).double()
            columns.append([-importance_weighted_bound(weight), effective, tokens, weight.mean(0), *_rises(weight)])
    nll, effective, tokens, elbo, *rises = (torch.cat(column).cpu() for column in zip(*columns, strict=True))
    together = torch.stack(rises) if rises else None
    return Likelihoods(nll, effective, tokens, 1 if exact else samples, exact, elbo, together)


def _rises(weight: Float[Tensor, "S B"]) -> list[Tensor]:
    """How the bound rises from a quarter of the samples to half of them and to all, averaged over the parts."""
    if len(weight) < 8:
        return []
    weight = weight[: len(weight) // 4 * 4]
    fourth, half, whole = (
        torch.stack([importance_weighted_bound(part) for part in weight.chunk(n)]).mean(0) for n in (4, 2, 1)
    )
    return [half - fourth, whole - half]


def log_weights(model: Conditional, block: Block, samples: int, seed: int = 0) -> Float[Tensor, "S B"]:
    """log p(x, z) - log q(z|x) in nats for samples of q; equal to log p(x) for every one of them where q is exact.

    Args:
        model: Every callable takes ``given``.
        block: Some examples: each has noise of its own.
        samples: S.
        seed: Of the noise.

    Example:
        >>> from buttress.diagnostics.reference import LinearGaussian
        >>> model = LinearGaussian.random(dims=3, latents=1)
        >>> x, _ = model.sample(2)
        >>> weights = [log_weights(Conditional(model), block, samples=4) for block in passes(model, [x])]
        >>> torch.allclose(weights[0], model.log_marginal(x).expand(4, 2))
        True
    """
    z, log_q = draw_with_density(block.q, block.index, samples, seed, "likelihood")
    return decode(model, block.x, z, block.given) + log_density(block.prior, z).double() - log_q


def marginal_likelihood(
    model: Model, batches: Batches, *, samples: int = 500, examples: int | None = None, seed: int = 0
) -> Estimate:
    """The NLL in nats per example, see :func:`likelihoods`.

    Example:
        >>> from buttress.diagnostics.reference import LinearGaussian
        >>> model = LinearGaussian(torch.ones(2, 1).double(), torch.zeros(2).double(), 1.0)
        >>> print(marginal_likelihood(model.lagging(), [model.sample(1000)[0]], samples=100))
        3.38 ± 0.03
        >>> round(math.log(2 * math.pi * math.e) + math.log(3) / 2, 3)  # the entropy of x
        3.387
    """
    return likelihoods(model, batches, samples=samples, examples=examples, seed=seed).estimate


def bits_per_dim(nll: Estimate, dims: int) -> Estimate:
    """The NLL in bits for each of ``dims`` numbers of an example.

    Args:
        nll: In nats per example.
        dims: Numbers in an example.

    Example:
        >>> bits_per_dim(Estimate(math.log(4), None, 1, "closed form"), 2).value
        1.0
    """
    if dims < 1:
        raise ValueError(f"bits per dimension: dims is {dims}, wanted the number of dimensions of an example")
    unit = 1 / (dims * math.log(2))
    scaled = [None if number is None else number * unit for number in (nll.value, nll.error)]
    return replace(nll, value=scaled[0], error=scaled[1], note=f"bits, {dims} dimensions; {nll.note}")


def perplexity(found: Likelihoods, tokens_per_example: float | None = None) -> Estimate:
    """exp(nats per predicted token).

    Args:
        found: The NLL of each sentence.
        tokens_per_example: Mean number of predicted tokens with the end of the sentence; None to count what is not 0.

    Example:
        >>> nats = torch.tensor([math.log(8), math.log(8)])
        >>> found = Likelihoods(nats, torch.ones(2), torch.tensor([3.0, 3.0]), samples=1)
        >>> round(perplexity(found).value, 4)  # log 8 for three tokens: a choice among 2 at each
        2.0
    """
    tokens = found.tokens if tokens_per_example is None else torch.full_like(found.nll, tokens_per_example)
    if not tokens.sum() > 0:
        raise ValueError(f"perplexity: got {tokens.sum().item():g} predicted tokens, wanted more than 0")
    nats, error = ratio(found.nll, tokens)
    value = math.exp(nats) if nats < 700 else math.inf
    note = f"not nats; {tokens.mean().item():.4g} tokens per example; k = {found.samples}"
    return Estimate(value, None if error is None else value * error, len(tokens), found.method, note=note)


OF_REALS = "x has values that are no whole numbers: comparable only if uniform noise was added; dims=0 leaves bits out"
"""What is noted of bits that may be those of a density in units of its own."""


@estimator("likelihood")
def measure(subject: Subject) -> dict[str, Estimate]:
    """NLL, effective sample size, and the conversion that fits the kind of data."""
    settings = subject.settings
    if not (samples := settings["nll_samples"]):
        return {}
    if not subject.model.density:
        return {"nll": NO_DENSITY}
    found = likelihoods(
        subject.model, subject.data, samples=samples, examples=settings["nll_examples"], seed=subject.seed
    )
    further = {"bound_gap": found.bound_gap, "nll_looseness": found.looseness}
    return {
        "nll": found.estimate,
        "effective_sample_size": found.effective,
        **{name: estimate for name, estimate in further.items() if estimate is not None},
        **_converted(subject, found),
    }


def _converted(subject: Subject, found: Likelihoods) -> dict[str, Estimate]:
    """Perplexity of text; bits per dimension where they are wanted."""
    if subject.kind == "text":
        return {"perplexity": perplexity(found, subject.tokens and subject.tokens / count(subject.data))}
    dims = subject.dims
    if dims is not None or subject.kind != "image":
        return {"bits_per_dim": bits_per_dim(found.estimate, dims)} if dims else {}
    x = subject.data[0].x
    bits = bits_per_dim(found.estimate, x[0].numel())
    if x.is_floating_point() and (x != x.round()).any():  # who made x so is not known here
        bits = replace(bits, note=f"{bits.note}; {OF_REALS}")
    return {"bits_per_dim": bits}

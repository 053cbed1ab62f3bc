"""Examples that a run makes: held-out ones as the model sees them, samples, reconstructions, and interpolations.

What is given beside x, such as a label, goes with its example everywhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution

from buttress.core import EMPTY, Batch, DataSpec, Given
from buttress.core.autoregressive import AutoregressiveModule
from buttress.distributions.inspect import mean_of
from buttress.distributions.sites import Sites
from buttress.likelihoods.gaussian import GaussianLikelihood
from buttress.priors.uniform import Uniform
from buttress.runtime.randomness import check_seed, seed_step
from buttress.training.run import Run, between

__all__ = [
    "as_observed",
    "center",
    "check_temperature",
    "decoded",
    "drawn_again",
    "evaluation_model",
    "interpolations",
    "lacks_mean",
    "latent_of",
    "lengths_of",
    "means_wanted",
    "one_held_out",
    "posterior_of",
    "reconstructed",
    "sampled",
    "seeded",
    "side_by_side",
    "some_held_out",
    "tempered",
]


def evaluation_model(run: Run, seed: int) -> Any:
    """The model with the q(z|x) that its algorithm trains it for."""
    return run.evaluation_model(seed)


def some_held_out(run: Run, count: int, seed: int = 0) -> Batch:
    """``count`` stored held-out examples, drawn without replacement."""
    if count < 1:
        raise ValueError(f"count is {count}, wanted at least 1")
    check_seed(seed)
    examples = run.splits().held_out
    order = torch.randperm(len(examples), generator=torch.Generator().manual_seed(seed))
    return examples.read(order[:count].sort().values)


def one_held_out(run: Run, number: int) -> Batch:
    """The held-out example of that number, counted from 0."""
    examples = run.splits().held_out
    if not 0 <= number < len(examples):
        raise ValueError(f"example is {number}, wanted the number of a held-out example, 0 to {len(examples) - 1}")
    return examples.read(torch.tensor([number]))


def as_observed(run: Run, raw: Tensor, seed: int = 0) -> Tensor:
    """Stored x as the model sees it, binarised with the noise of ``seed``."""
    check_seed(seed)
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        return run.model.observe(raw)


def sampled(
    run: Run,
    count: int,
    seed: int = 0,
    mean: bool = False,
    temperature: float = 1.0,
    uniform: bool = False,
    given: Given = EMPTY,
) -> Tensor:
    """New examples: z from the prior, x from the decoder.

    Args:
        run: The run.
        count: How many.
        seed: Of all draws.
        mean: Take the mean of p(x|z) where the decoder has one.
        temperature: Of p(x|z): 1 draws from it, 0 takes the likeliest values, place by place where it is a sequence.
        uniform: Draw every code uniformly instead of from p(z).
        given: The conditions of each, ``count`` rows.

    Errors:
        ValueError: A count below 1, a negative temperature, or uniform codes where z is made of real numbers.
    """
    if count < 1:
        raise ValueError(f"count is {count}, wanted at least 1")
    run.check_room(count)
    with seeded(seed):
        evenly = Uniform().build(run.model.space) if uniform else None
        if evenly is not None:
            evenly.within(run.model.codes_inside)
        z = run.model.sample_z(count, None if evenly is None else evenly(given), given)
        return decoded(run, z, given, mean, temperature)


def decoded(
    run: Run, z: Tensor, given: Given = EMPTY, mean: bool = False, temperature: float = 1.0, along: bool = False
) -> Tensor:
    """x of each z (*batch, *z_shape).

    Args:
        run: The run.
        z: Latents.
        given: What is known of the examples along the last dimension of the batch.
        mean: As in :func:`sampled`.
        temperature: As in :func:`sampled`.
        along: Draw with the same random numbers along the first dimension of the batch.
    """
    p: Any = run.model.decode(z, given)
    if mean and (middle := center(p)) is not None:
        return middle
    with tempered(run.model.likelihood, temperature):
        drawn: Tensor = p.sample_along() if along else p.sample()
    return drawn


def check_temperature(temperature: float) -> None:
    """Refuse one that can't be.

    Example:
        >>> check_temperature(-1.0)
        Traceback (most recent call last):
        ValueError: temperature is -1.0, wanted at least 0, and finite
    """
    if not 0 <= temperature < float("inf"):
        raise ValueError(f"temperature is {temperature}, wanted at least 0, and finite")


@contextmanager
def tempered(likelihood: Any, temperature: float) -> Iterator[None]:
    """While this lasts, values are picked at a temperature (:meth:`buttress.core.LikelihoodModule.temper`).

    Errors:
        ValueError: It is negative or not finite, or the likelihood has none.
    """
    check_temperature(temperature)
    if temperature == 1:
        yield
        return
    plain = likelihood.pick
    likelihood.pick = lambda parameters, uniforms: plain(*likelihood.temper(parameters, uniforms, temperature))
    try:
        yield
    finally:
        del likelihood.pick  # the class's own shows again


def reconstructed(run: Run, raw: Batch, seed: int = 0, mean: bool = False, temperature: float = 1.0) -> Tensor:
    """Stored examples -> z -> x: drawn, or with means where there are such.

    Args:
        run: The run.
        raw: Stored examples.
        seed: Of all draws.
        mean: Take the mean of q(z|x), and that of p(x|z) too where the decoder has one.
        temperature: As in :func:`sampled`.
    """
    with seeded(seed):
        z = latent_of(posterior_of(run, raw, seed), mean)
        return decoded(run, z, raw.given, mean, temperature)


def drawn_again(run: Run, raw: Batch, times: int = 4, seed: int = 0, temperature: float = 1.0) -> Tensor:
    """Each of B examples, and then ``times`` draws of x from one and the same z, shape (B, 1 + times, *x).

    What all draws of a row share is what z encodes; what differs between them the decoder makes up.

    Args:
        run: The run.
        raw: Stored examples; z ~ q(z|x) is drawn once for each.
        times: Draws of x ~ p(x|z) from it.
        seed: Of all draws.
        temperature: As in :func:`sampled`.

    Errors:
        ValueError: Less than one draw.
    """
    if times < 1:
        raise ValueError(f"got {times} draws of each z, wanted at least 1")
    run.check_room(times * len(raw))
    with seeded(seed):
        x = run.model.observe(raw.x)
        z = evaluation_model(run, seed).posterior(x, raw.given).sample()
        p: Any = run.model.decode(z, raw.given)
        with tempered(run.model.likelihood, temperature):
            return side_by_side(run.spec, [x, *p.sample((times,))])


def side_by_side(spec: DataSpec, ways: Sequence[Tensor]) -> Tensor:
    """Several tensors of B examples as one of shape (B, len(ways), *x).

    Sentences and frames are padded to the longest, samples of sound cut to the shortest.
    """
    if spec.kind == "wave":
        ways = [x[:, : min(way.shape[1] for way in ways)] for x in ways]
    if spec.layout.lengths:
        width, behind = max(x.shape[1] for x in ways), (0, 0) * (ways[0].dim() - 2)
        ways = [torch.nn.functional.pad(x, (*behind, 0, width - x.shape[1])) for x in ways]
    return torch.stack(list(ways), 1)


def interpolations(
    run: Run, raw_a: Batch, raw_b: Batch, steps: int, seed: int = 0, mean: bool = False, temperature: float = 1.0
) -> Tensor:
    """Examples on the way from each of B examples to another, shape (B, steps, ...).

    As :meth:`buttress.training.run.Run.interpolate`, but all x of a walk are drawn with the same random numbers, so
    that neighbours differ by z alone. What is given beside the first example is given all along the walk.

    Args:
        run: The run.
        raw_a: Stored examples where the walks begin.
        raw_b: Stored examples where they end.
        steps: Points of each, the ends included.
        seed: Of all draws.
        mean: As in :func:`reconstructed`.
        temperature: As in :func:`sampled`.

    Errors:
        ValueError: Less than two steps, or more ends than beginnings.
    """
    if steps < 2 or len(raw_a) != len(raw_b):
        raise ValueError(
            f"got {len(raw_a)} and {len(raw_b)} examples and {steps} steps; wanted as many ends as beginnings, and at "
            "least 2 steps"
        )
    run.check_room(steps * len(raw_a))
    with seeded(seed):
        a, b = (latent_of(posterior_of(run, raw, seed), mean) for raw in (raw_a, raw_b))
        points = between(a, b, torch.linspace(0, 1, steps))
        return decoded(run, points, raw_a.given, mean, temperature, along=True).transpose(0, 1)


def posterior_of(run: Run, raw: Batch, seed: int = 0) -> Distribution:
    """q(z|x) of stored examples, observed with the random state there is."""
    q: Distribution = evaluation_model(run, seed).posterior(run.model.observe(raw.x), raw.given)
    return q


@contextmanager
def seeded(seed: int, number: int = 0) -> Iterator[None]:
    """Draws from ``seed`` (others for another ``number``), no gradients; the global random state is kept."""
    check_seed(seed)
    with torch.random.fork_rng([]), torch.no_grad():
        seed_step(seed, number)
        yield


def latent_of(q: Distribution, mean: bool) -> Tensor:
    """z of each x: drawn from q(z|x), or its mean where that is wanted and there is one."""
    middle = mean_of(q) if mean else None
    drawn: Tensor = q.sample() if middle is None else middle
    return drawn


def lengths_of(run: Run, raw: Batch, times: int) -> list[int] | None:
    """The true length of each of some examples, ``times`` times; None where x itself says it or there is none."""
    if run.spec.kind != "frames":
        return None
    return [int(size) for size in raw.given["lengths"] for _ in range(times)]


def means_wanted(run: Run, mean: bool | None, temperature: float = 1.0) -> bool:
    """Whether means are shown where a person does not say: of pictures under a Gaussian, whose draws are grained."""
    if mean is not None:
        return mean
    return run.spec.kind == "image" and isinstance(run.recipe.likelihood, GaussianLikelihood) and temperature == 1


def lacks_mean(run: Run) -> str:
    """Why no mean of p(x|z) is shown, in a sentence; "" where there is one."""
    if not isinstance(run.model.decoder, AutoregressiveModule):
        return ""
    return f"the {run.recipe.decoder.name()} decoder has no mean; --temperature 0 comes closest"


def center(p: Distribution) -> Tensor | None:
    """The mean of p(x|z), or its likeliest symbols; None where places hang on one another, as all that are drawn do."""
    if not isinstance(p, Sites):
        return None
    return p.mode if p.likelihood.symbols else p.mean

r"""The variance of a trained model's Gaussian likelihood, tuned alone: nothing else moves.

$$ \sigma^{2*} = \frac{\mathbb{E}_x \mathbb{E}_{q(z|x)} |y - m(z)|^2}{\text{sites}} $$

maximises the ELBO over $\sigma^2$ for given networks (Lucas et al. 2019 tune it so after training; the formula is that
of the optimal variance in :mod:`buttress.likelihoods.gaussian`). It is found on the training data. What an example
gains is

$$ \tfrac12 |y - m|^2 (\sigma^{-2} - \sigma^{*-2}) + \tfrac n2 \log (\sigma^2 / \sigma^{2*}). $$
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from buttress.core import Examples
from buttress.core.recipe import Recipe
from buttress.diagnostics.estimate import Estimate, mean
from buttress.diagnostics.estimators.rate import bound
from buttress.diagnostics.evaluation import draw, evaluating
from buttress.diagnostics.passes import passes
from buttress.distributions.sites import Sites
from buttress.likelihoods.gaussian import GaussianLikelihood, GaussianLikelihoodModule
from buttress.training import checkpoint
from buttress.training.folder import WEIGHTS
from buttress.training.held_out import HeldOut
from buttress.training.lock import create, lock, refuse_file
from buttress.training.progress import Progress
from buttress.training.run import Run
from buttress.training.spec_file import save_spec

__all__ = ["Tuned", "tune_variance"]

SAMPLES = 4
"""Samples of z per example for the two ELBOs."""


@dataclass(frozen=True)
class Tuned:
    """What tuning the variance alone did.

    Args:
        run: The new run.
        variance_before: sigma^2 of the scaled variable, as it was.
        variance: As it is now.
        before: ELBO on held-out data, in nats per example.
        after: The same with the new variance.
        gain: What the held-out examples gain with the same samples of z, so that its error is a paired one.
        examples: Training examples that the variance is from.
        constant: Names of constant columns, which no density counts.
        log_units: Nats to add to an ELBO for that of the scaled variable, such as grey levels in [0, 1].
    """

    run: Run
    variance_before: float
    variance: float
    before: Estimate
    after: Estimate
    gain: Estimate
    examples: int
    constant: tuple[str, ...]
    log_units: float


def tune_variance(run: Run, out: Path, seed: int = 0) -> Tuned:
    """Set the variance of a run's Gaussian likelihood to its optimum for networks as they are, in a new run.

    Args:
        run: Its likelihood is Gaussian with one variance for all sites: fixed, learned or optimal.
        out: Folder of the new run, whose variance is fixed.
        seed: Of all draws.

    Errors:
        ValueError: The likelihood is another, or the optimum lies outside its bounds; the folder is taken.

    Example:
        >>> import tempfile
        >>> from buttress.api import recipe_for, train
        >>> recipe = recipe_for("linear_gaussian", steps=20)
        >>> recipe = replace(recipe, likelihood=replace(recipe.likelihood, variance=5.0, learned="fixed"))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     run = train(recipe.data, f"{folder}/a", recipe=recipe, progress=False)
        ...     tuned = tune_variance(run, Path(folder, "b"))
        >>> tuned.variance < 5, tuned.after.value > tuned.before.value, tuned.run.recipe.likelihood.learned
        (True, True, 'fixed')
    """
    refuse_file(out)
    likelihood = _likelihood(run)
    splits, old = run.splits(), likelihood.shared_variance()
    assert old is not None  # see _likelihood
    squares, sites = _squares(run, splits.train, seed)
    variance = (squares.sum() / sites.sum()).item()
    new = _written(run, replace(_part(run), variance=_checked(variance, _part(run)), learned="fixed"), out)
    held, count = _squares(run, splits.held_out, seed)
    gain = 0.5 * held * (1 / old - 1 / variance) + 0.5 * count * math.log(old / variance)
    before, after = (
        bound(one.evaluation_model(seed), one.held_out(seed), samples=SAMPLES, seed=seed).elbo for one in (run, new)
    )
    kept = likelihood.varying_sites()
    constant = tuple(name for name, varies in zip(splits.spec.columns, kept, strict=False) if not varies)
    units = 0.0 if splits.spec.layout.lengths else likelihood.log_units(len(kept)).item()
    paired = mean(gain, "Monte Carlo, the same z")
    return Tuned(new, old, variance, before, after, paired, len(squares), constant, units)


def _part(run: Run) -> GaussianLikelihood:
    part = run.recipe.likelihood
    assert isinstance(part, GaussianLikelihood)  # see _likelihood
    return part


def _likelihood(run: Run) -> GaussianLikelihoodModule:
    """The module, where there is one variance to tune."""
    name = run.recipe.likelihood.name()
    module = run.model.likelihood if run.model.density else None
    if not isinstance(module, GaussianLikelihoodModule):
        raise ValueError(
            f"{run.folder}: its likelihood is {name}, wanted gaussian, which has a variance; choose a run with one"
        )
    if module.shared_variance() is None:
        raise ValueError(
            f"{run.folder}: its decoder gives a variance for every site, wanted one for all; nothing to tune"
        )
    return module


def _checked(variance: float, part: GaussianLikelihood) -> float:
    """The variance, which must lie within the bounds of the likelihood."""
    low, high = math.exp(part.min_log_variance), math.exp(part.max_log_variance)
    if low < variance < high:
        return variance
    raise ValueError(
        f"the decoder leaves a variance of {variance:.3g}, wanted {low:.3g} to {high:.3g}: at 0 a density is "
        "unbounded; give images of whole numbers --likelihood.dequantize true, or lower likelihood.min_log_variance"
    )


@torch.no_grad()
def _squares(run: Run, examples: Examples, seed: int) -> tuple[Float[Tensor, " N"], Float[Tensor, " N"]]:
    """|y - m(z)|^2 of each example at z ~ q(z|x), and over how many sites."""
    found: list[Tensor] = []
    with evaluating(run.evaluation_model(seed), seed) as asked:
        for block in passes(asked, HeldOut(examples, run.model.observe, seed)):
            z = draw(block.q, block.index, 1, seed, "variance")
            p = run.model.decode(z, block.given)
            assert isinstance(p, Sites) and isinstance(p.likelihood, GaussianLikelihoodModule)  # see _likelihood
            parameters, valid = p.parameters, None
            if p.lengths is not None:
                parameters = parameters[..., : block.x.shape[-2], :]
                valid = torch.arange(block.x.shape[-2]) < p.lengths[:, None]
            squares, sites = p.likelihood.squares(parameters, block.x, valid)
            found.append(torch.stack([squares[0], sites[0]]).double())
    both = torch.cat(found, 1)
    return both[0], both[1]


def _written(run: Run, likelihood: GaussianLikelihood, out: Path) -> Run:
    """The run with another likelihood and the same networks, in a folder of its own."""
    recipe: Recipe = replace(run.recipe, likelihood=likelihood)
    own = recipe.model(run.spec).state_dict()
    with lock(out):
        create(out, recipe, resume=False)
        save_spec(out, run.splits())
        checkpoint.save(out / WEIGHTS, {name: value for name, value in run.model.state_dict().items() if name in own})
        steps = recipe.training.steps
        Progress(run.step, steps, finished=True, init=str(run.folder.resolve())).write(out)
    return Run.load(out, run.splits())

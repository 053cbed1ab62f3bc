"""Daydreams: from an example to its code, to the code that the prior expects beside it, to an example, and so on."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from buttress.core import Batch, NeighbourPriorModule
from buttress.experiments.examples import decoded, latent_of, seeded, side_by_side
from buttress.training.run import Run

__all__ = ["daydreams"]


def daydreams(
    run: Run, raw: Batch, steps: int = 10, seed: int = 0, drawn: bool = False, temperature: float = 1.0
) -> Tensor:
    """Each of B examples, and ``steps`` thoughts after it, shape (B, 1 + steps, *x).

    x -> c, the mean of q(z|x) -> z, the mode of p(z|c) -> another x ~ p(x|z) -> its c, and on.

    Args:
        run: The run; its prior is told a code.
        raw: Stored examples to begin with; what is given beside each stays.
        steps: How many more.
        seed: Of all draws.
        drawn: Draw z from p(z|c) instead of taking its mode.
        temperature: Of p(x|z): 1 draws from it, 0 takes the likeliest values.

    Errors:
        ValueError: The prior is told no code, or there is no step.
    """
    prior = run.model.prior
    if not isinstance(prior, NeighbourPriorModule):
        raise ValueError(
            f"daydream: the {run.recipe.prior.name()} prior is told no code, wanted the associative prior; train with "
            "--remedies associative_prior"
        )
    if steps < 1:
        raise ValueError(f"daydream: steps is {steps}, wanted at least 1")
    run.check_room(len(raw))
    with seeded(seed):
        thoughts = [run.model.observe(raw.x)]
        for _ in range(steps):
            code = latent_of(run.model.posterior(thoughts[-1], raw.given), mean=True)
            p: Any = prior.of_code(code.flatten(1))
            z = p.sample() if drawn else p.mode
            thoughts.append(decoded(run, z, raw.given, temperature=temperature))
    return side_by_side(run.spec, thoughts)

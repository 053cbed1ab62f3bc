"""Known truths for the estimators: models whose every number is on paper."""

import torch
from torch.distributions import Independent, Normal

from buttress.diagnostics.estimate import Estimate
from buttress.diagnostics.protocol import Adapter
from buttress.diagnostics.reference import LinearGaussian


def data(n=400, dims=5, latents=2, variance=0.5):
    """A linear-Gaussian model whose best q is exact, and data of its own in batches of uneven size."""
    rough = LinearGaussian.random(dims, latents, variance)
    model = LinearGaussian.maximum_likelihood(rough.sample(4000, seed=5)[0], latents)
    x, _ = model.sample(n, seed=6)
    return model, list(x.split([n // 4, n - n // 4]))


def close(estimate: Estimate, truth: float, errors: float = 4.0) -> bool:
    """Whether an estimate lies within some standard errors of the truth."""
    assert estimate.value is not None and estimate.error is not None
    return abs(estimate.value - truth) <= errors * estimate.error + 1e-9


def normals(loc, scale=1.0):
    """A product of normals, over the last dimension of ``loc``."""
    return Independent(Normal(loc, torch.as_tensor(scale).to(loc).expand_as(loc)), 1)


def toy(posterior, latents=1, log_likelihood=None):
    """A model with this posterior, a standard normal prior, and a decoder that ignores z unless it is given."""
    return Adapter(
        posterior=posterior,
        prior=lambda: normals(torch.zeros(latents)),
        log_likelihood=log_likelihood or (lambda x, z: -x.sum(-1).expand(z.shape[:2])),
    )

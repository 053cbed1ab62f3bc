"""A conditional model whose every number is on paper: x = W z + V onehot(y) + noise."""

from dataclasses import dataclass, field

import torch
from torch.distributions import Independent, Normal
from torch.nn.functional import one_hot

from buttress.core.batch import Batch
from buttress.diagnostics.reference import LinearGaussian, LinearVAE

CLASSES = 4


@dataclass
class ConditionalGaussian:
    """z ~ N(m_y, 1) given y, x = W (z - m_y) + V_y + noise: given y it is a linear-Gaussian model of x - V_y.

    With ``shift`` 0 the prior is the same for all y; else it has one mean per class, so that prior(given) is a
    prior per example.
    """

    within: LinearVAE = field(
        default_factory=lambda: LinearGaussian.maximum_likelihood(
            LinearGaussian.random(5, 2, 0.5).sample(4000, seed=5)[0], 2
        ).vae()
    )
    shift: float = 0.0

    def __post_init__(self):
        generator = torch.Generator().manual_seed(1)
        self.offset = 5 * torch.randn(CLASSES, 5, generator=generator, dtype=torch.float64)
        self.means = self.shift * torch.randn(CLASSES, 2, generator=generator, dtype=torch.float64)

    def sample(self, n, seed=6):
        """Batches of uneven size with labels in ``given``."""
        x, _ = self.within.model.sample(n, seed=seed)
        y = torch.randint(CLASSES, (n,), generator=torch.Generator().manual_seed(seed))
        x = x + one_hot(y, CLASSES).double() @ self.offset
        return [Batch(x[rows], {"label": y[rows]}) for rows in torch.arange(n).split([n // 4, n - n // 4])]

    def beyond(self, batches):
        """x without what y explains of it: data of the linear-Gaussian model."""
        return torch.cat([batch.x - self.offset[batch.given["label"]] for batch in batches])

    def posterior(self, x, given):
        q = self.within.posterior(x - self.offset[given["label"]])
        return Independent(Normal(q.mean + self.means[given["label"]], q.base_dist.scale), 1)

    def prior(self, given):
        p = self.within.prior()
        return p if not self.shift else Independent(Normal(self.means[given["label"]], torch.ones(2).double()), 1)

    def log_likelihood(self, x, z, given):
        y = given["label"]
        return self.within.log_likelihood(x - self.offset[y], z - self.means[y])

r"""An autoregressive prior fitted to the z of a trained model: what they cost once their own distribution is known.

$$ p_\psi(z) = \prod_t N(z_t; \mu_t, \sigma_t^2), \quad (\mu_t, \sigma_t) = \mathrm{LSTM}(z_{<t}), \qquad
   \text{rate} = E_x\, E_q [\log q(z|x) - \log p_\psi(z)] $$
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.distributions import Normal
from torch.nn import functional as F

from buttress.nn.layers import bounded, run_lstm

__all__ = ["AuxiliaryPrior", "auxiliary_rate"]


class AuxiliaryPrior(nn.Module):
    """An LSTM over sequences z (N, T, D) that gives a normal distribution of each place given those before.

    Example:
        >>> prior = AuxiliaryPrior(dim=2, hidden=4)
        >>> prior.nats(torch.zeros(3, 5, 2), torch.ones(3, 5, dtype=torch.bool)).shape
        torch.Size([3])
    """

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(dim, hidden, batch_first=True)
        self.out = nn.Linear(hidden, 2 * dim)

    def nats(self, z: Float[Tensor, "N T D"], inside: Bool[Tensor, "N T"]) -> Float[Tensor, " N"]:
        """-log p(z), places beyond an example's length left out."""
        h = run_lstm(self.lstm, F.pad(z[:, :-1], (0, 0, 1, 0)))[0]
        mean, raw = self.out(h).chunk(2, -1)
        each = -Normal(mean, bounded(raw, -6.0, 2.0).exp()).log_prob(z)
        return (each.sum(-1) * inside).sum(-1)


def auxiliary_rate(run: Any, steps: int, hidden: int, seed: int, batch_size: int = 64) -> float:
    """The rate of a run's held-out examples under a prior fitted to its training examples, in nats.

    Args:
        run: A trained run whose z has positions.
        steps: Steps of the fit.
        hidden: Units of the LSTM.
        seed: Of its weights and batches.
        batch_size: Examples in a step.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        prior = AuxiliaryPrior(run.model.space.shape[-1], hidden)
        optimizer = torch.optim.Adam(prior.parameters(), 3e-3)
        train = run.splits().train
        for _ in range(steps):
            batch = train.read(torch.randint(len(train), (batch_size,), generator=generator))
            z, inside, _ = _drawn(run.model, batch.with_x(run.model.observe(batch.x)))
            optimizer.zero_grad()
            prior.nats(z, inside).mean().backward()
            optimizer.step()
        held_out, rates = run.held_out(), []
        with torch.no_grad():
            for i in range(len(held_out)):
                z, inside, known = _drawn(run.model, held_out[i])
                rates.append(prior.nats(z, inside) + known)
    return torch.cat(rates).mean().item()


@torch.no_grad()
def _drawn(model: Any, batch: Any) -> tuple[Tensor, Tensor, Tensor]:
    """z of q, which of its places are of the example, and E_q log q(z|x) there."""
    q = model.posterior(batch.x, batch.given)
    places = torch.arange(q.event_shape[0])
    lengths = batch.given.get("lengths", torch.full((len(batch),), len(places)))
    inside = places < lengths[:, None]
    return q.sample(), inside, -(q.base_dist.entropy().sum(-1) * inside).sum(-1)

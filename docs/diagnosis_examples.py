"""The examples of diagnosis.md: small models of known cause, and what is printed of each.

python docs/diagnosis_examples.py    # writes the examples anew, between the two marks in diagnosis.md
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch.distributions import Bernoulli, Categorical, Independent, Normal

import buttress as bt
from buttress.diagnostics.evidence import Evidence
from buttress.diagnostics.reference import LinearGaussian, LinearVAE
from buttress.distributions.point import Point

PAGE = Path(__file__).with_name("diagnosis.md")
FIRST, LAST = "<!-- examples -->", "<!-- end of examples -->"
EFFORT: dict[str, int] = {"gap_steps": 50, "gap_examples": 60, "nll_samples": 10}
Made = tuple[Any, torch.Tensor]

EXAMPLES: list[tuple[str, str, Callable[[], Made]]] = []


def example(title: str, text: str) -> Callable[[Callable[[], Made]], Callable[[], Made]]:
    """Show the model and the data that the function below makes."""

    def added(make: Callable[[], Made]) -> Callable[[], Made]:
        EXAMPLES.append((title, text, make))
        return make

    return added


def known(n: int = 600) -> tuple[LinearGaussian, torch.Tensor]:
    """A model that made the data: four factors behind 20 columns, with noise of 0.5."""
    own = torch.Generator().manual_seed(0)
    weight = torch.linalg.qr(torch.randn(20, 4, generator=own).double())[0] * torch.linspace(1, 2, 4).double()
    model = LinearGaussian(weight, torch.zeros(20).double(), 0.25)
    return model, model.sample(n)[0]


def normals(loc: torch.Tensor, scale: float = 1.0) -> Independent:
    return Independent(Normal(loc, scale), 1)


@example(
    "1. Used",
    "The model that made the data, behind its best q. Two measures agree: q puts 4.4 nats into z, and the decoder "
    "misses them when z is that of another example. Nothing is advised.",
)
def used() -> Made:
    model, x = known()
    return model.vae(), x


@example(
    "2. Used, and inference lags",
    "The same decoder behind an encoder whose means are half of what they should be. z is used; still, a better q "
    "gains more nats than z carries. Look at the encoder before anything else: its size, its learning rate, a "
    "mistake in it.",
)
def lags() -> Made:
    model, x = known()
    v, d = model.optimal_encoder()
    return LinearVAE(model, 0.5 * v, d + 0.3), x


@example(
    "3. Collapsed: the model ignores z",
    "The decoder explains the data without z. No q would help, so the decoder or the objective must change.",
)
def ignores() -> Made:
    own = torch.Generator().manual_seed(0)
    words = torch.zeros(500, 12, dtype=torch.long)
    for t in range(1, 12):  # each word is the last one plus 0 or 1: the decoder sees that
        words[:, t] = (words[:, t - 1] + (torch.rand(500, generator=own) < 0.5)) % 9
    words += 1

    def log_likelihood(x: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
        step, read = (x[:, 1:] - x[:, :-1]) % 9, 1e-6 * z[..., :1]  # z arrives, and says next to nothing
        stay, go = torch.sigmoid(read) * 0.99, torch.sigmoid(-read) * 0.99
        return torch.where(step == 0, stay.log(), torch.where(step == 1, go.log(), math.log(0.01 / 7))).sum(-1)

    return bt.Adapter(lambda x: normals(torch.zeros(len(x), 4)), lambda: normals(torch.zeros(4)), log_likelihood), words


@example(
    "4. The rate has a weight",
    "The exact optimum of a loss in which the KL has a weight of 8, as a squared error averaged over 16 columns "
    "beside a summed KL makes it. A better q could be had at a weight of 1, and yet nothing lags: means and "
    "widths of q agree on one weight. Mend the loss.",
)
def weighted() -> Made:
    top, beta = 30.0, 8.0
    u = torch.nn.functional.normalize(torch.ones(16, 1).double(), dim=0)
    x = LinearGaussian(u * (top - 1) ** 0.5, torch.zeros(16).double(), 1.0).sample(1500)[0]
    w = (top - beta) ** 0.5
    model = LinearGaussian(u * w, torch.zeros(16).double(), 1.0)
    return LinearVAE(model, w / top * u.T, torch.tensor([beta / top]).double()), x


@example(
    "5. Partly used: the data offer no more",
    "Four columns that share a weak factor, seen through the model that made them. There is little to say and z "
    "says it: the decoder reads all of it, and no better q says more. Nothing is wrong with the model.",
)
def little() -> Made:
    model = LinearGaussian(torch.full((4, 1), 0.3).double(), torch.zeros(4).double(), 1.0)
    return model.vae(), model.sample(4000, seed=3)[0]


@example(
    "6. An autoencoder",
    "q is a point, six times as far out as the prior: a loss without the rate. Information is at its ceiling, as "
    "600 examples show no more than ln 600 nats, so R - I proves nothing; the moments of q(z) do.",
)
def autoencoder() -> Made:
    model, x = known()
    loud = LinearGaussian(model.weight / 6, model.mean, model.variance)
    return LinearVAE(loud, 6 * torch.linalg.pinv(model.weight), torch.full((4,), 1e-6).double()), x


@example(
    "7. The log-likelihood is averaged",
    "The first model again, with a log-likelihood averaged over the 20 columns. All numbers are then in a unit of "
    "their own, and no other cause is named.",
)
def averaged() -> Made:
    model, x = known()
    vae = model.vae()
    return bt.Adapter(vae.posterior, vae.prior, lambda x, z: -(x - z @ model.weight.T).square().mean(-1)), x


@example(
    "8. A dead codebook",
    "Binary images in eight kinds and a codebook of eight codes, of which the encoder always takes the same one.",
)
def dead() -> Made:
    own = torch.Generator().manual_seed(0)
    chance = torch.rand(8, 36, generator=own).round() * 0.9 + 0.05
    x = torch.bernoulli(chance[torch.randint(8, (600,), generator=own)], generator=own)
    model = bt.Adapter(
        lambda x: Independent(Point(torch.zeros(len(x), 1, dtype=torch.long)), 1),
        lambda: Independent(Categorical(torch.ones(1, 8)), 1),
        lambda x, z: Bernoulli(chance[z[..., 0]]).log_prob(x).sum(-1),
    )
    return model, x


@example(
    "9. The optimum is collapsed",
    "A decoder whose variance is fixed at 32, for data that vary by 4 at most along any direction. No schedule, "
    "encoder or floor can help; the variance must change.",
)
def optimum() -> Made:
    model, x = known()
    wide = LinearGaussian(torch.zeros_like(model.weight), model.mean, 32.0)
    return wide.lagging(), x


def shown(evidence: Evidence) -> str:
    """The verdict as people read it."""
    return f"```text\n{evidence.verdict}\n```"


def page() -> str:
    """All examples in Markdown; one whose number no estimator gives is left out."""
    parts = []
    for title, text, make in EXAMPLES:
        torch.manual_seed(0)
        model, x = make()
        evidence = bt.diagnose(model, list(x.split(300)), **EFFORT)
        if make is not optimum or "optimum_ratio" in evidence.estimates:
            parts.append(f"### {title}\n\n{text}\n\n{shown(evidence)}")
    return "\n\n".join(parts)


def renewed(text: str) -> str:
    """The page with its examples written anew."""
    before, _, rest = text.partition(FIRST)
    _, _, after = rest.partition(LAST)
    return f"{before}{FIRST}\n\n{page()}\n\n{LAST}{after}"


if __name__ == "__main__":
    PAGE.write_text(renewed(PAGE.read_text(encoding="utf-8")), encoding="utf-8")

"""Graves, Menick and van den Oord 2018, Associative Compression Networks for Representation Learning.

A VAE whose decoder is a PixelCNN that sees the whole image ignores z. Told the code of a similar example, its prior
makes z cheap, and z then says what sort of digit it is. In the paper, as far as it is known here, a VAE of the same
architecture ignores z on binarised MNIST; the codes of an unofficial implementation tell 97 % of the digits.

Four arms, with one encoder and decoder: ``vae``, N(0, I) and a learned variance; ``mixture``, variance 1 and a learned
mixture that is told nothing; ``acn``; and ``random``, the same told the code of any other training example.

What an example costs given a neighbour is no bound on log p(x): which neighbour must be known. The claim of a lower
cost is about that number, as the paper's is; the i.i.d. bound of each arm stands beside it in the result.

Deviations: 4,000 digits, binarised anew each time they are read, in place of 60,000; z of 8 numbers in place of 16;
a tenth of the layers; codes are judged by the 10 nearest other held-out digits.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from buttress.baseline import baseline
from buttress.core import Data, Prior
from buttress.core.recipe import Recipe
from buttress.data.mnist5k import Mnist5k
from buttress.data.opened import opened
from buttress.decoders.pixelcnn import PixelCNN
from buttress.encoders.conv import ConvEncoder
from buttress.experiments.claim import Claim
from buttress.experiments.compare import compare
from buttress.experiments.papers._arms import claim, measured, seen
from buttress.experiments.papers._experiment import Experiment, Watch
from buttress.experiments.papers._recipes import course
from buttress.experiments.papers._result import write_result
from buttress.nn.neighbours import Neighbours
from buttress.posteriors.gaussian import GaussianPosterior
from buttress.priors.associative import Associative
from buttress.priors.mixture import Mixture
from buttress.priors.standard_normal import StandardNormal

__all__ = ["ARMS", "Graves2018", "claims", "neighbour_accuracy"]

ARMS = {"vae": "VAE", "mixture": "learned mixture", "acn": "ACN", "random": "ACN, random code"}
"""Name of each arm -> what it is called in pictures."""
VOTES = 10
"""Nearest codes that vote on a label."""


@dataclass(frozen=True)
class Graves2018(Experiment):
    """Graves et al. 2018: does a prior told the code of a similar digit keep z in use beside a strong decoder?

    Args:
        data: Digits or other images with labels.
        latents: Dimensions of z.
        layers: Of the PixelCNN, which sees the whole image.
        channels: Of its horizontal stack.
        neighbours: K.
        components: Of the mixtures.
        steps: Training steps of each run.
        batch_size: Images in a step.
        learning_rate: Of Adam.
        seed: The first one.
        seeds: How many.

    Example:
        >>> recipe = Graves2018().recipe("acn")
        >>> recipe.decoder.field, recipe.posterior.variance, recipe.prior.neighbours
        (None, 'unit', 5)
    """

    data: Data = field(default_factory=lambda: Mnist5k(held_out=0.2))
    latents: int = 8
    layers: int = 4
    channels: int = 16
    neighbours: int = 5
    components: int = 8
    steps: int = 1_500
    batch_size: int = 32
    learning_rate: float = 2e-3
    seed: int = 0
    seeds: int = 3

    @classmethod
    def full(cls) -> Graves2018:
        """The paper's z and number of components, and a larger decoder; MNIST goes into ``data``."""
        return cls(latents=16, layers=12, channels=64, components=16, steps=200_000, batch_size=64, learning_rate=3e-4)

    def recipe(self, arm: str) -> Recipe:
        """What is trained in an arm."""
        priors: dict[str, Prior] = {
            "vae": StandardNormal(),
            "mixture": Mixture(self.components),
            "acn": Associative(self.neighbours, self.components),
            "random": Associative(self.neighbours, self.components, neighbour="random"),
        }
        return replace(
            baseline(self.data, opened(self.data).spec),
            encoder=ConvEncoder((16, 32), blocks=0),
            posterior=GaussianPosterior(self.latents, variance="per_example" if arm == "vae" else "unit"),
            prior=priors[arm],
            decoder=PixelCNN(field=None, layers=self.layers, channels=self.channels),
            training=course(self, looks=5),
        )

    def run(self, folder: Path, jobs: int = 1, watch: Watch = lambda run, step, total: None) -> list[Claim]:
        """Train everything, or take up what is in the folder, and write ``result.json``.

        Args:
            folder: Where the runs go.
            jobs: Runs at a time.
            watch: Called with (run, step, total).
        """
        effort = {"nll_samples": 0, "gap_steps": 0}
        runs: list[dict[str, Any]] = []
        for arm in ARMS:
            compare(self.recipe(arm), ["none"], folder / arm, seeds=self.seeds, jobs=jobs, settings=effort, watch=watch)
            runs += [{**run, "arm": arm, **_of_codes(folder / run["folder"])} for run in measured(folder, arm)]
        found = claims(runs)
        epochs = self.steps * self.batch_size / len(opened(self.data).train)
        write_result(folder / "result.json", self, found, runs=runs, epochs=round(epochs, 1))
        return found

    def figures(self, folder: Path) -> list[Path]:
        """What each arm costs and its codes tell, the rate over training, and daydreams of the first ACN."""
        from buttress.experiments.daydream import daydreams
        from buttress.experiments.examples import some_held_out
        from buttress.experiments.papers._by_setting import write_by_arm, write_course
        from buttress.experiments.present import present
        from buttress.training.run import Run

        panels = [
            ("elbo", "ELBO, nats"),
            ("accuracy", "10-NN accuracy of codes"),
            ("spread", "spread of codes"),
        ]
        pictures = [write_by_arm(folder, ARMS, panels), write_course(folder, ARMS, "rate", "rate, i.i.d., nats")]
        runs = json.loads((folder / "result.json").read_text("utf-8"))["runs"]
        acn = Run.load(folder / next(run["folder"] for run in runs if run["arm"] == "acn"))
        found = daydreams(acn, some_held_out(acn, 10), steps=12)
        present(acn, found.flatten(0, 1), folder / "daydream.png", "daydream", across=found.shape[1])
        return [*pictures, folder / "daydream.png"]


def _of_codes(folder: Path) -> dict[str, float]:
    """The spread of a run's held-out codes, and how well they and draws of z tell labels."""
    from buttress.training.run import Run

    run = Run.load(folder)
    batches = run.held_out()
    labels = run.splits().labels
    assert labels is not None  # digits have some
    with torch.no_grad():
        posteriors = [run.model.posterior(batches[i].x) for i in range(len(batches))]
    codes = torch.cat([q.mean for q in posteriors])
    noise = torch.randn(codes.shape, generator=torch.Generator().manual_seed(0))
    drawn = codes + torch.cat([q.stddev for q in posteriors]) * noise
    labels = labels[torch.cat(batches.index)]
    return {
        "spread": (codes - codes.mean(0)).square().sum(1).mean().item(),
        "accuracy": neighbour_accuracy(codes, labels),
        "accuracy_drawn": neighbour_accuracy(drawn, labels),
    }


def neighbour_accuracy(codes: Float[Tensor, "N D"], labels: Int[Tensor, " N"], votes: int = VOTES) -> float:
    """The share of examples whose label is the commonest among those of their nearest others.

    Args:
        codes: A point for each example.
        labels: Their classes.
        votes: How many nearest ones are asked.

    Example:
        >>> codes = torch.tensor([[0.0], [0.1], [0.2], [5.0], [5.1], [5.2]])
        >>> neighbour_accuracy(codes, torch.tensor([0, 0, 0, 1, 1, 1]), votes=2)
        1.0
    """
    near = Neighbours(codes).nearest(codes, votes, own=torch.arange(len(codes)))
    return (labels[near].mode(1).values == labels).double().mean().item()


def claims(runs: list[dict[str, Any]]) -> list[Claim]:
    """The paper's claims, with marks that were set before the first run.

    Args:
        runs: One dict a run, with ``arm``, ``seed``, ``elbo``, ``rate``, ``unordered_cost``, ``accuracy``, ``spread``.

    Example:
        >>> plain = {"arm": "vae", "seed": 0, "elbo": -90.0, "rate": 0.1, "accuracy": 0.3}
        >>> acn = {"arm": "acn", "seed": 0, "unordered_cost": 85.0, "accuracy": 0.8, "spread": 9.0}
        >>> random = {"arm": "random", "seed": 0, "unordered_cost": 90.0}
        >>> [claim.held for claim in claims([plain, acn, random])]
        [True, True, True, True, True, True]
    """
    plain = tuple(-value for value in seen(runs, "vae", "elbo"))
    accuracy = {arm: seen(runs, arm, "accuracy") for arm in ("vae", "acn")}
    cost = {arm: seen(runs, arm, "unordered_cost") for arm in ("acn", "random")}
    return [
        claim("VAE: rate, nats", "below", 0.5, seen(runs, "vae", "rate")),
        claim("VAE: 10-NN accuracy of its codes", "below", 0.4, accuracy["vae"]),
        claim("ACN: 10-NN accuracy of its codes", "above", 0.7, accuracy["acn"]),
        claim("ACN: mean squared distance of a code from their mean", "above", 4.0, seen(runs, "acn", "spread")),
        claim("−ELBO of the VAE above the cost of ACN given a neighbour, nats", "above", 1.0, plain, cost["acn"]),
        claim("the same given a random code, nats", "below", 1.0, plain, cost["random"]),
    ]

r"""Chen, Kingma, Salimans, Duan, Dhariwal, Schulman, Sutskever and Abbeel 2016, Variational Lossy Autoencoder.

A decoder that sees only a window around a pixel leaves to z what is not local; how wide the window is decides what the
code keeps. A prior made by an autoregressive flow costs nothing in the bound that a posterior made by the inverse flow
would not cost as well, and gives a better model than N(0, I).

Arms, all with the same encoder, layers and budget: the VLAE (flow that only shifts, floor of 0.01 nats for each pixel
under the rate) with a decoder that sees no pixel, a small window, and nearly all of the image; the small window with
N(0, I) and the same floor; and the small window without z, where what z says to the decoder is multiplied by 1e-20.

Deviations: 4,000 digits for 60,000, binarised afresh at every presentation; z of 32 for 64, a small convolutional
encoder for the ResNet, gated layers for those with tied weights, 100 samples in the NLL for 4,096, no Polyak averages.
So the values are not those of the paper; the order is the claim.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from buttress.baseline import baseline
from buttress.core import Data
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
from buttress.likelihoods.bernoulli import Bernoulli
from buttress.posteriors.gaussian import GaussianPosterior

__all__ = ["Chen2016", "claims"]

FLOOR = 0.01
"""Nats of rate that are free for each number of x."""
UNHEARD = 1e-20
"""What z says to the decoder is multiplied by this in the arm without z."""
NAMES = ("factorised", "local", "wide", "normal", "without z")
"""The arms: three windows, the prior N(0, I), and no z."""


@dataclass(frozen=True)
class Chen2016(Experiment):
    """Chen et al. 2016: does the decoder's window decide what z keeps, and is a flow prior worth its price?

    Args:
        data: Grey digits; a fifth of them is held out.
        windows: Widths of the decoder's window: none, small and wide.
        layers: Of the decoder.
        channels: Of the decoder's horizontal stack.
        latents: Dimensions of z.
        hidden: Units in both hidden layers of each of the flow's four transformations.
        widths: Channels of the encoder's maps.
        steps: Training steps of each run.
        batch_size: Digits in a step.
        learning_rate: Of Adamax.
        nll_samples: Samples of the importance-weighted NLL after training.
        nll_examples: Held-out digits it is measured on.
        seed: The first one.
        seeds: How many.

    Example:
        >>> Chen2016().arms()["local"], Chen2016().arms()["normal"]
        ('vlae:field=5:total=7.84:hidden=640', 'local_decoder:field=5+free_bits:total=7.84')
    """

    data: Data = field(default_factory=lambda: Mnist5k(held_out=0.2))
    windows: tuple[int, int, int] = (1, 5, 27)
    layers: int = 4
    channels: int = 12
    latents: int = 32
    hidden: int = 640
    widths: tuple[int, ...] = (32, 64)
    steps: int = 1_500
    batch_size: int = 32
    learning_rate: float = 2e-3
    nll_samples: int = 100
    nll_examples: int = 300
    seed: int = 0
    seeds: int = 3

    def __post_init__(self) -> None:
        """Refuse what would fail only after the training."""
        if list(self.windows) != sorted(set(self.windows)) or any(
            width < 1 or width % 2 == 0 for width in self.windows
        ):
            raise ValueError(f"chen2016: windows is {self.windows}, wanted three rising odd numbers from 1")

    @classmethod
    def full(cls) -> Chen2016:
        """The paper's z, layers and samples, and many more steps; its data are 60,000 digits (``--data``)."""
        return cls(layers=6, latents=64, steps=100_000, nll_samples=4_096, nll_examples=1_000)

    def arms(self) -> dict[str, str]:
        """The name of each arm and its remedies."""
        floor = round(FLOOR * math.prod(opened(self.data).spec.shape), 6)
        lossy = [f"vlae:field={width}:total={floor:g}:hidden={self.hidden}" for width in self.windows]
        local = f"local_decoder:field={self.windows[1]}"
        return dict(zip(NAMES, [*lossy, f"{local}+free_bits:total={floor:g}", local], strict=True))

    def recipe(self, gain: float = 1.0) -> Recipe:
        """What is trained without a remedy, with what z says to the decoder multiplied by ``gain``."""
        return replace(
            baseline(self.data, opened(self.data).spec),
            encoder=ConvEncoder(self.widths, blocks=0),
            posterior=GaussianPosterior(self.latents),
            decoder=PixelCNN(None, self.layers, self.channels, maps=4, spatial=True, gain=gain),
            likelihood=Bernoulli(),
            training=course(self, looks=3, optimizer="adamax"),
        )

    def run(self, folder: Path, jobs: int = 1, watch: Watch = lambda run, step, total: None) -> list[Claim]:
        """Train everything, or take up what is in the folder, and write ``result.json``.

        Args:
            folder: Where the runs go.
            jobs: Runs at a time.
            watch: Called with (run, step, total).
        """
        effort = {"nll_samples": self.nll_samples, "nll_examples": self.nll_examples, "gap_steps": 0}
        arms, runs = self.arms(), []
        for part, gain, names in (("with_z", 1.0, NAMES[:-1]), ("without_z", UNHEARD, NAMES[-1:])):
            written = {arms[name]: name for name in names}
            place = folder / part
            compare(self.recipe(gain), [*written], place, seeds=self.seeds, jobs=jobs, settings=effort, watch=watch)
            runs += [{**run, "arm": written[run["arm"]]} for run in measured(folder, part)]
        found = claims(runs)
        write_result(folder / "result.json", self, found, runs=runs, arms=arms)
        return found

    def figures(self, folder: Path) -> list[Path]:
        """Rate and NLL, a row an arm and a mark a seed."""
        from buttress.experiments.papers._by_setting import write_by_arm

        none, small, wide = self.windows
        names = (f"VLAE, window {none}", f"VLAE, window {small}", f"VLAE, window {wide}",
                 f"N(0, I), window {small}", f"no z, window {small}")  # fmt: skip
        panels = [("rate", "rate, nats"), ("nll", "NLL, nats"), ("elbo", "ELBO, nats")]
        return [write_by_arm(folder, dict(zip(NAMES, names, strict=True)), panels)]


def claims(runs: list[dict[str, Any]]) -> list[Claim]:
    """The paper's claims, with marks that were set before the first run.

    Args:
        runs: One dict a run, with ``arm``, ``seed``, ``rate``, ``nll`` and ``elbo``.

    Example:
        >>> rates = dict(zip(NAMES, (25.0, 13.0, 8.0, 12.0, 0.0)))
        >>> nll = dict(zip(NAMES, (95.0, 93.0, 94.0, 92.5, 101.0)))
        >>> runs = [{"arm": a, "seed": 0, "rate": rates[a], "nll": nll[a], "elbo": -nll[a] - 2} for a in NAMES]
        >>> [(claim.median, claim.held) for claim in claims(runs)]  # but a flow prior that costs half a nat
        [(12.0, True), (5.0, True), (8.0, True), (-0.5, False), (-0.5, False), (2.0, True)]
    """
    rate, nll, elbo = ({arm: seen(runs, arm, name) for arm in NAMES} for name in ("rate", "nll", "elbo"))
    return [
        claim("rate without a window above that with a small one, nats", "above", 1.0, rate["factorised"],
              rate["local"]),
        claim("rate with a small window above that with a wide one, nats", "above", 0.0, rate["local"], rate["wide"]),
        claim("small window: NLL without z above that with z, nats", "above", 3.0, nll["without z"], nll["local"]),
        claim("small window: NLL under N(0, I) above that under the flow, nats", "above", 0.0, nll["normal"],
              nll["local"]),
        claim("small window: −ELBO under N(0, I) above that under the flow, nats", "above", 0.0, elbo["local"],
              elbo["normal"]),
        claim("NLL without a window above that with a small one, nats", "above", 0.0, nll["factorised"],
              nll["local"]),
    ]  # fmt: skip

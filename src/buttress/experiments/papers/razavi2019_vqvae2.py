r"""Razavi, van den Oord and Vinyals 2019, VQ-VAE-2: codes on several levels, sampled for a class, against a GAN.

Four arms share data, decoder, codebook size and steps: one level of the small map alone (``coarse``), one of the large
map (``one``), and two and three levels whose bottom is that large map. The prior of each reads the label; its top has
attention. A small class-conditional DCGAN with as many steps takes the place of BigGAN. Asked is

- whether a second level keeps what the small map loses, and whether the levels divide the work (content on top, detail
  below), as the paper shows by decoding with a level left out;
- whether the bottom's prior makes use of the top, and the top's of attention;
- whether samples teach a classifier more, and cover more of the data, than those of a GAN (CAS, recall);
- whether rejection by a classifier trades recall for precision.

Three classifiers of the same size play three parts: one rejects, one gives the features on which samples are judged,
and those of the accuracy score are trained on samples. Deviations: 4,000 digits of 28 x 28, maps of 7 x 7, 4 x 4 and
2 x 2; features of our classifier and not of Inception; a DCGAN for BigGAN. Of each prior the weights with the best
held-out rate stay, as :mod:`buttress.algorithms.two_stage` says. The marks were set before the runs.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from buttress.baseline import baseline
from buttress.core import Data
from buttress.core.recipe import Recipe
from buttress.data.mnist5k import Mnist5k
from buttress.data.opened import opened
from buttress.decoders.conv import ConvDecoder
from buttress.encoders.conv import ConvEncoder
from buttress.experiments.claim import Claim
from buttress.experiments.compare import compare
from buttress.experiments.papers import _vqvae2_figures, _vqvae2_judge
from buttress.experiments.papers._experiment import Experiment, Watch
from buttress.experiments.papers._result import write_result
from buttress.likelihoods.gaussian import GaussianLikelihood
from buttress.runtime.atomic_write import write_text

__all__ = ["RESULT", "Razavi2019", "claims"]

RESULT = "result.json"
EFFORT = {"nll_samples": 0, "gap_steps": 0, "samples": 1, "mi_examples": 500}
"""Of the evidence of every run; see :func:`buttress.diagnostics.diagnose.diagnose`."""
LEVELS = {"coarse": 1, "one": 1, "two": 2, "three": 3}
"""Arms and their number of levels."""


@dataclass(frozen=True)
class Razavi2019(Experiment):
    """Razavi et al. 2019: what do two and three levels of codes add to one, and how do samples compare with a GAN's?

    Args:
        data: Images with a label.
        codes: Codewords of each level.
        dim: Numbers in each.
        widths: Channels of the stages of the encoder, in reverse those of the decoder.
        steps: Of each run, both stages together, and of the GAN.
        first: Share of them that trains the autoencoder.
        batch_size: Images in a step, the GAN's too.
        learning_rate: Of Adam, but for the GAN, which has its own.
        judged: Images and samples on each side of precision, recall and the Fréchet distance.
        pool: How many times as many samples are drawn; of these a half and a part of 1 / pool are kept by rejection.
        classifier_steps: Of every classifier.
        seed: The first one.
        seeds: Runs of each arm.

    Example:
        >>> Razavi2019(codes=32).remedies["three"]
        'hierarchical_quantized:levels=3:codes=32:dim=16:given=16:first=0.36'
    """

    data: Data = field(default_factory=lambda: Mnist5k(held_out=0.2))
    codes: int = 64
    dim: int = 16
    widths: tuple[int, ...] = (32, 64)
    steps: int = 1100
    first: float = 0.36
    batch_size: int = 32
    learning_rate: float = 3e-3
    judged: int = 900
    pool: int = 4
    classifier_steps: int = 300
    seed: int = 0
    seeds: int = 3

    def __post_init__(self) -> None:
        """Refuse what would fail only after the models are trained."""
        for name, least in {"judged": 10, "pool": 2, "seeds": 1, "steps": 4, "classifier_steps": 1}.items():
            if getattr(self, name) < least:
                raise ValueError(f"razavi2019_vqvae2: {name} is {getattr(self, name)}, wanted at least {least}")

    @classmethod
    def full(cls) -> Razavi2019:
        """The sizes of the paper as far as this data source goes: they were trained on ImageNet, of 256 x 256."""
        return cls(codes=512, dim=64, widths=(128, 128), steps=250_000, batch_size=128, learning_rate=3e-4)

    @property
    def remedies(self) -> dict[str, str]:
        """The arms, as users write them."""
        rest = f"codes={self.codes}:dim={self.dim}:given=16:first={self.first}"
        return {arm: f"hierarchical_quantized:levels={levels}:{rest}" for arm, levels in LEVELS.items()}

    def recipe(self, coarse: bool = False) -> Recipe:
        """What every arm changes; the coarse one has a further stage in its encoder, and codes of the small map."""
        spec = opened(self.data).spec
        widths = (*self.widths, self.widths[-1]) if coarse else self.widths
        recipe = replace(
            baseline(self.data, spec),
            encoder=ConvEncoder(widths=widths, blocks=0),
            decoder=ConvDecoder(widths=self.widths[::-1], blocks=0),
            likelihood=GaussianLikelihood(learned="optimal"),
        )
        training = replace(
            recipe.training,
            steps=self.steps,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            seed=self.seed,
            validate_every=max(1, self.steps // 4),
        )
        return replace(recipe, training=training)

    def run(self, folder: Path, jobs: int = 1, watch: Watch = lambda run, step, total: None) -> list[Claim]:
        """Train everything, or take up what is in the folder, judge it, and write down what was seen.

        Args:
            folder: Where the runs, what was judged of each, and ``result.json`` go.
            jobs: Models trained at a time.
            watch: Called with (run, step, total).

        Errors:
            ValueError: The images have no label, or there are fewer held out than are to be judged; a run failed.
        """
        _vqvae2_judge.check(self.data, self.judged)
        shared: dict[str, Any] = {"seeds": self.seeds, "jobs": jobs, "settings": EFFORT, "watch": watch}
        coarse = compare(self.recipe(coarse=True), [self.remedies["coarse"]], folder / "coarse", **shared)
        names = [self.remedies[arm] for arm in ("one", "two", "three")]
        levels = compare(self.recipe(), names, folder / "levels", **shared)
        for run, reason in {**coarse.failed, **levels.failed}.items():
            raise ValueError(f"razavi2019_vqvae2: {run} did not finish: {reason}")
        measured: dict[str, list[dict[str, Any]]] = {arm: [] for arm in (*LEVELS, "dcgan", "real")}
        for seed in range(self.seed, self.seed + self.seeds):
            bench = _vqvae2_judge.Bench(self.data, self.judged, self.pool, self.classifier_steps, seed)
            for arm in measured:
                path = folder / "judged" / f"{arm}-{seed}.json"
                if not path.exists():
                    watch(f"judging {arm}, seed {seed}", 0, 1)
                    write_text(path, json.dumps(self._judged(arm, seed, bench, folder)) + "\n")
                measured[arm].append(json.loads(path.read_text("utf-8")))
        found = claims(measured)
        write_result(folder / RESULT, self, found, measured=measured)
        return found

    def _judged(self, arm: str, seed: int, bench: _vqvae2_judge.Bench, folder: Path) -> dict[str, Any]:
        """What is measured of one arm with one seed; its samples go into a file beside."""
        pictures = folder / "judged" / f"{arm}-{seed}.npz"
        pictures.parent.mkdir(parents=True, exist_ok=True)
        if arm == "real":
            return bench.ceiling(pictures)
        if arm == "dcgan":
            return bench.dcgan(self.steps, self.batch_size, pictures)
        place = folder / ("coarse" if arm == "coarse" else "levels")
        name = self.remedies[arm].replace(":", "_").replace("=", "-")
        return bench.model(place / name / f"seed-{seed}", pictures, attention=arm == "two", steps=self.steps // 2)

    def figures(self, folder: Path) -> list[Path]:
        """Samples of every arm, what rejection does, and what each level says, as PNGs in the folder."""
        result = json.loads((folder / RESULT).read_text("utf-8"))
        return [
            _vqvae2_figures.samples(folder, self.seed),
            _vqvae2_figures.rejection(folder, result["measured"]),
            _vqvae2_figures.levels(folder, self.seed),
        ]


def claims(measured: dict[str, list[dict[str, Any]]]) -> list[Claim]:
    """The paper's claims, as numbers with marks.

    Args:
        measured: Of each arm what was measured with each seed.

    Example:
        >>> run = {"mse": 0.01, "frechet": 1.0, "cas": 0.5, "precision": 0.5, "recall": 0.5, "bits": 3.0,
        ...     "bits_shuffled": 3.5, "accuracy_other_bottom": 0.9, "accuracy_other_top": 0.2, "attention": 1.0,
        ...     "no_attention": 1.1, "precision_surest": 0.7, "recall_surest": 0.3}
        >>> arms = {"coarse": run, "one": run, "two": run, "dcgan": run, "real": {"cas": 0.6}}
        >>> [claim.held for claim in claims({arm: [found] for arm, found in arms.items()})]
        [False, True, True, True, False, True, True, True, False, False]
    """
    two = measured["two"]

    def over(name: str, arm: str) -> tuple[float, ...]:
        return tuple(run[name] / other[name] for run, other in zip(two, measured[arm], strict=True))

    def beyond(name: str, arm: str) -> tuple[float, ...]:
        return tuple(run[name] - other[name] for run, other in zip(two, measured[arm], strict=True))

    def less(name: str, other: str) -> tuple[float, ...]:
        return tuple(run[name] - run[other] for run in two)

    kept = less("accuracy_other_bottom", "accuracy_other_top")
    return [
        Claim("squared error of two levels, over that of the small map alone", "below", 0.7, over("mse", "coarse")),
        Claim("images classified right with another bottom, less those with another top", "above", 0.0, kept),
        Claim("bits a bottom code costs more under another top", "above", 0.1, less("bits_shuffled", "bits")),
        Claim("bits a top code costs more without attention", "above", 0.0, less("no_attention", "attention")),
        Claim("Fréchet distance of samples of two levels, over one", "below", 1.0, over("frechet", "one")),
        Claim("accuracy score, over that of as many real images", "above", 0.6, over("cas", "real")),
        Claim("precision gained by rejection", "above", 0.0, less("precision_surest", "precision")),
        Claim("recall lost by rejection", "above", 0.0, less("recall", "recall_surest")),
        Claim("accuracy score, less that of the GAN", "above", 0.0, beyond("cas", "dcgan")),
        Claim("recall, less that of the GAN", "above", 0.0, beyond("recall", "dcgan")),
    ]

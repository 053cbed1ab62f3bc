"""What is measured of the models of :mod:`buttress.experiments.papers.razavi2019_vqvae2` and of the GAN."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from buttress.core import Data, Space, Splits
from buttress.data.opened import opened
from buttress.experiments.examples import center, seeded
from buttress.experiments.papers._dcgan import train_dcgan
from buttress.experiments.sample_quality import likeness
from buttress.priors.level_product import LevelProduct
from buttress.quality.accuracy_score import classification_accuracy_score
from buttress.quality.classifier import fit_classifier
from buttress.quality.rejection import surest
from buttress.training.run import Run

__all__ = ["SHARES", "Bench", "check"]

SHOWN = 10
"""Samples of each class that are kept for the figures."""
SHARES = ("", "_half", "_surest")
"""Behind the name of a measure, what rejection keeps: all, a half, or one part of the pool."""


def check(data: Data, judged: int) -> None:
    """Refuse data without labels, or with too few images held out.

    Errors:
        ValueError: Either.

    Example:
        >>> from buttress.data.linear_gaussian import LinearGaussianData
        >>> check(LinearGaussianData(n=50), 10)
        Traceback (most recent call last):
        ValueError: razavi2019_vqvae2: these data have no classes to condition on; ...
    """
    splits = opened(data)
    if not [column for column in splits.spec.given if column.classes]:
        raise ValueError("razavi2019_vqvae2: these data have no classes to condition on; try images with labels_key")
    if len(splits.held_out) < judged:
        raise ValueError(
            f"razavi2019_vqvae2: {len(splits.held_out)} images are held out, wanted {judged} to judge samples by; try "
            "a larger data.held_out, or fewer (judged)"
        )


class Bench:
    """The classifiers of one seed, and the real images that samples are held against. Images are numbers from 0 to 1.

    Args:
        data: Images with labels.
        judged: Images and samples on each side of a comparison.
        pool: How many times as many samples are drawn.
        steps: Of every classifier.
        seed: Of classifiers and draws.
    """

    def __init__(self, data: Data, judged: int, pool: int, steps: int, seed: int) -> None:
        splits = opened(data)
        self.column = next(column for column in splits.spec.given if column.classes)
        self.judged, self.pool, self.steps, self.seed = judged, pool, steps, seed
        self.train, self.train_labels, _ = self._real(splits, "train")
        self.real, self.real_labels, self.order = self._real(splits, "held_out")
        self.labels = torch.arange(judged * pool) % self.column.classes
        self._fitted: dict[int, Any] = {}

    def _real(self, splits: Splits, name: str) -> tuple[Float[Tensor, "N C H W"], Int[Tensor, " N"], Int[Tensor, " N"]]:
        """Images, labels and their numbers, in an order of this seed: stored data may be sorted by class."""
        examples = getattr(splits, name)
        order = torch.randperm(len(examples), generator=torch.Generator().manual_seed(self.seed))
        batch = examples.read(order)
        return (batch.x.float() + 0.5) / 256, batch.given[self.column.name], order

    def classifier(self, part: int) -> Any:
        """That which rejects (0) or judges (1), trained on the real images; weights and order of each are its own."""
        if part not in self._fitted:
            seed = 10 * self.seed + part
            fitted = fit_classifier(self.train, self.train_labels, self.column.classes, steps=self.steps, seed=seed)
            self._fitted[part] = fitted
        return self._fitted[part]

    def ceiling(self, pictures: Path) -> dict[str, Any]:
        """What real images reach: as many as there are samples, taught to the classifier of the accuracy score."""
        found = self.judge(self.train[: len(self.labels)], self.train_labels[: len(self.labels)], pictures)
        return {**found, "accuracy": self.classifier(1).accuracy(self.real, self.real_labels)}

    def dcgan(self, steps: int, batch_size: int, pictures: Path) -> dict[str, Any]:
        """The GAN."""
        settings = {"steps": steps, "batch_size": batch_size, "seed": self.seed}
        generator = train_dcgan(self.train, self.train_labels, self.column.classes, **settings)
        with seeded(self.seed):
            samples = generator.draw(self.labels)
        return self.judge(samples, self.labels, pictures)

    def model(self, folder: Path, pictures: Path, attention: bool, steps: int) -> dict[str, Any]:
        """A trained model: its reconstructions, its levels, its prior and its samples.

        Args:
            folder: Of the run.
            pictures: Where samples and reconstructions go.
            attention: Whether to fit two priors to its top map, one with attention and one without.
            steps: Of each.
        """
        run = Run.load(folder)
        with seeded(self.seed):
            batch = run.splits().held_out.read(self.order)
            codes = run.model.posterior(run.model.observe(batch.x)).sample()
            remade = _images(run, codes)
            found: dict[str, Any] = {"mse": (remade - self.real).square().mean().item()}
            found |= _costs(run, codes, batch.given) | self._parts(run, codes, pictures)
            z = run.model.sample_z(len(self.labels), None, {self.column.name: self.labels})
            samples = _images(run, z)
        if attention:
            found |= _attention(run, codes, steps, self.seed)
        return found | self.judge(samples, self.labels, pictures)

    def judge(self, samples: Float[Tensor, "N C H W"], labels: Int[Tensor, " N"], pictures: Path) -> dict[str, Any]:
        """Accuracy score of all samples; precision, recall and distance of as many as are judged, by what is kept."""
        score = {"steps": self.steps, "seed": 10 * self.seed + 2}
        sure, judging = self.classifier(0).probabilities(samples), self.classifier(1)
        real = judging.features(self.real[: self.judged])
        found: dict[str, Any] = {
            "cas": classification_accuracy_score(
                samples, labels, self.real, self.real_labels, self.column.classes, **score
            ),
            "agreement": judging.accuracy(samples, labels),
        }
        for name, share in zip(SHARES, (1.0, 0.5, 1 / self.pool), strict=True):
            kept = surest(sure, labels, share)[: self.judged]
            alike = likeness(real, judging.features(samples[kept]))
            found |= {f"{measure}{name}": value for measure, value in alike.items()}
        _keep(pictures, samples=self._shown(samples, labels), best=self._shown(samples[kept], labels[kept]))
        return found

    def _shown(self, samples: Tensor, labels: Tensor) -> Float[Tensor, "K S C H W"]:
        """As many samples of each class as there are of all, at most ``SHOWN``."""
        each = [samples[labels == label][:SHOWN] for label in range(self.column.classes)]
        least = min(map(len, each))
        return torch.stack([own[:least] for own in each])

    def _parts(self, run: Run, codes: Int[Tensor, "N *shape"], pictures: Path) -> dict[str, Any]:
        """The classes seen in images whose upper levels, or whose bottom, are those of another image."""
        levels = run.model.space.levels
        if len(levels) < 2:
            return {}
        other = codes.roll(1, 0)
        bottom = levels[-1].start
        mixed = {"bottom": torch.cat([codes[:, :bottom], other[:, bottom:]], 1)}
        mixed["top"] = torch.cat([other[:, :bottom], codes[:, bottom:]], 1)
        images = {name: _images(run, z) for name, z in mixed.items()}
        rows = torch.arange(12)
        remade = _images(run, codes[rows])
        shown = [self.real[rows], remade, *(images[name][rows] for name in ("bottom", "top"))]
        _keep(pictures, levels=torch.cat(shown))
        judge = self.classifier(1)
        return {f"accuracy_other_{name}": judge.accuracy(x, self.real_labels) for name, x in images.items()}


def _images(run: Run, z: Tensor) -> Float[Tensor, "N C H W"]:
    """Means of p(x|z), from 0 to 1."""
    middle = [center(run.model.decode(part)) for part in z.split(500)]
    return torch.cat([part for part in middle if part is not None]).div(256).clamp(0, 1)


def _costs(run: Run, codes: Int[Tensor, "N total"], given: Any) -> dict[str, Any]:
    """Bits a code of each level; those of the bottom too under the upper levels of another image; perplexities."""
    levels, bits = run.model.space.levels, math.log(2)
    nats = -run.model.prior(given).log_prob_by_group(codes)
    found: dict[str, Any] = {
        f"bits_{level.name}": nats[:, level.start : level.stop].mean().item() / bits for level in levels
    }
    for level in levels:
        count = torch.bincount(level.view(codes).flatten()).double()
        found[f"perplexity_{level.name}"] = torch.special.entr(count / count.sum()).sum().exp().item()
    if len(levels) > 1:
        bottom = levels[-1].start
        mixed = torch.cat([codes.roll(1, 0)[:, :bottom], codes[:, bottom:]], 1)
        found["bits"] = found[f"bits_{levels[-1].name}"]
        shuffled = -run.model.prior(given).log_prob_by_group(mixed)[:, bottom:]
        found["bits_shuffled"] = shuffled.mean().item() / bits
    return found


def _attention(run: Run, held_out: Int[Tensor, "N total"], steps: int, seed: int) -> dict[str, float]:
    """Held-out bits a code of the top map costs under a prior with attention and one without, fitted alike."""
    level, examples = run.model.space.levels[0], run.splits().train
    batch = examples.read(torch.arange(len(examples)))
    with seeded(seed):
        codes = run.model.posterior(run.model.observe(batch.x)).sample()
    found = {}
    for name, top in (("attention", "pixelsnail"), ("no_attention", "pixelcnn")):
        with torch.random.fork_rng([]):
            torch.manual_seed(seed)
            prior = LevelProduct(top=top).build(Space.stacked([(level.name, level.shape, level.classes)]))  # type: ignore[arg-type]
            adam = torch.optim.Adam(prior.parameters(), lr=2e-3)
            own = level.view(codes).flatten(1)
            for _ in range(steps):
                adam.zero_grad()
                (-prior().log_prob(own[torch.randint(len(own), (32,))]).mean()).backward()
                adam.step()
        with torch.no_grad():
            nats = -prior().log_prob_by_group(level.view(held_out).flatten(1))
        found[name] = nats.mean().item() / math.log(2)
    return found


def _keep(path: Path, **images: Tensor) -> None:
    """Put images into a file, beside those that are in it."""
    known = dict(np.load(path)) if path.exists() else {}
    known |= {name: (255 * x).round().byte().numpy() for name, x in images.items()}
    np.savez_compressed(path, **known)

r"""Baevski, Schneider and Auli 2019, vq-wav2vec: Self-Supervised Learning of Discrete Speech Representations.

Codes of speech, one or several for every frame, learned by telling the codes to come from others of the same recording:
``kmeans`` and ``gumbel``, two groups of K codes each; ``flat``, as many units in one codebook of K^2, by k-means.
Judged by how often the true code is found among eleven; by the share of codes in use; and by what a linear probe reads
of what is said, from the histogram of a recording's codes, and from the mean of the features of a small BERT that was
trained on the codes alone.

Deviations from the paper: log-mel frames instead of samples (the encoder reads samples too), a small encoder and few
codes, hundreds of steps in place of 400,000, probes in place of speech recognition; codewords of k-means start at
outputs of the encoder, and those that fall out of use start there anew. The marks are not the paper's; they were set
before the runs.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from buttress.baseline import baseline
from buttress.core import Data
from buttress.core.recipe import Recipe
from buttress.data.made_speech import MadeSpeech
from buttress.data.opened import opened
from buttress.diagnostics.evidence import Evidence
from buttress.experiments.claim import Claim
from buttress.experiments.compare import compare
from buttress.experiments.papers._arms import claim, seen
from buttress.experiments.papers._baevski2019_judge import codes_of, judge, untrained
from buttress.experiments.papers._experiment import Experiment, Watch
from buttress.experiments.papers._result import write_result
from buttress.runtime.atomic_write import write_text
from buttress.training.run import Run

__all__ = ["ARMS", "Baevski2019", "claims"]

ARMS = ("kmeans", "gumbel", "flat")
EFFORT = {"samples": 1, "nll_samples": 0, "gap_steps": 0, "mi_examples": 500}
"""Of the evidence of every run; see :func:`buttress.diagnostics.diagnose.diagnose`."""
KEPT = ("contrastive_information", "code_bits_per_second", "bits_per_second", "code_perplexity", "rate")


@dataclass(frozen=True)
class Baevski2019(Experiment):
    """Baevski et al. 2019: do codes learned by contrast, and a BERT of them, tell what is said?

    Args:
        data: Speech; recordings of yours with ``--data sounds``.
        label: The column that says what is said in a recording, such as a word.
        stride: Frames, or samples, that one code stands for.
        codes: K, of a group.
        groups: Codes at each place.
        dim: Numbers in a codeword.
        width: Channels of the encoder and of the causal convolution.
        ahead: Steps ahead that are predicted.
        negatives: Others that each code to come is compared with.
        revive: Steps without use after which a codeword of k-means starts anew; more than ``steps`` for never, as in
            the paper.
        steps: Of every run; the last twentieth trains the prior of the codes.
        batch_size: Recordings in a step.
        learning_rate: Of Adam.
        masked_steps: Of the BERT.
        seed: The first one.
        seeds: How many.

    Errors:
        ValueError: A number is too small.

    Example:
        >>> Baevski2019(codes=4, groups=2, dim=8).arms["flat"].partition(":dim")[0]
        'wav2vec_codes:codes=16:groups=1'
    """

    data: Data = field(default_factory=lambda: MadeSpeech(words=10, spoken=6))
    label: str = "word"
    stride: int = 1
    codes: int = 32
    groups: int = 2
    dim: int = 16
    width: int = 48
    ahead: int = 4
    negatives: int = 10
    revive: int = 25
    steps: int = 500
    batch_size: int = 16
    learning_rate: float = 3e-3
    masked_steps: int = 300
    seed: int = 0
    seeds: int = 3

    def __post_init__(self) -> None:
        """Refuse what would fail only after the data are read."""
        for name, least in {
            "steps": 10, "groups": 1, "ahead": 2, "revive": 1, "masked_steps": 1, "seeds": 1,
        }.items():  # fmt: skip
            if getattr(self, name) < least:
                raise ValueError(f"baevski2019: {name} is {getattr(self, name)}, wanted at least {least}")

    @classmethod
    def full(cls) -> Baevski2019:
        """The paper's sizes, for samples at 16,000 a second; recordings go into ``data``."""
        return cls(
            stride=160, codes=320, dim=256, width=512, ahead=8, steps=400_000, batch_size=64, learning_rate=1e-4,
            masked_steps=250_000,
        )  # fmt: skip

    @property
    def arms(self) -> dict[str, str]:
        """Arm -> its remedy."""
        rest = (
            f"stride={self.stride}:width={self.width}:steps={self.ahead}:negatives={self.negatives}"
            f":revive={self.revive}:first=0.95"
        )
        grouped = f"wav2vec_codes:codes={self.codes}:groups={self.groups}:dim={self.dim}:{rest}"
        flat = f"wav2vec_codes:codes={self.codes**self.groups}:groups=1:dim={self.groups * self.dim}:{rest}"
        return {"kmeans": grouped, "gumbel": f"{grouped}:quantizer=gumbel", "flat": flat}

    def recipe(self) -> Recipe:
        """What the remedies change.

        Errors:
            ValueError: The data are not sound, or have no such column with classes.
        """
        splits = opened(self.data)
        start = baseline(self.data, splits.spec)
        if not splits.spec.seconds or not splits.spec.column(self.label).classes:
            raise ValueError(
                f"baevski2019: got {splits.spec.kind} data with the label {self.label!r}, wanted sound and a column "
                "with classes; try --label"
            )
        every = max(1, self.steps // 2)
        training = replace(
            start.training, steps=self.steps, batch_size=self.batch_size, learning_rate=self.learning_rate,
            seed=self.seed, validate_every=every, checkpoint_every=every,
        )  # fmt: skip
        return replace(start, training=training)

    def run(self, folder: Path, jobs: int = 1, watch: Watch = lambda run, step, total: None) -> list[Claim]:
        """Train everything, or take up what is in the folder, and write ``result.json``.

        Args:
            folder: Where the runs go.
            jobs: Runs at a time.
            watch: Called with (run, step, total).
        """
        names = {written: arm for arm, written in self.arms.items()}
        compare(
            self.recipe(), list(names), folder / "arms", seeds=self.seeds, jobs=jobs, settings=EFFORT, watch=watch
        )  # fmt: skip
        runs = []
        for entry in json.loads((folder / "arms" / "comparison.json").read_text("utf-8"))["arms"]:
            for path, seconds in zip(entry["runs"], entry["seconds"], strict=True):
                arm, seed = names[entry["name"]], int(path.rpartition("-")[2])
                row = {"arm": arm, "seed": seed, "folder": f"arms/{path}", "seconds": round(seconds, 1)}
                runs.append(row | self._measured(folder / "arms" / path, arm))
        found = claims(runs)
        write_result(folder / "result.json", self, found, runs=runs)
        return found

    def _measured(self, folder: Path, arm: str) -> dict[str, Any]:
        """The numbers of a run; what is beyond its diagnosis is measured once."""
        path = folder / "judged.json"
        if not path.exists():
            run = Run.load(folder)
            found = judge(run, self.label, self.masked_steps)
            if arm == "kmeans":
                found["untrained"] = untrained(run, self.label)
            slots: int = run.model.space.shape[-1]
            seconds = self.stride * (run.spec.seconds or math.nan)
            found["nominal_bits_per_second"] = slots * math.log2(codes_of(run.model)) / seconds
            write_text(path, json.dumps(found, indent=1) + "\n")
        evidence = Evidence.load(folder / "evidence.json").estimates
        kept: dict[str, Any] = json.loads(path.read_text("utf-8"))
        steps = dict(zip(("accuracy_first", "accuracy_last"), (kept["accuracy"][0], kept["accuracy"][-1]), strict=True))
        falls = min(a - b for a, b in zip(kept["accuracy"], kept["accuracy"][1:], strict=False))
        known = {name: evidence[name].value for name in KEPT if name in evidence}
        return {**kept, **steps, "accuracy_falls": falls, **known}

    def figures(self, folder: Path) -> list[Path]:
        """Accuracies, codes in use and probes, a row an arm and a mark a seed."""
        from buttress.experiments.papers._by_setting import write_by_arm

        names = {"kmeans": "k-means, two groups", "gumbel": "Gumbel, two groups", "flat": "k-means, one codebook"}
        panels = [
            ("accuracy_first", "accuracy at the first step"), ("used", "share of codes used"),
            ("histogram", "label read from histogram"), ("masked", "label read from BERT"),
        ]  # fmt: skip
        return [write_by_arm(folder, names, panels)]


def claims(runs: list[dict[str, Any]]) -> list[Claim]:
    """What is said of codes learned by contrast, with marks that were set before the first run.

    Args:
        runs: One dict a run: ``arm``, ``seed``, and what :func:`judge` measured.

    Example:
        >>> best = {"accuracy_first": 0.5, "accuracy_falls": 0.02, "used": 0.9, "histogram": 0.7, "masked": 0.8}
        >>> runs = [{"arm": "kmeans", "seed": 0, **best, "untrained": 0.5}, {"arm": "gumbel", "seed": 0, **best}]
        >>> runs += [{"arm": "flat", "seed": 0, **best, "used": 0.2}]
        >>> all(claim.held for claim in claims(runs))
        True
    """

    def of(name: str, arm: str) -> tuple[float, ...]:
        return seen(runs, arm, name)

    both = {"kmeans": "k-means", "gumbel": "Gumbel"}
    found = []
    for arm, name in both.items():
        found += [
            claim(f"{name}: accuracy at the first step", "above", 0.25, of("accuracy_first", arm)),
            claim(
                f"{name}: least fall of the accuracy from a step to the next", "above", 0.0, of("accuracy_falls", arm)
            ),
            claim(f"{name}: share of the codes of a group in use", "above", 0.4, of("used", arm)),
            claim(f"{name}: label read from the histogram of codes", "above", 0.6, of("histogram", arm)),
        ]
    found += [
        claim("k-means: share in use of two groups above that of one codebook", "above", 0.0, of("used", "kmeans"),
              of("used", "flat")),
        claim("k-means: label read from the histogram above that of an untrained model", "above", 0.05,
              of("histogram", "kmeans"), of("untrained", "kmeans")),
    ]  # fmt: skip
    for arm, name in both.items():
        says = f"{name}: label read from BERT features above that from the histogram"
        found.append(claim(says, "above", 0.0, of("masked", arm), of("histogram", arm)))
    return found

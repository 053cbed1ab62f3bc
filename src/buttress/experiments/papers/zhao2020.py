r"""Zhao, Yu, Mahapatra, Su and Chen 2020, Discretized Bottleneck in VAE: Posterior-Collapse-Free Sequence-to-Sequence
Learning (later: Improve Variational Autoencoder for Text Generation with Discrete Latent Bottleneck).

The vector of a sentence is cut into M chunks, each of which is one of K atoms of a codebook that all share (DB-VAE).
The rate, M log K nats before a prior is learned, cannot vanish. What can is what the codes tell, so that is measured:
what is lost without z, how many atoms are in use, and what the decoder makes of them. The bound counts the price of the
codes: reconstruction alone may not be compared with a VAE's ELBO. The paper's other claim is style transfer without
pairs: the atoms that tell a sentiment are swapped.

Deviations: by default the small made-up reviews of ``made_reviews``; labelled sentences of your own go into ``data``.
How atoms are chosen for swapping is ours, as is the prior, an LSTM over the chunks fitted after the autoencoder.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from buttress.core import Data
from buttress.core.recipe import Recipe
from buttress.data.made_reviews import MadeReviews
from buttress.experiments.claim import Claim
from buttress.experiments.compare import compare
from buttress.experiments.papers._arms import claim, measured, seen
from buttress.experiments.papers._experiment import Experiment, Watch
from buttress.experiments.papers._recipes import course, sentence_vae
from buttress.experiments.papers._result import write_result
from buttress.experiments.papers._zhao2020_judge import judge
from buttress.runtime.atomic_write import write_text
from buttress.training.run import Run

__all__ = ["PLAIN", "Zhao2020", "claims"]

PLAIN = "none"
SIZES = {"main": (8, 64), "one chunk": (1, 64), "few atoms": (8, 8), "many atoms": (8, 512)}
"""M and K of each arm with codes."""
NUMBERS = (
    "worth_shuffled", "distortion", "rate", "bleu_greedy", "perplexity", "fewest_codes", "moved_accuracy", "moved_bleu",
    "random_accuracy",
)  # fmt: skip
"""What the claims are about."""


@dataclass(frozen=True)
class Zhao2020(Experiment):
    """Zhao et al. 2020: does a discretised bottleneck keep z in use, and can a style be swapped by its atoms?

    Args:
        data: Sentences, with labels where they are to be rewritten.
        embedding: Size of a word's vector.
        hidden: Units of both LSTMs.
        latents: Dimensions of the plain VAE's z.
        dim: Numbers in an atom.
        steps: Training steps of each run, both stages of those with codes together.
        first: Share of them that trains the autoencoder.
        batch_size: Sentences in a step.
        learning_rate: Of Adam.
        judged: Sentences that are reconstructed, and rewritten towards each label.
        seed: The first one.
        seeds: How many.

    Example:
        >>> Zhao2020().arms["main"]
        'discretized_bottleneck:chunks=8:codes=64:dim=16:first=0.8'
    """

    data: Data = field(default_factory=MadeReviews)
    embedding: int = 64
    hidden: int = 128
    latents: int = 16
    dim: int = 16
    steps: int = 1_600
    first: float = 0.8
    batch_size: int = 64
    learning_rate: float = 2e-3
    judged: int = 200
    seed: int = 0
    seeds: int = 3

    @classmethod
    def full(cls) -> Zhao2020:
        """Networks of the usual size for such corpora, 512 units, and twenty times as many steps."""
        return cls(embedding=256, hidden=512, latents=32, dim=32, steps=40_000, learning_rate=1e-3)

    @property
    def arms(self) -> dict[str, str]:
        """The arms, as users write them."""
        rest = f"dim={self.dim}:first={self.first}"
        codes = {name: f"discretized_bottleneck:chunks={m}:codes={k}:{rest}" for name, (m, k) in SIZES.items()}
        return {"plain": PLAIN, **codes}

    def recipe(self) -> Recipe:
        """The plain VAE."""
        sizes = (self.embedding, self.hidden, self.latents)
        return sentence_vae(self.data, sizes, course(self, looks=10, saves=2))

    def run(self, folder: Path, jobs: int = 1, watch: Watch = lambda run, step, total: None) -> list[Claim]:
        """Train everything, or take up what is in the folder, judge it, and write ``result.json``.

        A run whose codes say nothing after the first stage fails, which the result says; its claims then do not hold.

        Args:
            folder: Where the runs go.
            jobs: Runs at a time.
            watch: Called with (run, step, total).
        """
        effort = {"nll_samples": 0, "gap_steps": 0}
        names = list(self.arms.values())
        done = compare(self.recipe(), names, folder / "arms", seeds=self.seeds, jobs=jobs, settings=effort, watch=watch)
        runs = measured(folder, "arms")
        called = {written: name for name, written in self.arms.items()}
        for run in runs:
            run["arm"] = called[run["arm"]]
            watch(f"judging {run['arm']}, seed {run['seed']}", 0, 1)
            run |= self._judged(folder / run["folder"])
        found = claims(runs)
        write_result(folder / "result.json", self, found, runs=runs, failed=dict(done.failed))
        return found

    def _judged(self, folder: Path) -> dict[str, Any]:
        path = folder / "judged.json"
        if not path.exists():
            write_text(path, json.dumps(judge(Run.load(folder), self.judged)) + "\n")
        found: dict[str, Any] = json.loads(path.read_text("utf-8"))
        return found

    def figures(self, folder: Path) -> list[Path]:
        """Reconstruction against what the codes cost, and the worth of z and greedy BLEU of each arm."""
        from buttress.experiments.papers._by_setting import write_by_arm, write_plane

        names = {"plain": "VAE"} | {name: f"{m} of {k} atoms" for name, (m, k) in SIZES.items()}
        panels = [("worth_shuffled", "nats lost without z"), ("bleu_greedy", "BLEU of reconstructions")]
        axes = (("rate", "rate, nats"), ("distortion", "reconstruction, nats"))
        return [write_plane(folder, names, *axes), write_by_arm(folder, names, panels)]


def claims(runs: list[dict[str, Any]]) -> list[Claim]:
    """The paper's claims, with marks that were set before the first run.

    Args:
        runs: One dict a run, with ``arm``, ``seed``, and what was measured.

    Example:
        >>> codes = {"worth_shuffled": 9.0, "bleu_greedy": 20.0, "perplexity": 40.0, "fewest_codes": 9, "rate": 20.0,
        ...     "moved_accuracy": 0.7, "moved_bleu": 18.0, "random_accuracy": 0.2}
        >>> nats = {"main": 36.0, "one chunk": 40.0, "few atoms": 38.0, "many atoms": 35.0}
        >>> runs = [{"arm": arm, "seed": 0, "distortion": d, **codes} for arm, d in nats.items()]
        >>> plain = {"arm": "plain", "seed": 0, "distortion": 42.0, "worth_shuffled": 0.0, "bleu_greedy": 1.0}
        >>> [claim.held for claim in claims([plain, *runs])] == 13 * [True]
        True
    """
    main, plain = ({name: seen(runs, arm, name) for name in NUMBERS} for arm in ("main", "plain"))
    rec = {arm: seen(runs, arm, "distortion") for arm in SIZES}
    m, k = SIZES["main"]
    uniform = (m * math.log(k),) * len(main["rate"])
    return [
        claim("VAE: nats lost when z is shuffled", "below", 0.1, plain["worth_shuffled"]),
        claim("DB-VAE: nats lost when z is shuffled", "above", 1.0, main["worth_shuffled"]),
        claim("reconstruction of the VAE above that of DB-VAE, nats", "above", 5.0, plain["distortion"], rec["main"]),
        claim(
            "BLEU of greedy reconstructions above that of the VAE",
            "above",
            0.0,
            main["bleu_greedy"],
            plain["bleu_greedy"],
        ),
        claim("nats that the learned prior saves, of M log K", "above", 1.0, uniform, main["rate"]),
        claim("perplexity of the codebook of 64", "above", 20.0, main["perplexity"]),
        claim("fewest different codes at a position", "above", 8.0, main["fewest_codes"]),
        claim("rewritten sentences taken for the new label", "above", 0.6, main["moved_accuracy"]),
        claim("BLEU of rewritten sentences to their sources", "above", 15.0, main["moved_bleu"]),
        claim("the share above that of random swaps", "above", 0.2, main["moved_accuracy"], main["random_accuracy"]),
        claim("reconstruction with 6 bits above that with 24, nats", "above", 0.0, rec["one chunk"], rec["few atoms"]),
        claim("reconstruction with 24 bits above that with 48, nats", "above", 0.0, rec["few atoms"], rec["main"]),
        claim("reconstruction with 48 bits above that with 72, nats", "above", 0.0, rec["main"], rec["many atoms"]),
    ]

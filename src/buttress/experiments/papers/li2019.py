r"""Li, He, Neubig, Berg-Kirkpatrick and Yang 2019, A Surprisingly Effective Fix for Deep Latent
Variable Modeling of Text.

Train an LSTM VAE of sentences as an autoencoder first, keep the encoder, give the decoder its initial weights back, and
then raise the weight of the rate from 0 to 1 with a floor under the rate of each example and dimension. The paper: with
pretraining and floor together z carries more information, in more dimensions, at a bound that is no worse than with
the floor alone; pretraining alone falls back to an empty z.

All arms have the same number of steps, those of the autoencoder included, and the same ramp of the weight.

Deviations: by default the sentences of ``lstm_text``, all of ten words, so that z cannot win by encoding length; small
LSTMs; Adam in place of SGD with a falling rate, no dropout; a z and a floor as small as what is to be said about these
sentences. Sentences of your own go into ``data``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from buttress.core import Data
from buttress.core.recipe import Recipe
from buttress.data.lstm_text import LstmText
from buttress.experiments.claim import Claim
from buttress.experiments.compare import compare
from buttress.experiments.papers._arms import claim, measured, seen
from buttress.experiments.papers._experiment import Experiment, Watch
from buttress.experiments.papers._recipes import course, sentence_vae
from buttress.experiments.papers._result import write_result

__all__ = ["Li2019", "claims"]


@dataclass(frozen=True)
class Li2019(Experiment):
    """Li et al. 2019: does pretraining as an autoencoder make a floor under the rate carry information?

    Args:
        data: Sentences.
        embedding: Size of a word's vector.
        hidden: Units of both LSTMs.
        latents: Dimensions of z.
        target: Floor of the rate of each example in nats, shared evenly by the dimensions of z.
        dropout: Of the decoder.
        steps: Training steps of each run.
        first: Share of the steps that train the autoencoder, where there is one.
        ramp: Share of the steps in which the weight of the rate rises.
        batch_size: Sentences in a step.
        learning_rate: Of Adam.
        seed: The first one.
        seeds: How many.

    Example:
        >>> Li2019().arms["pretraining and floor"]
        'pretrained_autoencoder:first=0.3:ramp=0.3:target=2.0'
    """

    data: Data = field(default_factory=LstmText)
    embedding: int = 50
    hidden: int = 50
    latents: int = 8
    target: float = 2.0
    dropout: float = 0.0
    steps: int = 1_200
    first: float = 0.3
    ramp: float = 0.3
    batch_size: int = 32
    learning_rate: float = 3e-3
    seed: int = 0
    seeds: int = 3

    @classmethod
    def full(cls) -> Li2019:
        """The sizes of the paper for short Yelp sentences, which go into ``data``."""
        return cls(embedding=128, hidden=512, latents=32, target=8.0, dropout=0.5, steps=100_000, learning_rate=1e-3)

    @property
    def arms(self) -> Mapping[str, str]:
        """The remedies of each arm."""
        anneal = f"kl_annealing:fraction={self.ramp}"
        floor = f"free_bits:per_group={self.target / self.latents}:per_example=true"
        pretrain = f"pretrained_autoencoder:first={self.first}:ramp={self.ramp}"
        return {
            "VAE": "none",
            "annealing": anneal,
            "cycles": "cyclical_annealing",
            "floor": f"{anneal}+{floor}",
            "pretraining": f"{pretrain}:target=0",
            "pretraining and floor": f"{pretrain}:target={self.target}",
        }

    def recipe(self) -> Recipe:
        """What is trained without a remedy."""
        sizes = (self.embedding, self.hidden, self.latents)
        return sentence_vae(self.data, sizes, course(self, looks=10), self.dropout)

    def run(self, folder: Path, jobs: int = 1, watch: Watch = lambda run, step, total: None) -> list[Claim]:
        """Train everything, or take up what is in the folder, and write ``result.json``.

        Args:
            folder: Where the runs go.
            jobs: Runs at a time.
            watch: Called with (run, step, total).
        """
        effort = {"nll_samples": 200, "nll_examples": 500, "gap_steps": 0}
        arms = list(self.arms.values())
        compare(self.recipe(), arms, folder / "arms", seeds=self.seeds, jobs=jobs, settings=effort, watch=watch)
        runs = measured(folder, "arms")
        found = claims(runs, self.arms)
        write_result(folder / "result.json", self, found, runs=runs)
        return found

    def figures(self, folder: Path) -> list[Path]:
        """The rate over training, a line a seed, and NLL, information and active units at the end."""
        from buttress.experiments.papers._by_setting import write_by_arm, write_course

        names = {written: arm for arm, written in self.arms.items()}
        panels = [("nll", "NLL, nats"), ("mutual_information", "information, nats"), ("active_units", "active units")]
        return [write_course(folder, names, "rate", "rate, nats"), write_by_arm(folder, names, panels)]


def claims(runs: list[dict[str, Any]], arms: Mapping[str, str]) -> list[Claim]:
    """The paper's claims, with marks that were set before the runs.

    Args:
        runs: One dict a run, with ``arm``, ``seed``, ``nll``, ``rate``, ``mutual_information`` and ``active_units``.
        arms: The remedies of each arm, by what it is called.

    Example:
        >>> numbers = {"VAE": (46.0, 0.0, 0), "floor": (46.0, 0.3, 1), "pretraining": (46.0, 0.0, 0)}
        >>> numbers |= {"pretraining and floor": (45.5, 1.5, 3)}
        >>> runs = [
        ...     dict(arm=arm, seed=0, nll=nll, rate=2 * bits, mutual_information=bits, active_units=units)
        ...     for arm, (nll, bits, units) in numbers.items()
        ... ]
        >>> [claim.held for claim in claims(runs, {arm: arm for arm in numbers})]
        [True, True, True, True, True]
    """
    rate = {arm: seen(runs, arms[arm], "rate") for arm in ("VAE", "pretraining")}
    both, floor = (
        {name: seen(runs, arms[arm], name) for name in ("mutual_information", "active_units", "nll")}
        for arm in ("pretraining and floor", "floor")
    )
    return [
        claim("VAE: rate, nats", "below", 0.1, rate["VAE"]),
        claim("pretraining alone: rate, nats", "below", 0.1, rate["pretraining"]),
        claim(
            "pretraining and floor: information above that of the floor alone, nats", "above", 0.3,
            both["mutual_information"], floor["mutual_information"],
        ),
        claim(
            "pretraining and floor: active units above those of the floor alone", "above", 0.5, both["active_units"],
            floor["active_units"],
        ),
        claim(
            "pretraining and floor: NLL above that of the floor alone, nats", "below", 0.1, both["nll"], floor["nll"]
        ),
    ]  # fmt: skip

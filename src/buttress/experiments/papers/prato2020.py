r"""Prato, Charlaix and Rezagholizadeh 2020, Fully Quantized Transformer for Machine Translation.

A Transformer whose weights and activations are rounded to 8 bits while it is trained, after a short phase in full
precision, translates as well as one in full precision. Rounding a finished model costs more, the more the fewer the
bits.

Arms, all with the same data, model and steps: ``whole``, in full precision; ``trained``, rounded from
``quantize_after`` steps on; ``after``, the model in full precision of the same seed, rounded when it was finished
(:mod:`buttress.training.post_training`); the last two with several numbers of bits. Held-out sentences are translated
greedily.

Deviations from the paper: made-up pairs of a rule that is known, in place of WMT (pairs of yours go into ``data``); a
small pre-norm Transformer with rotary positions; no warm-up, no averaged checkpoints, no beam search. The
marks are not the paper's; they were set before the runs.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from shutil import rmtree
from typing import Any, Literal, cast

import torch

from buttress.baseline import baseline
from buttress.core import PAD, Data
from buttress.core.recipe import Recipe
from buttress.data.made_translations import MadeTranslations
from buttress.data.opened import opened
from buttress.data.reading.tokens import decode
from buttress.decoders.cross_attention import CrossAttentionDecoder
from buttress.experiments.claim import Claim
from buttress.experiments.papers._arms import claim, seen
from buttress.experiments.papers._experiment import Experiment, Watch
from buttress.experiments.papers._result import write_result
from buttress.experiments.pool import News, run_all, run_here
from buttress.quality.bleu import bleu
from buttress.runtime.atomic_write import write_text
from buttress.training.callbacks import ProgressCallback
from buttress.training.post_training import cost_of, quantize_run
from buttress.training.run import Run, train

__all__ = ["Prato2020", "claims"]

WORSE = {"tokens": 1.0, "bleu": 0.5}
"""Points that a model trained with 8 bits may lie below full precision, by what is counted."""
SIX = 5.0
"""Points by which training with 6 bits must lie above rounding to 6 bits afterwards."""
TOGETHER = 250
"""Sentences translated together."""


@dataclass(frozen=True)
class Prato2020(Experiment):
    """Prato et al. 2020: does a Transformer with weights and activations of 8 bits translate as well as in 32?

    Args:
        data: Pairs of sentences; pairs of yours with ``--data pairs``.
        score: What the claims count: "tokens", the share of words that are right where they stand, for data with one
            right translation; or "bleu". Both are measured.
        trained: Numbers of bits to train with; the claims need 8 and 6.
        after: Numbers of bits to round finished models to; the claims need 8, 6 and 4.
        hidden: Of the Transformer.
        layers: Blocks that read the source, and blocks that write the target.
        heads: In each block.
        dropout: In training.
        label_smoothing: In training.
        steps: Training steps of each run.
        quantize_after: Of these, those in full precision before rounding begins.
        batch_size: Pairs in a step.
        learning_rate: Of Adam.
        decay: The rate is multiplied by this after each twentieth of the steps without a better held-out bound: at a
            constant one, models in full precision of two seeds differ by more than 8 bits cost.
        judged: Held-out pairs that are translated, at most.
        seed: The first one.
        seeds: How many.

    Errors:
        ValueError: A number of bits is missing, or the phase in full precision is no shorter than the run.

    Example:
        >>> [training.quantize for training in (Prato2020().recipe(bits).training for bits in (0, 6))]
        [0, 6]
    """

    data: Data = field(default_factory=MadeTranslations)
    score: Literal["tokens", "bleu"] = "tokens"
    trained: tuple[int, ...] = (8, 6, 4)
    after: tuple[int, ...] = (8, 6, 4)
    hidden: int = 64
    layers: int = 2
    heads: int = 4
    dropout: float = 0.0
    label_smoothing: float = 0.0
    steps: int = 1_500
    quantize_after: int = 100
    batch_size: int = 64
    learning_rate: float = 2e-3
    decay: float = 0.3
    judged: int = 500
    seed: int = 0
    seeds: int = 3

    def __post_init__(self) -> None:
        """Refuse what would fail only after the training."""
        for name, needed in (("trained", {8, 6}), ("after", {8, 6, 4})):
            if missing := needed - set(given := getattr(self, name)):
                raise ValueError(f"prato2020: {name} is {given}, wanted {min(missing)} too, of which a claim is made")
        if not 0 <= self.quantize_after < self.steps:
            raise ValueError(
                f"prato2020: quantize_after is {self.quantize_after}, wanted at least 0 and below steps {self.steps}"
            )
        if self.judged < 1:
            raise ValueError(f"prato2020: judged is {self.judged}, wanted at least 1")

    @classmethod
    def full(cls) -> Prato2020:
        """The base Transformer, judged by BLEU; its data are millions of pairs (``--data pairs``)."""
        return cls(
            score="bleu", hidden=512, layers=6, heads=8, dropout=0.1, label_smoothing=0.1, steps=100_000,
            batch_size=512, learning_rate=5e-4, judged=3_000,
        )  # fmt: skip

    def recipe(self, bits: int = 0) -> Recipe:
        """What is trained: in full precision, or rounded to ``bits``.

        Errors:
            ValueError: The data are no pairs of sentences.
        """
        splits = opened(self.data)
        if not any(column.name == "source" and column.symbols for column in splits.spec.given):
            raise ValueError(
                f"prato2020: {self.data.name()} data have no source sentence beside each target, wanted pairs of "
                "sentences (--data pairs)"
            )
        start, every = baseline(self.data, splits.spec), max(1, self.steps // 20)
        decoder = CrossAttentionDecoder(
            hidden=self.hidden, layers=self.layers, heads=self.heads, source_layers=self.layers, dropout=self.dropout,
            label_smoothing=self.label_smoothing,
        )  # fmt: skip
        training = replace(
            start.training, steps=self.steps, batch_size=self.batch_size, learning_rate=self.learning_rate,
            decay=self.decay, seed=self.seed, validate_every=every, checkpoint_every=4 * every, quantize=bits,
            quantize_after=self.quantize_after,
        )  # fmt: skip
        return replace(start, decoder=decoder, training=training)

    def run(self, folder: Path, jobs: int = 1, watch: Watch = lambda run, step, total: None) -> list[Claim]:
        """Train everything, or take up what is in the folder, and write ``result.json``.

        Args:
            folder: Where the runs go.
            jobs: Trainings at a time.
            watch: Called with (run, step, total).

        Errors:
            ValueError: A training failed.
        """
        rows: list[dict[str, Any]] = [
            {"arm": f"trained_{bits}" if bits else "whole", "bits": bits or 32, "seed": seed}
            for bits in (0, *self.trained) for seed in range(self.seed, self.seed + self.seeds)
        ]  # fmt: skip
        rows = [{**row, "folder": f"{row['arm']}/seed-{row['seed']}"} for row in rows]
        seconds = self._trained(rows, folder, jobs, watch)
        runs = []
        for row in rows:
            place = row["folder"]
            step_ms = round(seconds[place] / self.steps * 1000, 1)
            runs.append({**row, "step_ms": step_ms, **self._measured(folder / place)})
        for of in [run for run in runs if run["arm"] == "whole"]:
            for bits in self.after:
                place = f"after_{bits}/seed-{of['seed']}"
                rounded = folder / place
                if not (rounded / "judged.json").exists():
                    rmtree(rounded, ignore_errors=True)  # of a trial that was interrupted here
                    quantize_run(Run.load(folder / of["folder"]), rounded, bits)
                row = {"arm": f"after_{bits}", "bits": bits, "seed": of["seed"], "folder": place}
                runs.append({**row, **self._measured(rounded)})
        found = claims(runs, self.score)
        write_result(folder / "result.json", self, found, runs=runs)
        return found

    def _trained(self, rows: list[dict[str, Any]], folder: Path, jobs: int, watch: Watch) -> dict[str, float]:
        """Train the runs, go on with them or find them finished; by run, the seconds that its training took."""
        tasks = {}
        for row in rows:
            recipe = self.recipe(row["bits"] % 32)
            recipe = replace(recipe, training=replace(recipe.training, seed=row["seed"]))
            tasks[row["folder"]] = (recipe.to_yaml(), str(folder), row["folder"])
        every = run_here if jobs == 1 else partial(run_all, jobs=jobs)
        seconds, failed = every(_train, tasks, watch=watch, ended=lambda run, says: None)
        if failed:
            raise ValueError("; ".join(f"prato2020: {run}: {why}" for run, why in failed.items()))
        return seconds

    def _measured(self, folder: Path) -> dict[str, Any]:
        """The numbers of a run, which are measured once."""
        path = folder / "judged.json"
        if not path.exists():
            write_text(path, json.dumps(judge(Run.load(folder), self.judged), indent=1) + "\n")
        kept: dict[str, Any] = json.loads(path.read_text("utf-8"))
        return kept

    def figures(self, folder: Path) -> list[Path]:
        """What is right and what is lost, a row an arm and a mark a seed."""
        from buttress.experiments.papers._by_setting import write_by_arm

        names = {"whole": "full precision"}
        for kind, says in (("trained", "trained with"), ("after", "rounded to")):
            names |= {f"{kind}_{bits}": f"{says} {bits} bits" for bits in getattr(self, kind)}
        panels = [
            ("tokens", "words right, %"), ("sentences", "sentences right, %"), ("bleu", "BLEU"),
            ("elbo", "log p(x), nats"),
        ]  # fmt: skip
        return [write_by_arm(folder, names, panels)]


def _train(recipe: str, folder: str, name: str, news: News) -> float:
    """Train one run in whatever process this is; its seconds."""

    def tell(step: int, total: int) -> None:
        news.put((name, step, total))

    callbacks = [ProgressCallback(tell)]
    run = train(Recipe.from_yaml(recipe), Path(folder) / name, resume=True, progress=False, callbacks=callbacks)
    return run.seconds


def judge(run: Run, most: int) -> dict[str, float | None]:
    """What greedy translations of held-out pairs are worth, in per cent and BLEU; and what the model takes.

    Args:
        run: Its model writes x from a source alone.
        most: Pairs to translate.
    """
    held_out, model = run.splits().held_out, cast(Any, run.evaluation_model(0))
    right = words = whole = 0
    texts: tuple[list[str], list[str]] = ([], [])
    count = min(most, len(held_out))
    for index in torch.arange(count).split(TOGETHER):
        batch = held_out.read(index)
        with torch.no_grad():
            z = model.sample_z(len(index), given=batch.given)
            written = model.decoder.likeliest(model.decode(z, batch.given).z)
        same, inside = written[:, : batch.x.shape[1]] == batch.x, batch.x != PAD
        right, words = right + int((same & inside).sum()), words + int(inside.sum())
        whole += int((same | ~inside).all(1).sum())
        for text, ids in zip(texts, (written, batch.x), strict=True):
            text += decode(run.spec, ids)
    cost = cost_of(run)
    return {
        "tokens": 100 * right / words, "sentences": 100 * whole / count, "bleu": bleu(*texts), "elbo": cost.elbo.value,
        "bytes": cost.bytes, "evaluation_ms": cost.milliseconds,
    }  # fmt: skip


def claims(runs: list[dict[str, Any]], score: str = "tokens") -> list[Claim]:
    """The paper's claims, with marks that were set before the first run.

    Args:
        runs: One dict a run, with ``arm``, ``seed`` and what :func:`judge` measured.
        score: What is counted, "tokens" or "bleu".

    Example:
        >>> points = {"whole": 98, "trained_8": 97.7, "trained_6": 78, "after_8": 97, "after_6": 66, "after_4": 19.6}
        >>> runs = [{"arm": arm, "seed": 0, "tokens": percent} for arm, percent in points.items()]
        >>> [(round(claim.median, 2), claim.held) for claim in claims(runs)]
        [(-0.3, True), (0.7, True), (12.0, True), (0.2, True)]
    """

    def of(arm: str) -> tuple[float, ...]:
        return seen(runs, arm, score)

    says = {"tokens": "points of words right", "bleu": "BLEU"}[score]
    left = tuple(a / b if b else math.nan for a, b in zip(of("after_4"), of("whole"), strict=True))
    return [
        claim(f"trained with 8 bits above full precision, {says}", "above", -WORSE[score], of("trained_8"),
              of("whole")),
        claim(f"8 bits: trained above rounded afterwards, {says}", "above", 0.0, of("trained_8"), of("after_8")),
        claim(f"6 bits: trained above rounded afterwards, {says}", "above", SIX, of("trained_6"), of("after_6")),
        claim(f"rounded to 4 bits afterwards, share left of full precision's {says}", "below", 0.5, left),
    ]  # fmt: skip

r"""Wu, Chen and Lee 2020, VQVC+: One-Shot Voice Conversion by Vector Quantization and U-Net architecture.

Frames of speech as codes on three time scales, which are the only skips of a U-Net, and what the codes leave out,
averaged over time, for who speaks. Three arms: ``vqvc``, all of it; ``no_quantizer``, the same U-Net whose skips are
not quantised; ``no_skips``, codes of the coarsest scale alone. A recording is converted by its own codes beside the
voice of another recording. Two classifiers of frames, which learned from real recordings, say who speaks and what is
said. One-shot: the recordings on both sides are of speakers whom the model has never heard.

Deviations from the paper: see :mod:`buttress.posteriors.unet_quantized`, above all that the voice is rounded and its
cost counted; smaller networks, hundreds of steps, frames of a Gaussian in place of an L1 loss, no vocoder, and made-up
speech, unless recordings are handed over. The paper is judged by listeners; the marks here were set before the runs.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from buttress.baseline import baseline
from buttress.core import Data, Splits, remedy
from buttress.core.recipe import Recipe
from buttress.data.made_speech import MadeSpeech
from buttress.data.opened import opened
from buttress.diagnostics.evidence import Evidence
from buttress.experiments.claim import Claim
from buttress.experiments.papers._arms import claim, seen
from buttress.experiments.papers._experiment import Experiment, Watch
from buttress.experiments.papers._result import write_result
from buttress.experiments.papers._wu2020_judge import Spoken, VoiceJudges, judge, names_of, spoken
from buttress.runtime.atomic_write import write_text
from buttress.training.callbacks import ProgressCallback
from buttress.training.run import Run, train

__all__ = ["ARMS", "Wu2020", "claims"]

ARMS = ("vqvc", "no_quantizer", "no_skips")
LEVELS = ("top", "middle", "bottom")
EFFORT = {"nll_samples": 0, "gap_steps": 0, "mi_examples": 200}
"""Of the evidence of the first arm; see :func:`buttress.diagnostics.diagnose.diagnose`."""


@dataclass(frozen=True)
class Wu2020(Experiment):
    """Wu, Chen and Lee 2020: does a U-Net of quantised skips convert to a voice heard once, and what is it without?

    Args:
        data: Speech as frames with its speakers, and what is said in a column or an alignment.
        others: The same of speakers whom the models never hear.
        speaker: The column that says who speaks.
        content: The column that says what is said in a recording, such as a digit; empty where an alignment says it.
        codes: Codewords of the coarsest scale; each finer one has half as many.
        dim: Numbers in a codeword, and in the voice at each scale.
        width: Channels.
        steps: Of every run.
        batch_size: Recordings in a step.
        learning_rate: Of Adam.
        conversions: Conversions that are judged, among speakers seen in training and among others.
        judge_steps: Of the training of each classifier.
        probed: Training recordings that the probes learn from, at most.
        seed: The first one.
        seeds: How many.

    Errors:
        ValueError: A number is too small.

    Example:
        >>> Wu2020(codes=16).arms["no_skips"]
        'one_shot_conversion:codes=16:dim=32:width=64:skips=false'
    """

    data: Data = field(default_factory=MadeSpeech)
    others: Data = field(default_factory=lambda: MadeSpeech(voices=1))
    speaker: str = "speaker"
    content: str = ""
    codes: int = 64
    dim: int = 32
    width: int = 64
    steps: int = 1000
    batch_size: int = 16
    learning_rate: float = 1e-3
    conversions: int = 200
    judge_steps: int = 300
    probed: int = 200
    seed: int = 0
    seeds: int = 3

    def __post_init__(self) -> None:
        """Refuse what would fail only after the data are read."""
        for name in ("steps", "conversions", "judge_steps", "probed", "seeds"):
            if getattr(self, name) < 1:
                raise ValueError(f"wu2020: {name} is {getattr(self, name)}, wanted at least 1")

    @classmethod
    def full(cls) -> Wu2020:
        """The paper's codebooks and steps; recordings go into ``data`` and ``others``."""
        return cls(codes=64, dim=64, width=128, steps=100_000, batch_size=8)

    @property
    def arms(self) -> dict[str, str]:
        """Arm -> its remedy."""
        whole = f"one_shot_conversion:codes={self.codes}:dim={self.dim}:width={self.width}"
        return {"vqvc": whole, "no_quantizer": f"{whole}:quantizer=none", "no_skips": f"{whole}:skips=false"}

    def recipe(self) -> Recipe:
        """What the remedies change.

        Errors:
            ValueError: The data have no frames, no such column, or do not say what is said.
        """
        known, others = self.splits
        for splits in (known, others):
            if splits.spec.kind != "frames" or not (self.content or splits.held_out.alignment):
                raise ValueError(
                    f"wu2020: got {splits.spec.kind} data{'' if self.content else ' and no column of content'}, wanted "
                    "frames of speech (--data.form mel, --others.form mel) and what is said (--content COLUMN, or "
                    "--data.alignment)"
                )
        names_of(self.splits, self.speaker, self.content)
        start, every = baseline(self.data, known.spec), max(1, self.steps // 4)
        training = replace(
            start.training, steps=self.steps, batch_size=self.batch_size, learning_rate=self.learning_rate,
            seed=self.seed, validate_every=every, checkpoint_every=every,
        )  # fmt: skip
        return replace(start, training=training)

    @cached_property
    def splits(self) -> tuple[Splits, Splits]:
        """The data and the other speakers', opened."""
        return opened(self.data), opened(self.others)

    def run(self, folder: Path, jobs: int = 1, watch: Watch = lambda run, step, total: None) -> list[Claim]:
        """Train everything, or take up what is in the folder, and write ``result.json``.

        Args:
            folder: Where the runs go.
            jobs: Not read: one run follows the other, so that a trial that is cut short has whole seeds.
            watch: Called with (run, step, total).
        """
        recipe, runs = self.recipe(), []
        for seed in range(self.seed, self.seed + self.seeds):
            for arm, written in self.arms.items():
                name = f"arms/{arm}/seed-{seed}"
                own = remedy.apply(written, replace(recipe, training=replace(recipe.training, seed=seed)))
                callback = ProgressCallback(partial(watch, name))
                run = train(own, folder / name, resume=True, progress=False, callbacks=[callback])
                row: dict[str, Any] = {"arm": arm, "seed": seed, "folder": name, "seconds": round(run.seconds, 1)}
                runs.append(row | self._measured(folder / name))
        for row in runs:
            row |= self._diagnosed(folder / row["folder"]) if row["arm"] == ARMS[0] else {}
        real = self._once(folder / "real.json", self._real)
        found = claims(runs, real)
        write_result(folder / "result.json", self, found, runs=runs, real=real)
        return found

    @cached_property
    def sides(self) -> dict[str, Spoken]:
        """The recordings that are learned from and judged: training and held-out ones of both data."""
        names = names_of(self.splits, self.speaker, self.content)
        longest = self.splits[0].spec.layout.places[0]
        return {
            f"{name}_{side}": spoken(getattr(one, side), one.spec, longest, self.speaker, self.content, names)
            for name, one in zip(("known", "others"), self.splits, strict=True)
            for side in ("train", "held_out")
        }

    @cached_property
    def judges(self) -> VoiceJudges:
        """Classifiers of who speaks and what is said, of real recordings."""
        speakers, contents = names_of(self.splits, self.speaker, self.content)
        return VoiceJudges.trained(self._both("train"), len(speakers), len(contents), self.judge_steps)

    def _both(self, side: str) -> Spoken:
        return Spoken.joined([self.sides[f"{name}_{side}"] for name in ("known", "others")])

    def _real(self) -> dict[str, float]:
        """How often the judges are right of real held-out recordings."""
        real = self._both("held_out")
        who = self.judges.speakers(real.x, real.inside) == real.speaker
        return {"speaker": who.double().mean().item(), "content": self.judges.content_kept(real.x, real)}

    def _measured(self, folder: Path) -> dict[str, Any]:
        """The numbers of a run, measured once."""
        sides = self.sides
        return self._once(
            folder / "judged.json",
            lambda: judge(
                Run.load(folder).model, self.judges, sides["known_held_out"], sides["others_held_out"],
                sides["known_train"].first(self.probed), self.conversions,
            ),
        )  # fmt: skip

    def _diagnosed(self, folder: Path) -> dict[str, Any]:
        """What the diagnosis of a run says of its levels."""
        if not (folder / "evidence.json").exists():
            Run.load(folder).diagnose(**EFFORT)
        evidence = Evidence.load(folder / "evidence.json")
        found = {name: one.value for name, one in evidence.estimates.items() if name.partition("/")[0] in KEPT}
        return {"state": evidence.verdict.state, **found}

    def _once(self, path: Path, measure: Any) -> dict[str, float]:
        """What was measured and written down before, or is now."""
        if not path.exists():
            write_text(path, json.dumps(measure(), indent=1) + "\n")
        kept: dict[str, float] = json.loads(path.read_text("utf-8"))
        return kept

    def figures(self, folder: Path) -> list[Path]:
        """The numbers of all arms, and spectrograms of conversions with sound where the data can be heard."""
        from buttress.experiments.papers._by_setting import write_by_arm
        from buttress.experiments.papers._wu2020_figures import conversions

        names = {"vqvc": "VQVC+", "no_quantizer": "no quantiser", "no_skips": "no skips"}
        panels = [
            ("l1", "L1 of reconstructions"), ("target_unseen", "converted: target speaker"),
            ("source_unseen", "converted: source speaker"), ("content_unseen", "converted: content kept"),
        ]  # fmt: skip
        return [write_by_arm(folder, names, panels), *conversions(self, folder)]


KEPT = ("rate", "distortion", "worth_shuffled", "bits_per_second")
"""Estimates of a diagnosis that are kept, with those of each level."""


def claims(runs: Sequence[dict[str, Any]], real: dict[str, float]) -> list[Claim]:
    """What is said of VQVC+ and of its two ablations, with marks that were set before the first run.

    Args:
        runs: One dict a run: ``arm``, ``seed``, and what :func:`judge` measured.
        real: How often the judges are right of real recordings: ``speaker`` and ``content``.

    Example:
        >>> each = {f"{what}/{level}": value for level in LEVELS
        ...     for what, value in {"speaker_before": 0.9, "speaker_after": 0.5, "used": 0.6}.items()}
        >>> runs = [{"arm": "vqvc", "seed": 0, "l1": 0.5, "target_unseen": 0.7, "content_unseen": 0.8, **each}]
        >>> runs += [{"arm": "no_quantizer", "seed": 0, "l1": 0.1, "target_unseen": 0.1}]
        >>> runs += [{"arm": "no_skips", "seed": 0, "l1": 0.9, "target_unseen": 0.8, "content_unseen": 0.4}]
        >>> all(claim.held for claim in claims(runs, {"speaker": 0.99, "content": 0.98}))
        True
    """

    def of(name: str, arm: str = "vqvc") -> tuple[float, ...]:
        return seen(runs, arm, name)

    def least(name: str, minus: str = "") -> tuple[float, ...]:
        """The smallest over levels of a number, or of one above another, for each seed."""
        levels = [of(f"{name}/{level}") for level in LEVELS]
        others = [of(f"{minus}/{level}") if minus else (0.0,) * len(levels[0]) for level in LEVELS]
        apart = [[a - b for a, b in zip(*pair, strict=True)] for pair in zip(levels, others, strict=True)]
        return tuple(min(each) for each in zip(*apart, strict=True))

    unseen = "speakers never heard"
    return [
        claim("judges: real recordings whose speaker is told", "above", 0.95, (real["speaker"],)),
        claim("judges: real recordings whose content is told", "above", 0.95, (real["content"],)),
        claim("L1 of reconstructions: VQVC+ above that without quantiser", "above", 0.0, of("l1"), of("l1", ARMS[1])),
        claim("L1 of reconstructions: without skips above VQVC+", "above", 0.0, of("l1", ARMS[2]), of("l1")),
        claim(f"VQVC+, {unseen}: conversions that are the target", "above", 0.6, of("target_unseen")),
        claim(f"no quantiser, {unseen}: conversions that are the target", "below", 0.2, of("target_unseen", ARMS[1])),
        claim(
            f"{unseen}: conversions that are the target, without skips above VQVC+", "above", -0.01,
            of("target_unseen", ARMS[2]), of("target_unseen"),
        ),
        claim(f"VQVC+, {unseen}: content kept in conversions", "above", 0.7, of("content_unseen")),
        claim(
            f"{unseen}: content kept, VQVC+ above that without skips", "above", 0.0,
            of("content_unseen"), of("content_unseen", ARMS[2]),
        ),
        claim(
            "VQVC+: speaker told before quantisation above after, least of levels", "above", 0.0,
            least("speaker_before", "speaker_after"),
        ),
        claim("VQVC+: perplexity of codes over their number, least of levels", "above", 0.3, least("used")),
    ]  # fmt: skip

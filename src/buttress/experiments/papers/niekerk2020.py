r"""van Niekerk, Nortje and Kamper 2020, Vector-Quantized Neural Networks for Acoustic Unit Discovery.

Codes of speech at half the rate of its frames, learned in three ways: ``within``, contrastive codes (VQ-CPC) with
negatives of the same speaker; ``across``, the same with negatives of all speakers, which makes it pay to say who
speaks; and ``vq_vae``, codes with jitter and a recurrent decoder that is told the speaker. Judged by ABX errors across
speakers, beside those of the frames themselves; by what a linear probe reads of speaker and phone before and after
quantisation; and by the bitrate.

Deviations from the paper: frames are decoded and not samples; encoders and codebooks are small; thousands of steps in
place of hundreds of thousands; made-up speech, unless recordings with aligned phones are handed over. The marks are not
the paper's; they were set before the runs, the first three beside the ABX error of the frames, which had been measured.
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
from buttress.decoders.gru import GruDecoder
from buttress.diagnostics.evidence import Evidence
from buttress.experiments.abx import stages
from buttress.experiments.claim import Claim
from buttress.experiments.compare import compare
from buttress.experiments.papers._arms import claim, seen, trained
from buttress.experiments.papers._experiment import Experiment, Watch
from buttress.experiments.papers._niekerk2020_judge import errors, judge
from buttress.experiments.papers._result import write_result
from buttress.runtime.atomic_write import write_text
from buttress.training.run import Run

__all__ = ["ARMS", "Niekerk2020", "claims"]

ARMS = ("within", "across", "vq_vae")
EFFORT = {"nll_samples": 0, "gap_steps": 0, "mi_examples": 500}
"""Of the evidence of every run; see :func:`buttress.diagnostics.diagnose.diagnose`."""
KEPT = ("code_bits_per_second", "bits_per_second", "code_perplexity", "place_accuracy", "place_chance")


@dataclass(frozen=True)
class Niekerk2020(Experiment):
    """van Niekerk et al. 2020: do codes of sound keep what is said and leave behind who says it?

    Args:
        data: Speech as frames, with aligned phones and speakers; recordings of yours with ``--data sounds``.
        speaker: The column that says who speaks.
        stride: Frames that one code stands for.
        codes: K.
        dim: Numbers in a codeword.
        width: Channels of the encoder, and numbers in the state of what reads the codes.
        negatives: Others that each code to come is compared with.
        commitment: Pull of the encoder towards its codewords in contrastive codes. The authors take means over the
            numbers of a codeword and over the steps ahead where ours are sums: their 0.25 is this.
        jitter: Probability that a code is replaced by one beside it, in training of ``vq_vae``.
        steps: Of every run; the last tenth trains the prior of the codes.
        batch_size: Recordings in a step.
        learning_rate: Of Adam.
        most: Sounds of a phone and speaker in the ABX tests, at most.
        probed: Training recordings that the probes learn from, at most.
        seed: The first one.
        seeds: How many.

    Errors:
        ValueError: A number is too small.

    Example:
        >>> Niekerk2020(codes=32).arms["across"].split(":across=true")[0] == Niekerk2020(codes=32).arms["within"]
        True
    """

    data: Data = field(default_factory=MadeSpeech)
    speaker: str = "speaker"
    stride: int = 2
    codes: int = 64
    dim: int = 64
    width: int = 64
    negatives: int = 17
    commitment: float = 0.023
    jitter: float = 0.5
    steps: int = 1500
    batch_size: int = 24
    learning_rate: float = 1e-3
    most: int = 8
    probed: int = 200
    seed: int = 0
    seeds: int = 3

    def __post_init__(self) -> None:
        """Refuse what would fail only after the data are read."""
        for name, least in {"steps": 10, "most": 2, "probed": 1, "seeds": 1}.items():
            if getattr(self, name) < least:
                raise ValueError(f"niekerk2020: {name} is {getattr(self, name)}, wanted at least {least}")

    @classmethod
    def full(cls) -> Niekerk2020:
        """The paper's sizes, but for its decoder of samples; recordings go into ``data``."""
        return cls(codes=512, width=512, steps=200_000, batch_size=64, learning_rate=4e-4, most=10)

    @property
    def arms(self) -> dict[str, str]:
        """Arm -> its remedy."""
        sizes = f"stride={self.stride}:codes={self.codes}:dim={self.dim}:width={self.width}:speaker={self.speaker}"
        cpc = f"contrastive_codes:{sizes}:hidden={self.width}:negatives={self.negatives}:commitment={self.commitment}"
        return {
            "within": cpc,
            "across": f"{cpc}:across=true",
            "vq_vae": f"speech_codes:{sizes}:jitter={self.jitter}",
        }

    def recipe(self) -> Recipe:
        """What the remedies change.

        Errors:
            ValueError: The data have no frames, no such column, or do not say what is said when.
        """
        splits = opened(self.data)
        start = baseline(self.data, splits.spec)
        if splits.spec.kind != "frames" or splits.held_out.alignment is None:
            raise ValueError(
                f"niekerk2020: got {splits.spec.kind} data{'' if splits.held_out.alignment else ' without alignment'}, "
                "wanted frames of speech (--data.form mel) and what is said when (--data.alignment)"
            )
        splits.spec.column(self.speaker)
        every = max(1, self.steps // 5)
        training = replace(
            start.training, steps=self.steps, batch_size=self.batch_size, learning_rate=self.learning_rate,
            seed=self.seed, validate_every=every, checkpoint_every=every,
        )  # fmt: skip
        decoder = GruDecoder(hidden=2 * self.width, embedding=self.width, context=self.width, depth=1, width=self.width)
        return replace(start, decoder=decoder, training=training)

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
        runs = [
            {**row, "arm": names[row["arm"]], **self._measured(folder / row["folder"])}
            for row in trained(folder, "arms")
        ]
        frames = self._frames(folder, folder / runs[0]["folder"])
        found = claims(runs, frames["across"])
        write_result(folder / "result.json", self, found, runs=runs, frames=frames)
        return found

    def _measured(self, folder: Path) -> dict[str, Any]:
        """The numbers of a run; what is beyond its diagnosis is measured once."""
        path = folder / "judged.json"
        if not path.exists():
            write_text(path, json.dumps(judge(Run.load(folder), self.speaker, self.most, self.probed), indent=1) + "\n")
        evidence = Evidence.load(folder / "evidence.json").estimates
        found: dict[str, Any] = json.loads(path.read_text("utf-8"))
        return {**found, **{name: evidence[name].value for name in KEPT if name in evidence}}

    def _frames(self, folder: Path, run: Path) -> dict[str, float]:
        """The ABX errors of the frames themselves, measured once."""
        path = folder / "frames.json"
        if not path.exists():
            opened_run = Run.load(run)
            found = errors(opened_run, stages(opened_run)["input"], self.speaker, self.most)
            write_text(path, json.dumps(found, indent=1) + "\n")
        kept: dict[str, float] = json.loads(path.read_text("utf-8"))
        return kept

    def figures(self, folder: Path) -> list[Path]:
        """ABX errors and probes, a row an arm and a mark a seed."""
        from buttress.experiments.papers._by_setting import write_by_arm

        names = {"within": "negatives of one speaker", "across": "negatives of all", "vq_vae": "VQ-VAE"}
        panels = [
            ("codewords_across", "ABX error across speakers"), ("codewords_speaker", "speaker read from codewords"),
            ("vectors_speaker", "speaker read before"), ("codewords_phone", "phone read from codewords"),
            ("code_bits_per_second", "bits a second"),
        ]  # fmt: skip
        return [write_by_arm(folder, names, panels)]


def claims(runs: list[dict[str, Any]], frames: float) -> list[Claim]:
    """What is said of codes of speech, with marks that were set before the first run.

    Args:
        runs: One dict a run: ``arm``, ``seed``, and what :func:`judge` and the diagnosis measured.
        frames: The ABX error across speakers of the frames themselves.

    Example:
        >>> best = {"vectors_across": 0.1, "codewords_across": 0.1, "vectors_speaker": 0.6, "codewords_speaker": 0.3,
        ...     "vectors_phone": 0.8, "codewords_phone": 0.75, "code_bits_per_second": 250.0, "bits_per_second": 150.0}
        >>> runs = [{"arm": "within", "seed": 0, **best}, {"arm": "vq_vae", "seed": 0, "codewords_across": 0.15}]
        >>> worse = {"codewords_across": 0.2, "codewords_speaker": 0.5, "vectors_speaker": 0.9}
        >>> runs += [{"arm": "across", "seed": 0, **best, **worse}]
        >>> all(claim.held for claim in claims(runs, frames=0.25))
        True
    """

    def of(name: str, arm: str = "within") -> tuple[float, ...]:
        return seen(runs, arm, name)

    def less(one: tuple[float, ...], other: tuple[float, ...]) -> tuple[float, ...]:
        return tuple(a - b for a, b in zip(one, other, strict=True))

    def lost(what: str) -> tuple[float, ...]:
        """What a probe tells before quantisation above what it tells after."""
        return less(of(f"vectors_{what}"), of(f"codewords_{what}"))

    def more(name: str) -> tuple[float, ...]:
        """A number with negatives of all speakers, above that with those of one."""
        return less(of(name, "across"), of(name))

    def share(arm: str, stage: str = "codewords") -> tuple[float, ...]:
        """By which the ABX error of a stage lies below that of frames."""
        return tuple(1 - error / frames if frames else math.nan for error in of(f"{stage}_across", arm))

    saved = less(of("code_bits_per_second"), of("bits_per_second"))
    other = "negatives of all above those of one speaker"
    below = "share by which the ABX error across speakers lies below that of frames"
    return [
        claim(f"VQ-CPC before quantisation: {below}", "above", 0.2, share("within", "vectors")),
        claim(f"VQ-CPC: {below}", "above", 0.2, share("within")),
        claim(f"VQ-VAE: {below}", "above", 0.2, share("vq_vae")),
        claim("VQ-CPC: speaker told before quantisation above after", "above", 0.15, lost("speaker")),
        claim("VQ-CPC: phone told before quantisation above after", "below", 0.1, lost("phone")),
        claim("VQ-CPC: bitrate of the codes", "below", 300.0, of("code_bits_per_second")),
        claim("VQ-CPC: bits a second that a learned prior saves", "above", 0.0, saved),
        claim(f"speaker told before quantisation: {other}", "above", 0.0, more("vectors_speaker")),
        claim(f"speaker told by codewords: {other}", "above", 0.0, more("codewords_speaker")),
        claim(f"ABX error across speakers: {other}", "above", 0.0, more("codewords_across")),
    ]

r"""van den Oord, Vinyals and Kavukcuoglu 2017, Neural Discrete Representation Learning, section 4.3: speech.

A VQ-VAE with one code for every few frames and a WaveNet that is told who speaks. Asked is whether codes tell phones
that no one showed to the model: each code stands for the phone it has most often in training recordings, and that map
is tested on held-out ones, as in the paper (49.3 % of 41 phones from 128 codes at 25 Hz). And whether the voice can be
changed: the codes of one speaker are decoded as another's, and classifiers of speaker and phone that learned from real
recordings judge what comes out. ``told`` is that model; ``untold`` has a decoder that is not told who speaks, so that
its codes must say it.

Deviations from the paper: the WaveNet decodes log-mel frames, and sees few of those before; samples are for
``--data.form wave``, with the paper's sizes by ``--full`` (days on a core). Networks are small and trained for hundreds
of steps in place of hundreds of thousands; made-up speech, unless recordings with aligned phones are handed over.
Conversions are judged as frames, before Griffin and Lim turn them into sound. The marks are not the paper's; they were
set before the first run.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from buttress.baseline import baseline
from buttress.core import Data
from buttress.core.recipe import Recipe
from buttress.data.made_speech import MadeSpeech
from buttress.data.opened import opened
from buttress.decoders.wavenet import WaveNet
from buttress.diagnostics.evidence import Evidence
from buttress.experiments.claim import Claim
from buttress.experiments.compare import compare
from buttress.experiments.papers._arms import claim, seen, trained
from buttress.experiments.papers._experiment import Experiment, Watch
from buttress.experiments.papers._oord2017_speech_judge import Judges, measure, teach
from buttress.experiments.papers._result import write_result
from buttress.runtime.atomic_write import write_text
from buttress.training.run import Run

__all__ = ["ARMS", "Oord2017Speech", "claims"]

ARMS = ("told", "untold")
EFFORT = {"nll_samples": 0, "gap_steps": 0, "mi_examples": 500}
"""Of the evidence of every run; see :func:`buttress.diagnostics.diagnose.diagnose`."""
KEPT = ("code_bits_per_second", "bits_per_second", "code_perplexity", "worth_shuffled")


@dataclass(frozen=True)
class Oord2017Speech(Experiment):
    """van den Oord et al. 2017, section 4.3: do codes of speech tell phones, and can the voice be changed?

    Args:
        data: Speech with aligned phones and speakers; recordings of yours with ``--data sounds``.
        speaker: The column that says who speaks.
        stride: Frames (or samples) that one code stands for.
        codes: K.
        dim: Numbers in a codeword.
        width: Channels of encoder and decoder.
        layers: Of the decoder; with 3 it sees 8 frames before each.
        steps: Of every run; the last tenth trains the prior of the codes.
        batch_size: Crops in a step.
        learning_rate: Of Adam.
        precision: Of the runs' floats; "auto" takes the faster one.
        untold: Whether there is the second arm, whose decoder is not told who speaks.
        temperature: Of p(x|z) in conversions: 0 takes the means of frames, samples need 1.
        probed: Training recordings that maps, probes and classifiers learn from, at most.
        judged: Held-out crops that are converted, at most.
        taught: Steps that train each of the two classifiers.
        seed: The first one.
        seeds: How many.

    Errors:
        ValueError: A number is too small.

    Example:
        >>> Oord2017Speech(codes=32).arms["told"]
        'speech_codes:stride=4:codes=32:dim=64:width=64:speaker=speaker'
    """

    data: Data = field(default_factory=MadeSpeech)
    speaker: str = "speaker"
    stride: int = 4
    codes: int = 128
    dim: int = 64
    width: int = 64
    layers: int = 3
    steps: int = 600
    batch_size: int = 24
    learning_rate: float = 1e-3
    precision: Literal["32-true", "bf16-mixed", "auto"] = "32-true"
    untold: bool = True
    temperature: float = 0.0
    probed: int = 1000
    judged: int = 120
    taught: int = 500
    seed: int = 0
    seeds: int = 3

    def __post_init__(self) -> None:
        """Refuse what would fail only after the data are read."""
        for name, least in {"layers": 1, "steps": 10, "probed": 1, "judged": 1, "taught": 1, "seeds": 1}.items():
            if getattr(self, name) < least:
                raise ValueError(f"oord2017_speech: {name} is {getattr(self, name)}, wanted at least {least}")

    @classmethod
    def full(cls) -> Oord2017Speech:
        """Sizes like the paper's, for samples: recordings go into ``data``, with ``--data.form wave``."""
        return cls(
            stride=64,
            codes=512,
            width=256,
            layers=30,
            steps=500_000,
            batch_size=16,
            learning_rate=2e-4,
            temperature=1.0,
        )

    @property
    def arms(self) -> dict[str, str]:
        """Arm -> its remedy."""
        sizes = f"speech_codes:stride={self.stride}:codes={self.codes}:dim={self.dim}:width={self.width}"
        return {"told": f"{sizes}:speaker={self.speaker}"} | ({"untold": sizes} if self.untold else {})

    def recipe(self) -> Recipe:
        """What the remedies change.

        Errors:
            ValueError: The data are no sound, have no such column, or do not say what is said when.
        """
        splits = opened(self.data)
        start = baseline(self.data, splits.spec)
        if splits.spec.kind not in ("frames", "wave") or splits.held_out.alignment is None:
            lacks = "" if splits.held_out.alignment else " without alignment"
            raise ValueError(
                f"oord2017_speech: got {splits.spec.kind} data{lacks}, wanted speech and what is said when "
                "(--data.alignment)"
            )
        if splits.spec.column(self.speaker).classes < 2:
            raise ValueError(f"oord2017_speech: one {self.speaker} in the data, wanted two or more to change voices")
        every = max(1, self.steps // 4)
        training = replace(
            start.training, steps=self.steps, batch_size=self.batch_size, learning_rate=self.learning_rate,
            seed=self.seed, validate_every=every, checkpoint_every=every, precision=self.precision,
        )  # fmt: skip
        decoder = WaveNet(channels=self.width, skips=2 * self.width, layers=self.layers, cycle=min(self.layers, 10))
        return replace(start, decoder=decoder, training=training)

    def run(self, folder: Path, jobs: int = 1, watch: Watch = lambda run, step, total: None) -> list[Claim]:
        """Train everything, or take up what is in the folder, and write ``result.json``.

        Args:
            folder: Where the runs go.
            jobs: Runs at a time.
            watch: Called with (run, step, total).
        """
        names, judges = {written: arm for arm, written in self.arms.items()}, self._judges()
        compare(
            self.recipe(), list(names), folder / "arms", seeds=self.seeds, jobs=jobs, settings=EFFORT, watch=watch
        )  # fmt: skip
        runs = [
            {**row, "arm": names[row["arm"]], **self._measured(folder / row["folder"], judges)}
            for row in trained(folder, "arms")
        ]
        found = claims(runs, judges.right)
        write_result(folder / "result.json", self, found, runs=runs, real=judges.right)
        return found

    def _judges(self) -> Judges:
        """The same ones each time: their seeds are fixed."""
        self.recipe()  # refuses data that can't be judged
        return teach(opened(self.data), self.speaker, self.probed, self.judged, self.taught)

    def _measured(self, folder: Path, judges: Judges) -> dict[str, Any]:
        """The numbers of a run; what is beyond its diagnosis is measured once."""
        path = folder / "judged.json"
        if not path.exists():
            found = measure(Run.load(folder), judges, self.speaker, self.probed, self.judged, self.temperature)
            write_text(path, json.dumps(found, indent=1) + "\n")
        evidence = Evidence.load(folder / "evidence.json").estimates
        kept: dict[str, Any] = json.loads(path.read_text("utf-8"))
        return {**kept, **{name: evidence[name].value for name in KEPT if name in evidence}}

    def figures(self, folder: Path) -> list[Path]:
        """Numbers by arm; of the first run codes beside phones, and conversions as spectrograms and, of sound, WAVs."""
        from buttress.experiments.papers._by_setting import write_by_arm
        from buttress.experiments.papers._oord2017_speech_page import write_codes, write_conversions

        names = {"told": "decoder told who speaks", "untold": "not told"}
        names = {arm: names[arm] for arm in self.arms}
        panels = [
            ("codes_phone", "phones by codes"), ("codes_speaker", "speakers by codes"),
            ("other_voice", "taken for the new voice"), ("other_phone", "phones after conversion"),
        ]  # fmt: skip
        first = next(
            row for row in json.loads((folder / "result.json").read_text("utf-8"))["runs"] if row["arm"] == "told"
        )
        run = Run.load(folder / first["folder"])
        return [
            write_by_arm(folder, names, panels),
            *write_codes(run, self.speaker, folder),
            *write_conversions(run, self.speaker, self.temperature, folder),
        ]


def claims(runs: list[dict[str, Any]], real: dict[str, float]) -> list[Claim]:
    """What is said of codes of speech, with marks that were set before the first run.

    Args:
        runs: One dict a run: ``arm``, ``seed``, and what :func:`measure` and the diagnosis measured.
        real: How often the classifiers are right of real recordings.

    Example:
        >>> run = {"codes_phone": 0.4, "phone_chance": 0.08, "codes_speaker": 0.3, "vectors_speaker": 0.6,
        ...     "other_voice": 0.9, "other_source": 0.05, "same_voice": 1.0, "other_phone": 0.5, "same_phone": 0.5}
        >>> runs = [{"arm": "told", "seed": 0, **run}, {"arm": "untold", "seed": 0, "codes_speaker": 0.5}]
        >>> all(claim.held for claim in claims(runs, {"real_speaker": 1.0, "real_phone": 0.8}))
        True
    """

    def of(name: str, arm: str = "told") -> tuple[float, ...]:
        return seen(runs, arm, name)

    def over(one: tuple[float, ...], other: tuple[float, ...]) -> tuple[float, ...]:
        return tuple(a / b if b else math.nan for a, b in zip(one, other, strict=True))

    phones, chance = of("codes_phone"), of("phone_chance")
    before, codes = of("vectors_speaker"), of("codes_speaker")
    voice, content = of("other_voice"), of("other_phone")
    real_phone, untold = (real["real_phone"],) * len(content), of("codes_speaker", "untold")
    compared = any(run["arm"] == "untold" for run in runs)
    return [
        claim("real recordings: speaker told right by its classifier", "above", 0.95, (real["real_speaker"],)),
        claim("real recordings: phone of a frame told right by its classifier", "above", 0.6, (real["real_phone"],)),
        claim("phones told right by codes, over the share of the most frequent", "above", 3.0, over(phones, chance)),
        claim("speaker told by a probe before quantisation above that by codes", "above", 0.15, before, codes),
        *(
            [claim("speaker told by codes: decoder not told above decoder told", "above", 0.0, untold, codes)]
            if compared
            else []
        ),
        claim("conversions taken for the new speaker", "above", 0.6, voice),
        claim("conversions taken for the new speaker above the old one", "above", 0.5, voice, of("other_source")),
        claim("phones told right in conversions, over real recordings", "above", 0.5, over(content, real_phone)),
        claim(
            "phones told right in conversions, over reconstructions", "above", 0.9, over(content, of("same_phone"))
        ),
    ]  # fmt: skip

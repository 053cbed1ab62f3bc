"""What :mod:`buttress.experiments.papers.oord2017_speech` measures of a run: what codes tell, and conversions."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from buttress.core import DataSpec, Examples, Splits
from buttress.experiments.abx import stages
from buttress.experiments.convert import decoded_as
from buttress.experiments.examples import seeded
from buttress.experiments.papers._niekerk2020_judge import BEFORE, places, probe
from buttress.nn.mel import expand, log_mel
from buttress.quality.code_labels import CodeLabels
from buttress.quality.frame_classifier import FrameClassifier, fit_frame_classifier
from buttress.training.run import Run

__all__ = ["Judges", "as_voice", "frames_of", "labelled", "measure", "teach", "told"]

BANDS, WINDOW, HOP = 40, 0.032, 0.01
"""Of the frames that samples are judged by: mel bands, and seconds."""


@dataclass(frozen=True, eq=False)
class Judges:
    """Classifiers that learned from real recordings.

    Args:
        who: Of the speaker of each frame.
        what: Of the phone of each frame.
        right: how often they are right of real held-out ones: ``real_speaker`` of crops, ``real_phone`` of frames.
    """

    who: FrameClassifier
    what: FrameClassifier
    right: dict[str, float]


def frames_of(spec: DataSpec, x: Tensor) -> Float[Tensor, "N T D"]:
    """Examples as log-mel frames."""
    if spec.kind == "frames":
        return x
    window, hop = round(WINDOW * spec.rate), round(HOP * spec.rate)
    return log_mel(expand(x, spec.layout.symbols), spec.rate, BANDS, window, hop)


def labelled(
    splits: Splits, examples: Examples, speaker: str, most: int
) -> tuple[Tensor, Int[Tensor, "N T"], Int[Tensor, " N"]]:
    """Crops of one length, the phone of each of their frames (negative where there is none), and who speaks.

    Args:
        splits: The data: crops are cut to the median length of training crops, and shorter ones left out.
        examples: Of them; they say what is said when.
        speaker: The column that says who speaks.
        most: Crops, at most, drawn at random but always the same.

    Errors:
        ValueError: No crop is as long.
    """
    spec, index, size = splits.spec, torch.arange(len(examples)), splits.spec.layout.places[0]
    if examples.lengths is not None and splits.train.lengths is not None:
        size = int(splits.train.lengths.median())
        index = index[examples.lengths >= size]
    if not len(index):
        raise ValueError("oord2017_speech: no recording is as long as most training crops; try a smaller --data.crop")
    index = index[torch.randperm(len(index), generator=torch.Generator().manual_seed(0))[:most]].sort().values
    x = examples.read(index).x[:, :size]
    seconds = spec.seconds if spec.kind == "frames" else round(HOP * spec.rate) / spec.rate
    assert examples.alignment is not None  # the data have been looked at
    phones = examples.alignment.at(index, torch.arange(frames_of(spec, x[:1]).shape[1]).double() * seconds)
    return x, phones, examples.conditions[speaker][index]


def teach(splits: Splits, speaker: str, most: int, judged: int, steps: int) -> Judges:
    """Train both classifiers on real training crops and try them on real held-out ones.

    Args:
        splits: The data.
        speaker: The column that says who speaks.
        most: Training crops, at most.
        judged: Held-out crops, at most.
        steps: Of training of each.
    """
    spec, training, out = splits.spec, splits.train, splits.held_out
    assert training.alignment is not None  # the data have been looked at
    x, phones, who = labelled(splits, training, speaker, most)
    frames, everywhere = frames_of(spec, x), who[:, None].expand_as(phones)
    what = fit_frame_classifier(frames, phones, len(training.alignment.names), steps=steps)
    voices = fit_frame_classifier(frames, everywhere, spec.column(speaker).classes, steps=steps)
    x, phones, who = labelled(splits, out, speaker, judged)
    frames = frames_of(spec, x)
    right = {
        "real_speaker": (told(voices, frames) == who).double().mean().item(),
        "real_phone": what.accuracy(frames, phones),
    }
    return Judges(voices, what, right)


@torch.no_grad()
def told(who: FrameClassifier, frames: Float[Tensor, "N T D"]) -> Int[Tensor, " N"]:
    """The likeliest speaker of each crop, all its frames taken together."""
    return torch.cat([who(part).log_softmax(-1).sum(1).argmax(-1) for part in frames.split(100)])


def as_voice(run: Run, x: Tensor, speaker: str, voice: Int[Tensor, " N"], temperature: float) -> Tensor:
    """The codes of crops, decoded as if other speakers had spoken.

    Args:
        run: A run whose decoder alone reads who speaks.
        x: Crops of one length.
        speaker: What the data call the speaker.
        voice: Who is to speak.
        temperature: Of p(x|z).
    """
    with seeded(0), torch.no_grad():
        made = decoded_as(run, run.model.observe(x), {speaker: voice}, temperature)
    return made[:, : x.shape[1]]  # z stands for whole places


def measure(run: Run, judges: Judges, speaker: str, probed: int, judged: int, temperature: float) -> dict[str, float]:
    """What codes tell of phone and speaker, beside what they are made of; and how conversions are taken.

    The maps from codes to phones and to speakers are fitted on training recordings and tested on held-out ones. Places
    without a phone, such as pauses, do not count.

    Args:
        run: A trained run whose z is one code a place.
        judges: Of conversions.
        speaker: The column that says who speaks.
        probed: Training recordings that maps and probes learn from, at most.
        judged: Held-out crops that are converted, at most.
        temperature: Of p(x|z).
    """
    splits, known = run.splits(), stages(run)
    sides = ((splits.train, probed), (splits.held_out, None))
    (codes, who, phone), (codes_out, who_out, phone_out) = (
        places(run, s, known["codes"], speaker, n) for s, n in sides
    )
    assert splits.held_out.alignment is not None  # the data have been looked at
    k, size = run.model.space.classes, len(splits.held_out.alignment.names)
    assert k is not None  # z is one code a place
    maps = CodeLabels.count(codes, phone, k, size), CodeLabels.count(codes, who, k, splits.spec.column(speaker).classes)
    out = CodeLabels.count(codes_out, phone_out, k, size)
    found = {
        "codes_phone": maps[0].accuracy(codes_out, phone_out),
        "phone_chance": out.chance,
        "codes_purity": out.purity,
        "codes_information": out.normalized_information,
        "codes_speaker": maps[1].accuracy(codes_out, who_out),
    }
    (vectors, who, phone), (others, who_out, phone_out) = (places(run, s, known[BEFORE], speaker, n) for s, n in sides)
    found |= {"vectors_speaker": probe(vectors, who, others, who_out)}
    found |= {"vectors_phone": probe(vectors, phone, others, phone_out)}
    return found | (_conversions(run, judges, speaker, judged, temperature) if run.model.reads else {})


def _conversions(run: Run, judges: Judges, speaker: str, judged: int, temperature: float) -> dict[str, float]:
    """How often conversions, and reconstructions by the same voice, are taken for the voice and for what was said."""
    splits = run.splits()
    x, phones, who = labelled(splits, splits.held_out, speaker, judged)
    others = splits.spec.column(speaker).classes - 1
    other = (who + 1 + torch.arange(len(who)) % others) % (others + 1)
    found = {}
    for name, voice in {"same": who, "other": other}.items():
        frames = frames_of(splits.spec, as_voice(run, x, speaker, voice, temperature))
        heard = told(judges.who, frames)
        found[f"{name}_voice"] = (heard == voice).double().mean().item()
        found[f"{name}_source"] = (heard == who).double().mean().item()
        found[f"{name}_phone"] = judges.what.accuracy(frames, phones)
    return found

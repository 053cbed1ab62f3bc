"""What :mod:`buttress.experiments.papers.wu2020` measures of a run: reconstruction, conversion, and what levels tell.

Two classifiers of frames judge conversions, one of who speaks and one of what is said. They learn from real recordings:
the training recordings of both data sets, of which the models see one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from buttress.core import Column, DataSpec, Examples, Splits
from buttress.core.model import LatentVariableModel
from buttress.diagnostics.evaluation import evaluating
from buttress.distributions.code_counts import CodeCounts
from buttress.experiments.papers._niekerk2020_judge import probe
from buttress.posteriors.unet_quantized import SPEAKER, UNetQuantizedModule
from buttress.quality.frame_classifier import fit_frame_classifier

__all__ = ["Spoken", "VoiceJudges", "converted", "judge", "names_of", "pairs", "spoken"]


@dataclass(frozen=True)
class Spoken:
    """Recordings of one length, padded with 0.

    Args:
        x: Frames (N, T, C).
        lengths: True lengths (N,).
        speaker: Who speaks (N,).
        content: What is said at each frame (N, T), negative where nothing is.
    """

    x: Tensor
    lengths: Tensor
    speaker: Tensor
    content: Tensor

    @property
    def inside(self) -> Bool[Tensor, "N T"]:
        """Which frames lie within the true length."""
        return torch.arange(self.x.shape[1]) < self.lengths[:, None]

    def take(self, rows: Int[Tensor, " M"]) -> Spoken:
        """Some of them."""
        return Spoken(self.x[rows], self.lengths[rows], self.speaker[rows], self.content[rows])

    def first(self, count: int) -> Spoken:
        """So many of them, drawn at random, or all."""
        return self.take(torch.randperm(len(self.x), generator=torch.Generator().manual_seed(0))[:count])

    @classmethod
    def joined(cls, sides: Sequence[Spoken]) -> Spoken:
        """All of several."""
        return cls(*(torch.cat([getattr(side, f.name) for side in sides]) for f in fields(cls)))


def spoken(
    examples: Examples, spec: DataSpec, longest: int, speaker: str, content: str, names: Sequence[Sequence[str]]
) -> Spoken:
    """All examples of one side.

    Args:
        examples: The side.
        spec: Of its data.
        longest: T; what is longer is cut.
        speaker: The column that says who speaks.
        content: The column that says what is said; empty for the alignment.
        names: Of all speakers, and of all that is said, in the order of their numbers.
    """
    batch = examples.read(torch.arange(len(examples)))
    x = F.pad(batch.x.float(), (0, 0, 0, max(0, longest - batch.x.shape[1])))[:, :longest]
    assert batch.lengths is not None
    lengths = batch.lengths.clamp(max=longest)
    who = _renumbered(batch.given[speaker], spec.column(speaker).values, names[0])
    if content:
        said = _renumbered(batch.given[content], spec.column(content).values, names[1])[:, None].expand(-1, longest)
    else:
        assert examples.alignment is not None
        found = examples.alignment.at(torch.arange(len(x)), torch.arange(longest).double() * spec.seconds)
        said = torch.where(found < 0, -1, _renumbered(found.clamp(min=0), examples.alignment.names, names[1]))
    inside = torch.arange(longest) < lengths[:, None]
    return Spoken(x * inside[..., None], lengths, who, torch.where(inside, said, -1))


def _renumbered(values: Int[Tensor, "*n"], own: Sequence[str], names: Sequence[str]) -> Int[Tensor, "*n"]:
    return torch.tensor([list(names).index(name) for name in own])[values]


@dataclass(frozen=True)
class VoiceJudges:
    """Who speaks and what is said, told from frames.

    Args:
        speaker: A classifier of frames.
        content: Another.
    """

    speaker: nn.Module
    content: nn.Module

    @classmethod
    def trained(cls, real: Spoken, speakers: int, contents: int, steps: int) -> VoiceJudges:
        """Classifiers that learned from real recordings."""
        who = torch.where(real.inside, real.speaker[:, None], -1)
        return cls(
            fit_frame_classifier(real.x, who, speakers, steps=steps),
            fit_frame_classifier(real.x, real.content, contents, steps=steps),
        )

    def speakers(self, frames: Float[Tensor, "N T C"], inside: Bool[Tensor, "N T"]) -> Int[Tensor, " N"]:
        """Who speaks in each recording: the class whose log-probability, summed over frames, is largest."""
        votes = [(self.speaker(x).log_softmax(-1) * there[..., None]).sum(1) for x, there in _parts(frames, inside)]
        return torch.cat(votes).argmax(-1)

    @torch.no_grad()
    def content_kept(self, frames: Float[Tensor, "N T C"], like: Spoken) -> float:
        """The share of what ``like`` says, runs of frames of one label, that is told there; frames of a run vote."""
        scores = torch.cat([self.content(x).log_softmax(-1) for (x,) in _parts(frames)]).flatten(0, 1)
        label, new = like.content.flatten(), torch.ones(like.content.shape, dtype=torch.bool)
        new[:, 1:] = like.content[:, 1:] != like.content[:, :-1]
        run = new.flatten().cumsum(0) - 1
        votes = scores.new_zeros(int(run[-1]) + 1, scores.shape[1]).index_add_(0, run, scores).argmax(-1)
        wanted = label[new.flatten()]
        return _share((votes == wanted)[wanted >= 0])


def _parts(*values: Tensor) -> zip[tuple[Tensor, ...]]:
    return zip(*(value.split(200) for value in values), strict=True)


def _share(right: Bool[Tensor, " N"]) -> float:
    return right.double().mean().item()


def pairs(side: Spoken, count: int, seed: int) -> tuple[Int[Tensor, " M"], Int[Tensor, " M"]]:
    """Recordings, and for each one of another speaker, drawn at random.

    Example:
        >>> who = torch.tensor([0, 0, 1, 1])
        >>> side = Spoken(torch.zeros(4, 1, 1), torch.ones(4), who, torch.zeros(4, 1))
        >>> source, target = pairs(side, 8, seed=0)
        >>> bool((who[source] != who[target]).all())
        True
    """
    noise = torch.Generator().manual_seed(seed)
    source = torch.randperm(len(side.x), generator=noise).repeat(-(-count // len(side.x)))[:count]
    other = (side.speaker[source][:, None] != side.speaker).double()
    return source, torch.multinomial(other, 1, generator=noise)[:, 0]


@torch.no_grad()
def converted(model: LatentVariableModel, source: Spoken, target: Spoken | None = None) -> Float[Tensor, "N T C"]:
    """The mean of p(x|z) for the codes of one recording and the voice of another; its own where there is none."""
    level = model.space.level(SPEAKER)
    found = []
    for rows in torch.arange(len(source.x)).split(50):
        own = source.take(rows)
        z = model.posterior(own.x, {"lengths": own.lengths}).sample()
        if target is not None:
            other = target.take(rows)
            z, voice = z.clone(), model.posterior(other.x, {"lengths": other.lengths}).sample()
            z[:, level.start : level.stop] = voice[:, level.start : level.stop]
        mean = model.decode(z, {"lengths": own.lengths}).mean
        found.append(mean * own.inside[..., None])
    return torch.cat(found)


def judge(
    model: LatentVariableModel, judges: VoiceJudges, known: Spoken, others: Spoken, learned: Spoken, count: int
) -> dict[str, float]:
    """Every number of a run.

    Args:
        model: Trained on other recordings of the known speakers.
        judges: Of conversions.
        known: Held-out recordings of speakers seen in training.
        others: Recordings of speakers never seen by the model.
        learned: Training recordings, which the probes learn from.
        count: Conversions.
    """
    found: dict[str, float] = {}
    with evaluating(model):
        for name, side in {"": known, "_unseen": others}.items():
            found |= {f"{key}{name}": value for key, value in _conversions(model, judges, side, count).items()}
        found |= _levels(model, known, learned)
    return found


def _conversions(model: LatentVariableModel, judges: VoiceJudges, side: Spoken, count: int) -> dict[str, float]:
    """Reconstruction of one side, and what becomes of its recordings in the voices of its other speakers."""
    again = converted(model, side)
    error = (again - side.x).abs().mean(-1)[side.inside].mean().item()
    source, target = (side.take(rows) for rows in pairs(side, count, seed=0))
    made = converted(model, source, target)
    who = judges.speakers(made, source.inside)
    return {
        "l1": error,
        "speaker_kept": _share(judges.speakers(again, side.inside) == side.speaker),
        "content_reconstructed": judges.content_kept(again, side),
        "target": _share(who == target.speaker),
        "source": _share(who == source.speaker),
        "content": judges.content_kept(made, source),
    }


@torch.no_grad()
def _levels(model: LatentVariableModel, known: Spoken, learned: Spoken) -> dict[str, float]:
    """Of each level of content: the share of its codes in even use, and what V and C tell of the speaker."""
    module = model.inference
    assert isinstance(module, UNetQuantizedModule)
    before, after = _read(model, module, learned), _read(model, module, known)
    codes = torch.cat([model.posterior(x, {"lengths": size}).sample() for x, size in _parts(known.x, known.lengths)])
    found = {}
    for level, stride in zip(module.space.levels[1:], module.strides, strict=True):
        (v, c, who), (v_there, c_there, who_there) = before[level.name], after[level.name]
        found[f"speaker_before/{level.name}"] = probe(v, who, v_there, who_there)
        found[f"speaker_after/{level.name}"] = probe(c, who, c_there, who_there)
        inside = torch.arange(level.shape[0]) < -(-known.lengths[:, None] // (stride * model.encoder.stride))
        counts = CodeCounts(level.classes or 0).add(level.view(codes)[inside].flatten()[:, None])
        found[f"used/{level.name}"] = counts.perplexities.item() / (level.classes or 1)
    return found


def _read(
    model: LatentVariableModel, module: UNetQuantizedModule, side: Spoken
) -> dict[str, tuple[Tensor, Tensor, Tensor]]:
    """V and C of every true place of each level, and who speaks there."""
    given = {"lengths": side.lengths}
    features = model.likelihood.features(side.x)
    levels = module.before_and_after(model.encode(side.x, given), model.encoder.valid(features, given))
    return {
        name: (v[inside], c[inside], side.speaker[:, None].expand(inside.shape)[inside])
        for name, (v, c, inside) in levels.items()
    }


def names_of(splits: Sequence[Splits], speaker: str, content: str) -> tuple[list[str], list[str]]:
    """All speakers of some data, and all that is said in them, by name.

    Errors:
        ValueError: A column has no names.
    """
    return _all([_values(one.spec.column(speaker)) for one in splits]), _all(
        [
            _values(one.spec.column(content)) if content else one.train.alignment.names if one.train.alignment else ()
            for one in splits
        ]
    )


def _values(column: Column) -> tuple[str, ...]:
    if not column.values:
        raise ValueError(f"wu2020: the column {column.name} has no names for its classes; try a table of words")
    return column.values


def _all(names: Sequence[Sequence[str]]) -> list[str]:
    return list(dict.fromkeys(name for own in names for name in own))

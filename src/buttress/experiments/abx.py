r"""The sounds of a run's held-out recordings as ABX tests take them: the frames of z in each segment of an alignment.

Judged are what the encoder is given, what the posterior makes of it before and after quantisation, the codes
themselves, and the context of a contrastive critic: where the across-speaker error falls, the speaker was left behind.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Shaped
from torch import Tensor

from buttress.core import Alignment, Batch
from buttress.core.critic import CriticModule
from buttress.diagnostics.evaluation import evaluating
from buttress.experiments.examples import latent_of
from buttress.posteriors.vector_quantized import VectorQuantizedModule
from buttress.quality.abx import Abx, Tokens, abx
from buttress.runtime.randomness import check_seed
from buttress.training.run import Run

__all__ = ["Judged", "Stage", "judge", "speaker_column", "stages", "tokens"]


@dataclass(frozen=True)
class Stage:
    """One representation of a run.

    Args:
        read: A batch -> what is at each place, vectors (B, P, D) or codes (B, P).
        stride: Places of x from one of its places to the next.
    """

    read: Callable[[Batch], Tensor]
    stride: int


@dataclass(frozen=True)
class Judged:
    """The ABX errors of one representation.

    Args:
        name: Of the representation.
        across: X is of another speaker; None where there is one speaker.
        within: All three are of one speaker.
    """

    name: str
    across: Abx | None
    within: Abx


def judge(run: Run, speaker: str = "", context: bool = False, most: int = 10, seed: int = 0) -> list[Judged]:
    """The ABX errors of every representation that a run has.

    Args:
        run: A run on sound whose data say what is said when.
        speaker: The column that says who speaks; empty for the first one.
        context: Whether A, B and X must lie between the same labels.
        most: Sounds of a category, speaker and context, at most.
        seed: Of the choice among them.

    Errors:
        ValueError: No alignment, no column of that name, a z without places in time, or no three sounds to compare.
    """
    check_seed(seed)
    found = []
    for name, stage in stages(run).items():
        sounds = tokens(run, stage, speaker, context).at_most(most, seed)
        several = int(sounds.speaker.max()) > 0
        found.append(Judged(name, abx(sounds, across=True) if several else None, abx(sounds, across=False)))
    if not any(test.triples for one in found for test in (one.across, one.within) if test is not None):
        alike = " between the same neighbours" if context else ""
        raise ValueError(
            f"{run.folder}: no speaker in the held-out recordings says one label twice{alike} and another beside it, "
            "and no two speakers share one; wanted two labels or more of each speaker; try "
            + ("without --context, or " if context else "")
            + "more held-out recordings"
        )
    return found


def stages(run: Run) -> dict[str, Stage]:
    """What can be judged of a run, by name.

    Errors:
        ValueError: Its z has no places in time.
    """
    model, stride = run.model, run.model.encoder.stride
    if not run.spec.seconds or len(model.encoder.places) != 1:
        raise ValueError(
            f"{run.folder}: z has no places in time, wanted a model of sound with codes or vectors at every place; "
            "train one with --encoder.positions true or --remedies speech_codes"
        )
    found: dict[str, Stage] = {}
    if run.spec.kind == "frames":
        found["input"] = Stage(lambda batch: model.likelihood.features(batch.x), 1)
    inference, critic = model.inference, model.decoder
    if isinstance(inference, VectorQuantizedModule):
        found["before quantisation"] = Stage(lambda batch: _vectors(run, batch).flatten(2), stride)
        found["after quantisation"] = Stage(lambda batch: _read(run, batch), stride)
        if inference.part.slots == 1:
            found["codes"] = Stage(lambda batch: inference.choose(_vectors(run, batch))[..., 0], stride)
    else:
        found["features"] = Stage(lambda batch: model.encode(batch.x, batch.given), stride)
        found["z"] = Stage(lambda batch: _read(run, batch), stride)
    context = getattr(critic, "context", None)
    if isinstance(critic, CriticModule) and context is not None:
        found["context of the critic"] = Stage(lambda batch: context(_read(run, batch)), stride)
    return found


def _vectors(run: Run, batch: Batch) -> Tensor:
    """What is quantised."""
    inference: Any = run.model.inference
    found: Tensor = inference.vectors(run.model.reading(batch.x, batch.given))
    return found


def _read(run: Run, batch: Batch) -> Tensor:
    """What decoder or critic reads at each place: of codes the codewords, else the mean of q."""
    return run.model.inference.embed(latent_of(run.model.posterior(batch.x, batch.given), mean=True))


def speaker_column(run: Run, name: str = "") -> str:
    """The column that says who speaks.

    Args:
        run: On sound.
        name: What the user calls it; empty for the first column.

    Errors:
        ValueError: There is none of that name, or none at all.
    """
    columns = list(run.splits().held_out.conditions)
    if not columns or (name and name not in columns):
        raise ValueError(
            f"{run.folder}: no column {name or 'that says who speaks'}; the data have {', '.join(columns) or 'none'}; "
            "put recordings into a folder for each speaker, or name a table with --data.table"
        )
    return name or columns[0]


def tokens(run: Run, stage: Stage, speaker: str = "", context: bool = False) -> Tokens:
    """Every whole segment of the held-out recordings that has a place of z, at the middle of what it sees, in it.

    Args:
        run: Whose data say what is said when.
        stage: What is at each place.
        speaker: The column that says who speaks; empty for the first one.
        context: Whether the label before and that after a segment are its context; segments at the ends are left out.

    Errors:
        ValueError: There is no alignment, or no segment with a place in it.
    """
    examples = run.splits().held_out
    if examples.alignment is None:
        raise ValueError(
            f"{run.folder}: the data do not say what is said when; put TextGrid files beside the recordings, or name a "
            "table of segments with --data.alignment"
        )
    who = examples.conditions[speaker_column(run, speaker)]
    frames, step = list[Tensor](), stage.stride * run.spec.seconds
    columns: list[tuple[int, int, int]] = []
    batches = run.held_out()
    with evaluating(run.model):
        for batch in map(batches.__getitem__, range(len(batches))):
            lengths = batch.given.get("lengths", torch.full((len(batch.x),), batch.x.shape[1]))
            true, numbers = -(-lengths // stage.stride), batch.given["index"].tolist()
            for row, size, example in zip(stage.read(batch), true.tolist(), numbers, strict=True):
                for part, label, around in _segments(examples.alignment, example, row[:size], step, context):
                    frames.append(part)
                    columns.append((label, int(who[example]), around))
    if not frames:
        raise ValueError(f"{run.folder}: {_nothing(examples.alignment, len(examples), step)}")
    labels, speakers, contexts = zip(*columns, strict=True)
    return Tokens.of(frames, labels, speakers, contexts)


def _nothing(alignment: Alignment, recordings: int, step: float) -> str:
    """Why no segment can be judged."""
    if not (segments := len(alignment.label)):
        return (
            f"the alignment has no segment of the {recordings} held-out recordings; wanted some of each; look whether "
            "it names them by their paths from the folder of the data, as in speaker/one.wav"
        )
    return (
        f"none of the {segments} segments of held-out recordings holds a place of z, one each {step:.3g} s; look "
        "whether their times are seconds within the recordings, or try codes at a higher rate"
    )


def _segments(
    alignment: Alignment, example: int, row: Shaped[Tensor, "P *D"], step: float, context: bool
) -> Iterator[tuple[Tensor, int, int]]:
    """The places, label and context of each segment that is not cut off by an end of the example."""
    mine = slice(int(alignment.first[example]), int(alignment.first[example + 1]))
    labels, size = alignment.label[mine], len(alignment.names)
    begin, end = (np.ceil(times[mine] / step - 1e-9).astype(int) for times in (alignment.start, alignment.end))
    whole = (alignment.start[mine] > -1e-9) & (end <= len(row)) & (begin < end)
    for i in np.flatnonzero(whole).tolist():
        inner = 0 < i < len(labels) - 1
        if inner or not context:
            around = int(labels[i - 1]) * size + int(labels[i + 1]) if context else 0
            yield row[begin[i] : end[i]].clone(), int(labels[i]), around

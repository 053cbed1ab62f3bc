"""Voice conversion: the codes of a recording, decoded as if another had spoken."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from buttress.core import Batch, Given
from buttress.core.model import LatentVariableModel
from buttress.data.reading import sound
from buttress.data.reading.pieces import Form
from buttress.data.sounds import Sounds
from buttress.experiments.conditions import parsed
from buttress.experiments.examples import seeded, tempered
from buttress.experiments.present_sound import heard, save_spectrograms
from buttress.report.sounds import wav
from buttress.training.run import Run

__all__ = ["Converted", "convert", "decoded_as", "of_length", "save_converted", "speaker_of"]


@dataclass(frozen=True)
class Converted:
    """A recording and its conversion.

    Args:
        file: Of the recording.
        before: Its samples, at the rate of the run, in [-1, 1].
        after: Those of the conversion.
        rate: Samples a second of both.
    """

    file: Path
    before: Float[Tensor, " S"]
    after: Float[Tensor, " S2"]
    rate: int


def speaker_of(run: Run, to: str) -> dict[str, Tensor]:
    """What the decoder is to be given.

    Args:
        run: A run on sound whose decoder is conditional and whose posterior is not.
        to: A speaker, where that is all that the model reads; else what it reads as ``speaker=anna,label=3``.

    Errors:
        ValueError: The run is no such run, or there is no such speaker.
    """
    reads = run.model.reads
    if not isinstance(run.recipe.data, Sounds) or not reads:
        raise ValueError(
            f"{run.folder}: conversion needs sound and a decoder that reads a speaker, and this one reads "
            f"{', '.join(reads) or 'nothing'} on {run.recipe.data.name()} data; try --remedies speech_codes"
        )
    if run.model.condition is not None and run.model.condition.inference:
        raise ValueError(
            f"{run.folder}: its z depends on the speaker it is given, so that it cannot be decoded as another's; train "
            "with --condition.inference false"
        )
    given = parsed(run, to if "=" in to else f"{reads[0]}={to}")
    if missing := [name for name in reads if name not in given]:
        raise ValueError(f"--to {to}: the model reads {', '.join(reads)}; name {', '.join(missing)} too, as NAME=VALUE")
    return given


def convert(run: Run, files: Sequence[Path], to: str, seed: int = 0, temperature: float = 1.0) -> Iterator[Converted]:
    """Every recording as another would have spoken it, whatever its length.

    Args:
        run: The run, see :func:`speaker_of`.
        files: Recordings, which are resampled to the run's rate.
        to: The speaker.
        seed: Of all draws.
        temperature: Of p(x|z).

    Errors:
        ValueError: A file is no sound, or the run can't convert.
    """
    given, data = speaker_of(run, to), run.recipe.data
    assert isinstance(data, Sounds)
    recordings = sound.decoded(files, run.spec.rate, data.trim)
    form = Form(data.form, run.spec.rate, data.bands, data.window, data.hop, data.levels)
    for first, size, number in zip(recordings.first, recordings.size, recordings.kept, strict=True):
        samples = torch.from_numpy(recordings.samples.span(int(first), int(size)).astype(np.float32) / 32768)
        with seeded(seed):
            x = form(samples[None])
            made = decoded_as(run, x, {name: value[None] for name, value in given.items()}, temperature)
        (after,), rate = heard(run, [made[0, : x.shape[1]]])
        yield Converted(files[number], samples, after, rate)


def save_converted(found: Iterable[Converted], out: Path, mark: str) -> None:
    """Write conversions as WAV files, and a PNG of the spectrograms of each recording beside that of its conversion.

    Args:
        found: What to write.
        out: The folder.
        mark: What stands behind the name of a recording's file in that of its conversion.
    """
    out.mkdir(parents=True, exist_ok=True)
    both: list[Tensor] = []
    for one in found:
        path = out / f"{one.file.stem}_{re.sub(r'[^0-9A-Za-z]+', '-', mark)}.wav"
        path.write_bytes(wav(one.after.numpy(), one.rate))
        print(path)
        both += [one.before, one.after]
    save_spectrograms(both, one.rate, 2, out / "converted.png")


def decoded_as(run: Run, x: Tensor, given: Given, temperature: float = 1.0) -> Tensor:
    """x of any length -> z -> x, decoded with what is given; at least as long."""
    model = of_length(run, x.shape[1])
    longest = model.spec.layout.places[0]
    padded = torch.nn.functional.pad(x, (0, 0) * (x.dim() - 2) + (0, longest - x.shape[1]))
    if run.spec.layout.symbols:
        padded[:, x.shape[1] :] = run.spec.layout.symbols // 2  # silence
    lengths = {"lengths": torch.full((len(x),), x.shape[1])} if run.spec.layout.lengths else {}
    batch = Batch(padded, {**given, **lengths})
    z = model.posterior(model.observe(batch.x), batch.given).sample()
    with tempered(model.likelihood, temperature):
        drawn: Tensor = model.decode(z, batch.given).sample()
    return drawn


def of_length(run: Run, places: int) -> LatentVariableModel:
    """The run's model for examples of another length, rounded up to whole places of z; its prior is not trained.

    Encoder, posterior and decoder are convolutions over places, whose weights do not depend on how many there are.

    Args:
        run: A run on sound.
        places: Samples or frames of x.

    Errors:
        ValueError: A part's weights do depend on the length.
    """
    layout, stride = run.spec.layout, max(1, run.model.encoder.stride)
    longest = -(-places // stride) * stride
    spec = replace(run.spec, layout=replace(layout, places=(longest,)))
    model = run.recipe.model(spec)
    mine = {name: value for name, value in run.model.state_dict().items() if not name.startswith("prior.")}
    try:
        missing = model.load_state_dict(mine, strict=False).missing_keys
    except RuntimeError as error:
        raise ValueError(
            f"{run.folder}: this model is made for {layout.places[0]} samples or frames and no other number ({error}); "
            "train one with codes at every place (--remedies speech_codes)"
        ) from error
    assert all(name.startswith("prior.") for name in missing)
    return model.eval().requires_grad_(False)

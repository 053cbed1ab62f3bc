"""Voice conversion: the codes of a recording, decoded as if another had spoken.

The other is a speaker by name, where the decoder reads one, or whoever speaks in a recording, where a level of z says
what is constant in it (:mod:`buttress.posteriors.unet_quantized`): one recording is enough, also of an unknown speaker.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from buttress.core import Batch, Given
from buttress.core.model import LatentVariableModel
from buttress.data.reading import sound
from buttress.data.reading.pieces import Form
from buttress.data.sounds import Sounds
from buttress.experiments.conditions import parsed
from buttress.experiments.examples import seeded, tempered
from buttress.experiments.present_sound import heard, save_spectrograms
from buttress.posteriors.unet_quantized import SPEAKER, UNetQuantizedModule
from buttress.report.sounds import wav
from buttress.runtime.atomic_write import write_bytes
from buttress.training.run import Run

__all__ = ["Converted", "convert", "decoded_as", "of_length", "save_converted", "speaker_of", "voice_of"]


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
    if not run.model.density:
        raise ValueError(
            f"{run.folder}: this run has a critic and no decoder, so that nothing can be decoded from its codes; for "
            "conversion train one with --remedies speech_codes or one_shot_conversion"
        )
    if not reads and any(level.name == SPEAKER for level in run.model.space.levels):
        raise ValueError(
            f"{run.folder}: this model knows no speakers by name, and takes a voice from a recording of it; name one "
            "with --to_sound in place of --to"
        )
    if not isinstance(run.recipe.data, Sounds) or not reads:
        raise ValueError(
            f"{run.folder}: conversion needs sound and a decoder that reads a speaker, and this one reads "
            f"{', '.join(reads) or 'nothing'} on {run.recipe.data.name()} data; try --remedies speech_codes, or "
            "one_shot_conversion and a recording with --to_sound"
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


def convert(
    run: Run, files: Sequence[Path], to: str = "", seed: int = 0, temperature: float = 1.0, to_sound: Path | None = None
) -> Iterator[Converted]:
    """Every recording as another would have spoken it, whatever its length.

    Args:
        run: The run, see :func:`speaker_of` and :func:`voice_of`.
        files: Recordings, which are resampled to the run's rate.
        to: The speaker, where the decoder reads one.
        seed: Of all draws.
        temperature: Of p(x|z).
        to_sound: A recording of the speaker, where z says who speaks.

    Errors:
        ValueError: A file is no sound, one of whom to speak like is silent or too short, or the run can't convert.
    """
    given = speaker_of(run, to) if to or to_sound is None else {}
    voice = None if to_sound is None else _voice_in(run, to_sound)
    for number, samples, x in _frames(run, files):
        with seeded(seed):
            made = decoded_as(run, x, {name: value[None] for name, value in given.items()}, temperature, voice)
        (after,), rate = heard(run, [made[0, : x.shape[1]]], len(samples))
        yield Converted(files[number], samples, after, rate)


def voice_of(run: Run, x: Float[Tensor, "B T *C"]) -> Int[Tensor, "B N"]:
    """What z says of who speaks in recordings of one length: the level "speaker".

    Args:
        run: A run on sound whose z has that level.
        x: The recordings, as the model reads them.

    Errors:
        ValueError: z has no such level.
    """
    if all(level.name != SPEAKER for level in run.model.space.levels):
        raise ValueError(
            f"{run.folder}: its z does not tell what is constant in a recording, so that no recording can say in which "
            "voice to speak; train one with --remedies one_shot_conversion"
        )
    model, batch = _at_length(run, x, {})
    codes: Tensor = model.posterior(model.observe(batch.x), batch.given).sample()
    return model.space.level(SPEAKER).view(codes)[..., 0]


def _voice_in(run: Run, file: Path) -> Int[Tensor, "B N"]:
    """What z says of who speaks in one file."""
    ((_, samples, x),) = _frames(run, [file])
    if not samples.any():
        raise ValueError(f"{file}: this recording is silent, so there is no voice in it; try another one")
    voice, posterior = voice_of(run, x), run.model.inference
    assert isinstance(posterior, UNetQuantizedModule)
    least = 1 + run.model.encoder.stride * posterior.strides[0]  # two places of the coarsest codes
    if x.shape[1] < least:
        raise ValueError(
            f"{file}: {len(samples) / run.spec.rate:.2g} s of sound are {x.shape[1]} frames, wanted {least} or more, "
            "so that what stays the same can be told from what is said; try a sentence of the speaker"
        )
    return voice


def _frames(run: Run, files: Sequence[Path]) -> list[tuple[int, Float[Tensor, " S"], Tensor]]:
    """The number, the samples and x (1, T, ...) of each recording that is not empty."""
    data = run.recipe.data
    if not isinstance(data, Sounds):
        raise ValueError(f"{run.folder}: conversion needs a run on sound, and this one is on {data.name()} data")
    recordings = sound.decoded(files, run.spec.rate, data.trim)
    form = Form(data.form, run.spec.rate, data.bands, data.window, data.hop, data.levels)
    found = []
    for first, size, number in zip(recordings.first, recordings.size, recordings.kept, strict=True):
        samples = torch.from_numpy(recordings.samples.span(int(first), int(size)).astype(np.float32) / 32768)
        found.append((int(number), samples, form(samples[None])))
    return found


def save_converted(found: Iterable[Converted], out: Path, mark: str) -> None:
    """Write conversions as WAV files, and a PNG of the spectrograms of each recording beside that of its conversion.

    Args:
        found: What to write.
        out: The folder.
        mark: What stands behind the name of a recording's file in that of its conversion.

    Of files of one name the later ones have that of their folder before it, or a number, so that none is lost.
    """
    out.mkdir(parents=True, exist_ok=True)
    taken: set[str] = set()
    both: list[Tensor] = []
    for one in found:
        path = out / f"{_name(one.file, taken)}_{re.sub(r'[^0-9A-Za-z]+', '-', mark)}.wav"
        write_bytes(path, wav(one.after.numpy(), one.rate))
        print(path)
        both += [one.before, one.after]
    save_spectrograms(both, one.rate, 2, out / "converted.png")


def _name(file: Path, taken: set[str]) -> str:
    """What a conversion is called, added to those that are ``taken``.

    Example:
        >>> taken: set[str] = set()
        >>> [_name(Path(file), taken) for file in ("ann/1.wav", "bob/1.wav", "bob/1.flac")]
        ['1', 'bob_1', '1_2']
    """
    names = [file.stem, f"{file.resolve().parent.name}_{file.stem}"]
    name = next((name for name in names if name not in taken), "")
    number = 2
    while not name or name in taken:
        name, number = f"{file.stem}_{number}", number + 1
    taken.add(name)
    return name


def decoded_as(
    run: Run, x: Tensor, given: Given, temperature: float = 1.0, voice: Int[Tensor, "B N"] | None = None
) -> Tensor:
    """x of any length -> z -> x, decoded with what is given, or with another voice in z; at least as long."""
    model, batch = _at_length(run, x, given)
    z = model.posterior(model.observe(batch.x), batch.given).sample()
    if voice is not None:
        level, z = model.space.level(SPEAKER), z.clone()
        z[:, level.start : level.stop] = voice
    with tempered(model.likelihood, temperature):
        drawn: Tensor = model.decode(z, batch.given).sample()
    return drawn


def _at_length(run: Run, x: Tensor, given: Given) -> tuple[LatentVariableModel, Batch]:
    """The run's model for x of this length, and x padded to what it reads."""
    model = of_length(run, x.shape[1])
    longest = model.spec.layout.places[0]
    padded = torch.nn.functional.pad(x, (0, 0) * (x.dim() - 2) + (0, longest - x.shape[1]))
    if run.spec.layout.symbols:
        padded[:, x.shape[1] :] = run.spec.layout.symbols // 2  # silence
    lengths = {"lengths": torch.full((len(x),), x.shape[1])} if run.spec.layout.lengths else {}
    return model, Batch(padded, {**given, **lengths})


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

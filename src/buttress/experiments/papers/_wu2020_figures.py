"""The picture and the sound of conversions of :mod:`buttress.experiments.papers.wu2020`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from buttress.data.sounds import Sounds
from buttress.diagnostics.evaluation import evaluating
from buttress.experiments.papers._wu2020_judge import converted, pairs
from buttress.nn.griffin_lim import sound_of
from buttress.report.drawing import new_axes, write_png
from buttress.report.sounds import wav
from buttress.training.run import Run

__all__ = ["conversions"]

NAMES = {"vqvc": "VQVC+", "no_quantizer": "no quantiser", "no_skips": "no skips"}
SHOWN = 3


def conversions(experiment: Any, folder: Path) -> list[Path]:
    """A few conversions of speakers never heard, by the first seed of each arm: spectrograms, and WAV files."""
    side = experiment.sides["others_held_out"]
    source, target = (side.take(rows) for rows in pairs(side, SHOWN, seed=1))
    made = {"source": source, "target": target}
    for arm in experiment.arms:
        run = Run.load(folder / "arms" / arm / f"seed-{experiment.seed}")
        with evaluating(run.model):
            made[NAMES[arm]] = type(source)(
                converted(run.model, source, target), source.lengths, source.speaker, source.content
            )
    return [_picture(made, folder / "conversions.png"), *_sounds(experiment, made, folder)]


def _picture(made: dict[str, Any], path: Path) -> Path:
    figure, axes = new_axes(1.5 * SHOWN, 9.0, rows=SHOWN, columns=len(made))
    real = torch.cat([made["source"].x[made["source"].inside], made["target"].x[made["target"].inside]])
    low, high = real.quantile(0.02).item(), real.quantile(0.995).item()
    for number, ax in enumerate(axes):
        row, (name, side) = number // len(made), list(made.items())[number % len(made)]
        frames = side.x[row, : int(side.lengths[row])]
        ax.imshow(frames.mT.numpy(), origin="lower", aspect="auto", cmap="magma", vmin=low, vmax=high)
        ax.set_xlim(0, int(max(made["source"].lengths[row], made["target"].lengths[row])))
        ax.grid(visible=False)
        ax.set_xticks([])
        ax.set_yticks([])
        if row == 0:
            ax.set_title(name, size=9)
    write_png(figure, path)
    return path


def _sounds(experiment: Any, made: dict[str, Any], folder: Path) -> list[Path]:
    """A WAV file each, made of frames by the algorithm of Griffin and Lim, where the data say how frames were made."""
    data, spec = experiment.others, experiment.splits[1].spec
    if not isinstance(data, Sounds):
        return []
    found = []
    for name, side in made.items():
        for row in range(SHOWN):
            sound = sound_of(side.x[row, : int(side.lengths[row])], spec.rate, data.window, data.hop)
            path = folder / f"{row}_{name.replace(' ', '_').replace('+', '')}.wav"
            path.write_bytes(wav(sound.numpy(), spec.rate))
            found.append(path)
    return found

"""What README shows works: its Python runs, and its command lines, like those in docstrings, are understood."""

from __future__ import annotations

import inspect
import re
import shlex
import wave
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from buttress.algorithms.two_stage import TwoStage
from buttress.cli import main as cli
from buttress.core import registry, remedy
from buttress.core.recipe import Recipe, Training
from buttress.data import scenes3d
from buttress.data.linear_gaussian import LinearGaussianData
from buttress.decoders.mlp import MlpDecoder
from buttress.encoders.mlp import MlpEncoder
from buttress.experiments.compare import arms
from buttress.likelihoods.gaussian import GaussianLikelihood
from buttress.objectives.elbo import ELBO
from buttress.posteriors.vector_quantized import VectorQuantized
from buttress.priors.recurrent import RecurrentPrior
from buttress.training.run import train

README = (Path(__file__).resolve().parents[1] / "README.md").read_text(encoding="utf-8")
PROGRAMS = re.findall(r"^```python\n(.*?)^```", README, re.DOTALL | re.MULTILINE)


def commands_in(text: str) -> list[str]:
    """The lines that call buttress, joined where they go on, without comments; ``...`` stands for words left out."""
    whole = re.sub(r"\\\n\s*", "", text)
    lines = [line.partition("  #")[0].strip() for line in whole.splitlines()]
    return [line.replace(" ... ", " ") for line in lines if line.startswith("buttress ")]


def shown_in_docstrings() -> Iterator[str]:
    def functions(package: ModuleType | None = None) -> Iterator[Any]:
        for command in (cli.functions() if package is None else cli.functions(package)).values():
            yield from functions(command) if isinstance(command, ModuleType) else [command]

    for thing in [*functions(), *registry.parts("data").values()]:
        yield from commands_in(inspect.getdoc(thing) or "")


BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)
IN_README = [line for language, block in BLOCKS if not language for line in commands_in(block)]
COMMANDS = list(dict.fromkeys([*IN_README, *shown_in_docstrings()]))


@pytest.fixture(scope="module")
def codes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run whose z is codes."""
    recipe = Recipe(
        LinearGaussianData(dim=4, latent_dim=2, n=120),
        MlpEncoder(hidden=(6,)),
        VectorQuantized(codes=4, dim=2, slots=2),
        RecurrentPrior(embedding=3, hidden=4),
        MlpDecoder(hidden=(6,)),
        GaussianLikelihood(),
        ELBO(),
        TwoStage(first=0.5),
        Training(steps=4, batch_size=8, validate_every=4, checkpoint_every=4),
    )
    return train(recipe, tmp_path_factory.mktemp("runs") / "codes", progress=False).folder


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One for all tests, so that mnist5k is decoded once."""
    return tmp_path_factory.mktemp("cache")


def write_sound(path: Path, samples: np.ndarray) -> None:
    """A mono file of 16 bits and 8 kHz."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(samples.tobytes())


@pytest.fixture
def here(codes: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with what the reader is said to have."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BUTTRESS_CACHE", str(cache))
    rng = np.random.default_rng(0)
    for name in ("DATA", "photos", "recordings", "runs"):
        (tmp_path / name).mkdir()
    words = [" ".join(rng.choice(["a", "b", "c", "d"], 5)) for _ in range(80)]
    (tmp_path / "DATA" / "sentences.txt").write_text("\n".join(words))
    for name in ("train.en", "train.de"):
        (tmp_path / name).write_text("\n".join(words))
    for i in range(20):
        Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(tmp_path / "photos" / f"{i}.png")
    for i in range(40):
        write_sound(tmp_path / "recordings" / f"{i}.wav", rng.integers(-9000, 9000, 4000).astype("<i2"))
        (speaker := tmp_path / "speech" / ("anna", "bob")[i % 2]).mkdir(parents=True, exist_ok=True)
        write_sound(speaker / f"{i}.wav", rng.integers(-9000, 9000, 18000).astype("<i2"))
    phones = "\n".join(f"{('anna', 'bob')[i % 2]}/{i}.wav,0.0,0.5,{'ae'[i // 2 % 2]}" for i in range(40))
    (tmp_path / "phones.csv").write_text(f"file,start,end,label\n{phones}\n")
    table = "\n".join(f"{x:.3f},{y:.3f},{'rose' if x > 0 else 'tulip'}" for x, y in rng.normal(size=(80, 2)))
    (tmp_path / "flowers.csv").write_text(f"width,height,kind\n{table}\n")
    counts = "\n".join(f"{a},{b}" for a, b in rng.poisson(3, (80, 2)))
    (tmp_path / "words.csv").write_text(f"cat,dog\n{counts}\n")
    for name in ("en.txt", "de.txt"):
        (tmp_path / name).write_text("\n".join(words))
    (tmp_path / "reviews.csv").write_text("text,stars\n" + "\n".join(f"{line},{i % 5}" for i, line in enumerate(words)))
    (tmp_path / "runs" / "codes").symlink_to(codes)
    return tmp_path


def flat_room(solid, scale, azimuth, size):
    return np.full((size, size, 3), int(40 * azimuth) % 200 + 1, np.uint8)


def test_there_is_something_to_test():
    assert len(PROGRAMS) == 2
    assert len(IN_README) > 10 and {line.split()[1].replace("-", "_") for line in COMMANDS} == set(cli.functions())


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_line_that_is_shown_is_understood(line, here, monkeypatch):
    """Parsed as always, its recipe built and its remedies applied; only the command itself is not called.

    Pictures of scenes have one colour: to follow 500 rooms' rays takes long, and other tests look at them.
    """
    called = []

    def understood(function, values):
        called.append(function)
        recipe, remedies = values[0][0] if values[0] else None, values[1].get("remedies", "none")
        if isinstance(recipe, Recipe) and function.__name__ == "compare":
            assert not arms(recipe, remedies.split(","))[1]
        elif isinstance(recipe, Recipe):
            remedy.apply(remedies, recipe).check()

    monkeypatch.setattr(cli, "call", understood)
    monkeypatch.setattr(scenes3d, "room", flat_room)
    assert cli.main(shlex.split(line)[1:]) == 0
    assert len(called) == 1


def test_a_command_line_with_an_option_that_is_not_there_is_not_understood(here, capsys):
    assert cli.main(["train", "photos", "--decoder", "pixelcnn", "--decoder.fields", "7"]) == 2
    assert "fields" in capsys.readouterr().err


def changed(program: str, **instead: str) -> str:
    """A program with words changed that must be in it."""
    for old, new in instead.items():
        assert old in program
        program = program.replace(old, new)
    return program


def test_the_library_trains_as_shown(here, capsys):
    program = changed(PROGRAMS[1], **{'"mnist5k"': '"linear_gaussian"', "steps=500": "steps=10"})
    names: dict[str, Any] = {}
    exec(compile(program, "README.md", "exec"), names)
    assert names["samples"].shape == (16, 8) and names["run"].recipe.remedies == ("kl_annealing",)
    assert (here / "runs" / "first").is_dir() and capsys.readouterr().out


def test_a_model_of_ones_own_is_diagnosed_as_shown(capsys):
    class Mine(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.net, self.out = torch.nn.Linear(6, 4), torch.nn.Linear(2, 6)

        def encode(self, x):
            return self.net(x).chunk(2, -1)

        def decode(self, z):
            return self.out(z).sigmoid()

        def forward(self, x):
            mu, logvar = self.encode(x)
            return self.decode(mu + torch.randn_like(mu) * (0.5 * logvar).exp()), mu, logvar

    loader = torch.utils.data.DataLoader(torch.rand(200, 6).round(), batch_size=50)
    exec(compile(PROGRAMS[0], "README.md", "exec"), {"model": Mine(), "loader": loader})
    printed = capsys.readouterr().out
    assert "because mutual information" in printed and "held-out examples" in printed

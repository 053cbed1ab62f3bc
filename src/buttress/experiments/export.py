"""A run's networks as torch.export files, which run without buttress; each is run again outside and compared."""

from __future__ import annotations

import logging
import subprocess
import sys
import warnings
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.distributions import Distribution

from buttress.core.autoregressive import AutoregressiveModule
from buttress.distributions.inspect import mean_of, normal, point
from buttress.distributions.sites import Sites
from buttress.experiments.examples import seeded, some_held_out
from buttress.runtime.randomness import check_seed
from buttress.training.lock import refuse_file
from buttress.training.run import Run

__all__ = ["Exported", "export_run"]

CLOSE = 1e-4
"""The largest difference, relative to the largest number, that still counts as the same."""
OUTSIDE = """
import sys, torch
from safetensors.torch import load_file
import torch.export
program = torch.export.load(sys.argv[1]).module()
kept = load_file(sys.argv[2])
inputs = [kept[name] for name in sys.argv[3].split(",")]
with torch.no_grad():
    found = program(*inputs)
found = found if isinstance(found, (tuple, list)) else [found]
wanted = [kept[f"output{i}"] for i in range(len(found))]
pairs = [(a.double(), b.double()) for a, b in zip(found, wanted)]
print(max(float((a - b).abs().max() / b.abs().max().clamp(min=1)) for a, b in pairs))
assert "buttress" not in sys.modules
"""
"""What runs in another process, in which buttress is not imported."""


@dataclass(frozen=True)
class Exported:
    """What became of one network.

    Args:
        name: "encoder" or "decoder".
        inputs: Names of what it is called with.
        outputs: What it gives, in words.
        path: Its file; None where it could not be exported.
        difference: Between what it gives outside and here, relative to the largest number.
        reason: Why it could not be exported.
    """

    name: str
    inputs: tuple[str, ...]
    outputs: str
    path: Path | None = None
    difference: float = 0.0
    reason: str = ""


class _Encoder(nn.Module):
    """x, observed, and what is given -> the numbers that q(z|x) is made of."""

    def __init__(self, model: Any, given: tuple[str, ...]) -> None:
        super().__init__()
        self.model, self.given = model, given

    def forward(self, x: Tensor, *given: Tensor) -> tuple[Tensor, ...]:
        """Mean and standard deviation, or codes."""
        return _numbers(self.model.posterior(x, dict(zip(self.given, given, strict=True))))


class _Decoder(nn.Module):
    """z and what is given (and of an autoregressive one x) -> the likelihood's parameters, and the mean of p(x|z)."""

    def __init__(self, model: Any, given: tuple[str, ...]) -> None:
        super().__init__()
        self.model, self.given = model, given
        self.autoregressive = isinstance(model.decoder, AutoregressiveModule)

    def forward(self, z: Tensor, *rest: Tensor) -> tuple[Tensor, ...]:
        """Parameters of every place, and where places are independent the mean."""
        known, x = (rest[1:], rest[0]) if self.autoregressive else (rest, None)
        p = self.model.decode(z, dict(zip(self.given, known, strict=True)))
        if self.autoregressive:
            return (p.module.parameters_of(p.z, x),)
        assert isinstance(p, Sites)
        return p.parameters, p.likelihood.to_x(p.likelihood.center(p.parameters))


def _numbers(q: Distribution) -> tuple[Tensor, ...]:
    if (codes := point(q)) is not None:
        return (codes,)
    if (found := normal(q)) is not None:
        return found.loc, found.scale
    middle = mean_of(q)
    if middle is None:
        raise ValueError(f"q(z|x) is a {type(q).__name__}, of which neither mean nor codes are known")
    return (middle,)


def export_run(run: Run, out: Path, seed: int = 0) -> list[Exported]:
    """Export encoder and decoder, run each in a process that knows nothing of buttress, and compare.

    Args:
        run: The run; the encoder is its own, without any steps of refinement.
        out: Folder for ``encoder.pt2`` and ``decoder.pt2``, and beside each what it was compared on, ``*.safetensors``.
        seed: Of the examples that they are compared on.

    Errors:
        ValueError: An exported network gives other numbers outside.
    """
    refuse_file(out)
    check_seed(seed)
    out.mkdir(parents=True, exist_ok=True)
    raw = some_held_out(run, 3, seed)
    names, layout = run.model.reads, run.spec.layout
    given = {name: raw.given[name] for name in names}
    with seeded(seed), _plain_distributions():
        x = run.model.observe(raw.x)
        beside = given
        if layout.lengths:  # networks outside take examples padded to the longest
            x = nn.functional.pad(x, (*(0, 0) * (x.dim() - 2), 0, layout.places[0] - x.shape[1]))
        if layout.lengths and not layout.tokens:
            beside = {"lengths": raw.given["lengths"], **given}
        z = run.model.sample_z(3, given=given)
        found = "mean, std" if run.model.space.classes is None else "codes"
        autoregressive = isinstance(run.model.decoder, AutoregressiveModule)
        parameters = "parameters of p(x|z)" + (", given the places before" if autoregressive else ", and its mean")
        seen = {"x": x} if autoregressive else {}
        return [
            _export("encoder", _Encoder(run.model, tuple(beside)), {"x": x, **beside}, found, out),
            _export("decoder", _Decoder(run.model, names), {"z": z, **seen, **given}, parameters, out),
        ]


@contextmanager
def _plain_distributions() -> Any:
    """Distributions that check nothing, for checks of values cannot be exported; the exporter keeps its warnings."""
    before, logger = Distribution._validate_args, logging.getLogger("torch")
    level = logger.level
    Distribution.set_default_validate_args(False)
    logger.setLevel(logging.CRITICAL)  # what cannot be exported is reported in one line
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        Distribution.set_default_validate_args(before)
        logger.setLevel(level)


def _export(name: str, module: nn.Module, inputs: Mapping[str, Tensor], outputs: str, out: Path) -> Exported:
    """Export one network and try it outside; what cannot be exported is reported with the reason."""
    module.eval()
    arguments = tuple(value.contiguous() for value in inputs.values())
    batch = torch.export.Dim("batch", min=2, max=2**20)
    wanted = module(*arguments)
    shapes = ({0: batch}, ({0: batch},) * (len(arguments) - 1)) if len(arguments) > 1 else ({0: batch},)
    for dynamic in (shapes, None):
        try:
            program = torch.export.export(module, arguments, dynamic_shapes=dynamic, strict=False)
            break
        except Exception:  # the exporter raises whatever it meets, in the words of its own insides
            continue
    else:
        reason = "torch.export cannot follow what it computes; use it from Python, where bt.load(folder).model has it"
        return Exported(name, tuple(inputs), outputs, reason=reason)
    outputs += "" if dynamic else f", for batches of {len(arguments[0])} alone, since torch.export fixes their size"
    path = out / f"{name}.pt2"
    torch.export.save(program, path)
    kept = dict(zip(inputs, arguments, strict=True)) | {f"output{i}": value for i, value in enumerate(wanted)}
    save_file({key: value.detach().contiguous().clone() for key, value in kept.items()}, out / f"{name}.safetensors")
    return Exported(name, tuple(inputs), outputs, path, _difference(path, tuple(inputs)))


def _difference(path: Path, inputs: tuple[str, ...]) -> float:
    """How far the numbers of an exported network lie from ours, in a process of its own."""
    words = [sys.executable, "-c", OUTSIDE, str(path), str(path.with_suffix(".safetensors")), ",".join(inputs)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        last = done.stderr.strip().rpartition("\n")[2]
        raise ValueError(f"{path}: was exported, but does not run outside ({last}); delete it")
    if not (difference := float(done.stdout)) <= CLOSE:
        raise ValueError(f"{path}: was exported, but gives other numbers outside (by {difference:.2g}); delete it")
    return difference

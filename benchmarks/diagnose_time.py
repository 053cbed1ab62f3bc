"""Time of a full diagnosis of a plain VAE on MNIST training images, of this source tree and, beside it, of another.

python benchmarks/diagnose_time.py --data mnist.npz --examples 10000 --against ../other/src

The model is an ordinary PyTorch VAE, trained for a few steps, behind three callables. Each tree is measured in a
process of its own, one thread, and the numbers of both are compared. Without ``--against`` only this tree is measured.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.distributions import Bernoulli, Independent, Normal

STEPS, LATENTS = 300, 16


class VAE(nn.Module):
    """An encoder, a decoder, and the number of posterior calls per example."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.flat, self.encoded = kind == "mlp", 0
        self.encoder, self.decoder = _mlp() if self.flat else _conv()

    def posterior(self, x: torch.Tensor) -> Independent:
        self.encoded += len(x)
        mean, log_variance = self.encoder(x).chunk(2, -1)
        return Independent(Normal(mean, (log_variance / 2).exp()), 1)

    def prior(self) -> Independent:
        return Independent(Normal(torch.zeros(LATENTS), torch.ones(LATENTS)), 1)

    def log_likelihood(self, x: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
        logits = self.decoder(z.flatten(0, 1)).view(*z.shape[:2], *x.shape[1:])
        return Bernoulli(logits=logits, validate_args=False).log_prob(x).flatten(2).sum(-1)


def _mlp() -> tuple[nn.Module, nn.Module]:
    encoder = nn.Sequential(nn.Flatten(), nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 2 * LATENTS))
    return encoder, nn.Sequential(nn.Linear(LATENTS, 512), nn.ReLU(), nn.Linear(512, 784))


def _conv() -> tuple[nn.Module, nn.Module]:
    encoder = nn.Sequential(
        nn.Conv2d(1, 32, 4, 2, 1), nn.ReLU(), nn.Conv2d(32, 64, 4, 2, 1), nn.ReLU(), nn.Flatten(),
        nn.Linear(64 * 49, 2 * LATENTS),
    )  # fmt: skip
    decoder = nn.Sequential(
        nn.Linear(LATENTS, 16 * 49), nn.ReLU(), nn.Unflatten(1, (16, 7, 7)),
        nn.ConvTranspose2d(16, 8, 4, 2, 1), nn.ReLU(), nn.ConvTranspose2d(8, 1, 4, 2, 1),
    )  # fmt: skip
    return encoder, decoder


def train(model: VAE, x: torch.Tensor) -> None:
    optimiser = torch.optim.Adam(model.parameters(), 1e-3)
    for _ in range(STEPS):
        batch = x[torch.randint(len(x), (64,))]
        q = model.posterior(batch)
        loss = torch.distributions.kl_divergence(q, model.prior()) - model.log_likelihood(batch, q.rsample((1,)))[0]
        optimiser.zero_grad()
        loss.mean().backward()
        optimiser.step()


def measure(data: Path, kind: str, examples: int) -> dict[str, Any]:
    """Seconds, posterior calls per example and estimates of the buttress that Python finds."""
    from buttress.diagnostics.diagnose import diagnose

    torch.manual_seed(0)
    raw = torch.from_numpy(np.load(data)["x_train"][:examples]).unflatten(-1, (1, 28)).movedim(1, -2)
    x = torch.bernoulli(raw.reshape(-1, 1, 28, 28).float() / 255)
    model = VAE(kind)
    train(model, x)
    model.encoded = 0
    stages: list[tuple[str, float]] = []
    begin, cpu = time.perf_counter(), time.process_time()
    found = diagnose(
        model, list(x.split(100)), progress=lambda name, *_: stages.append((name, time.process_time() - cpu))
    )
    return {
        "seconds": time.perf_counter() - begin,
        "cpu": time.process_time() - cpu,
        "encoded": model.encoded / len(x),
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
        "stages": stages,
        "estimates": {name: (e.value, e.error) for name, e in found.estimates.items()},
    }


def in_own_process(source: Path, words: list[str]) -> dict[str, Any]:
    """The same of another source tree."""
    environment = {**os.environ, "PYTHONPATH": str(source), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, __file__, "--child", *words], env=environment, capture_output=True, text=True
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def report(found: dict[str, dict[str, Any]]) -> None:
    for name, one in found.items():
        print(
            f"{name}: {one['cpu']:.1f} s of CPU, {one['seconds']:.1f} s, {one['encoded']:.2f} encodings per example, "
            f"{one['peak']:.2f} GB at most"
        )
        print("   CPU before: " + ", ".join(f"{stage} {seconds:.1f} s" for stage, seconds in one["stages"]))
    if len(found) == 2:
        this, other = found.values()
        print(f"ratio of CPU times {this['cpu'] / other['cpu']:.2f}")
        for name, (value, error) in this["estimates"].items():
            old = other["estimates"].get(name, (None, None))[0]
            if value is not None and old is not None and abs(value - old) > 1e-3 * max(1, abs(old)):
                print(f"   {name} differs: {value} and {old} (standard error {error})")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="an .npz file with x_train, (N, 28, 28) of 0 to 255")
    parser.add_argument("--model", choices=("mlp", "conv"), default="mlp")
    parser.add_argument("--examples", type=int, default=10_000)
    parser.add_argument("--against", type=Path, help="the src folder of another version")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        torch.set_num_threads(1)
        print(json.dumps(measure(given.data, given.model, given.examples)))
        return
    words = ["--data", str(given.data), "--model", given.model, "--examples", str(given.examples)]
    trees = {"this tree": Path(__file__).resolve().parents[1] / "src"}
    if given.against:
        trees["the other"] = given.against
    report({name: in_own_process(source, words) for name, source in trees.items()})


if __name__ == "__main__":
    main()

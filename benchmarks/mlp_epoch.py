"""One training epoch of an MLP VAE, 784-512-16, batch 100, fp32: ours beside pythae's, in turn, in one process.

CPU seconds of all threads, so that other programs on the same cores weigh little; the first turn is not counted.

Two rows say how far down one could go. "products" is the matrix products of as many steps and nothing else: what calls
the same kernels at the same precision cannot be faster. "bare loop" is the same network and optimiser in a dozen lines
of PyTorch that clip, check, log and save nothing.

pip install -e '.[demo,bench]' && python benchmarks/mlp_epoch.py [EPOCHS]
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from buttress.baseline import baseline
from buttress.data.mnist5k import Mnist5k
from buttress.decoders.mlp import MlpDecoder
from buttress.encoders.mlp import MlpEncoder
from buttress.likelihoods.bernoulli import Bernoulli
from buttress.training.callbacks import Callback
from buttress.training.run import train

BATCH, ROUNDS, WANTED, WANTED_BARE = 100, 3, 0.6, 1.15
EPOCHS = int(sys.argv[1]) if len(sys.argv) > 1 else 10
LAYERS = ((784, 512), (512, 2 * 16), (16, 512), (512, 784))
"""(inputs, outputs) of each layer; mean and log-variance come from one."""


class Clock(Callback):
    """CPU time at the first step's begin and at the last step's end."""

    def begin(self, engine: Any) -> None:
        """Before the first step."""
        self.first = self.last = time.process_time()

    def on_step(self, step: int, total: int, latest: Any) -> None:
        """After each."""
        self.last = time.process_time()


def ours(folder: Path, images: int) -> tuple[float, float]:
    """Seconds of an epoch, opening and checking, a look at held-out data and a save among them; and of its steps."""
    data = Mnist5k()
    start = baseline(data, data.open().spec)
    steps = EPOCHS * (images // BATCH)
    training = replace(
        start.training,
        steps=steps,
        batch_size=BATCH,
        learning_rate=1e-3,
        clip=None,
        validate_every=steps,
        checkpoint_every=steps,
    )  # pythae clips nothing either
    recipe = replace(
        start,
        encoder=MlpEncoder((512,)),
        decoder=MlpDecoder((512,)),
        likelihood=Bernoulli("threshold"),
        training=training,
    )
    begin, clock = time.process_time(), Clock()
    train(recipe, folder, progress=False, callbacks=[clock])
    return (time.process_time() - begin) / EPOCHS, (clock.last - clock.first) / EPOCHS


def theirs(folder: Path, images: Tensor) -> float:
    """Seconds of an epoch of pythae's BaseTrainer on the same images."""
    from pythae.models import VAE, VAEConfig
    from pythae.pipelines import TrainingPipeline
    from pythae.trainers import BaseTrainerConfig

    model = VAE(VAEConfig(input_dim=(1, 28, 28), latent_dim=16, reconstruction_loss="bce"))
    config = BaseTrainerConfig(
        output_dir=str(folder), num_epochs=EPOCHS, per_device_train_batch_size=BATCH, learning_rate=1e-3, no_cuda=True
    )
    pipeline = TrainingPipeline(model=model, training_config=config)
    begin = time.process_time()
    pipeline(train_data=images)
    return (time.process_time() - begin) / EPOCHS


def products(images: int) -> float:
    """Seconds of the matrix products of an epoch: forward, for the weights, and for what a layer has read."""
    weights = [torch.randn(a, b) for a, b in LAYERS]
    read = [torch.randn(BATCH, a) for a, _ in LAYERS]
    slopes = [torch.randn(BATCH, b) for _, b in LAYERS]
    begin = time.process_time()
    for _ in range(EPOCHS * (images // BATCH)):
        for w, x, slope in zip(weights, read, slopes, strict=True):
            x @ w
            x.t() @ slope
        for w, slope in zip(weights[1:], slopes[1:], strict=True):  # nobody asks for the slope of an image
            slope @ w.t()
    return (time.process_time() - begin) / EPOCHS


def bare(images: Tensor) -> float:
    """Seconds of an epoch of a bare loop."""
    layers = [torch.nn.Linear(a, b) for a, b in LAYERS]
    optimizer = torch.optim.Adam([p for layer in layers for p in layer.parameters()], 1e-3, fused=True)
    begin = time.process_time()
    for _ in range(EPOCHS):
        for index in torch.randperm(len(images))[: len(images) // BATCH * BATCH].split(BATCH):
            x = images[index].flatten(1)
            mean, log_variance = layers[1](layers[0](x).relu()).chunk(2, -1)
            z = mean + (0.5 * log_variance).exp() * torch.randn_like(mean)
            distortion = F.binary_cross_entropy_with_logits(layers[3](layers[2](z).relu()), x, reduction="sum")
            rate = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum()
            optimizer.zero_grad()
            ((distortion + rate) / BATCH).backward()
            optimizer.step()
    return (time.process_time() - begin) / EPOCHS


def main() -> None:
    """Print the table."""
    splits = Mnist5k().open()
    images = (splits.train.batch(torch.arange(len(splits.train))) > 127).float()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(ROUNDS + 1):
            a, e = ours(Path(folder) / f"ours{turn}", len(images))
            b = theirs(Path(folder) / f"theirs{turn}", images)
            c, d = bare(images), products(len(images))
            rows.append((a, e, b, c, d, a / b, a / c, e / c, c / b, d / b))
    print(f"{len(images)} images, {torch.get_num_threads()} threads, CPU seconds per epoch, {ROUNDS} rounds")
    names = (
        "buttress",
        "its steps",
        "pythae",
        "bare loop",
        "products",
        "buttress / pythae",
        "buttress / bare",
        "its steps / bare",
        "bare / pythae",
        "products / pythae",
    )
    for name, column in zip(names, zip(*rows[1:], strict=True), strict=True):
        print(f"{name:18} median {statistics.median(column):.3f}  min {min(column):.3f}  max {max(column):.3f}")
    print(f"wanted: buttress / pythae <= {WANTED}, or buttress / bare <= {WANTED_BARE}")


if __name__ == "__main__":
    main()

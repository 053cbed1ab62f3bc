"""One training epoch of an MLP VAE, 784-512-16, batch 100, fp32: ours beside pythae's, in turn, in one process.

The row "products" is the matrix products of as many steps and nothing else: no implementation that calls the same
kernels at the same precision can be faster, so its ratio is a floor under the other.

pip install -e '.[demo,bench]' && python benchmarks/mlp_epoch.py
"""

from __future__ import annotations

import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import torch

from buttress.baseline import baseline
from buttress.data.mnist5k import Mnist5k
from buttress.decoders.mlp import Mlp as MlpDecoder
from buttress.encoders.mlp import Mlp
from buttress.likelihoods.bernoulli import Bernoulli
from buttress.training.run import train

BATCH, EPOCHS, ROUNDS, WANTED = 100, 5, 3, 0.65
LAYERS = ((784, 512), (512, 2 * 16), (16, 512), (512, 784))
"""(inputs, outputs) of each layer; mean and log-variance come from one."""


def ours(folder: Path, images: int) -> float:
    """Seconds of an epoch, data loading, binarising and logging included."""
    data = Mnist5k()
    start = baseline(data, data.open().spec)
    steps = EPOCHS * (images // BATCH)
    training = replace(start.training, steps=steps, batch_size=BATCH, validate_every=steps, checkpoint_every=steps)
    recipe = replace(
        start, encoder=Mlp((512,)), decoder=MlpDecoder((512,)), likelihood=Bernoulli("threshold"), training=training
    )
    return train(recipe, folder, progress=False).seconds / EPOCHS


def theirs(folder: Path, images: torch.Tensor) -> float:
    """Seconds of an epoch of pythae's BaseTrainer on the same images."""
    from pythae.models import VAE, VAEConfig
    from pythae.pipelines import TrainingPipeline
    from pythae.trainers import BaseTrainerConfig

    model = VAE(VAEConfig(input_dim=(1, 28, 28), latent_dim=16, reconstruction_loss="bce"))
    config = BaseTrainerConfig(
        output_dir=str(folder), num_epochs=EPOCHS, per_device_train_batch_size=BATCH, learning_rate=1e-3, no_cuda=True
    )
    pipeline = TrainingPipeline(model=model, training_config=config)
    begin = time.perf_counter()
    pipeline(train_data=images)
    return (time.perf_counter() - begin) / EPOCHS


def products(images: int) -> float:
    """Seconds of the matrix products of an epoch: forward, for the weights, and for what a layer has read."""
    weights = [torch.randn(a, b) for a, b in LAYERS]
    read = [torch.randn(BATCH, a) for a, _ in LAYERS]
    slopes = [torch.randn(BATCH, b) for _, b in LAYERS]
    begin = time.perf_counter()
    for _ in range(EPOCHS * (images // BATCH)):
        for w, x, slope in zip(weights, read, slopes, strict=True):
            x @ w
            x.t() @ slope
        for w, slope in zip(weights[1:], slopes[1:], strict=True):  # nobody asks for the slope of an image
            slope @ w.t()
    return (time.perf_counter() - begin) / EPOCHS


def main() -> None:
    """Print the table."""
    splits = Mnist5k().open()
    images = (splits.train.batch(torch.arange(len(splits.train))) > 127).float()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(ROUNDS):
            a = ours(Path(folder) / f"ours{turn}", len(images))
            b = theirs(Path(folder) / f"theirs{turn}", images)
            c = products(len(images))
            rows.append((a, b, c, a / b, c / b, a / c))
    print(f"{len(images)} images, {torch.get_num_threads()} threads, seconds per epoch, {ROUNDS} rounds")
    names = ("buttress", "pythae", "products", "buttress / pythae", "products / pythae", "buttress / products")
    for name, column in zip(names, zip(*rows, strict=True), strict=True):
        print(f"{name:20} median {statistics.median(column):.3f}  min {min(column):.3f}  max {max(column):.3f}")
    print(f"wanted: buttress / pythae <= {WANTED}")


if __name__ == "__main__":
    main()

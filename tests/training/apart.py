"""A process that diagnoses a model whose codebook is its own."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import nn

import buttress as bt
from buttress.diagnostics import processes
from buttress.diagnostics.diagnose import ENOUGH


class Coded(nn.Module):
    """A VAE with a moving codebook beside it."""

    def __init__(self, shift: float) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.encoder, self.decoder = nn.Linear(6, 4), nn.Linear(2, 6)
        self.register_buffer("codebook_average", torch.randn(8, 2) + shift)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        mu, logvar = self.encoder(x).chunk(2, -1)
        return self.decoder(mu + torch.randn_like(mu) * (logvar / 2).exp()), mu, logvar


def diagnose(rank: int, folder: str, out: Any) -> None:
    """Two diagnoses, of codebooks that are apart and of the same, and one without the other process."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    asked = {"likelihood": "mse", "nll_samples": 0, "gap_steps": 0, "samples": 1, "only": ENOUGH}
    x = torch.randn(16, 6, generator=torch.Generator().manual_seed(0))
    found = [bt.diagnose(Coded(shift), x, **asked) for shift in (0.01 * rank, 1e-7 * rank)]
    processes._waited[0] = 0.2
    alone = bt.diagnose(Coded(0.0), x, **asked) if rank == 0 else None
    told = [one.estimates[processes.NAME].value for one in found]
    kept = alone is not None and processes.NAME in alone.estimates
    out.put((rank, told, [list(one.verdict.causes) for one in found], " ".join(found[0].verdict.reasons), kept))
    dist.barrier()
    dist.destroy_process_group()

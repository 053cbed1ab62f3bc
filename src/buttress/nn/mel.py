r"""Log-mel frames of sound, and the mu-law levels of its samples.

$$ m(f) = \begin{cases} 3f / 200 & f < 1000 \\ 15 + 27 \log_{6.4}(f / 1000) & \text{else} \end{cases}, \qquad
   M_{b,t} = \log \max\Bigl(\epsilon, \sum_k W_{bk} |\mathrm{STFT}_{k,t}|^2\Bigr) $$

with triangles W equally spaced in m, each of area 1 (Slaney 1998, the filters of librosa). mu-law with L levels:

$$ F(s) = \operatorname{sgn}(s) \frac{\ln(1 + \mu |s|)}{\ln(1 + \mu)}, \quad \mu = L - 1, \qquad
   \text{level} = \lfloor \tfrac{F(s) + 1}{2} \mu + \tfrac12 \rfloor $$
"""

from __future__ import annotations

import math
from functools import cache

import torch
from jaxtyping import Float, Int
from torch import Tensor

__all__ = ["expand", "filters", "log_mel", "mu_law"]

FLOOR = 1e-10
"""The least power of a band: log of it is what silence gives."""


def _mel(hertz: Tensor) -> Tensor:
    return torch.where(hertz < 1000, 3 * hertz / 200, 15 + 27 * (hertz.clamp(min=1) / 1000).log() / math.log(6.4))


def _hertz(mel: Tensor) -> Tensor:
    return torch.where(mel < 15, 200 * mel / 3, 1000 * (math.log(6.4) * (mel - 15) / 27).exp())


@cache
def filters(rate: int, size: int, bands: int) -> Float[Tensor, "bands bins"]:
    """W: what each band takes of each bin of a Fourier transform.

    Args:
        rate: Samples a second.
        size: Samples of the transform; it has size // 2 + 1 bins.
        bands: How many bands, from 0 to half of ``rate``.

    Example:
        >>> filters(8000, 256, 20).shape, round(filters(8000, 256, 20).sum().item() * 8000 / 256)  # each has area 1
        (torch.Size([20, 129]), 20)
    """
    limits = torch.tensor([0.0, rate / 2], dtype=torch.float64)
    edges = _hertz(torch.linspace(0, _mel(limits)[1].item(), bands + 2, dtype=torch.float64))
    bins = torch.linspace(0, rate / 2, size // 2 + 1, dtype=torch.float64)
    ramps, widths = edges[:, None] - bins, edges.diff()[:, None]
    rising, falling = -ramps[:-2] / widths[:-1], ramps[2:] / widths[1:]
    weights = torch.minimum(rising, falling).clamp(min=0)
    return (weights * (2 / (edges[2:] - edges[:-2]))[:, None]).float()


def log_mel(
    samples: Float[Tensor, "*batch S"], rate: int, bands: int, window: int, hop: int
) -> Float[Tensor, "*batch T bands"]:
    """M, frames last but one: T = 1 + S // hop, each centred on its samples.

    Example:
        >>> log_mel(torch.zeros(800), 8000, bands=20, window=256, hop=80).shape
        torch.Size([11, 20])
    """
    shape = torch.hann_window(window, device=samples.device)
    flat = samples.reshape(-1, samples.shape[-1])
    spectrum = torch.stft(flat, window, hop, window=shape, center=True, pad_mode="constant", return_complex=True)
    power = filters(rate, window, bands).to(samples.device) @ spectrum.abs().square()
    return power.clamp(min=FLOOR).log().mT.reshape(*samples.shape[:-1], -1, bands)


def mu_law(samples: Float[Tensor, "*shape"], levels: int = 256) -> Int[Tensor, "*shape"]:
    """The level of every sample in [-1, 1].

    Example:
        >>> mu_law(torch.tensor([-1.0, 0.0, 0.01, 1.0])).tolist()
        [0, 128, 157, 255]
    """
    mu = levels - 1
    squeezed = samples.sign() * torch.log1p(mu * samples.abs().clamp(max=1)) / math.log1p(mu)
    return ((squeezed + 1) / 2 * mu + 0.5).floor().long()


def expand(level: Int[Tensor, "*shape"], levels: int = 256) -> Float[Tensor, "*shape"]:
    """The sample that a level stands for, in [-1, 1].

    Example:
        >>> samples = torch.tensor([-0.5, 0.02, 0.9])
        >>> bool(((expand(mu_law(samples)) - samples).abs() < 0.02).all())
        True
    """
    mu = levels - 1
    squeezed = 2 * level.float() / mu - 1
    return squeezed.sign() * torch.expm1(squeezed.abs() * math.log1p(mu)) / mu

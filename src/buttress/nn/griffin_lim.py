r"""Sound from log-mel frames: a power spectrum that has these mel bands, and phases that fit together.

$$ P = \arg\min_{P \ge 0} \lVert W P - e^{M} \rVert^2, \qquad
   s \leftarrow \mathrm{iSTFT}\bigl(\sqrt P \, e^{i \phi}\bigr), \quad \phi \leftarrow \arg \mathrm{STFT}(s) $$

W are the filters of :mod:`buttress.nn.mel`. Bands say nothing of phases and little of pitch, so what is heard has the
colour and the loudness of the frames, and roughened tones.

Source: Griffin and Lim, Signal Estimation from Modified Short-Time Fourier Transform, 1984; the momentum: Perraudin,
Balazs and Sondergaard, A Fast Griffin-Lim Algorithm, 2013; P by the multiplicative updates of Lee and Seung, 2001.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from buttress.nn.mel import filters

__all__ = ["griffin_lim", "linear_power", "sound_of"]

MOMENTUM = 0.99


def linear_power(
    frames: Float[Tensor, "T bands"], rate: int, window: int, updates: int = 100
) -> Float[Tensor, "bins T"]:
    """P, the power of each bin of a Fourier transform whose mel bands are nearest to the frames.

    A band is taken to be no louder than a tone at full scale makes it: models that have hardly learned exceed that.

    Example:
        >>> power = torch.rand(129, 5)
        >>> frames = (filters(8000, 256, 20) @ power).log().mT
        >>> close = filters(8000, 256, 20) @ linear_power(frames, 8000, 256)
        >>> bool((close.log().mT - frames).abs().max() < 0.01)
        True
    """
    weights = filters(rate, window, frames.shape[1])
    loudest = weights.max() * (window / 4) ** 2
    wanted = weights.mT @ frames.mT.float().nan_to_num().exp().clamp(max=loudest)
    power = wanted.clone()
    for _ in range(updates):
        power = power * wanted / (weights.mT @ (weights @ power)).clamp(min=1e-20)
    return power


def griffin_lim(
    magnitude: Float[Tensor, "bins T"], hop: int, iterations: int = 32, samples: int = 0
) -> Float[Tensor, " S"]:
    """Samples whose short-time Fourier transform has nearly these magnitudes.

    Args:
        magnitude: Of each bin and frame.
        hop: Samples from one frame to the next, fewer than a window.
        iterations: How often phases are made to fit.
        samples: How many are wanted, fewer than T hop; at least (T - 1) hop are made, up to the middle of the last
            frame.

    Example:
        >>> griffin_lim(torch.rand(65, 11), hop=40).shape
        torch.Size([400])
    """
    size, middle = 2 * (magnitude.shape[0] - 1), (magnitude.shape[1] - 1) * hop
    length = max(1, middle, min(samples, middle + size // 2 - 1))  # the last window reaches so far
    how: Any = {"window": torch.hann_window(size), "hop_length": hop}
    angles = 2 * torch.pi * torch.rand(magnitude.shape, generator=torch.Generator().manual_seed(0))  # the same sound
    phases, before = torch.polar(torch.ones_like(magnitude), angles), torch.zeros_like(magnitude, dtype=torch.cfloat)
    for _ in range(iterations):
        sound = torch.istft(magnitude * phases, size, length=length, **how)
        found = torch.stft(sound, size, pad_mode="constant", return_complex=True, **how)[:, : magnitude.shape[1]]
        moved = found + MOMENTUM * (found - before)
        phases, before = moved / moved.abs().clamp(min=1e-12), found
    return torch.istft(magnitude * phases, size, length=length, **how)


def sound_of(
    frames: Float[Tensor, "T bands"], rate: int, window: int, hop: int, samples: int = 0
) -> Float[Tensor, " S"]:
    """Samples whose log-mel frames are near to these; the inverse of :func:`buttress.nn.mel.log_mel`, but for phases.

    Args:
        frames: M, natural logarithms of the power of bands.
        rate: Samples a second.
        window: Samples of a frame's window, an even number.
        hop: Samples from one frame to the next.
        samples: How many the frames were made of, where that is known: then there are so many, else (T - 1) hop.

    Errors:
        ValueError: Frames that do not overlap, or an odd window.
    """
    if hop >= window or window % 2:
        raise ValueError(
            f"frames of {window} samples, {hop} apart, cannot be turned back into sound; it takes an even "
            "--data.window that is longer than --data.hop"
        )
    sound = griffin_lim(linear_power(frames, rate, window).sqrt(), hop, samples=samples)
    return torch.nn.functional.pad(sound, (0, max(0, samples - len(sound))))

r"""Sound at another rate, a block at a time: windowed sinc interpolation.

$$ y_m = \sum_n x_n \, h(m \tfrac{D}{U} - n), \qquad \frac{U}{D} = \frac{\text{new rate}}{\text{old rate}} $$

with h a low-pass filter below half of the lower rate, under a Kaiser window. Blocks overlap by its length, so that what
comes out is that of the whole, whatever the blocks.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

import numpy as np

from buttress.data.reading.memory import Array

__all__ = ["resampled"]

ZEROS, BETA = 24, 9.0
"""Zeros of the sinc on each side, and the shape of the window: what lies above half of the lower rate is 80 dB down."""


def resampled(blocks: Iterable[Array], old: int, new: int) -> Iterator[Array]:
    """The same sound at another rate, ceil(N new / old) samples for N.

    Args:
        blocks: Of samples (n,), float, in order.
        old: Samples a second that they have.
        new: Samples a second that are wanted.

    Example:
        >>> tone = np.sin(2 * np.pi * 100 * np.arange(4000) / 4000).astype(np.float32)
        >>> slower = np.concatenate(list(resampled(np.split(tone, 4), 4000, 3000)))
        >>> wanted = np.sin(2 * np.pi * 100 * np.arange(3000) / 3000)
        >>> len(slower), bool(np.abs(slower - wanted)[100:-100].max() < 1e-3)
        (3000, True)
    """
    if old == new:
        yield from blocks
        return
    from scipy.signal import firwin, upfirdn

    common = math.gcd(old, new)
    up, down = new // common, old // common
    reach = -(-ZEROS * max(up, down) // down) * down  # of h on each side, in samples of a rate both divide
    low_pass = up * firwin(2 * reach + 1, 0.97 / max(up, down), window=("kaiser", BETA)).astype(np.float32)
    context = down * (-(-reach // (up * down)) + 1)  # input samples beside a block, a whole number of periods
    skip = context // down * up

    def filtered(block: Array) -> Array:
        """The output of what lies between the contexts of a block; its first input is a multiple of D."""
        begin = reach // down + skip
        return upfirdn(low_pass, block, up, down)[begin : begin - (-(len(block) - 2 * context) * up // down)]

    waiting = np.zeros(context, np.float32)
    for block in blocks:
        waiting = np.concatenate([waiting, block.astype(np.float32, copy=False)])
        ready = (len(waiting) - 2 * context) // down * down
        if ready > 0:
            yield filtered(waiting[: ready + 2 * context])
            waiting = waiting[ready:]
    if len(waiting) > context:
        yield filtered(np.concatenate([waiting, np.zeros(context, np.float32)]))

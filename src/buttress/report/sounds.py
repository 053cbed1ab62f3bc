"""Sound as WAV files, and as audio elements in a page."""

from __future__ import annotations

import base64
import io
import wave
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

__all__ = ["Sound", "playable", "wav"]


@dataclass(frozen=True)
class Sound:
    """A sound for a page.

    Args:
        uri: The data URI.
        alt: What it is, for screen readers.
    """

    uri: str
    alt: str


def wav(samples: Float[np.ndarray, " S"], rate: int) -> bytes:
    """A WAV file, mono, 16 bits; what is louder than full scale is made softer as a whole.

    Args:
        samples: In [-1, 1].
        rate: Samples a second.

    Example:
        >>> with wave.open(io.BytesIO(wav(np.array([0.0, 0.5, -1.0], np.float32), 8000))) as file:
        ...     file.getframerate(), np.frombuffer(file.readframes(3), "<i2").tolist()
        (8000, [0, 16384, -32767])
    """
    samples = np.nan_to_num(samples)
    loud = max(1.0, float(np.abs(samples).max(initial=0.0)))
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(rate)
        out.writeframes((samples / loud * 32767).round().astype("<i2").tobytes())
    return file.getvalue()


def playable(samples: Float[np.ndarray, " S"], rate: int, alt: str) -> Sound:
    """A sound that a page plays by itself, offline."""
    return Sound("data:audio/wav;base64," + base64.b64encode(wav(samples, rate)).decode(), alt)

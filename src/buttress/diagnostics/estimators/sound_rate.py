r"""What z costs in bits for each second of sound, beside the nats that it costs for each example.

$$ \frac{\mathrm{KL}(q(z|x) \| p(z))}{D \ln 2}, \qquad B = \frac{N}{D} H, \quad H = -\sum_k p_k \log_2 p_k $$

with D the mean duration of an example in seconds. B is the bitrate of the ZeroSpeech challenges (Dunbar et al. 2019): N
codes an example, each of which costs the entropy of how often it is taken over all of the data, whatever was before it.
A learned prior may need fewer bits. N counts the codes behind the true end of shorter examples too.
"""

from __future__ import annotations

import math

from buttress.diagnostics.estimate import Estimate
from buttress.diagnostics.estimator import Subject, estimator

__all__ = ["measure"]


@estimator("mutual information")
def measure(subject: Subject) -> dict[str, Estimate]:
    """``bits_per_second``, and of codes ``code_bits_per_second``; nothing for what is no sound."""
    rate = subject.estimates.get("rate")
    if not subject.seconds or rate is None or rate.value is None:
        return {}
    duration = _duration(subject)
    bits, note = 1 / (math.log(2) * duration), f"examples of {duration:.3g} s"
    error = None if rate.error is None else rate.error * bits
    found = {"bits_per_second": Estimate(rate.value * bits, error, rate.n, rate.method, note=note)}
    perplexity, codes = subject.estimates.get("code_perplexity"), subject.kept["activity"].codes
    if perplexity is not None and perplexity.value is not None and codes is not None:
        places = len(codes.table)
        value, relative = places * math.log2(perplexity.value) / duration, (perplexity.error or 0) / perplexity.value
        error = places * relative / math.log(2) / duration
        note = f"{places / duration:.4g} codes a second"
        found["code_bits_per_second"] = Estimate(value, error, perplexity.n, "counting", note=note)
    return found


def _duration(subject: Subject) -> float:
    """Mean seconds of an example."""
    places = examples = 0.0
    for block in subject.data.blocks():
        lengths = block.batch.given.get("lengths")
        examples += len(block.batch.x)
        places += float(lengths.sum()) if lengths is not None else len(block.batch.x) * block.batch.x.shape[1]
    return subject.seconds * places / examples

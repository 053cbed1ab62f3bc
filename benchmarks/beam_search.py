"""Seconds of beam search with the states of earlier steps kept, and with all computed again at each step.

Run: python benchmarks/beam_search.py
"""

from __future__ import annotations

import time

import torch

from buttress.core import Column, DataSpec, Layout
from buttress.decoders._beam import beam_search
from buttress.decoders.cross_attention import CrossAttentionDecoder
from buttress.likelihoods.categorical import Categorical

LONGEST, SENTENCES, BEAM = 60, 4, 4


def main() -> None:
    torch.manual_seed(0)
    spec = DataSpec(Layout.text(8000, longest=LONGEST), given=(Column("source", symbols=8000, size=LONGEST),))
    decoder = CrossAttentionDecoder().build(spec, (1,), Categorical().build(spec)).eval()
    with torch.no_grad():
        decoder.out.bias[0] = -20.0  # no sentence ends, so that all steps are made
        source = torch.randint(4, 8000, (SENTENCES, LONGEST))
        z = decoder(torch.ones(SENTENCES, 1), {"source": source}).z
    found = {}
    for cached in (True, False):
        start = time.perf_counter()
        found[cached] = beam_search(decoder, z, BEAM, cached=cached)
        print(f"{'cached' if cached else 'uncached'}: {time.perf_counter() - start:.2f} s")
    assert torch.equal(found[True][0], found[False][0])


if __name__ == "__main__":
    main()

"""The 500-sample NLL of 1,000 images, 28 x 28: time and peak memory.

python benchmarks/nll_memory.py
"""

from __future__ import annotations

import resource
import time

import torch

from buttress.core import DataSpec, Layout
from buttress.core.model import LatentVariableModel
from buttress.decoders.mlp import MlpDecoder
from buttress.diagnostics.estimators.marginal_likelihood import marginal_likelihood
from buttress.encoders.mlp import MlpEncoder
from buttress.likelihoods.bernoulli import Bernoulli
from buttress.posteriors.gaussian import GaussianPosterior
from buttress.priors.standard_normal import StandardNormal


def main() -> None:
    """Print the figures."""
    torch.manual_seed(0)
    spec = DataSpec(Layout.image(1, 28, 28))
    parts = (MlpEncoder((512,)), GaussianPosterior(16), StandardNormal(), MlpDecoder((512,)), Bernoulli())
    model = LatentVariableModel(spec, *parts)
    batches = list((torch.rand(1000, 1, 28, 28) < 0.3).float().split(100))
    begin = time.perf_counter()
    found = marginal_likelihood(model, batches, samples=500)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"NLL {found.value:.2f} nats, {time.perf_counter() - begin:.1f} s, peak memory of the process {peak:.2f} GB")


if __name__ == "__main__":
    main()

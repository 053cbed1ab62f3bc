"""All quantisers stand beside each other in one comparison, and settings of a remedy reach its posterior."""

from __future__ import annotations

from dataclasses import replace
from queue import SimpleQueue

import numpy as np
import pytest

from buttress.baseline import baseline
from buttress.core import Training, remedy
from buttress.core.recipe import Recipe
from buttress.data.images import Images
from buttress.decoders.conv import ConvDecoder
from buttress.diagnostics.evidence import Evidence
from buttress.encoders.conv import ConvEncoder
from buttress.experiments.compare import arms
from buttress.experiments.one_run import run_one
from buttress.report.latent import load_latent

QUANTISERS = (
    "vector_quantized:codes=4:dim=2",
    "vector_quantized:codes=4:dim=2:learning=gradient:gradient=rotation:revive=1000",
    "residual_quantized:codes=3:dim=2:stages=2",
    "finite_scalar_quantized:levels=[3,2]",
    "gumbel_softmax:codes=4:dim=2",
)


@pytest.fixture
def recipe(tmp_path) -> Recipe:
    """Codes at each of 2 x 2 places."""
    x = np.random.default_rng(0).integers(0, 256, (60, 8, 8), dtype=np.uint8)
    np.save(tmp_path / "images.npy", x)
    data = Images(str(tmp_path / "images.npy"))
    plain = baseline(data, data.open().spec)
    settings = Training(steps=12, batch_size=8, validate_every=6, checkpoint_every=12)
    return replace(
        plain, encoder=ConvEncoder((2, 2), blocks=0), decoder=ConvDecoder((2, 2), blocks=0), training=settings
    )


def test_quantisers_fit_side_by_side(recipe):
    assert [arm.name for arm in arms(recipe, QUANTISERS)[0]] == list(QUANTISERS)


@pytest.mark.parametrize("name", QUANTISERS)
def test_a_run_of_a_comparison_measures_the_codes_of_each(recipe, name, tmp_path):
    """In this process: what a worker of a comparison does."""
    ((arm,), _) = arms(recipe, [name])
    little = {"nll_samples": 2, "nll_examples": 4, "gap_steps": 0, "seed": 0}
    run_one(arm.recipe.to_yaml(), str(tmp_path), "run", little, None, SimpleQueue())
    found = Evidence.load(tmp_path / "run" / "evidence.json").estimates
    assert 1 <= found["code_perplexity"].value <= found["code_perplexity"].ceiling
    assert 1 <= found["codes_used"].value <= found["codes_used"].ceiling
    assert load_latent(tmp_path / "run" / "latent.json").codes


def test_settings_of_the_codebook_reach_the_posterior(recipe):
    chosen = remedy.apply(
        "vector_quantized:learning=gradient:gradient=rotation:start=random:revive=7", recipe
    ).posterior
    assert (chosen.learning, chosen.gradient, chosen.start, chosen.revive) == ("gradient", "rotation", "random", 7)
    with pytest.raises(ValueError, match="learning"):
        remedy.apply("vector_quantized:learning=kmeans", recipe)

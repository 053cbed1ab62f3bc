"""All quantisers stand beside each other in one comparison, and settings of a remedy reach its posterior."""

from __future__ import annotations

from dataclasses import replace
from queue import SimpleQueue

import numpy as np
import pytest

from buttress.baseline import baseline
from buttress.core import DataSpec, Layout, Training, remedy
from buttress.core.recipe import Recipe
from buttress.data.images import Images
from buttress.data.linear_gaussian import LinearGaussianData
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


@pytest.mark.parametrize(
    ("levels", "field"),
    [
        ("residual_quantized:stages=5", "stages"),
        ("hierarchical_quantized:levels=5", "levels"),
        ("vector_quantized:slots=5", "slots"),
        ("finite_scalar_quantized:slots=5", "slots"),
        ("gumbel_softmax:slots=5", "slots"),
    ],
)
def test_levels_are_left_out_whatever_they_are_called(recipe, levels, field):
    many = remedy.apply(levels, recipe)
    assert remedy.apply("fewer_levels", many).posterior == many.posterior.replace(**{field: 3})
    one = remedy.apply("fewer_levels:levels=1", many)
    assert getattr(one.posterior, field) == 1
    with pytest.raises(remedy.DoesNotFit, match=f"wanted 1 to 4, as z has {field} = 5"):
        remedy.apply("fewer_levels:levels=5", many)
    with pytest.raises(remedy.DoesNotFit, match=f"{field} = 1 already"):
        remedy.apply("fewer_levels", replace(one, remedies=()))


@pytest.mark.parametrize("before", ["hierarchical_quantized:levels=3+level_dropout", "residual_quantized:dropout=0.5"])
def test_one_level_is_not_left_with_a_dropout_of_levels(recipe, before):
    assert remedy.apply(f"{before}+fewer_levels:levels=2", recipe).posterior.dropout == 0.5
    with pytest.raises(remedy.DoesNotFit, match=r"posterior.dropout is 0.5.* keep 2 levels"):
        remedy.apply(f"{before}+fewer_levels:levels=1", recipe)


def test_what_brings_a_posterior_is_advised_where_it_fits(recipe):
    with pytest.raises(remedy.DoesNotFit, match=r"; put it behind hierarchical_quantized$"):
        remedy.apply("level_dropout+hierarchical_quantized", recipe)
    table = baseline(LinearGaussianData(), DataSpec(Layout.table(8)))
    with pytest.raises(remedy.DoesNotFit, match=r"; put it behind residual_quantized$"):
        remedy.apply("fewer_levels", table)
    with pytest.raises(remedy.DoesNotFit, match=r"; leave it out$"):
        remedy.apply("level_dropout", table)
    with pytest.raises(remedy.DoesNotFit, match=r"try --encoder conv \(it needs two place axes, as images have\)$"):
        remedy.apply("hierarchical_quantized", table)


def test_level_dropout_wants_maps_and_a_share_and_comes_once(recipe):
    maps = remedy.apply("hierarchical_quantized:levels=2", recipe)
    assert remedy.apply("level_dropout:dropout=0.25", maps).posterior == maps.posterior.replace(dropout=0.25)
    with pytest.raises(remedy.DoesNotFit, match=r"dropout is 0\.0, wanted a share above 0"):
        remedy.apply("level_dropout:dropout=0.0", maps)
    with pytest.raises(remedy.DoesNotFit, match="one map of codes"):
        remedy.apply("level_dropout", remedy.apply("hierarchical_quantized:levels=1", recipe))
    with pytest.raises(remedy.DoesNotFit, match=r"dropout is 0\.5 already"):
        remedy.apply("level_dropout", replace(maps, posterior=maps.posterior.replace(dropout=0.5)))
    with pytest.raises(remedy.DoesNotFit, match="only this has maps of codes"):
        remedy.apply("level_dropout", remedy.apply("residual_quantized", recipe))

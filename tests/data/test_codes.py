"""The codes of a run as data for a second model."""

from dataclasses import replace

import pytest
import torch

from buttress.algorithms.two_stage import TwoStage
from buttress.baseline import baseline
from buttress.core import Data, Space
from buttress.core.recipe import Recipe, Training
from buttress.core.registry import from_plain, to_plain
from buttress.core.remedy import apply
from buttress.data.codes import Codes
from buttress.data.linear_gaussian import LinearGaussianData
from buttress.data.source import detect
from buttress.decoders.mlp import MlpDecoder
from buttress.encoders.mlp import MlpEncoder
from buttress.likelihoods.gaussian import GaussianLikelihood
from buttress.objectives.elbo import ELBO
from buttress.posteriors.vector_quantized import VectorQuantized
from buttress.priors.recurrent import RecurrentPrior
from buttress.training.run import train

RECIPE = Recipe(
    LinearGaussianData(dim=4, latent_dim=2, n=120),
    MlpEncoder(hidden=(6,)),
    VectorQuantized(codes=300, dim=2, slots=3),
    RecurrentPrior(embedding=3, hidden=4),
    MlpDecoder(hidden=(6,)),
    GaussianLikelihood(),
    ELBO(),
    TwoStage(first=0.5),
    Training(steps=8, batch_size=8, validate_every=8, checkpoint_every=8),
)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return train(RECIPE, tmp_path_factory.mktemp("runs") / "first", progress=False)


def test_codes_are_those_of_the_run_in_its_order(run, own_cache):
    splits, source = Codes(str(run.folder)).open(), run.splits()
    assert (splits.spec.kind, splits.spec.shape, splits.spec.vocabulary) == ("image", (1, 1, 3), 300)
    for mine, theirs in ((splits.train, source.train), (splits.held_out, source.held_out)):
        assert len(mine) == len(theirs)
        index = torch.tensor([3, 0, 5])
        codes = run.model.posterior(theirs.batch(index)).sample()
        assert mine.batch(index).dtype == torch.int32
        assert torch.equal(mine.batch(index).flatten(1).long(), codes)
        assert torch.equal(mine.batch(index, slice(1, 3)).flatten(1).long(), codes[1:])


def test_they_are_made_once(run, own_cache, monkeypatch):
    first = Codes(str(run.folder)).open().train.batch(torch.arange(4))
    made = []
    monkeypatch.setattr("buttress.data.codes._encode", lambda *job: made.append(job))
    assert torch.equal(Codes(str(run.folder)).open().train.batch(torch.arange(4)), first)
    assert not made


def test_the_command_line_knows_a_run_by_its_folder(run):
    found = detect(str(run.folder))
    assert found == Codes(str(run.folder)) and from_plain(Data, to_plain(found)) == found


def test_a_second_model_is_trained_on_them(run, own_cache, tmp_path):
    data = Codes(str(run.folder))
    recipe = baseline(data, data.open().spec)
    assert (recipe.likelihood.levels, recipe.likelihood.ordinal, recipe.decoder.name()) == (300, False, "pixelcnn")
    recipe = apply("vector_quantized:codes=8:slots=2", recipe)
    recipe = replace(recipe, training=replace(RECIPE.training, steps=4, checkpoint_every=4))
    second = train(recipe, tmp_path / "second", progress=False)
    drawn = second.sample(3)
    assert drawn.shape == (3, 1, 1, 3) and int(drawn.min()) >= 0 and int(drawn.max()) < 300


def test_runs_without_codes_are_refused(run, monkeypatch):
    monkeypatch.setattr(type(run.model.inference), "space", property(lambda _: Space((2,))))
    monkeypatch.setattr("buttress.training.run.Run.load", lambda _: run)
    with pytest.raises(ValueError, match="made of real numbers, wanted codes"):
        Codes(str(run.folder)).open()


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="holds no trained run"):
        Codes(str(tmp_path)).open()

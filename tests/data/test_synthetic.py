"""Sets with known truth follow it, and the embedded set is what it says."""

from dataclasses import replace
from importlib import metadata

import numpy as np
import pytest
import torch

from buttress.core import EOS
from buttress.core.recipe import Recipe
from buttress.data.linear_gaussian import LinearGaussianData
from buttress.data.lstm_text import LstmText
from buttress.data.made_translations import MadeTranslations
from buttress.data.mnist5k import Mnist5k
from buttress.data.reading.tokens import decode
from buttress.training.batch_sampler import BatchSampler

SMALL = LstmText(hidden=6, words=3, length=2, train=4000, held_out=20, test=30)


def whole(examples):
    return examples.batch(torch.arange(len(examples)))


def test_linear_gaussian_rows_have_the_true_mean_and_covariance():
    data = LinearGaussianData(dim=4, latent_dim=2, noise=0.3, n=40_000)
    splits = data.open()
    x = torch.cat([whole(splits.train), whole(splits.held_out)])
    covariance = data.weight @ data.weight.T + data.sigma**2 * torch.eye(4)
    torch.testing.assert_close(x.mean(0), data.mean, atol=5 * float(covariance.diag().max() / 40_000) ** 0.5, rtol=0)
    torch.testing.assert_close(x.T.cov(), covariance, atol=0.03 * float(covariance.max()), rtol=0)


def test_linear_gaussian_depends_on_its_seed_alone():
    data = LinearGaussianData(n=50)
    assert torch.equal(whole(data.open().train), whole(LinearGaussianData(n=50).open().train))
    assert not torch.equal(data.weight, replace(data, seed=1).weight)
    assert torch.equal(data.weight, replace(data, n=99).weight)


@pytest.mark.parametrize("settings", [{"dim": 0}, {"noise": 0.0}, {"n": -1}, {"seed": -1}])
def test_impossible_linear_gaussians_are_refused(settings):
    with pytest.raises(ValueError, match="wanted"):
        LinearGaussianData(**settings)


def all_sentences(part):
    pairs = torch.cartesian_prod(*[torch.arange(4, 4 + part.words)] * part.length)
    return torch.cat([pairs, torch.full((len(pairs), 1), EOS)], 1)


@pytest.mark.usefixtures("own_cache")
def test_true_probabilities_of_all_sentences_add_up_to_one_and_are_those_drawn():
    generator = SMALL.generator()
    every = all_sentences(SMALL)
    z = torch.tensor([[0.7, -0.2]])
    p = generator.log_prob(every, z.expand(len(every), 2)).exp()
    torch.testing.assert_close(p.sum(), torch.tensor(1.0))
    drawn = generator.sample(z.expand(20_000, 2), torch.Generator().manual_seed(0))
    share = (drawn[:, None] == every).all(-1).float().mean(0)
    assert ((share - p).abs() < 5 * (p * (1 - p) / 20_000).sqrt() + 1e-4).all()


def test_z_chooses_words_through_the_lstm_and_directly_but_never_the_first_one():
    x = all_sentences(SMALL)
    for direct in (0.0, 3.0):
        generator = replace(SMALL, direct=direct).generator()
        one, other = (generator.log_prob(x, torch.full((len(x), 2), value)).exp() for value in (-1.0, 1.0))
        assert (one - other).abs().max() > 0.01
        first = torch.stack([p[x[:, 0] == word].sum() for p in (one, other) for word in x[:, 0].unique()])
        torch.testing.assert_close(first, torch.full((6,), 1 / 3))
    assert replace(SMALL, direct=0.0).generator().direct.weight.abs().max() == 0
    assert 1 < LstmText().generator().direct.weight.abs().max() <= 3


def test_the_means_of_the_mixture_are_the_published_ones():
    assert sorted(LstmText().generator().means().tolist()) == [[-2, -2], [-2, 2], [2, -2], [2, 2]]


@pytest.mark.usefixtures("own_cache")
@pytest.mark.parametrize("dims", [1, 2, 3])
def test_z_follows_its_mixture(dims):
    part = replace(SMALL, latent_dim=dims, train=20_000)
    z, means = part.latents(), part.generator().means()
    assert z.shape == (20_050, dims) and len(means.unique(dim=0)) == 4
    torch.testing.assert_close(z.mean(0), means.mean(0), atol=0.1, rtol=0)
    torch.testing.assert_close(z.var(0), 1 + means.var(0, unbiased=False), rtol=0.05, atol=0)
    if dims == 1:
        grid = torch.linspace(-20, 20, 4001)[:, None]
        mass = part.generator().log_prior(grid).exp().sum() * 0.01
        torch.testing.assert_close(mass, torch.tensor(1.0), rtol=1e-4, atol=0)


@pytest.mark.usefixtures("own_cache")
def test_generated_text_is_text():
    splits = SMALL.open()
    assert (len(splits.train), len(splits.held_out), len(SMALL.test_examples())) == (4000, 20, 30)
    assert splits.spec.shape == (3,) and splits.spec.vocabulary == 7
    x = whole(splits.train)
    assert (x[:, -1] == EOS).all() and x[:, :-1].min() == 4 and x.max() == 6
    assert set(" ".join(decode(splits.spec, x[:50])).split()) == {"w0", "w1", "w2"}
    assert (splits.train.lengths == 3).all()
    before = torch.equal(x, whole(replace(SMALL, seed=1).open().train))
    assert not before and torch.equal(x, whole(replace(SMALL).open().train))


@pytest.mark.usefixtures("own_cache")
def test_sentences_were_drawn_given_their_own_z():
    part = replace(SMALL, hidden=20, words=30, length=4, train=1000)
    x, z, generator = whole(part.open().train), part.latents()[:1000], part.generator()
    own = generator.log_prob(x, z).mean()
    assert own > generator.log_prob(x, z.roll(1, 0)).mean() + 1


@pytest.mark.parametrize("settings", [{"words": 1}, {"length": 0}, {"train": 0}, {"spread": -1.0}, {"direct": -1.0}])
def test_impossible_generators_are_refused(settings):
    with pytest.raises(ValueError, match="wanted at least 2 words"):
        LstmText(**settings)


def test_mnist5k_is_mnist():
    splits = Mnist5k().open()
    x = whole(splits.held_out)
    assert x.dtype == torch.uint8 and x.shape[1:] == splits.spec.shape == (1, 28, 28)
    assert len(splits.train) + len(splits.held_out) == 5000
    assert splits.labels.shape == (len(x),) and len(splits.labels.unique()) == 10
    ink = torch.stack([x[splits.labels == digit].float().mean() for digit in range(10)])
    assert ink.argmax() == 0 and ink.argmin() == 1  # the fattest and the thinnest digit: labels match images
    assert BatchSampler(len(splits.train), 64, 0).indices(0).shape == (64,)


def test_mnist5k_says_what_to_install(monkeypatch):
    def absent(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", absent)
    with pytest.raises(ValueError, match=r"pip install 'buttress\[demo\]'"):
        Mnist5k().open()


def test_mnist5k_is_among_the_mnist_images(shared_data):
    with np.load(shared_data / "mnist.npz") as mnist:
        known = {row.tobytes() for name in ("x_train", "x_test") for row in mnist[name]}
    held_out = whole(Mnist5k().open().held_out)
    assert np.mean([row.numpy().tobytes() in known for row in held_out]) > 0.99


def test_data_parts_stand_in_recipes():
    from buttress.baseline import baseline
    from buttress.data.images import Images
    from buttress.data.sentences import Sentences

    recipe = baseline(LinearGaussianData(n=50), LinearGaussianData(n=50).open().spec)
    for data in (Images("a", resize=(4, 5)), Sentences(("a.txt", "b.txt"), limit=5), Sentences("a.txt")):
        changed = replace(recipe, data=data)
        assert Recipe.from_yaml(changed.to_yaml()) == changed


def test_made_translations_follow_their_rule():
    data = MadeTranslations(train=400, held_out=50, words=7, shortest=2, longest=5)
    splits, table = data.open(), {}
    for examples in (splits.train, splits.held_out):
        batch = examples.read(torch.arange(len(examples)))
        pairs = zip(decode(splits.spec, batch.given["source"]), decode(splits.spec, batch.x), strict=True)
        for source, target in ((source.split(), target.split()) for source, target in pairs):
            if source[0] in ("s1", "s3", "s5", "s7"):  # turned back
                target = [*target[1:], target[0]]
            assert 2 <= len(source) <= 5
            for word, other in zip(source, reversed(target), strict=True):
                assert table.setdefault(word, other) == other
    assert len(table) == len(set(table.values())) == 7
    assert {word[0] for word in table} == {"s"} and {word[0] for word in table.values()} == {"t"}
    assert torch.equal(whole(splits.train), whole(data.open().train))
    with pytest.raises(ValueError, match="shortest is 6 and longest is 5"):
        replace(data, shortest=6)

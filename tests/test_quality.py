"""What samples are judged by, against closed forms and sets whose answer is known."""

from __future__ import annotations

import pytest
import torch

from buttress.quality.accuracy_score import classification_accuracy_score
from buttress.quality.classifier import fit_classifier
from buttress.quality.frechet import frechet_distance
from buttress.quality.manifold import precision_recall
from buttress.quality.rejection import surest

SMALL = {"steps": 120, "width": 8, "batch_size": 32}


def stripes(n, seed, noise=30.0):
    """Images with horizontal stripes, vertical ones, or none."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(3, (n,), generator=generator)
    lines = 100.0 * (torch.arange(12) // 2 % 2)
    shapes = torch.stack([lines[:, None].expand(12, 12), lines.expand(12, 12), torch.full((12, 12), 50.0)])
    return shapes[labels][:, None] + noise * torch.randn(n, 1, 12, 12, generator=generator), labels


def gaussian(n, seed, mean=0.0, scale=1.0):
    return mean + scale * torch.randn(n, 4, generator=torch.Generator().manual_seed(seed))


def test_the_distance_of_gaussians_is_the_closed_form():
    scale = torch.tensor([1.0, 2.0, 0.5, 1.0])
    one, other = gaussian(20_000, 0), gaussian(20_000, 1, mean=1.0) * scale
    assert frechet_distance(one, other) == pytest.approx(float((scale.square() + (scale - 1).square()).sum()), 0.05)
    turned = gaussian(20_000, 1) @ torch.tensor([[1.0, 1, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    own, far = frechet_distance(turned, turned), frechet_distance(one, turned)
    # cov [[1, 1], [1, 2]] has eigenvalues (3 +- sqrt 5) / 2, whose roots sum to sqrt 5
    assert own == pytest.approx(0, abs=1e-9) and far == pytest.approx(2 + 3 - 2 * 5**0.5, abs=0.05)
    assert frechet_distance(one, gaussian(20_000, 2)) < 0.01
    assert frechet_distance(one[:, :1], one[:, :1] + 2) == pytest.approx(4)


def test_few_examples_of_one_distribution_seem_further_apart_than_many():
    few, many = (frechet_distance(gaussian(n, 0), gaussian(n, 1)) for n in (20, 2000))
    assert few > 10 * many
    with pytest.raises(ValueError, match="got 20 and 30 examples, wanted as many of both"):
        frechet_distance(gaussian(20, 0), gaussian(30, 1))


def test_precision_and_recall_of_one_set_are_one_and_of_sets_apart_zero():
    one = gaussian(300, 0)
    assert precision_recall(one, one) == (1.0, 1.0)
    assert precision_recall(one, one + 100) == (0.0, 0.0)


def test_a_mode_that_is_never_drawn_lowers_recall_and_junk_lowers_precision():
    real = torch.cat([gaussian(200, 0), gaussian(200, 1, mean=20.0)])
    dropped = gaussian(400, 2)
    junk = torch.cat([gaussian(100, 3), gaussian(100, 4, mean=20.0), gaussian(200, 5, mean=-20.0)])
    same = precision_recall(real, torch.cat([gaussian(200, 6), gaussian(200, 7, mean=20.0)]))
    precision, recall = precision_recall(real, dropped)
    assert min(same) > 0.8 and precision > 0.8 and recall == pytest.approx(0.5, abs=0.05)
    precision, recall = precision_recall(real, junk)
    assert precision == pytest.approx(0.5, abs=0.05) and recall > 0.7
    with pytest.raises(ValueError, match="and more than k"):
        precision_recall(real[:3], real[:3])


def test_a_classifier_learns_the_classes_and_the_score_of_real_data_is_its_accuracy():
    x, y = stripes(400, 0)
    others, labels = stripes(300, 1)
    state = torch.get_rng_state()
    classifier = fit_classifier(x, y, 3, **SMALL)
    assert torch.equal(torch.get_rng_state(), state)
    accuracy = classifier.accuracy(others, labels)
    assert accuracy > 0.9 and classifier.features(others).shape == (300, 16)
    torch.testing.assert_close(classifier.probabilities(others).sum(1), torch.ones(300))
    assert classification_accuracy_score(x, y, others, labels, 3, **SMALL) == accuracy
    assert classification_accuracy_score(x, y, others, (labels + 1) % 3, 3, **SMALL) < 0.1
    chance = classification_accuracy_score(x, y[torch.randperm(400)], others, labels, 3, **SMALL)
    assert chance < 0.7


def test_a_classifier_refuses_what_it_cannot_learn_from():
    x, y = stripes(20, 0)
    with pytest.raises(ValueError, match="20 images and 19 labels"):
        fit_classifier(x, y[1:], 3)
    with pytest.raises(ValueError, match="wanted 0 to 1"):
        fit_classifier(x, torch.full((20,), 2), 2)


def test_of_each_class_the_same_share_is_kept_and_the_rest_was_less_sure():
    torch.manual_seed(0)
    p, labels = torch.rand(100, 3).softmax(1), torch.randint(3, (100,))
    kept = surest(p, labels, 0.25)
    sure = p.gather(1, labels[:, None])[:, 0]
    for label in range(3):
        own, mine = labels == label, kept[labels[kept] == label]
        assert len(mine) == -(-int(own.sum()) // 4)
        rest = torch.tensor(sorted({*own.nonzero()[:, 0].tolist()} - {*mine.tolist()}))
        assert sure[mine].min() >= sure[rest].max()
    assert surest(p, labels, 1.0).tolist() == list(range(100))
    with pytest.raises(ValueError, match="above 0 and at most 1"):
        surest(p, labels, 0.0)

"""The probe of labels on z whose best accuracy is known."""

import pytest
import torch
from closed_forms import close, data, normals, toy
from torch.distributions import Categorical, Independent, Normal

from buttress.diagnostics.diagnose import diagnose
from buttress.diagnostics.estimators.probe import chance, class_numbers, label_accuracy
from buttress.diagnostics.protocol import Adapter


def labelled(n=600, distance=2.0):
    """Two classes on a line, their means ``distance`` apart, each with variance one."""
    y = torch.arange(n) % 2
    return torch.randn(n, 1) + distance * (y[:, None] - 0.5), y


def test_it_reaches_the_best_accuracy_of_two_normals():
    x, y = labelled(2000)
    found = label_accuracy(toy(normals), list(x.split(300)), y)
    assert close(found, Normal(0.0, 1.0).cdf(torch.tensor(1.0)).item())
    assert found.n == 2000 and chance(y).value == 0.5 and chance(y).note == "of 2 labels"


def test_labels_without_z_are_guessed_like_the_commonest_one():
    y = (torch.arange(500) % 5 == 0).long()
    found = label_accuracy(toy(normals), [torch.randn(500, 1)], y)
    guessed = chance(y)
    assert close(found, 0.8) and guessed.value == 0.8 and guessed.error == pytest.approx((0.8 * 0.2 / 499) ** 0.5)


def test_means_that_differ_by_less_than_the_noise_are_told_apart_and_samples_are_not():
    x, y = labelled(distance=20.0)
    model = toy(lambda x: normals(x / 1e4))
    assert label_accuracy(model, [x], y).value == 1.0
    assert close(label_accuracy(model, [x], y, of="samples"), 0.5)


def test_labels_follow_their_examples_when_some_are_chosen():
    x, y = labelled(distance=20.0)
    order = torch.argsort(x[:, 0])
    found = label_accuracy(toy(normals), list(x[order].split(100)), y[order], examples=200)
    assert found.value == 1.0 and found.n == 200


def test_the_share_of_the_commonest_is_that_of_the_very_examples_that_are_probed():
    y = (torch.arange(900) < 300).long()
    seen = []
    label_accuracy(toy(lambda x: seen.append(x) or normals(x)), [y[:, None].float()], y, examples=90)
    assert chance(y, examples=90).value == (torch.cat(seen) == 0).double().mean().item() != 2 / 3


def test_discrete_codes_are_read_by_their_indicators():
    codes = torch.arange(300)[:, None] % 5
    y = codes[:, 0] % 2  # no threshold on the code tells it

    def posterior(x):
        return Independent(Categorical(logits=50.0 * torch.nn.functional.one_hot(x.long(), 5).float()), 1)

    prior = Independent(Categorical(logits=torch.zeros(1, 5)), 1)
    model = Adapter(posterior, lambda: prior, lambda x, z: torch.zeros(z.shape[:2]))
    assert label_accuracy(model, [codes], y).value == 1.0


def test_rare_labels_are_left_out_and_one_label_is_none():
    x, y = labelled(100, 20.0)
    y[:3] = torch.tensor([7, 8, 7])
    found = label_accuracy(toy(normals), [x], y)
    assert found.note == "3 examples of rarer labels left out" and found.n == chance(y).n == 97
    assert chance(torch.zeros(100, dtype=torch.int64)).value is None
    assert label_accuracy(toy(normals), [x], torch.zeros(100, dtype=torch.int64)).value is None
    with pytest.raises(ValueError, match=r"got shape \(99,\) for 100 examples"):
        label_accuracy(toy(normals), [x], y[:99])


def test_evidence_has_it_where_there_are_labels():
    x, y = labelled(60)
    found = diagnose(toy(normals), [x], labels=y, nll_samples=0, gap_steps=0).estimates
    assert 0.5 < found["label_accuracy_sampled"].value <= found["label_accuracy"].value <= 1
    assert found["label_accuracy_chance"].value == 0.5


def test_examples_without_a_label_are_left_out():
    model, batches = data(300)
    labels = (torch.cat(batches)[:, 0] > 0).long()
    whole = label_accuracy(model.vae(), batches, labels)
    labels[::5] = -1
    some = label_accuracy(model.vae(), batches, labels)
    assert (whole.n, some.n) == (300, 240) and "60 examples without a label left out" in some.note
    assert chance(labels).note == "of 2 labels"
    floats = labels.double().masked_fill(labels < 0, torch.nan)
    assert torch.equal(class_numbers(floats, 300), labels)

"""Codes beside the labels of their places, and the classifiers that judge converted sound."""

from __future__ import annotations

import math
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from sklearn.metrics import normalized_mutual_info_score
from torch.distributions import Categorical, Independent

from buttress.baseline import baseline
from buttress.core import Alignment, DataSpec, Layout
from buttress.data.linear_gaussian import LinearGaussianData
from buttress.diagnostics.diagnose import diagnose
from buttress.distributions.point import Point
from buttress.encoders.conv1d import Conv1dEncoder
from buttress.quality.code_labels import CodeLabels
from buttress.quality.frame_classifier import fit_frame_classifier
from buttress.training.place_labels import place_labels


def test_purity_and_information_against_closed_forms_and_sklearn():
    labels = torch.arange(6).repeat(50)
    named = CodeLabels.count((labels * 5 + 2) % 7, labels, 7, 6)  # each label has a code of its own
    assert (
        named.purity == 1
        and named.normalized_information == pytest.approx(1)
        and named.information == pytest.approx(math.log(6))
    )
    apart = CodeLabels.count(torch.arange(5).repeat_interleave(60), labels, 5, 6)
    assert apart.information == pytest.approx(0, abs=1e-12) and apart.purity == pytest.approx(1 / 6) == apart.chance
    torch.manual_seed(0)
    codes, labels = torch.randint(0, 9, (500,)), torch.randint(0, 4, (500,))
    codes[:300] = labels[:300] + 2
    found = CodeLabels.count(codes, labels, 9, 4)
    assert found.normalized_information == pytest.approx(normalized_mutual_info_score(labels, codes))
    assert sum(count for _, _, count, _ in found.rows("abcd")) == 500
    with pytest.raises(ValueError, match=r"0 places have labels"):
        CodeLabels.count(codes, labels.fill_(-1), 9, 4)


class Codes:
    """A model whose x are its codes, and come back right nearly always."""

    space = SimpleNamespace(shape=(6, 2), classes=4)

    def prior(self):
        return Independent(Categorical(torch.ones(6, 2, 4)), 2)

    def posterior(self, x):
        return Independent(Point(x), 2)

    def log_likelihood(self, x, z):
        return torch.where(x == z, 0.97, 0.01).double().log().flatten(2).sum(-1)


def test_a_diagnosis_says_what_codes_tell_of_the_labels_of_their_places():
    """The second of two codes at a place names its label in three cases of four; the first is noise."""
    torch.manual_seed(0)
    labels = torch.randint(0, 4, (400, 6))
    wrong = torch.rand(400, 6) < 0.25
    second = torch.where(wrong, torch.randint(0, 4, (400, 6)), (labels + 1) % 4)
    x = torch.stack([torch.randint(0, 4, (400, 6)), second], -1)
    labels[:, 5] = -1
    quick = {"nll_samples": 0, "gap_steps": 0, "kind": "table", "dims": 0}
    found = diagnose(Codes(), [x[:150], x[150:]], place_labels=labels, **quick).estimates
    right = 0.75 + 0.25 / 4
    assert found["place_accuracy"].value == pytest.approx(right, abs=0.03)
    assert found["place_purity"].value == pytest.approx(right, abs=0.03)
    assert found["place_chance"].value == pytest.approx(0.25, abs=0.03)
    assert "slot 1 of 2" in found["place_accuracy"].note and "2000 places" in found["place_accuracy"].note
    shuffled = labels[torch.randperm(400)]
    shuffled[:, :5] = shuffled[:, :5].flatten()[torch.randperm(2000)].view(400, 5)
    chance = diagnose(Codes(), [x], place_labels=shuffled, **quick).estimates
    assert chance["place_accuracy"].value < 0.32 and chance["place_information"].value < 0.02
    with pytest.raises(ValueError, match=r"place_labels: got shape \(3, 6\)"):
        diagnose(Codes(), [x], place_labels=labels[:3], **quick)


def test_places_of_z_are_labelled_at_the_middle_of_what_they_see():
    data = LinearGaussianData(n=20).open()
    spec = DataSpec(Layout.wave(100), rate=100, hop=1)
    recipe = baseline(LinearGaussianData(), spec)
    model = replace(recipe, encoder=Conv1dEncoder((2, 2, 2, 2), positions=True)).model(spec)
    assert place_labels(model, data.train) is None
    data.train.alignment = Alignment.of([[(0.0, 0.4, "a"), (0.4, 0.75, "b")], [(0.3, 2.0, "b")]])
    found = place_labels(model, data.train, torch.tensor([1, 0]))  # at 0, 0.16, ... 0.96 s
    assert found.tolist() == [[-1, -1, 1, 1, 1, 1, 1], [0, 0, 0, 1, 1, -1, -1]]


def test_frames_are_classified_by_what_is_around_them():
    """The class is the sign of the frame three before: no frame alone tells it."""
    torch.manual_seed(0)
    frames = torch.randn(200, 20, 3)
    labels = (frames[..., 0].roll(3, 1) > 0).long()
    labels[:, :3] = -1
    model = fit_frame_classifier(frames[:150], labels[:150], 2, steps=150, width=16)
    assert model.accuracy(frames[150:], labels[150:]) > 0.9
    with pytest.raises(ValueError, match=r"frame classifier: frames of shape"):
        fit_frame_classifier(frames, labels[:, :5], 2)

"""The cosine of features against pairs counted one by one and a jackknife done by leaving out; what is no feature."""

import pytest
import torch
from closed_forms import normals, toy
from torch.nn.functional import cosine_similarity

from buttress.diagnostics.diagnose import diagnose
from buttress.diagnostics.estimators.feature_cosine import feature_cosine

MODEL = toy(normals)


def measured(h, **settings):
    return feature_cosine(MODEL, list(h.split(7)), encode=lambda x: x, **settings)


def by_pairs(h):
    every = cosine_similarity(h[:, None], h[None], dim=-1)
    n = len(h)
    return ((every.sum() - n) / (n * (n - 1))).item()


def test_it_is_the_mean_over_pairs_and_its_error_the_jackknife():
    h = torch.randn(23, 4) + 1
    found = measured(h)
    assert found.value == pytest.approx(by_pairs(h), abs=1e-6)
    left_out = torch.tensor([by_pairs(torch.cat([h[:i], h[i + 1 :]])) for i in range(23)])
    assert found.error == pytest.approx((22 * left_out.var(correction=0)).sqrt().item(), rel=1e-4)
    assert found.n == 23 and found.ceiling == 1.0


def test_it_is_unbiased_and_its_error_is_right():
    found = [measured(torch.randn(40, 3, generator=torch.Generator().manual_seed(s)) + 1) for s in range(150)]
    values = torch.tensor([e.value for e in found])
    truth = measured(torch.randn(4000, 3, generator=torch.Generator().manual_seed(999)) + 1).value
    assert abs(values.mean() - truth) < 4 * values.std() / 150**0.5 + 0.01
    assert torch.tensor([e.error for e in found]).mean().item() == pytest.approx(values.std().item(), rel=0.2)


@pytest.mark.parametrize(
    ("h", "c"), [(torch.ones(9, 2, 3), 1.0), (torch.eye(8), 0.0), (torch.eye(2).repeat(4, 1), 3 / 7)]
)
def test_known_values(h, c):
    assert measured(h).value == pytest.approx(c, abs=1e-6)


def test_a_sample_is_said_to_be_one():
    assert measured(torch.randn(50, 3), examples=20).n == 20


@pytest.mark.parametrize(
    ("encode", "note"),
    [
        (lambda x: (x, x), "a tuple"),
        (lambda x: x[:3], r"shape \(3, 2\)"),
        (lambda x: x.long(), "int64"),
        (lambda x: x[:, 0], r"shape \(8,\)"),
    ],
)
def test_what_is_no_feature_is_left_out_with_a_reason(encode, note):
    found = feature_cosine(MODEL, [torch.randn(8, 2)], encode=encode)
    assert found.value is None
    with pytest.raises(AssertionError, match=note):
        raise AssertionError(found.note)


def test_evidence_has_it_where_the_model_or_the_caller_offers_features():
    x = [torch.rand(20, 2) + 5]
    model = toy(lambda x: normals(0 * x, 1.0), latents=2)
    quick = {"nll_samples": 0, "gap_steps": 0}
    assert "feature_cosine" not in diagnose(model, x, **quick).estimates
    evidence = diagnose(model, x, encode=lambda x: x, **quick)
    assert evidence.estimates["feature_cosine"].value > 0.99
    assert any("nearly the same for all x" in reason for reason in evidence.verdict.reasons)

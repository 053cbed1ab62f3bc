"""Scores of disentanglement: 1 on the factors themselves, chance on noise, and what each is blind to."""

from __future__ import annotations

import math

import pytest
import torch
from closed_forms import normals, toy

from buttress.core import Factors
from buttress.diagnostics.diagnose import diagnose
from buttress.diagnostics.estimators.beta_vae_score import beta_vae_score
from buttress.diagnostics.estimators.disentanglement import disentanglement
from buttress.diagnostics.estimators.factor_vae_score import factor_vae_score
from buttress.diagnostics.estimators.mutual_information_gap import (
    followed,
    information_matrix,
    mutual_information_gap,
)
from buttress.diagnostics.estimators.separated_attributes import separated_attributes
from buttress.diagnostics.representation import SameValue, representation

SIZES = (3, 4, 6, 16)
N = 1500


def some_factors(n: int = N, seed: int = 0) -> Factors:
    """A random choice of the combinations of a grid, so that factors are not quite independent."""
    generator = torch.Generator().manual_seed(seed)
    values = torch.stack([torch.randint(size, (n,), generator=generator) for size in SIZES], 1)
    return Factors(("shape", "scale", "turn", "x"), values, SIZES)


FACTORS = some_factors()
ITSELF = FACTORS.values.double() * torch.tensor([1.0, -2.0, 0.5, 0.1]).double()


def noise(d: int, n: int = N) -> torch.Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(1)).double()


def scores(z, factors=FACTORS):
    found = {
        "factor": factor_vae_score(z, factors),
        "beta": beta_vae_score(z, factors),
        "mig": mutual_information_gap(z, factors),
        "sap": separated_attributes(z, factors),
    }
    found |= disentanglement(z, factors)
    return {name: estimate.value for name, estimate in found.items()}


def test_all_are_1_on_the_factors_themselves():
    for z in (ITSELF, torch.cat([ITSELF, noise(3)], 1), ITSELF[:, [2, 0, 3, 1]]):
        for name, value in scores(z).items():
            assert value == pytest.approx(1, abs=0.02 if name in ("mig", "sap") else 1e-9), name


def test_all_are_at_chance_on_noise():
    found = scores(noise(8))
    assert found["factor"] < 1 / 4 + 0.06 and found["beta"] < 1 / 4 + 0.06
    assert max(found[name] for name in ("mig", "sap", "disentanglement", "completeness")) < 0.02
    guess = sum(torch.bincount(f).max().item() for f in FACTORS.values.T) / N / 4
    assert abs(found["informativeness"] - guess) < 0.05


def test_all_lie_between_where_factors_are_mixed():
    z = (ITSELF / ITSELF.std(0)) @ torch.linalg.qr(noise(4, 4))[0]
    found = scores(z)
    for name in ("mig", "sap", "disentanglement", "completeness"):
        assert 0.02 < found[name] < 0.7, name
    assert found["informativeness"] > 0.5 and found["factor"] > 0.6  # a generous score


def test_a_factor_told_twice_costs_what_looks_for_one_coordinate_and_nothing_else():
    found = scores(torch.cat([ITSELF, ITSELF], 1))
    assert found["factor"] == found["beta"] == 1 and found["disentanglement"] == pytest.approx(1)
    assert found["mig"] < 1e-9 and found["sap"] < 1e-9 and found["completeness"] < 0.95


def test_two_factors_in_one_coordinate_cost_disentanglement():
    both = ITSELF[:, :1] * 10 + FACTORS.values[:, 1:2]  # each pair of values is a value of its own
    found = scores(torch.cat([both, ITSELF[:, 2:]], 1))
    assert found["disentanglement"] < 0.9 and found["completeness"] > 0.95 and found["informativeness"] == 1
    assert found["factor"] < 0.9


def test_information_is_that_of_counts_and_corrected_for_few_examples():
    shares = information_matrix(torch.cat([ITSELF, noise(1)], 1), FACTORS)
    assert torch.diagonal(shares).tolist() == pytest.approx([1.0] * 4) and shares[4].max() < 0.03
    parity = (FACTORS.values[:, 3:] % 2).double()  # one bit of 16 values: ln 2 of ln 16
    assert information_matrix(parity, FACTORS)[0, 3].item() == pytest.approx(0.25, abs=0.005)
    assert followed(shares, FACTORS.names)[3:] == ("x 1.00", "")


@pytest.mark.parametrize("score", [mutual_information_gap, separated_attributes])
def test_errors_are_the_spread_over_sets_of_examples(score):
    found = []
    for seed in range(40):
        factors = some_factors(400, seed)
        z = factors.values.double() + 1.5 * torch.randn(400, 4, generator=torch.Generator().manual_seed(seed))
        found.append(score(torch.cat([z, z[:, :1] + z[:, 1:2]], 1), factors))
    spread = torch.tensor([one.value for one in found]).std().item()
    assert 0.6 < sum(one.error for one in found) / len(found) / spread < 1.6


def test_variance_that_many_values_explain_by_chance_is_taken_off():
    x = Factors(("x",), FACTORS.values[:64, 3:], (16,))
    few = [separated_attributes(column[:, None], x).value for column in noise(40, 64).T]
    assert sum(few) / 40 < 0.08  # by chance sixteen values explain a quarter of the variance of 64 numbers


def test_coordinates_that_hardly_move_are_left_out_of_every_score():
    z = torch.cat([ITSELF / ITSELF.std(0), 0.04 * ITSELF[:, :1] / ITSELF[:, :1].std()], 1).float()
    model = toy(lambda x: normals(x, 0.5), 5)
    found = representation(model, [z[:700], z[700:]], FACTORS)
    assert found.z.shape == (N, 5) and found.z[:, 4].abs().max() == 0
    assert scores(found.z)["mig"] == pytest.approx(1, abs=0.02)  # the small twin of the shape would cost its gap


def test_examples_drawn_share_the_value_of_their_factor():
    same, k = SameValue(FACTORS), torch.arange(400) % 4
    index = same.draw(k, 16, torch.Generator().manual_seed(0))
    values = FACTORS.values[index, k[:, None]]
    assert (values == values[:, :1]).all() and index.unique().numel() > N / 2


def test_scores_say_why_they_are_not_measured():
    lonely = Factors.of({"x": list(range(10)) * 2, "y": [0, 1] * 10})
    assert factor_vae_score(noise(2, 20), lonely).value is None
    assert beta_vae_score(noise(2, 20), lonely).value is None
    still = torch.zeros(N, 3).double()
    assert factor_vae_score(still, FACTORS).value == beta_vae_score(still, FACTORS).value == 0.25
    assert disentanglement(still, FACTORS)["completeness"].value is None
    assert mutual_information_gap(still, FACTORS).value == separated_attributes(still, FACTORS).value == 0


def test_a_diagnosis_scores_where_factors_are_known_and_names_what_each_dimension_follows():
    z = torch.cat([ITSELF / ITSELF.std(0), noise(1)], 1).float()
    model = toy(lambda x: normals(x, 0.5), 5, lambda x, z: -(x - z).square().sum(-1))
    quick = {"nll_samples": 0, "gap_steps": 0}
    evidence = diagnose(model, [z], factors=FACTORS, **quick)
    names = {"factor_vae_score", "beta_vae_score", "mutual_information_gap", "separated_attributes", "disentanglement"}
    assert {name: round(evidence.estimates[name].value, 1) for name in names} == dict.fromkeys(names, 1.0)
    assert [name.split()[0] if name else "" for name in evidence.groups.followed] == ["shape", "scale", "turn", "x", ""]
    assert type(evidence).from_json(evidence.to_json()) == evidence
    again = diagnose(model, [z], factors=dict(zip(FACTORS.names, FACTORS.values.T, strict=True)), **quick)
    assert again.estimates["factor_vae_score"] == evidence.estimates["factor_vae_score"]
    without = diagnose(model, [z], **quick)
    assert not names & without.estimates.keys() and without.groups.followed == ()
    with pytest.raises(ValueError, match="factors: got those of 3 examples, wanted 1,500"):
        diagnose(model, [z], factors=[[0], [1], [1]], **quick)
    assert math.isfinite(evidence.estimates["total_correlation"].value)

"""The model as it was given: no mode is forgotten, nothing is changed, and one bad example is named."""

import pytest
import torch
from closed_forms import normals
from torch import nn
from torch.distributions import Independent, Laplace, Normal, TanhTransform, TransformedDistribution
from torch.nn import functional

from buttress.diagnostics.check import check
from buttress.diagnostics.diagnose import diagnose
from buttress.diagnostics.modules import Kept, noticing
from buttress.diagnostics.protocol import Adapter

X = torch.randn(300, 6, generator=torch.Generator().manual_seed(0))
QUICK = {"nll_samples": 0, "gap_steps": 0}


def model(posterior, log_likelihood=None):
    usual = lambda x, z: Normal(torch.cat([z] * 3, -1), 0.7).log_prob(x).sum(-1)  # noqa: E731
    return Adapter(posterior, lambda: normals(torch.zeros(2)), log_likelihood or usual)


class Hidden:
    """Keeps its module where nobody looks."""

    __slots__ = ("_held",)

    def __init__(self, net):
        self._held = net

    def __call__(self, x):
        return self._held(x)


@pytest.mark.parametrize("net", [nn.Dropout(0.5), nn.BatchNorm1d(6)], ids=["dropout", "batch norm"])
def test_a_module_that_hides_is_measured_in_eval_mode_and_left_as_it_was(net):
    hidden = Hidden(net)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    found = diagnose(model(lambda x: normals(hidden(x)[:, :2], 0.3)), list(X.split(100)), **QUICK)
    assert type(net).__name__ in " ".join(found.notes) and net.training
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    seen = model(lambda x: normals(net(x)[:, :2], 0.3))
    assert diagnose(seen, list(X.split(100)), **QUICK).estimates == found.estimates


def test_case_22_measures_the_encoder_without_its_dropout():
    drop = nn.Dropout(0.5)
    found = diagnose(model(lambda x: normals(drop(x)[:, :2], 0.3)), list(X.split(100)), **QUICK)
    plain = diagnose(model(lambda x: normals(x[:, :2], 0.3)), list(X.split(100)), **QUICK)
    assert found.estimates == plain.estimates and "Dropout" in found.notes[0]


def test_running_statistics_in_a_closure_stay_and_batch_statistics_are_refused():
    mean, variance = torch.zeros(6), torch.ones(6)
    read = lambda x: normals(functional.batch_norm(x, mean, variance, training=True)[:, :2], 0.3)  # noqa: E731
    with pytest.raises(ValueError, match="batch normalisation"):
        diagnose(model(read), list(X.split(100)), **QUICK)
    assert mean.tolist() == [0.0] * 6 and variance.tolist() == [1.0] * 6


def test_a_count_that_calls_change_is_put_back_and_told():
    count = torch.zeros(())

    def read(x):
        count.add_(1)
        return normals(x[:, :2], 0.3)

    found = diagnose(model(read), list(X.split(100)), **QUICK)
    assert count.item() == 0 and any("changes 1 of its tensors" in note for note in found.notes)
    assert not any("changes" in note for note in diagnose(model(lambda x: normals(x[:, :2])), [X], **QUICK).notes)


def test_buffers_of_modules_are_kept_and_parameters_and_data_are_not_copied():
    net, large = nn.BatchNorm1d(6), torch.zeros(2**20 + 1)
    kept = Kept(lambda x: net(x) + large[0])
    net(X)
    assert kept.restore() == 3 and net.num_batches_tracked == 0 and kept.restore() >= 0
    assert len(kept._as_they_were) == 3


def test_other_threads_and_modes_are_left_alone():
    from threading import Thread

    net, found, seen = nn.Dropout(0.5), [], []
    with noticing(found):
        thread = Thread(target=lambda: seen.append(net(torch.ones(100))))
        thread.start()
        thread.join()
    assert found == [] and (seen[0] == 0).any()


def test_dropout_is_noticed_in_a_family_whose_parameters_are_not_known():
    def read(x):
        base = Normal(functional.dropout(x, 0.5)[:, :2], 0.3)
        return Independent(TransformedDistribution(base, [TanhTransform()]), 1)

    with pytest.raises(ValueError, match="differs from one call to the next: is dropout on"):
        check(model(read), list(X.split(100)))


# --- one bad example ---


def broken_at(row, value, validate):
    def read(x):
        bad = (x == X[row]).all(-1, keepdim=True)
        loc = torch.where(bad, value, x[:, :2])
        return Independent(Normal(loc, torch.full_like(loc, 0.3), validate_args=validate), 1)

    return model(read)


@pytest.mark.parametrize("row", [7, 231])
def test_an_example_whose_posterior_is_nan_is_named_and_not_blamed_on_the_decoder(row):
    for validate, message in ((True, f"failed for example {row} "), (False, f"gives NaN in loc for example {row} ")):
        with pytest.raises(ValueError, match=rf"^posterior\(x\) {message}.*whose x is finite") as caught:
            diagnose(broken_at(row, torch.nan, validate), list(X.split(100)), **QUICK)
        assert "\n" not in str(caught.value) and "log_likelihood" not in str(caught.value)


def test_an_infinite_mean_is_named():
    with pytest.raises(ValueError, match=r"gives an infinite number in loc for example 150 \(row 50 of batch 1\)"):
        diagnose(broken_at(150, torch.inf, False), list(X.split(100)), **QUICK)


def test_a_posterior_that_fails_for_all_keeps_its_own_words():
    with pytest.raises(ValueError, match="Expected parameter scale"):
        diagnose(model(lambda x: Independent(Normal(x[:, :2], -1.0 + 0 * x[:, :2]), 1)), [X], **QUICK)


@pytest.mark.parametrize("row", [7, 231])
def test_an_example_whose_log_likelihood_is_nan_is_named(row):
    def log_likelihood(x, z):
        value = Normal(torch.cat([z] * 3, -1), 0.7).log_prob(x).sum(-1)
        return torch.where((x == X[row]).all(-1), torch.nan, value)

    with pytest.raises(ValueError, match=rf"^log_likelihood gave NaN .*example {row}\b"):
        diagnose(model(lambda x: normals(x[:, :2], 0.3), log_likelihood), list(X.split(100)), **QUICK)


# --- a mean over pixels ---


def pictures():
    """Soft blobs on black, with a border that is black in all."""
    place, middle = torch.linspace(0, 1, 16), torch.rand(64, 2, generator=torch.Generator().manual_seed(0))
    away = (place[:, None] - middle[:, 0, None, None]) ** 2 + (place - middle[:, 1, None, None]) ** 2
    blobs = (-away / 0.05).exp()[:, None]
    blobs[:, :, :2] = 0
    return blobs


def of_pictures(density, reduce):
    return model(
        lambda x: normals(x.flatten(1)[:, -2:], 0.3),
        lambda x, z: reduce(density(x).flatten(1)).expand(z.shape[:2]),
    )


DENSITIES = {
    "wide": lambda x: Normal(0.3, 1.0).log_prob(x),
    "narrow": lambda x: Normal(0.3, 0.05).log_prob(x),
    "laplace": lambda x: Laplace(0.3, 0.1).log_prob(x),
    "grey cross-entropy": lambda x: -functional.binary_cross_entropy_with_logits(x * 0 - 1, x, reduction="none"),
}


@pytest.mark.parametrize("name", DENSITIES)
def test_a_sum_over_pixels_passes(name):
    assert check(of_pictures(DENSITIES[name], lambda f: f.sum(1)), [pictures()]).notes == ()


@pytest.mark.parametrize("name", ["wide", "narrow", "laplace"])
def test_a_mean_over_pixels_is_noted(name):
    (note,) = check(of_pictures(DENSITIES[name], lambda f: f.mean(1)), [pictures()]).notes
    assert note.startswith("log_likelihood ") and "averaged over the 256 numbers" in note


def test_a_squared_error_without_its_constants_is_noted():
    (note,) = check(of_pictures(lambda x: -(x - 0.3).square(), lambda f: f.sum(1)), [pictures()]).notes
    assert "lacks the constants" in note

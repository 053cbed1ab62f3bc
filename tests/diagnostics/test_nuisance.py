"""What z says beyond the length, the brightness, the loudness."""

import math

import pytest
import torch
from closed_forms import close, normals, toy
from torch.distributions import Categorical, Independent, MixtureSameFamily, MultivariateNormal, Normal

from buttress.core.batch import Batch
from buttress.diagnostics.diagnose import diagnose
from buttress.diagnostics.estimators.mutual_information import mutual_information
from buttress.diagnostics.estimators.nuisance import beyond_nuisance, explained
from buttress.diagnostics.passes import passes
from buttress.diagnostics.protocol import Adapter
from buttress.diagnostics.reference import LinearGaussian
from buttress.diagnostics.smooth_fit import predicted
from buttress.diagnostics.statistics_of_x import statistics_of
from buttress.distributions.point import Point

R2, BEYOND = "nuisance_r2", "information_beyond_nuisance"


def sentences(n, widest):
    """Lengths from 2 to the widest, all as likely; the first word is one of many and independent of the length."""
    length = torch.randint(2, widest, (n,))
    words = torch.randint(4, 4004, (n, widest))
    return torch.where(torch.arange(widest) < length[:, None], words, 0)


def length(x):
    return (x > 0).sum(-1).double()


def word(x):
    """Normal, with variance 1."""
    return Normal(0.0, 1.0).icdf((x[:, 0].double() - 3.5) / 4000)


SHAPES = {
    "line": lambda s: 3.4 * (s / s.max() - 0.5),
    "wave": lambda s: torch.sin(6 * s / s.max()),
    "nothing": lambda s: 0 * s,
}


@pytest.mark.parametrize("widest", [14, 300])
@pytest.mark.parametrize("shape", SHAPES)
def test_what_is_left_is_what_the_word_tells(shape, widest):
    x = sentences(1500, widest)
    model = toy(lambda x: normals((SHAPES[shape](length(x)) + 0.5 * word(x))[:, None], 0.3))
    found = beyond_nuisance(model, [x], "text")
    assert found[BEYOND].value == pytest.approx(0.5 * math.log(1 + 0.25 / 0.09), abs=0.06)
    of_length = SHAPES[shape](length(x)).var().item()
    assert found[R2].value == pytest.approx(of_length / (of_length + 0.25), abs=0.06)
    assert found[R2].note.startswith("length explains")


@pytest.mark.parametrize("shape", ["line", "wave"])
def test_nothing_is_left_where_z_tells_only_the_length(shape):
    x = sentences(1500, 300)
    model = toy(lambda x: normals(SHAPES[shape](length(x))[:, None], 0.1))
    assert mutual_information(model, [x]).value > 1.5
    found = beyond_nuisance(model, [x], "text")
    assert found[R2].value > 0.999 and found[BEYOND].value < 0.02


def test_a_healthy_model_keeps_its_information():
    """Columns that z moves in opposite directions, so that no mean shows it and the norm only its size."""
    weight = torch.tensor([[1.0, 0.5], [-1.0, 0.5], [1.0, -0.5], [-1.0, -0.5]]).double()
    model = LinearGaussian(weight, torch.zeros(4).double(), 0.2)
    x = [model.sample(2000)[0]]
    found, whole = beyond_nuisance(model.vae(), x, "table"), mutual_information(model.vae(), x)
    assert found[R2].value < 0.02 and found[BEYOND].value > 0.93 * whole.value


def test_the_weight_of_a_coordinate_is_its_information():
    x = sentences(1500, 50)
    both = toy(lambda x: normals(torch.stack([SHAPES["line"](length(x)), word(x)], 1)), latents=2)
    for weight, truth in (((1.0, 0.0), 1.0), ((0.0, 1.0), 0.0), ((1.0, 1.0), 0.5)):
        found = beyond_nuisance(both, [x], "text", weight=torch.tensor(weight).double())[R2]
        assert found.value == pytest.approx(truth, abs=0.03)


def mixture(loc, scale):
    both = torch.stack([loc, loc], 1)
    return MixtureSameFamily(
        Categorical(torch.ones(len(loc), 2).to(loc)), Independent(Normal(both, torch.full_like(both, scale)), 1)
    )


def correlated(loc, scale):
    return MultivariateNormal(loc, scale_tril=(scale * torch.eye(loc.shape[1])).to(loc).expand(len(loc), -1, -1))


@pytest.mark.parametrize("family", [mixture, correlated])
def test_other_families_are_moved_too(family):
    x = sentences(600, 40)
    found = beyond_nuisance(
        toy(lambda x: family((SHAPES["wave"](length(x)) + 0.5 * word(x))[:, None], 0.3)), [x], "text"
    )
    assert found[BEYOND].value == pytest.approx(0.5 * math.log(1 + 0.25 / 0.09), abs=0.1)


def test_codes_of_the_same_length_are_compared():
    x = sentences(1500, 6)
    only = beyond_nuisance(toy(lambda x: Independent(Point(length(x).long()[:, None]), 1)), [x], "text")
    assert only[BEYOND].value == pytest.approx(0, abs=1e-9) and R2 not in only
    bit = beyond_nuisance(toy(lambda x: Independent(Point((x[:, :1] > 2003).long()), 1)), [x], "text")
    assert bit[BEYOND].value == pytest.approx(math.log(2), abs=0.01)


def test_beyond_a_condition_too():
    x, label = sentences(1000, 40), torch.randint(0, 2, (1000,))
    model = Adapter(
        lambda x, given: normals((3 * given["label"] + length(x) / 20 + 0.5 * word(x))[:, None], 0.3),
        lambda: normals(torch.zeros(1).double()),
        lambda x, z: -z.sum(-1),
    )
    found = beyond_nuisance(model, [Batch(x, {"label": label})], "text", within=label)
    assert found[BEYOND].value == pytest.approx(0.5 * math.log(1 + 0.25 / 0.09), abs=0.1)


@pytest.mark.parametrize(
    ("kind", "x", "names"),
    [
        ("image", torch.rand(20, 1, 4, 4), ["mean brightness", "contrast"]),
        ("image", torch.rand(20, 1, 1, 1).expand(20, 1, 4, 4), ["mean brightness"]),
        ("table", torch.randn(20, 3) * torch.tensor([1.0, 1e6, 0.0]), ["row mean", "row norm"]),
        ("wave", torch.randint(0, 256, (20, 50)), ["loudness"]),
        ("frames", torch.randn(20, 9, 5), ["loudness"]),
        ("text", torch.ones(20, 7, dtype=torch.int64), []),
    ],
)
def test_each_kind_has_its_statistics(kind, x, names):
    blocks = list(passes(toy(lambda x: normals(x.flatten(1))), [x]))
    assert list(statistics_of(kind, blocks)) == names


def test_columns_are_put_on_one_scale():
    x = torch.randn(300, 2)
    blocks = [list(passes(toy(lambda x: normals(x)), [x * torch.tensor([1.0, by])])) for by in (1.0, 1e6)]
    one, other = (statistics_of("table", part)["row mean"] for part in blocks)
    assert torch.allclose(one, other, atol=1e-4)


def test_true_lengths_come_before_zeros():
    x = torch.zeros(4, 5, dtype=torch.int64)
    blocks = list(passes(toy(lambda x: normals(x)), [Batch(x, {"lengths": torch.tensor([1, 2, 3, 4])})]))
    assert statistics_of("text", blocks)["length"].tolist() == [1.0, 2.0, 3.0, 4.0]


def test_the_fit_never_sees_what_it_predicts():
    s, m = torch.randn(400).double(), torch.randn(400, 3).double()
    left = (m - predicted(m, [s, s.square()])).square().mean() / m.var()
    assert left > 1.0


def test_its_error_is_honest():
    found = []
    for _ in range(60):
        s = torch.rand(300, 1).double()
        m = s + 0.3 * torch.randn(300, 1).double()
        found.append(explained(m, predicted(m, [s[:, 0]]), torch.ones(1).double()))
    spread = torch.tensor([f.value for f in found]).std().item()
    assert sum(f.error for f in found) / 60 == pytest.approx(spread, rel=0.4)


def test_a_diagnosis_says_it():
    x = sentences(600, 14)
    model = toy(
        lambda x: normals(SHAPES["line"](length(x)).float()[:, None], 0.15),
        log_likelihood=lambda x, z: -(z[..., 0] - SHAPES["line"](length(x))).square() - 5 * length(x),
    )
    found = diagnose(model, list(x.split(200)), nll_samples=0, gap_steps=0).estimates
    assert found[R2].value > 0.999 and close(found[BEYOND], 0.0)

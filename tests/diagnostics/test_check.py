import pytest
import torch
from closed_forms import data, normals
from torch import nn
from torch.distributions import Bernoulli, Independent, Normal, Uniform
from torch.nn.functional import binary_cross_entropy_with_logits
from torch.utils.data import DataLoader

from buttress.diagnostics.check import check
from buttress.diagnostics.protocol import Adapter, LatentModel

X = (torch.rand(12, 20, generator=torch.Generator().manual_seed(0)) > 0.5).float()
DECODER = torch.randn(3, 20, generator=torch.Generator().manual_seed(1))


def bernoulli(x, z):
    return Bernoulli(logits=z @ DECODER).log_prob(x)


def model(**changes):
    good = {
        "posterior": lambda x: normals(x[:, :3]),
        "prior": lambda: normals(torch.zeros(3)),
        "log_likelihood": lambda x, z: bernoulli(x, z).sum(-1),
    }
    return Adapter(**(good | changes))


def test_a_good_model_passes():
    check(model(), [X])
    check(data()[0], data()[1])
    assert isinstance(model(), LatentModel)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda x, z: bernoulli(x, z).sum(), r"gave shape \(\) .* sums or averages over the batch"),
        (lambda x, z: bernoulli(x, z).sum((1, 2)), r"gave shape \(3,\) .* over the examples of the batch"),
        (lambda x, z: bernoulli(x, z).sum(-1).mean(0), r"gave shape \(12,\) .* over the samples"),
        (bernoulli, r"gave shape \(3, 12, 20\) .* not summed over the places \(20,\)"),
        (lambda x, z: bernoulli(x, z).sum(-1).flatten(), "flattened or swapped"),
        (lambda x, z: bernoulli(x, z).sum(-1).T, "flattened or swapped"),
        (lambda x, z: bernoulli(x, z).sum(-1).tolist(), "gave a list"),
        (lambda x, z: bernoulli(x, z).mean(-1), "averaged over pixels or tokens"),
        (lambda x, z: bernoulli(x, z).sum(-1).mean(-1, keepdim=True).expand(z.shape[:2]), "depends on the other"),
        (lambda x, z: bernoulli(x, z).sum(-1) * torch.rand(()), "dropout"),
        (lambda x, z: bernoulli(x, z).sum(-1) * torch.nan, "NaN"),
        (
            lambda x, z: bernoulli(x, z).sum(-1).masked_fill((x == X[7]).all(-1), -torch.inf),
            "-inf for 3 of 36 pairs .* first for example 7 of batch 0.*clamp",
        ),
    ],
)
def test_a_wrong_log_likelihood_is_named(wrong, message):
    with pytest.raises(ValueError, match=message):
        check(model(log_likelihood=wrong), [X])


def test_the_everyday_mean_of_cross_entropies_is_named():
    def log_likelihood(x, z):
        return -binary_cross_entropy_with_logits(z @ DECODER, x.expand(*z.shape[:2], 20))

    with pytest.raises(ValueError, match="over the batch"):
        check(model(log_likelihood=log_likelihood), [X])


def test_a_density_of_binary_data_may_exceed_one():
    check(
        model(log_likelihood=lambda x, z: Normal(X.mean(), 0.05).log_prob(x * 0 + X.mean()).sum(-1) + 0 * z.sum(-1)),
        [X],
    )


def test_tokens_averaged_over_the_sentence_are_named():
    words = torch.randint(2, 9, (40, 6))

    def log_likelihood(x, z):
        return torch.full((*z.shape[:2], 6), -2.0).mean(-1)

    with pytest.raises(ValueError, match="averaged over pixels or tokens"):
        check(model(posterior=lambda x: normals(torch.zeros(len(x), 3)), log_likelihood=log_likelihood), [words])


@pytest.mark.parametrize(
    ("part", "wrong", "message"),
    [
        ("posterior", lambda x: Normal(x[:, :3], 1.0), r"batch shape \(12, 3\).*Independent\(q, 1\)"),
        ("posterior", lambda x: normals(x[0, :3]), r"batch shape \(\) .*first dimension of x"),
        ("posterior", lambda x: (x, x), "gave a tuple"),
        ("prior", lambda: Normal(torch.zeros(3), 1.0), r"batch shape \(3,\).*Independent\(p, 1\)"),
        ("prior", lambda: normals(torch.zeros(4)), r"event shape \(4,\), wanted .* \(3,\)"),
        ("prior", lambda: torch.zeros(3), "gave a Tensor"),
        (
            "prior",
            lambda: Independent(Uniform(-torch.ones(3), torch.ones(3)), 1),
            r"outside .*p: Uniform.* is infinite",
        ),
    ],
)
def test_a_wrong_distribution_is_named(part, wrong, message):
    with pytest.raises(ValueError, match=message):
        check(model(**{part: wrong}), [X])


def test_a_decoder_that_cannot_take_samples_says_what_it_was_given():
    with pytest.raises(ValueError, match=r"log_likelihood\(x, z\) fails on .* z of shape \(3, 12, 3\) .*leading"):
        check(model(log_likelihood=lambda x, z: torch.cat([x, z], 1).sum(-1)), [X])


@pytest.mark.parametrize(
    ("batches", "message"),
    [
        (X, "one tensor"),
        ([], "no batches"),
        ([(X, X)], r"is a tuple.*for x, _ in loader"),
        ([X[:1]], "1 example"),
        ([X, X[:0]], r"shape \(0, 20\)"),
        ([torch.tensor(1.0)], r"shape \(\)"),
        ((x for x in [X]), r"is a generator.*list\(batches\)"),
        (DataLoader(X), "is a DataLoader.*for x, _ in loader"),
        ([X, X[:, :, None]], r"batch 1 has shape \(12, 20, 1\) and batch 0 \(12, 20\)"),
    ],
)
def test_wrong_data_is_named(batches, message):
    with pytest.raises(ValueError, match=message):
        check(model(), batches)


def test_data_that_change_from_one_reading_to_the_next_are_named():
    class Fickle:
        def __len__(self):
            return 1

        def __getitem__(self, number):
            return torch.rand(4, 20)

    with pytest.raises(ValueError, match="differs from one reading"):
        check(model(), Fickle())


def test_a_missing_callable_is_named():
    with pytest.raises(ValueError, match=r"Linear\) has no posterior"):
        check(nn.Linear(1, 1), [X])

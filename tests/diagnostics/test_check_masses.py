"""Cross-entropies that are averaged over bits or tokens, and those that are not."""

import pytest
import torch
from closed_forms import normals, toy
from torch.distributions import Bernoulli, Categorical

from buttress.core.batch import Batch
from buttress.diagnostics.check_masses import averaged_mass
from buttress.diagnostics.protocol import Conditional

WORDS = torch.randint(1, 300, (40, 12), generator=torch.Generator().manual_seed(0))
LOGITS = torch.randn(300, generator=torch.Generator().manual_seed(1))
BITS = torch.bernoulli(torch.full((40, 1, 6, 6), 0.3), generator=torch.Generator().manual_seed(2))


def noted(log_likelihood, x):
    model = toy(lambda x: normals(torch.zeros(len(x), 1)), log_likelihood=log_likelihood)
    return averaged_mass(Conditional(model), Batch(x), torch.zeros(1, len(x), 1))


def words(x, z):
    """log p of each token that is there."""
    return torch.where(x > 0, Categorical(logits=LOGITS).log_prob(x), 0.0).expand(*z.shape[:2], x.shape[1])


def markov(x, z):
    """Each token is that before it or any other."""
    same = x[:, 1:] == x[:, :-1]
    return torch.where(same, torch.tensor(0.5).log(), torch.tensor(0.5 / 299).log()).sum(-1).expand(z.shape[:2])


@pytest.mark.parametrize("padded", [False, True])
def test_a_mean_over_tokens_is_told_from_their_sum(padded):
    x = WORDS.clone()
    x[:, 9:] *= 1 - int(padded)
    (note,) = noted(lambda x, z: words(x, z).sum(-1) / (x > 0).sum(-1), x)
    assert f"averaged over the {9 if padded else 12} tokens" in note
    assert noted(lambda x, z: words(x, z).sum(-1), x) == ()


def test_a_mean_over_bits_is_told_from_their_sum():
    each = lambda x, z: Bernoulli(0.3).log_prob(x).expand(len(z), *x.shape)  # noqa: E731
    (note,) = noted(lambda x, z: each(x, z).mean((2, 3, 4)), BITS)
    assert "averaged over the 36 numbers" in note
    assert noted(lambda x, z: each(x, z).sum((2, 3, 4)), BITS) == ()


def test_sites_that_tell_of_each_other_are_no_mean():
    assert noted(markov, WORDS) == () and noted(markov, WORDS[:, :1].expand(40, 12)) == ()


def test_what_fails_or_has_no_choice_is_left_alone():
    assert noted(words, torch.ones(5, 4).long()) == ()
    assert noted(lambda x, z: 1 / 0, WORDS) == ()

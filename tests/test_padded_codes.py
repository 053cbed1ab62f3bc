"""Codes behind the true end of an example: they cost nothing, teach nothing and are counted nowhere."""

from __future__ import annotations

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from buttress.core import Batch, DataSpec, Layout
from buttress.core.model import LatentVariableModel
from buttress.decoders.causal_conv import CausalConv
from buttress.diagnostics.diagnose import diagnose
from buttress.diagnostics.estimators.slots import slot_perplexities
from buttress.diagnostics.levels import LatentLevel
from buttress.distributions.code_counts import UNCOUNTED, CodeCounts
from buttress.encoders.conv1d import Conv1dEncoder
from buttress.likelihoods.gaussian import GaussianLikelihood
from buttress.priors.uniform import Uniform
from buttress.runtime import distributed
from buttress.runtime.randomness import seed_step, shard
from cells import tiny
from copies import start_processes

CODES = [p for p in tiny("posteriors") if p.discrete and p.name() not in ("none", "hierarchical_quantized")]
PRIORS = [p for p in tiny("priors") if p.discrete and p.name() in ("uniform", "recurrent")]
LENGTHS = torch.tensor([1, 5, 12, 9])


def model_of(posterior, prior, longest):
    spec = DataSpec(Layout.frames(2, longest), mean=torch.zeros(2), std=torch.ones(2))
    encoder = Conv1dEncoder(widths=(5,), positions=True)
    torch.manual_seed(0)
    return LatentVariableModel(spec, encoder, posterior, prior, CausalConv.tiny()[0], GaussianLikelihood())


@pytest.fixture(params=CODES, ids=lambda part: part.name())
def posterior(request):
    return request.param


@pytest.mark.parametrize("prior", PRIORS, ids=lambda part: part.name())
def test_a_code_behind_the_end_is_0_costs_nothing_and_is_drawn_as_0(posterior, prior):
    model = model_of(posterior, prior, 12).eval()
    given, x = {"lengths": LENGTHS}, torch.randn(4, 12, 2)
    inside = model.codes_inside(given)
    q, p = model.posterior(x, given), model.prior(given)
    z = q.sample()
    assert z.shape == inside.shape and (z[~inside] == 0).all() and not inside.all() and inside[2].all()
    assert (p.sample()[~inside] == 0).all()
    by_group = model(x, given=given).latent.rate
    if by_group is None or by_group.shape[1] == 1:
        by_group = model(x, given=given).latent.log_ratio[0]
    if by_group.shape[1] == inside[0].numel():
        assert (by_group[~inside.flatten(1)] == 0).all() and (by_group[inside.flatten(1)] != 0).any()
    assert torch.isfinite(p.log_prob(z)).all()
    elsewhere = torch.where(inside, z, 1)
    assert torch.isneginf(p.log_prob(elsewhere)[:2]).all()


def test_padding_to_a_longer_example_changes_no_loss_no_gradient_and_no_codebook(posterior):
    short, longer = (model_of(posterior, Uniform(), longest).train() for longest in (12, 23))
    longer.load_state_dict(short.state_dict(), strict=False)
    x = torch.randn(4, 12, 2)
    padded = torch.cat([x, 9 * torch.randn(4, 11, 2)], 1)
    found = []
    for model, values in ((short, x), (longer, padded)):
        if posterior.name() == "categorical":
            model.eval()
        model.zero_grad()
        for book in (m for m in model.modules() if hasattr(m, "idle")):
            book.idle.zero_()  # so that none starts anew, at random
            book.counts.fill_(1.0)
        torch.manual_seed(1)
        terms = model(values, given={"lengths": LENGTHS})
        loss = (-terms.elbo).mean() if posterior.name() != "categorical" else terms.latent.rate.sum(1).mean()
        loss = loss + sum(penalty.mean() for penalty in terms.latent.penalty.values())
        loss.backward()
        model.after_step()
        books = {k: v for k, v in model.state_dict().items() if k.endswith(("codebook", "counts"))}
        grads = {k: v.grad for k, v in model.named_parameters() if k.startswith("inference.") and v.grad is not None}
        found.append((loss.detach(), books, grads))
    (one, books, grads), (two, padded_books, padded_grads) = found
    torch.testing.assert_close(one, two)
    for ours, theirs in ((books, padded_books), (grads, padded_grads)):
        assert ours.keys() == theirs.keys()
        for key in ours:
            torch.testing.assert_close(ours[key], theirs[key], msg=lambda m, key=key: f"{key}: {m}")


def test_rates_bits_and_counts_do_not_know_how_long_the_longest_is(posterior):
    if posterior.name() == "categorical":
        pytest.skip("its codes are drawn")
    short, longer = (model_of(posterior, Uniform(), longest).eval() for longest in (12, 23))
    longer.load_state_dict(short.state_dict(), strict=False)
    x = torch.randn(12, 12, 2)
    lengths = LENGTHS.repeat(3)
    settings = {"nll_samples": 0, "gap_steps": 0, "seconds": 0.5}
    one, two = (
        diagnose(model, [Batch(values, {"lengths": lengths})], **settings).estimates
        for model, values in ((short, x), (longer, torch.nn.functional.pad(x, (0, 0, 0, 11))))
    )
    for key in (
        "rate",
        "distortion",
        "bits_per_second",
        "code_bits_per_second",
        "code_perplexity",
        "codes_used",
        "rate_uniform",
    ):
        assert one[key].value == pytest.approx(two[key].value, rel=1e-5), key
    assert one["rate"].value == pytest.approx(one["rate_uniform"].value)


def trained(part, rank=0, world=1, precision=torch.float32, steps=5):
    """Losses, codes of padding, codebooks, counts and idle steps of a few steps on one process's rows of each batch."""
    part = part.replace(revive=2) if hasattr(part, "revive") else part
    model = model_of(part, Uniform(), 12).train()
    adam, losses = torch.optim.Adam(model.parameters(), 0.01), []
    generator = torch.Generator().manual_seed(3)
    with shard(rank, world):
        for number in range(steps):
            x = torch.randn(4, 12, 2, generator=generator).chunk(world)[rank]
            lengths = LENGTHS.roll(number).chunk(world)[rank]
            seed_step(0, number)
            with torch.autocast("cpu", torch.bfloat16, enabled=precision == torch.bfloat16):
                terms = model(x, given={"lengths": lengths})
                loss = (-terms.elbo).mean() + sum(penalty.mean() for penalty in terms.latent.penalty.values())
            adam.zero_grad()
            loss.backward()
            losses.append(distributed.average_gradients(list(model.parameters()), loss.detach().float()).item())
            adam.step()
            model.after_step()
    kept = ("codebook", "counts", "idle")
    return losses, {k: v.detach().tolist() for k, v in model.state_dict().items() if k.endswith(kept)}


def apart(rank, world, address, answers):
    """One of ``world`` processes at work on its rows, for every posterior."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=address, rank=rank, world_size=world)
    try:
        answers[rank] = [trained(part, rank, world) for part in CODES]
    finally:
        dist.destroy_process_group()


@pytest.mark.slow
def test_two_processes_with_recordings_of_other_lengths_equal_one(tmp_path):
    with mp.Manager() as manager:
        answers = manager.dict()
        start_processes(apart, (2, f"file://{tmp_path}/meet", answers), nprocs=2, start_method="spawn")
        one, answers = [trained(part) for part in CODES], dict(answers)
    assert answers[0] == answers[1]
    for part, (losses, books), (shared, theirs) in zip(CODES, one, answers[0], strict=True):
        assert shared == pytest.approx(losses, rel=1e-4), part
        for name, value in books.items():
            found, wanted = torch.tensor(theirs[name]), torch.tensor(value)
            torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-5, msg=f"{part}: {name}")


def test_mixed_precision_keeps_padding_free_and_the_codes_of_the_same_features(posterior):
    model = model_of(posterior, Uniform(), 12).eval()
    given, x = {"lengths": LENGTHS}, torch.randn(4, 12, 2)
    inside = model.codes_inside(given)
    h = model.encoder(x, given)
    with torch.autocast("cpu", torch.bfloat16):
        q, terms = model.posterior(x, given), model(x, given=given)
        mixed = model.inference(h, model.encoder.valid(x, given))
    z = q.sample()
    assert (z[~inside] == 0).all()
    whole = model(x, given=given)
    torch.testing.assert_close(terms.latent.rate, whole.latent.rate, rtol=0.02, atol=0.02)
    torch.testing.assert_close(terms.distortion, whole.distortion, rtol=0.05, atol=0.3)
    if posterior.name() != "categorical" and getattr(posterior, "quantizer", "") != "none":
        assert torch.equal(mixed.sample(), model.posterior(x, given).sample())
    losses, halved = trained(posterior)[0], trained(posterior, precision=torch.bfloat16)[0]
    assert halved == pytest.approx(losses, rel=0.05)


def test_a_sentence_pays_for_all_of_its_codes_since_nobody_tells_its_length():
    spec = DataSpec(Layout.text(7, longest=5))
    model = LatentVariableModel.__new__(LatentVariableModel)
    torch.nn.Module.__init__(model)
    model.spec = spec
    assert model.codes_inside({"lengths": torch.tensor([2])}) is None


def test_what_is_uncounted_is_in_no_count():
    counts = CodeCounts(3).add(torch.tensor([[0, UNCOUNTED], [1, UNCOUNTED]]))
    assert counts.table.tolist() == [[1, 1, 0], [0, 0, 0]] and counts.perplexities.tolist() == [2.0, 1.0]
    assert counts.difference.tolist() == [1.0, 0.0]
    each = slot_perplexities(counts, [LatentLevel("a", torch.tensor([0])), LatentLevel("b", torch.tensor([1]))])
    assert [round(one.value, 6) for one in each.values()] == [2.0, 1.0]
    (both,) = slot_perplexities(counts, [LatentLevel("a", torch.tensor([0, 1]))]).values()
    assert both.value == pytest.approx(2.0)  # a place that no example has is not one that says nothing

"""Critics: what they compare with what, closed forms of their loss, and a run from training to evidence."""

from __future__ import annotations

import copy
import math
import random
import signal
from dataclasses import dataclass, replace

import pytest
import small
import torch
from torch.nn.functional import one_hot

from buttress.cli.main import main
from buttress.core import EMPTY, EOS, Batch, Column, Contrast, Critic, CriticModule, DataSpec, Layout, registry
from buttress.core.recipe import Recipe, Training
from buttress.critics.contrastive import Contrastive, others, others_of_kind
from buttress.data.sentences import Sentences
from buttress.diagnostics.causes.codebook import DEAD
from buttress.diagnostics.causes.ignored import IGNORED
from buttress.diagnostics.diagnose import ENOUGH, diagnose
from buttress.diagnostics.estimate import NO_DENSITY, Estimate
from buttress.diagnostics.evidence import Evidence
from buttress.diagnostics.verdict import judge
from buttress.encoders.conv1d import Conv1dEncoder
from buttress.encoders.recurrent import RecurrentEncoder
from buttress.likelihoods.gaussian import GaussianLikelihood
from buttress.objectives.elbo import ELBO
from buttress.posteriors.vector_quantized import VectorQuantized
from buttress.priors.uniform import Uniform
from buttress.runtime import distributed
from buttress.runtime.randomness import seed_step, shard
from buttress.training.callbacks import Callback
from buttress.training.run import train
from cells import SPECS, fits, given_for, raw_data, tiny

PLACES, SIZE = 9, 3
LENGTHS = torch.tensor([9, 5, 2, 1])
CRITICS = [part for part in tiny("critics") if part.name() != "none"]


def built(part, places=PLACES, size=SIZE):
    torch.manual_seed(0)
    spec = DataSpec(Layout.frames(size, longest=places))
    return part.build(spec, (places, size), GaussianLikelihood().build(spec)).eval()


def valid():
    return torch.arange(PLACES) < LENGTHS[:, None]


def test_negatives_are_the_other_true_positions_and_each_is_as_likely():
    lengths = torch.arange(2, 8)
    grid = (torch.arange(420) + 0.5) / 420  # divisible by every number of others
    found = others(grid.expand(len(lengths), 7, 420), lengths)
    for n, rows in zip(lengths.tolist(), found, strict=True):
        for own in range(n):
            drawn, often = rows[own].unique(return_counts=True)
            assert drawn.tolist() == [t for t in range(n) if t != own]
            assert often.unique().tolist() == [420 // (n - 1)]
    edge = torch.tensor([0.0, 1 - 2**-24]).expand(1, 7, 2)
    assert others(edge, torch.tensor([7]))[0].tolist() == [[min({*range(7)} - {t}), 6 - (t == 6)] for t in range(7)]


def test_negatives_of_a_kind_are_its_other_true_positions_and_each_is_as_likely():
    lengths, kinds = torch.tensor([3, 1, 4, 2, 5]), torch.tensor([2, 0, 2, 0, 1])
    grid = ((torch.arange(60) + 0.5) / 60).expand(5, 5, 60)  # divisible by every number of others
    whole = others_of_kind(grid, lengths, kinds)
    for e, n in enumerate(lengths.tolist()):
        mates = [5 * i + t for i in range(5) if kinds[i] == kinds[e] for t in range(int(lengths[i]))]
        for t in range(n):
            drawn, often = whole[e, t].unique(return_counts=True)
            assert drawn.tolist() == [p for p in mates if p != 5 * e + t]
            assert often.unique().tolist() == [60 // (len(mates) - 1)]
    parts = [others_of_kind(grid[rows], lengths, kinds, rows.start) for rows in (slice(0, 2), slice(2, 5))]
    assert torch.equal(torch.cat(parts), whole)
    edge = torch.tensor([1 - 2**-24]).expand(5, 5, 1)
    assert others_of_kind(edge, lengths, kinds)[2, 3] == 12  # the last but one of its kind, not itself


@pytest.mark.parametrize("part", Contrastive.tiny(), ids=str)
def test_no_context_knows_what_comes_after_it(part):
    module = built(part)
    z = torch.randn(1, PLACES, SIZE, requires_grad=True)
    context = module.context(z)
    for t in range(PLACES):
        (slope,) = torch.autograd.grad(context[:, t].sum(), z, retain_graph=True)
        assert not slope[:, t + 1 :].any() and slope[:, t].any()


@pytest.mark.parametrize("part", CRITICS, ids=str)
@pytest.mark.parametrize("training", [False, True])
def test_padding_changes_nothing(part, training):
    module, z = built(part).train(training), torch.randn(2, 4, PLACES, SIZE)
    other = torch.where(valid()[..., None], z, 1e3 * torch.randn_like(z))
    found = []
    for values in (z, other):
        torch.manual_seed(1)
        found.append(module(values, valid()))
    assert torch.equal(found[0].loss, found[1].loss) and torch.equal(found[0].first, found[1].first)
    wanted = [[max(0, n - k) for k in found[0].steps] for n in LENGTHS.tolist()]
    assert found[0].predictions.tolist() == wanted and not found[0].distortion[:, 3].any()


@pytest.mark.parametrize("part", Contrastive.tiny(), ids=str)
def test_equal_scores_cost_log_n_and_no_loss_is_negative(part):
    module, z = built(part), torch.randn(1, 4, PLACES, SIZE)
    assert (module(z, valid()).surprise >= 0).all()  # so that log N - loss is at most log N
    for predict in module.predict:
        torch.nn.init.zeros_(predict.weight), torch.nn.init.zeros_(predict.bias)
    found = module(z, valid())
    torch.testing.assert_close(found.surprise[0], found.predictions * math.log(part.negatives + 1))
    torch.testing.assert_close(found.first[0], found.predictions / (part.negatives + 1))


@pytest.mark.parametrize("weight", [None, 2.5])
def test_a_binary_loss_is_that_of_each_candidate_by_itself(weight):
    """Against a plain loop, the negatives being those that the critic drew."""
    part = Contrastive(steps=2, first=2, negatives=3, hidden=4, context="conv", loss="binary", weight=weight)
    module, z = built(part), torch.randn(1, 4, PLACES, SIZE)
    negatives = others(module._uniforms(4, PLACES), LENGTHS)
    context, found = module.context(z[0]), module(z, valid())
    for i, (k, predict) in enumerate(zip((2, 3), module.predict, strict=True)):
        for n, length in enumerate(LENGTHS.tolist()):
            total = torch.zeros(())
            for t in range(length - k):
                ahead = predict(context[n, t]) / math.sqrt(SIZE)
                total = total - (z[0, n, t + k] @ ahead).sigmoid().log()
                for other in negatives[n, t + k]:
                    total = total - (weight or 3) / 3 * (-z[0, n, other] @ ahead).sigmoid().log()
            torch.testing.assert_close(found.loss[0, n, i], total)
    with pytest.raises(ValueError, match=r"weight is 2\.0 and the loss softmax"):
        Contrastive(weight=2.0)


@pytest.mark.parametrize("part", CRITICS, ids=str)
def test_in_evaluation_an_example_is_compared_with_itself_alone_and_always_alike(part):
    module, z = built(part), torch.randn(2, 4, PLACES, SIZE)
    together = module(z, valid()).loss
    alone = [module(z[:, i : i + 1], valid()[i : i + 1]).loss for i in range(4)]
    torch.testing.assert_close(together, torch.cat(alone, 1))
    module.train()
    assert not torch.equal(module(z, valid()).loss, module(z, valid()).loss)


@pytest.mark.parametrize("name", ["text", "wave", "frames"])
def test_every_parameter_learns_where_z_has_positions(name):
    spec = SPECS[name]
    encoders = [p for p in tiny("encoders") if fits(p, spec) and getattr(p, "positions", False)]
    likelihood = next(p for p in tiny("likelihoods") if fits(p, spec))
    for encoder in encoders:
        for posterior, prior in ((small.joint().posterior, small.joint().prior), (VectorQuantized(4, 2), Uniform())):
            part = Contrastive(steps=1, hidden=4, negatives=2)
            recipe = replace(small.joint(), encoder=encoder, posterior=posterior, prior=prior, critic=part)
            model = replace(recipe, likelihood=likelihood).model(spec)
            raw = raw_data(spec, likelihood)
            terms = model(model.observe(raw), samples=2, given=given_for(spec, raw))
            assert terms.distortion.shape == (2, len(raw)) and not model.density
            (ELBO()(terms, 0) + sum(p.mean() for p in terms.latent.penalty.values())).backward()
            learning = {n: p for n, p in model.named_parameters() if p.requires_grad}
            assert [n for n, p in learning.items() if p.grad is None or not p.grad.any()] == []


SYMBOLS, STAY = 4, 0.9


def chain(n, places, generator):
    """Symbols that go round in a circle, and with probability 1 - STAY to anywhere."""
    moves = torch.rand(n, places, generator=generator) > STAY
    anywhere = torch.randint(SYMBOLS, (n, places), generator=generator)
    rows = [anywhere[:, 0]]
    for t in range(1, places):
        rows.append(torch.where(moves[:, t], anywhere[:, t], (rows[-1] + 1) % SYMBOLS))
    return torch.stack(rows, 1)


def told(k):
    """I(x_t; x_{t+k}) of the chain, in closed form."""
    once = STAY * torch.eye(SYMBOLS, dtype=torch.float64).roll(1, 1) + (1 - STAY) / SYMBOLS
    after = torch.linalg.matrix_power(once, k)
    return (after * (after * SYMBOLS).log()).sum(1).mean().item()


def test_the_bound_reaches_the_information_of_a_chain():
    generator = torch.Generator().manual_seed(0)
    module = built(Contrastive(steps=2, negatives=31, hidden=16), places=32, size=SYMBOLS).train()
    optimizer = torch.optim.Adam(module.parameters(), 0.03)
    for _ in range(80):
        loss = module(3.0 * one_hot(chain(32, 32, generator), SYMBOLS)[None]).distortion.mean()
        optimizer.zero_grad(), loss.backward(), optimizer.step()
    found = module.eval()(3.0 * one_hot(chain(500, 32, generator), SYMBOLS)[None])
    for i, k in enumerate(found.steps):
        nats = math.log(32) - (found.surprise[0, :, i].sum() / found.predictions[:, i].sum()).item()
        assert told(k) - 0.05 < nats < told(k) + 0.06, k  # above it by what negatives of one sequence know of c


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    """Sentences that are such chains of words, every second of which is read into a code."""
    folder = tmp_path_factory.mktemp("chains")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BUTTRESS_CACHE", str(folder / "cache"))
        lengths = random.Random(0)
        rows = chain(300, 40, torch.Generator().manual_seed(1)).tolist()
        lines = [" ".join("abcd"[s] for s in row[: lengths.randint(24, 40)]) for row in rows]
        (folder / "chains.txt").write_text("\n".join(lines))
        base = small.sentences(folder / "chains.txt")
        yield replace(
            base,
            encoder=Conv1dEncoder(widths=(8,), kernel=1, positions=True),
            posterior=VectorQuantized(codes=8, dim=4, revive=20),
            prior=Uniform(),
            algorithm=small.joint().algorithm,
            critic=Contrastive(steps=2, negatives=15, hidden=16),
            training=Training(steps=150, batch_size=16, validate_every=75, checkpoint_every=60, learning_rate=0.01),
        )


class End(Callback):
    """Asks for a stop after 7 steps, between two checkpoints."""

    def begin(self, engine):
        self.stop = engine.stop

    def on_step(self, step, total, latest):
        if step == 7:
            self.stop.cell.value = signal.SIGTERM


def test_a_resumed_run_equals_one_that_never_stopped(recipe, tmp_path):
    short = replace(recipe, training=replace(recipe.training, steps=10, validate_every=4, checkpoint_every=4))
    train(short, tmp_path / "whole", progress=False)
    with pytest.raises(SystemExit):
        train(short, tmp_path / "run", progress=False, callbacks=[End()])
    train(short, tmp_path / "run", progress=False, resume=True)
    for name in ("state.safetensors", "weights.safetensors", "metrics.csv"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "run" / name).read_bytes(), name


@pytest.fixture(scope="module")
def trained(recipe, tmp_path_factory):
    return train(recipe, tmp_path_factory.mktemp("trained") / "run", progress=False)


def test_a_run_learns_and_is_diagnosed_without_a_density(trained, capsys):
    run = trained
    assert main(["diagnose", str(run.folder), "--nll_samples", "5", "--gap_steps", "5"]) == 0
    assert "contrastive critic" in (run.folder / "report.html").read_text()
    evidence = Evidence.load(run.folder / "evidence.json")
    found = evidence.estimates
    one, two = (found[f"contrastive_information/{k}"] for k in (1, 2))
    assert 0.2 < one.value < told(2) + 4 * one.error  # two steps of the chain, 0.82 nats, of which N = 16 shows 0.70
    assert 0 < two.value < one.value < one.ceiling == pytest.approx(math.log(16))
    right = found["contrastive_accuracy"]
    assert right.value - 4 * right.error > 1 / 16 and found["distortion"].value > 0
    assert found["code_perplexity"].value > 2 and found["rate"].value == pytest.approx(found["rate_uniform"].value)
    for name in ("elbo", "worth_shuffled", "worth_prior", "nll", "amortisation_gap"):
        assert found[name].value is None and "needs p(x|z)" in found[name].note, name
    assert evidence.verdict.state == "used" and evidence.verdict.cause is None
    assert found["worth_critic"].value > 1 and "costs the critic" in evidence.verdict.reasons[0]
    assert "1 of N is 0.0625" in evidence.verdict.reasons[1] and found["contrastive_accuracy_gain"].value > 0.03
    assert any("codes are taken" in reason for reason in evidence.verdict.reasons)
    assert "The critic uses z" in (run.folder / "report.html").read_text()

    capsys.readouterr()
    for command in ("sample", "reconstruct", "interpolate", "traverse"):
        assert main([command, str(run.folder)]) == 2
        said = capsys.readouterr().err
        assert said.count("\n") == 1 and "no p(x|z)" in said, command


@pytest.mark.parametrize("ill", ["constant", "ignored", "any order"])
def test_codes_that_a_critic_does_not_live_by_are_not_called_used(trained, ill):
    """Codes made alike; scores made equal; and codes that come in any order, which no critic can foresee."""
    model, batches = copy.deepcopy(trained.model), list(trained.held_out())
    with torch.no_grad():
        if ill == "constant":
            model.inference.linear.weight.zero_()
        if ill == "ignored":
            for predict in model.decoder.predict:
                predict.weight.zero_(), predict.bias.zero_()
    if ill == "any order":
        batches = [Batch(in_any_order(batch.x), batch.given) for batch in batches]
    evidence = diagnose(model, batches, only=ENOUGH)
    found, verdict = evidence.estimates, evidence.verdict
    gain, worth = found["contrastive_accuracy_gain"], found["worth_critic"]
    assert abs(gain.value) <= 3 * gain.error + 1e-5
    if ill != "any order":
        assert worth.value == pytest.approx(0, abs=1e-4)
    assert (found["mutual_information"].value > 2) is (ill != "constant")
    wanted = {"constant": DEAD, "ignored": IGNORED}
    assert verdict.state in ("collapsed", "unknown")[: 1 if ill in wanted else 2]
    if ill in wanted:
        assert verdict.cause == wanted[ill]


def in_any_order(x):
    """The words of each sentence shuffled, its end where it was."""
    rows = [torch.cat([row[:n][torch.randperm(n)], row[n:]]) for row, n in zip(x, (x > EOS).sum(1), strict=True)]
    return torch.stack(rows)


@pytest.mark.parametrize("part", CRITICS, ids=str)
def test_two_processes_draw_the_negatives_of_one(part, monkeypatch):
    """What they would gather is handed to them; see test_together.py for processes."""
    module, z, found = built(part).train(), torch.randn(2, 4, PLACES, SIZE), []
    for rank, world in ((0, 1), (0, 2), (1, 2)):
        seed_step(0, 7)
        rows = slice(4 * rank // world, 4 * (rank + 1) // world)
        with shard(rank, world), monkeypatch.context() as patch:
            patch.setattr(distributed, "rank", lambda rank=rank: rank)
            patch.setattr(distributed, "gather", lambda value, world=world: value.repeat(world))
            patch.setattr(distributed, "differentiable_gather", lambda value, dim: z)
            found.append(module(z[:, rows]).loss)
    torch.testing.assert_close(torch.cat(found[1:], 1), found[0])


def test_with_negatives_of_one_speaker_who_speaks_tells_nothing():
    """z says who speaks and nothing else: candidates of all speakers are told apart by it, those of one are alike."""
    spec = DataSpec(Layout.frames(4, longest=6), given=(Column("speaker", classes=4), Column("age")))
    speaker = torch.arange(4).repeat(3)
    z, given = one_hot(speaker, 4).float()[None, :, None].expand(1, 12, 6, 4), {"speaker": speaker}
    losses = {}
    for within in ("", "speaker"):
        part = Contrastive(steps=1, negatives=9, hidden=8, pool="batch", within=within)
        torch.manual_seed(0)
        module = part.build(spec, (6, 4), GaussianLikelihood().build(spec)).train()
        torch.nn.init.eye_(module.predict[0].weight[:, :4])
        adam = torch.optim.Adam(module.parameters(), lr=0.05)
        for _ in range(60):
            adam.zero_grad()
            loss = module(z, None, given).loss.mean() / 5
            loss.backward()
            adam.step()
        losses[within] = loss.item()
    assert losses["speaker"] == pytest.approx(math.log(10), abs=1e-5) and losses[""] < 1.6
    with pytest.raises(ValueError, match="age is a number, wanted a condition with classes"):
        Contrastive(steps=1, pool="batch", within="age").build(spec, (6, 4), GaussianLikelihood().build(spec))
    with pytest.raises(ValueError, match="wanted the pool batch"):
        Contrastive(within="speaker")


@pytest.mark.parametrize(("perplexity", "cause"), [(None, None), (1.0, "the codebook is dead")])
def test_a_z_that_carries_nothing_is_collapsed_whatever_the_critic(perplexity, cause):
    told = {"rate": 0.02, "mutual_information": 0.01, "contrastive_information": 0.0}
    if perplexity is not None:
        told |= {"rate": 5.0, "rate_uniform": 5.0, "code_perplexity": perplexity, "codes_used": 1.0}
    found = {name: Estimate(value, 0.0, 100, "") for name, value in told.items()} | {"worth_shuffled": NO_DENSITY}
    verdict = judge(found, "frames")
    assert (verdict.state, verdict.cause) == ("collapsed", cause)
    assert verdict.advice[:1] == (() if perplexity is None else ("codebook_restarts",))  # no cause, no advice
    found |= {name: Estimate(2.0, 0.1, 100, "") for name in ("mutual_information", "rate")}
    assert judge(found, "frames").state == "unknown"


def test_a_recipe_with_a_critic_is_yaml_and_one_without_reads_as_before(recipe):
    assert Recipe.from_yaml(recipe.to_yaml()) == recipe
    plain = small.joint()
    before = plain.to_yaml().replace("critic:\n  name: none\n", "")
    assert before != plain.to_yaml() and Recipe.from_yaml(before) == plain


@dataclass(frozen=True)
class Norm(Critic):
    """A critic of one's own that looks at the size of z alone."""

    def build(self, spec, z_shape, likelihood):
        return NormModule(likelihood)


class NormModule(CriticModule):
    def __init__(self, likelihood):
        super().__init__()
        self.likelihood = likelihood

    def forward(self, z, valid=None, given=EMPTY):
        size = z.flatten(2).square().sum(-1, keepdim=True)
        return Contrast(size, torch.zeros_like(size), torch.ones(size.shape[1:], dtype=torch.long), 2, (1,))


def test_a_critic_is_one_class(tmp_path, monkeypatch):
    monkeypatch.setattr(registry, "_added", {})
    registry.add(Norm, "norm")
    data = small.joint()
    run = train(replace(data, critic=Norm()), tmp_path / "run", progress=False)
    found = run.diagnose(gap_steps=0).estimates
    assert found["contrastive_information"].value <= math.log(2) and not list(run.model.decoder.parameters())[1:]


def test_more_negatives_than_there_are_are_refused_before_the_first_step(recipe, tmp_path):
    with pytest.raises(ValueError, match=r"negatives is 100000, and a batch of 16 sequences of \d+ positions"):
        train(replace(recipe, critic=recipe.critic.replace(negatives=100_000)), tmp_path / "run", progress=False)
    assert not (tmp_path / "run" / "progress.json").exists()


def test_what_does_not_fit_is_refused():
    spec = SPECS["text"]
    recipe = replace(
        small.sentences("x.txt"),
        data=Sentences("x.txt"),
        encoder=RecurrentEncoder(embedding=3, hidden=4),
        critic=Contrastive(steps=2, hidden=4),
    )
    with pytest.raises(ValueError, match=r"one vector for all of x.*--encoder.positions true"):
        recipe.model(spec)
    placed = replace(recipe, encoder=RecurrentEncoder(embedding=3, hidden=4, positions=True))
    with pytest.raises(ValueError, match=r"predicts 6 positions ahead and z has only 5.*critic.steps"):
        replace(placed, critic=Contrastive(steps=2, first=5)).model(spec)
    with pytest.raises(ValueError, match=r"contrastive critic does not fit table data"):
        replace(small.joint(), critic=Contrastive()).model(SPECS["table"])
    with pytest.raises(ValueError, match="negatives is 0, wanted at least 1"):
        Contrastive(negatives=0)
    for pool in ("sequence", "batch"):
        critic = replace(placed, critic=Contrastive(steps=2, negatives=10, hidden=4, pool=pool)).model(spec).decoder
        with pytest.raises(ValueError, match="negatives is 10, and a batch of 2 sequences of 5 positions has 9 others"):
            critic.check_batch(2)
        critic.check_batch(3)
    x, z = torch.full((2, 5), 4), torch.zeros(1, 2, 5, 3)
    with pytest.raises(ValueError, match="no p"):
        placed.model(spec).log_likelihood(x, z)
    with pytest.raises(ValueError, match="a decoder and no critic"):
        replace(placed, critic=Recipe.from_yaml(small.joint().to_yaml()).critic).model(spec).contrast(x, z)


def test_help_lists_critics(capsys):
    assert main(["train", "--help"]) == 0
    assert "--critic NAME" in (said := capsys.readouterr().out) and "contrastive, none" in " ".join(said.split())
    assert main(["train", "--critic.help", "contrastive"]) == 0
    assert "--critic.negatives INT" in capsys.readouterr().out

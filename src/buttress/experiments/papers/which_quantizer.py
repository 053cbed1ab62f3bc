r"""Which quantiser? Eight ways to make codes, one model, one budget: what is used, and what it costs in all.

$$ -\mathrm{ELBO} = \underbrace{-\log p(x|c)}_{\text{distortion}} + \underbrace{-\log p(c)}_{\text{rate}}, \qquad
   \text{share used} = \frac{|\{k: \exists n, p: c_{np} = k\}|}{K}, \qquad
   \text{evenness} = \frac{1}{K} \exp\Bigl(-\sum_k p_k \log p_k\Bigr) $$

The same convolutional encoder and decoder with (almost) as many codes at each place: K = 256 codewords; two residual
stages of 16, whose pairs are counted as one code of 256; 8 x 6 x 5 = 240 points of a fixed grid. Codes are counted over
all places of all held-out examples; of Gumbel-softmax, which draws them, one draw of each. What is at stake:

- codewords moved by the gradient or by moving averages (van den Oord et al. 2017, which says that averages are faster);
- the gradient copied to the encoder or rotated (Fifty et al. 2024: many more codewords are used);
- codewords that start at random numbers or at outputs of the encoder, and start anew when nobody uses them;
- no codebook at all (Mentzer et al. 2023: as good, and every code in use).

Random codewords are those of the paper's code, of variance 1/D. A step's cost is CPU time of the stage that trains the
autoencoder, arms in turn, so that it means something on a shared machine.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from buttress.baseline import baseline
from buttress.core import Data, Space, Step, remedy
from buttress.core.recipe import Recipe
from buttress.data.mnist5k import Mnist5k
from buttress.data.opened import opened
from buttress.decoders.conv import ConvDecoder
from buttress.diagnostics.estimators.codebook import taken
from buttress.diagnostics.evaluation import evaluating
from buttress.diagnostics.passes import passes
from buttress.distributions.code_counts import CodeCounts
from buttress.encoders.conv import ConvEncoder
from buttress.experiments.claim import Claim
from buttress.experiments.compare import compare
from buttress.experiments.examples import evaluation_model
from buttress.experiments.papers._arms import broken, claim, measured, seen, with_reason
from buttress.experiments.papers._experiment import Experiment, Watch
from buttress.experiments.papers._result import write_result
from buttress.runtime.atomic_write import write_text
from buttress.runtime.denormals import flushed
from buttress.training.run import Run

__all__ = ["WhichQuantizer", "claims", "joint", "step_costs", "usage"]

GRADIENT, EMA, ROTATION = "gradient", "averages", "averages, rotation"
GRADIENT_DATA, EMA_DATA = "gradient, from data", "averages, from data"
RESIDUAL, FINITE, GUMBEL = "residual", "finite scalar", "Gumbel-softmax"
ALIVE = (EMA_DATA, RESIDUAL, FINITE)
"""Those that take care of every code."""
EFFORT = {"nll_samples": 0, "gap_steps": 0}
"""Of the evidence; see :func:`buttress.diagnostics.diagnose.diagnose`."""
MEASURED = ("elbo", "distortion", "rate", "total", "codes", "share_used", "perplexity", "evenness")
"""What a run that broke off has no number of: null in ``result.json``, beside ``broke_off``, the reason."""


@dataclass(frozen=True)
class WhichQuantizer(Experiment):
    """Eight quantisers on one model: share of codes used, perplexity, distortion, total nats and time.

    Args:
        data: Images. Digits as they come; CIFAR-10 and others of your own.
        widths: Channels of the stages of the encoder; the decoder has them in reverse.
        stages: Residual stages S; every codebook has K = 16^S codewords, or each of S stages 16.
        levels: Of finite scalar quantisation; their product should be near K.
        dim: Numbers D in a codeword.
        steps: Training steps of each run, the prior's among them.
        batch_size: Images in a step.
        learning_rate: Of Adam.
        seed: The first one.
        seeds: How many.

    Example:
        >>> WhichQuantizer().arms["residual"]
        'residual_quantized:codes=16:stages=2:dim=16:spatial=true'
    """

    data: Data = field(default_factory=Mnist5k)
    widths: tuple[int, ...] = (16, 32)
    stages: int = 2
    levels: tuple[int, ...] = (8, 6, 5)
    dim: int = 16
    steps: int = 800
    batch_size: int = 32
    learning_rate: float = 2e-3
    seed: int = 1
    seeds: int = 3

    @classmethod
    def full(cls) -> WhichQuantizer:
        """Wider, with 4,096 codes a place, and 50,000 steps; CIFAR-10 goes into ``data``."""
        return cls(widths=(128, 256), stages=3, levels=(7, 5, 5, 5, 5), dim=64, steps=50_000, learning_rate=3e-4)

    @property
    def arms(self) -> dict[str, str]:
        """Arm -> its remedy."""
        k, never = 16**self.stages, self.steps + 1
        book = f"vector_quantized:codes={k}:dim={self.dim}:spatial=true"
        random = f"{book}:start=random:revive={never}"
        return {
            GRADIENT: f"{random}:learning=gradient",
            EMA: random,
            ROTATION: f"{random}:gradient=rotation",
            GRADIENT_DATA: f"{book}:learning=gradient",
            EMA_DATA: book,
            RESIDUAL: f"residual_quantized:codes=16:stages={self.stages}:dim={self.dim}:spatial=true",
            FINITE: f"finite_scalar_quantized:levels={list(self.levels)}:spatial=true".replace(" ", ""),
            GUMBEL: f"gumbel_softmax:codes={k}:dim={self.dim}:spatial=true",
        }

    def recipe(self) -> Recipe:
        """What is trained without a remedy."""
        start = baseline(self.data, opened(self.data).spec)
        every = max(1, self.steps // 8)
        training = replace(
            start.training, steps=self.steps, batch_size=self.batch_size, learning_rate=self.learning_rate,
            seed=self.seed, validate_every=every, checkpoint_every=every,
        )  # fmt: skip
        encoder, decoder = ConvEncoder(self.widths), ConvDecoder(self.widths[::-1])
        return replace(start, encoder=encoder, decoder=decoder, training=training)

    def run(self, folder: Path, jobs: int = 1, watch: Watch = lambda run, step, total: None) -> list[Claim]:
        """Train everything, or take up what is in the folder, and write ``result.json``.

        Args:
            folder: Where the runs go.
            jobs: Runs at a time.
            watch: Called with (run, step, total).
        """
        recipe, names = self.recipe(), {written: arm for arm, written in self.arms.items()}
        compare(recipe, list(names), folder / "arms", seeds=self.seeds, jobs=jobs, settings=EFFORT, watch=watch)
        costs = _kept(folder / "step_costs.json", {a: remedy.apply(w, recipe) for a, w in self.arms.items()})
        runs = []
        for row in measured(folder, "arms"):
            arm = names[row["arm"]]
            total = {"total": -row["elbo"], "step_ms": costs[arm]}
            runs.append({**row, "arm": arm, **total, **usage(folder / row["folder"])})
        for row in broken(folder, "arms"):
            arm = names[row["arm"]]
            runs.append({**row, "arm": arm, **dict.fromkeys(MEASURED), "step_ms": costs[arm]})
        found = with_reason(claims(runs, math.prod(opened(self.data).spec.shape)), runs)
        write_result(folder / "result.json", self, found, runs=runs)
        return found

    def figures(self, folder: Path) -> list[Path]:
        """What is used and what it costs, a row an arm and a mark a seed."""
        from buttress.experiments.papers._by_setting import write_by_arm

        panels = [
            ("share_used", "share of the codes used"), ("evenness", "perplexity / codes"),
            ("distortion", "distortion, nats"), ("total", "distortion and rate, nats"),
            ("step_ms", "a step, ms of CPU"),
        ]  # fmt: skip
        return [write_by_arm(folder, {arm: arm for arm in self.arms}, panels)]


def claims(runs: list[dict[str, Any]], dimensions: int) -> list[Claim]:
    """What is said of quantisers, with marks that were set before the first run.

    Args:
        runs: One dict a run, with ``arm``, ``seed``, ``share_used``, ``evenness`` and ``total`` (minus the ELBO, nats).
        dimensions: Numbers in one x: totals are compared in nats for each.

    Example:
        >>> from itertools import product
        >>> arms = (GRADIENT, EMA, ROTATION, EMA_DATA, RESIDUAL, FINITE)
        >>> seen = dict(zip(arms, [0.1, 0.3, 0.6, 1.0, 1.0, 1.0]))
        >>> runs = [{"arm": a, "seed": 0, "share_used": s, "evenness": s, "total": 200 - s} for a, s in seen.items()]
        >>> all(claim.held for claim in claims(runs, dimensions=784))
        True
    """
    share = {arm: seen(runs, arm, "share_used") for arm in (GRADIENT, EMA, ROTATION, EMA_DATA, FINITE)}
    even = {arm: seen(runs, arm, "evenness") for arm in (EMA, ROTATION)}
    each = {
        arm: tuple(total / dimensions for total in seen(runs, arm, "total"))
        for arm in (GRADIENT, EMA_DATA, RESIDUAL, FINITE)
    }
    alive = list(zip(*(each[arm] for arm in ALIVE), strict=True))
    spread = [max(values) - min(values) + 0 * sum(values) for values in alive]  # NaN if one is
    book, unit = each[EMA_DATA], "nats a number of x"
    return [
        claim("share used: averages above gradient", "above", 0.05, share[EMA], share[GRADIENT]),
        claim("share used: gradient rotated above copied", "above", -0.01, share[ROTATION], share[EMA]),
        claim("perplexity / codes: gradient rotated above copied", "above", 0.02, even[ROTATION], even[EMA]),
        claim("share used: averages, start and revival from data", "above", 0.9, share[EMA_DATA]),
        claim("share used: finite scalar", "above", 0.9, share[FINITE]),
        claim(f"-ELBO: finite scalar above averages from data, {unit}", "below", 0.005, each[FINITE], book),
        claim(f"-ELBO: gradient above averages from data, {unit}", "above", 0.0, each[GRADIENT], book),
        claim(f"-ELBO: spread of averages from data, residual and finite scalar, {unit}", "below", 0.01, spread),
    ]


def usage(folder: Path) -> dict[str, Any]:
    """Of a finished run: how many of its codes occur on held-out data, and how evenly.

    Returns:
        ``codes`` (K), ``share_used``, ``perplexity``, ``evenness`` (perplexity / K).
    """
    run = Run.load(folder)
    model, space = evaluation_model(run, 0), run.model.space
    total = math.prod(level.classes or 0 for level in space.levels) if space.levels else space.classes or 0
    counts = CodeCounts(total)
    with evaluating(model) as asked:
        for block in passes(asked, run.held_out(0)):
            codes = taken(block)
            assert codes is not None
            counts.add(joint(codes.cpu(), space).reshape(-1, 1))
    perplexity = counts.perplexities.item()
    return {"codes": total, "share_used": counts.used / total, "perplexity": perplexity, "evenness": perplexity / total}


def joint(codes: Int[Tensor, "B J"], space: Space) -> Int[Tensor, "B P"]:
    """The codes of all levels at a place as one number, where levels are maps of one size; as they are without levels.

    Example:
        >>> space = Space.stacked([("stage1", (2, 1), 10), ("stage2", (2, 1), 10)])
        >>> joint(torch.tensor([[1, 2, 3, 4]]), space).tolist()
        [[31, 42]]
    """
    found, base = torch.zeros_like(codes[:, : codes.shape[1] // max(1, len(space.levels))]), 1
    for level in space.levels:
        found = found + base * codes[:, level.start : level.stop]
        base *= level.classes or 1
    return found if space.levels else codes


def step_costs(recipes: Mapping[str, Recipe], rounds: int = 7, steps: int = 3) -> dict[str, float]:
    """CPU milliseconds of a step of the first stage: the median of some rounds, in each of which arms take turns."""
    makers = {name: _stepper(recipe) for name, recipe in recipes.items()}
    found: dict[str, list[float]] = {name: [] for name in recipes}
    with flushed():
        for turn in range(rounds + 1):
            for name, step in makers.items():
                begin = time.process_time()
                for number in range(steps):
                    step(turn * steps + number)
                if turn:  # the first round warms up
                    found[name].append((time.process_time() - begin) / steps * 1000)
    return {name: round(sorted(values)[len(values) // 2], 2) for name, values in found.items()}


def _stepper(recipe: Recipe) -> Any:
    """A function that makes one training step, always of the same batch."""
    splits = opened(recipe.data)
    torch.manual_seed(recipe.training.seed)
    model = recipe.model(splits.spec)
    algorithm: Any = recipe.algorithm.build(model, recipe.objective, recipe.training)
    raw = splits.train.read(torch.arange(min(recipe.training.batch_size, len(splits.train))))
    batch = raw.with_x(model.observe(raw.x))

    def step(number: int) -> None:
        algorithm.step(Step(number, batch, lambda: batch))
        model.inference.after_step()

    return step


def _kept(path: Path, recipes: Mapping[str, Recipe]) -> dict[str, float]:
    """The costs of steps, measured once a folder."""
    if not path.exists():
        write_text(path, json.dumps(step_costs(recipes), indent=1) + "\n")
    found: dict[str, float] = json.loads(path.read_text("utf-8"))
    return found

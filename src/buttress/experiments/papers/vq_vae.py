r"""van den Oord, Vinyals and Kavukcuoglu 2017, Neural Discrete Representation Learning: two VQ-VAEs, one on the other.

$$ x \xrightarrow{q_1} c \in \{0 .. K_1 - 1\}^{H' \times W'} \xrightarrow{q_2} d \in \{0 .. K_2 - 1\}^{3}, \qquad
   p(c|d) = \prod_i p(c_i | c_{<i}, d) $$

The first model makes a map of codes of each image; the second one reads these maps, has three codes for a whole image,
and a decoder that sees all codes of the map before the one it predicts, so that it could do without any. Beside it
stands the same second model with a Gaussian z. The paper's claim: the codes stay in use where real numbers do not.

Deviations: digits of 28 x 28 for DeepMind Lab's 84 x 84, so 7 x 7 codes for 21 x 21; fewer codes, for there are fewer
images. The marks are not the paper's; they were set before the runs.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from buttress.baseline import baseline
from buttress.core import Data, remedy
from buttress.core.recipe import Recipe
from buttress.data.codes import Codes
from buttress.data.mnist5k import Mnist5k
from buttress.data.opened import opened
from buttress.decoders.conv import ConvDecoder
from buttress.diagnostics.evidence import Evidence
from buttress.encoders.conv import ConvEncoder
from buttress.experiments.claim import Claim
from buttress.experiments.compare import compare
from buttress.experiments.papers._experiment import Experiment, Watch
from buttress.experiments.papers._result import write_result

__all__ = ["FIRST", "RESULT", "SECOND", "VqVae", "claims"]

FIRST, SECOND, RESULT = "first", "second", "vq_vae.json"
"""In the folder: the first model's run, the comparison of the second ones, and what held."""
EFFORT = {"nll_samples": 50, "nll_examples": 200, "gap_steps": 0}
"""Of the evidence of every run; see :func:`buttress.diagnostics.diagnose.diagnose`."""
SHOWN = (
    "elbo", "distortion", "rate", "rate_uniform", "mutual_information", "worth_shuffled", "label_accuracy",
    "label_accuracy_chance",
)  # fmt: skip


@dataclass(frozen=True)
class VqVae(Experiment):
    """van den Oord et al. 2017: are three codes of a whole image used where a strong decoder could do without any?

    Args:
        data: Images, with labels of those held out.
        first_codes: K_1, codewords of the first model.
        first_dim: Numbers in each of them.
        first_steps: Its training steps, one in five of which trains its prior.
        codes: K_2, codewords of the second model, for each of its slots.
        slots: Its codes for a whole image.
        dim: Numbers in each of them.
        steps: Training steps of each second model; of that with codes, the last quarter trains its prior.
        batch_size: Images in a step, in both models.
        learning_rate: Of Adam, in both models.
        seed: The first one.
        seeds: How many second models of each kind; the first model is one.

    Example:
        >>> VqVae(codes=32, slots=2).arms
        ('none', 'vector_quantized:codes=32:slots=2:dim=16:spatial=false')
    """

    data: Data = field(default_factory=Mnist5k)
    first_codes: int = 64
    first_dim: int = 16
    first_steps: int = 400
    codes: int = 64
    slots: int = 3
    dim: int = 16
    steps: int = 1000
    batch_size: int = 50
    learning_rate: float = 2e-3
    seed: int = 0
    seeds: int = 3

    def __post_init__(self) -> None:
        """Refuse what would fail only after the first model is trained."""
        for name, least in {"slots": 1, "codes": 2, "dim": 1, "first_steps": 5, "steps": 4, "seeds": 1}.items():
            if getattr(self, name) < least:
                raise ValueError(f"vq_vae: {name} is {getattr(self, name)}, wanted at least {least}")

    @property
    def arms(self) -> tuple[str, str]:
        """The second model with a Gaussian z, and with codes."""
        return "none", f"vector_quantized:codes={self.codes}:slots={self.slots}:dim={self.dim}:spatial=false"

    def first(self) -> Recipe:
        """The first model: codes at every place, a decoder whose pixels are independent given them."""
        spec = opened(self.data).spec
        recipe = replace(baseline(self.data, spec), encoder=ConvEncoder(), decoder=ConvDecoder())
        settings = f"codes={self.first_codes}:dim={self.first_dim}:slots=1:spatial=true:first=0.8"
        return self._trained(remedy.apply(f"vector_quantized:{settings}", recipe), self.first_steps)

    def second(self, folder: Path) -> Recipe:
        """The second model without a remedy, over the codes of the first one in ``folder``."""
        data = Codes(str((folder / FIRST).resolve()))
        return self._trained(baseline(data, opened(data).spec), self.steps)

    def _trained(self, recipe: Recipe, steps: int) -> Recipe:
        training = replace(
            recipe.training,
            steps=steps,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            seed=self.seed,
            validate_every=max(1, min(100, steps // 10)),
        )
        return replace(recipe, training=training)

    def run(self, folder: Path, jobs: int = 1, watch: Watch = lambda run, step, total: None) -> list[Claim]:
        """Train everything, or take up what is in the folder, and write down what was seen.

        Args:
            folder: Where ``first``, ``second`` and ``vq_vae.json`` go.
            jobs: Second models trained at a time.
            watch: Hears (run, step, total).

        Errors:
            ValueError: The images have no labels, or jobs is below 1.
        """
        if jobs < 1:
            raise ValueError(f"vq_vae: jobs is {jobs}, wanted at least 1")
        if opened(self.data).labels is None:
            raise ValueError("vq_vae: these images have no labels, which one of the claims needs; try labels_key")
        _train_first(self.first(), folder / FIRST, watch)
        compare(
            self.second(folder), self.arms, folder / SECOND, seeds=self.seeds, jobs=jobs, settings=EFFORT, watch=watch
        )
        first = _evidence(folder / FIRST)
        second = [
            {"arm": arm["name"], "folder": run, **_evidence(folder / SECOND / run)}
            for arm in json.loads((folder / SECOND / "comparison.json").read_text("utf-8"))["arms"]
            for run in arm["runs"]
        ]
        found = claims(first, second)
        write_result(folder / RESULT, self, found, first=first, second=second)
        return found

    def figures(self, folder: Path) -> list[Path]:
        """See :class:`Experiment`: the pages of both models."""
        from buttress.report.comparison import write_comparison
        from buttress.report.run import write_report

        return [write_report(folder / FIRST), write_comparison(folder / SECOND)]


def _train_first(recipe: Recipe, folder: Path, watch: Watch) -> None:
    """Train and measure the first model, once."""
    from buttress.experiments.report_examples import save_run_examples
    from buttress.training.callbacks import ProgressCallback
    from buttress.training.run import Run, train

    steps = recipe.training.steps
    watch(FIRST, 0, steps)
    run: Run = train(
        recipe,
        folder,
        resume=(folder / "recipe.yaml").exists(),
        progress=False,
        callbacks=[ProgressCallback(lambda step, total: watch(FIRST, step, total))],
    )
    if not (folder / "evidence.json").exists():
        run.diagnose(**EFFORT)
        save_run_examples(run)
    watch(FIRST, steps, steps)


def _evidence(folder: Path) -> dict[str, Any]:
    """The numbers of a run that the claims and the log are about."""
    evidence = Evidence.from_json((folder / "evidence.json").read_text("utf-8"))
    names = (*SHOWN, "code_perplexity", "codes_used")
    return {name: evidence.estimates[name].value for name in names if name in evidence.estimates} | {
        "places": math.prod(evidence.groups.shape),
        "state": evidence.verdict.state,
    }


def claims(first: dict[str, Any], second: list[dict[str, Any]]) -> list[Claim]:
    """The paper's claims, as numbers with marks.

    Args:
        first: Numbers of the first model: ``code_perplexity``, ``rate`` and ``places``.
        second: Numbers of each second one, with ``arm``.

    Example:
        >>> first = {"code_perplexity": 32.0, "rate": 8 * math.log(2), "places": 2}  # 5 bits a code, which cost 4
        >>> second = [{"arm": "none", "rate": 0.125}, {"arm": "codes", "worth_shuffled": 2.0, "label_accuracy": 0.25}]
        >>> [(claim.median, claim.held) for claim in claims(first, second)]
        [(32.0, True), (1.0, True), (2.0, True), (0.25, False), (0.125, True)]
    """
    gaussian, codes = ([run for run in second if (run["arm"] == "none") == plain] for plain in (True, False))
    return [
        Claim("first model: perplexity of its codes", "above", 20, (_of(first, "code_perplexity"),)),
        Claim("first model: bits a code that its prior saves on the entropy of codes", "above", 0.5, (saved(first),)),
        Claim("codes: worth when shuffled over the data, nats", "above", 1.0, _all(codes, "worth_shuffled")),
        Claim("codes: labels that a logistic regression reads from them", "above", 0.4, _all(codes, "label_accuracy")),
        Claim("gaussian: rate, nats", "below", 0.5, _all(gaussian, "rate")),
    ]  # fmt: skip


def saved(first: dict[str, Any]) -> float:
    """Bits a code: log2 of the perplexity of all places together, less the rate under the learned prior.

    Example:
        >>> saved({"code_perplexity": 16.0, "rate": 6 * math.log(2), "places": 2})
        1.0
    """
    return math.log2(_of(first, "code_perplexity")) - _of(first, "rate") / first["places"] / math.log(2)


def _all(runs: list[dict[str, Any]], name: str) -> tuple[float, ...]:
    return tuple(_of(run, name) for run in runs)


def _of(run: dict[str, Any], name: str) -> float:
    value = run.get(name)
    return math.nan if value is None else float(value)

"""torch.compile: one graph, and the noise that the model draws without."""

from __future__ import annotations

from dataclasses import replace

import torch
from lightning.fabric import Fabric

from buttress.baseline import baseline
from buttress.data.linear_gaussian import LinearGaussianData
from buttress.training.engine import Engine
from buttress.training.stop import Stop
from copies import run_apart

# in a process of its own: what checks shapes in tests can't be compiled
BOTH_WAYS = """
import torch
from buttress.baseline import baseline
from buttress.data.linear_gaussian import LinearGaussianData
from buttress.runtime.randomness import seed_step, shard

data = LinearGaussianData(n=200)
splits = data.open()
model = baseline(data, splits.spec).model(splits.spec)
x = model.observe(splits.train.batch(torch.arange(20)))
for world in (1, 2):
    found = []
    for way in (model, torch.compile(model, backend="eager", fullgraph=True)):
        seed_step(0, 1)
        with shard(world - 1, world):
            found.append(way(x).distortion)
    assert torch.equal(*found)
"""


def test_the_model_is_one_graph_with_the_noise_it_draws_uncompiled():
    run_apart(BOTH_WAYS)


def test_a_run_is_compiled_with_the_random_numbers_of_torch(tmp_path, monkeypatch):
    data, asked = LinearGaussianData(n=200), {}
    start = baseline(data, data.open().spec)
    recipe = replace(start, training=replace(start.training, steps=3, batch_size=20, compile=True))
    monkeypatch.setattr(torch.nn.Module, "compile", lambda self, **settings: asked.update(settings))
    Engine(recipe, data.open(), tmp_path, Stop(), Fabric(accelerator="cpu", devices=1))
    assert asked == {"options": {"fallback_random": True}}

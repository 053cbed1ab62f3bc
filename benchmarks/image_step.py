"""A training step on digits, convolutions or a PixelCNN with the window of the whole image: this version and another.

python benchmarks/image_step.py --against ../other/src [--channels 16,64] [--rounds 6]

Each version trains in a process of its own, one thread, by ``train`` with everything that it does, in float32 and in
bf16; all go on in turn, a few steps at a time, so that what else the machine does weighs on all alike. CPU seconds.
Beside them the floating-point operations of a step as torch counts them, and the rate of a product of two matrices of
1,024 x 1,024 in float32, measured in the same turns. The loss is that of the same steps from the same weights.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

STEPS, WARM, BATCH, SIDE = 5, 1, 64, 1024
"""Steps in a turn, turns not counted, digits in a step, and the side of the product's matrices."""


def recipe_of(channels: int, precision: str) -> Any:
    """What is trained: the convolutional baseline for 0 channels, else a PixelCNN."""
    from buttress.baseline import baseline
    from buttress.data.mnist5k import Mnist5k
    from buttress.decoders.pixelcnn import PixelCNN

    data = Mnist5k(held_out=0.2)
    start = baseline(data, data.open().spec)
    decoder = PixelCNN(None, 4, channels, spatial=True) if channels else start.decoder
    far = 10**6
    training = replace(
        start.training,
        steps=far,
        batch_size=BATCH,
        validate_every=far,
        checkpoint_every=far,
        precision=precision,
    )
    return replace(start, decoder=decoder, training=training)


def child(channels: int, precision: str, rounds: int) -> None:
    """Train, and after each line from the parent tell the CPU seconds of a step and the mean loss so far."""
    import torch

    from buttress.training.callbacks import Callback
    from buttress.training.run import train

    torch.set_num_threads(1)

    class Turns(Callback):
        def begin(self, engine: Any) -> None:
            self.engine = engine
            self.wait()

        def wait(self) -> None:
            if not sys.stdin.readline():
                raise SystemExit  # the parent is gone
            self.start = time.process_time()

        def on_step(self, step: int, total: int, latest: Any) -> bool | None:
            if step % STEPS:
                return None
            seconds = (time.process_time() - self.start) / STEPS
            print("turn", seconds, float(self.engine.means.sums[0] / self.engine.means.count), flush=True)
            if step == rounds * STEPS:
                return True
            self.wait()
            return None

    with tempfile.TemporaryDirectory() as folder:
        train(recipe_of(channels, precision), Path(folder) / "run", progress=False, callbacks=[Turns()])


def start(source: Path, channels: int, precision: str, rounds: int) -> subprocess.Popen[str]:
    """A child on one version of the package."""
    command = [sys.executable, __file__, "--child", str(channels), precision, str(rounds)]
    env = {**os.environ, "PYTHONPATH": str(source.resolve()), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, env=env, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def turn(process: subprocess.Popen[str]) -> tuple[float, float]:
    """CPU seconds of a step and the loss, of the next turn of a child."""
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write("go\n")
    process.stdin.flush()
    for line in process.stdout:
        if line.startswith("turn "):
            _, seconds, loss = line.split()
            return float(seconds), float(loss)
    raise RuntimeError("a training ended before its turns were over; see what it printed")


def product_rate() -> float:
    """Operations a second of one thread in a product of two matrices."""
    import torch

    a = torch.randn(SIDE, SIDE)
    begin = time.process_time()
    for _ in range(5):
        a @ a
    return 5 * 2 * SIDE**3 / (time.process_time() - begin)


def operations(channels: int) -> float:
    """Floating-point operations of a step."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    recipe = recipe_of(channels, "32-true")
    splits = recipe.data.open()
    model = recipe.model(splits.spec)
    x = model.observe(splits.train.read(torch.arange(BATCH)).x)
    with FlopCounterMode(display=False) as counter:
        recipe.objective(model(x), 0).backward()
    return float(counter.get_total_flops())


def compare(channels: int, trees: dict[str, Path], rounds: int) -> None:
    """Print a table of one model."""
    kinds = [(name, precision) for name in trees for precision in ("32-true", "bf16-mixed")]
    children = {kind: start(trees[kind[0]], channels, kind[1], rounds + WARM) for kind in kinds}
    seen: dict[tuple[str, str], list[tuple[float, float]]] = {kind: [] for kind in kinds}
    rates = []
    for _ in range(rounds + WARM):
        for kind, process in children.items():
            seen[kind].append(turn(process))
        rates.append(product_rate())
    for process in children.values():
        process.communicate()
    rate, count = statistics.median(rates), operations(channels)
    print(
        f"{f'PixelCNN, {channels} channels' if channels else 'convolutions'}: {count / 1e9:.2f} GFLOP a step; ", end=""
    )
    print(f"a product in float32 {rate / 1e9:.0f} GFLOP/s")
    whole = [seconds for seconds, _ in seen[next(reversed(trees)), "32-true"][WARM:]]
    for (name, precision), turns in seen.items():
        seconds = [s for s, _ in turns[WARM:]]
        times = [w / s for w, s in zip(whole, seconds, strict=True)]
        middle = statistics.median(seconds)
        print(
            f"  {name:11} {precision:11} {1e3 * middle:7.1f} ms "
            f"({1e3 * min(seconds):.1f} to {1e3 * max(seconds):.1f})  "
            f"{statistics.median(times):.2f} x ({min(times):.2f} to {max(times):.2f})  "
            f"{100 * count / middle / rate:3.0f} % of the product's rate  loss {turns[-1][1]:.4f}"
        )


def main() -> None:
    """Print a table for each model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--against", type=Path, help="the src folder of another version")
    parser.add_argument("--channels", default="0,16,32,64", help="of the PixelCNN; 0 is the convolutional baseline")
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        child(int(given.child[0]), given.child[1], int(given.child[2]))
        return
    import torch

    torch.set_num_threads(1)
    trees = {"this tree": Path(__file__).resolve().parents[1] / "src"}
    if given.against:
        trees["the other"] = given.against
    for channels in given.channels.split(","):
        compare(int(channels), trees, given.rounds)


if __name__ == "__main__":
    main()

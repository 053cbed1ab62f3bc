"""What the process that others are copies of imports: all of buttress, and what it imports only when it trains."""

import gc
import importlib
import pkgutil

import lightning.fabric.loggers.tensorboard  # noqa: F401
import torch.utils.tensorboard  # noqa: F401

import buttress

for module in pkgutil.walk_packages(buttress.__path__, "buttress."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)

# What is imported stays. A copy that looked for garbage among it would write to, and so copy, all of this memory.
gc.collect()
gc.freeze()

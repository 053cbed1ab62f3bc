"""The linter: what is wrong with a VAE's loss or wiring, from a few batches and their gradients.

Rules are the files of ``rules``, each a function under ``@rule``; :mod:`buttress.diagnostics.lint.run` asks them all.
No code of the user's is read: the loss is taken apart by its gradients with respect to what ``model(x)`` returns.
"""

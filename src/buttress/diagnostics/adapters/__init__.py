"""What people have, as the diagnostics want it: loaders of pairs or dicts, and modules that return a tuple.

A module's ``forward(x)`` may return, in this order and no other,

- ``(recon, mu, logvar)``, or
- ``(recon, x, mu, logvar)``, with the input second, or
- a dict, a named tuple or an object with the names ``recon``, ``recon_x``, ``x_hat``, ``reconstruction`` ... for the
  first, ``mu``, ``mean``, ``z_mean`` ... and ``logvar``, ``log_var``, ``log_variance``, ``z_log_var`` ... for the rest.

``mu`` and ``logvar`` are those of a normal q(z|x), the prior is N(0, I), and the module decodes with ``decode(z)`` or
``decoder(z)``. What ``recon`` means is named by ``likelihood``.
"""

from buttress.diagnostics.adapters.adapted import Adapted, adapted

__all__ = ["Adapted", "adapted"]

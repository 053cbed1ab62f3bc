"""buttress: variational auto-encoders whose latent variables stay in use, with the proof in nats.

Rooms: encoders, posteriors, priors, likelihoods, decoders (the parts of a model); objectives, schedules, algorithms
(how it learns); remedies (what to do about collapse); diagnostics (whether it happened, and why); data, training,
report (running it, and telling people).
"""

__version__ = "0.1.0"

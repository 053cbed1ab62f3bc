"""The monitor: a look at z now and then while a model trains, in whatever loop, and a warning if it collapses.

``monitor`` has the class for a plain loop, ``hooks`` the callbacks for Lightning and the Hugging Face Trainer,
``sinks`` the ways to a logger, and ``alarm`` decides when to warn.
"""

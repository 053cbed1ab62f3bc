"""Processes that begin as copies have imported everything before they begin, and none of the checks of shapes."""

from __future__ import annotations

from copies import run_apart


def test_a_copy_has_everything_imported_and_nothing_of_a_test():
    run_apart(
        "import gc, sys; assert {'everything', 'small', 'lightning.fabric', 'matplotlib.pyplot'} <= {*sys.modules}; "
        "assert 'pytest' not in sys.modules and 'checks' not in sys.modules and gc.get_freeze_count() > 100_000"
    )

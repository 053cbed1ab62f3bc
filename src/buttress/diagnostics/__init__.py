"""Whether z is used, why not, and what to try: estimators and the verdict, for any model with three callables."""

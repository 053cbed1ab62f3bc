"""Models of other libraries: a file for each, found by the name of the package that their classes come from.

A file ``NAME.py`` serves models one of whose classes, or of whose submodules' classes, comes from the package NAME. It
has a function ``adapt``, and imports nothing of that package.
"""

"""For people: tables, figures and pages, made from result files alone.

=============== =======================================================================
``results``     what a run or a comparison left in its folder, as frozen records
``examples``    samples, reconstructions, traversals ..., to and from files
``latent``      a map of z and the use of its codes, to and from ``latent.json``
``run``         ``write_report(run)``: one run as one page; ``save_report(evidence, path)``
``comparison``  ``write_comparison(folder)``: all arms as one page, and as a table
``advice``      what a page announces in words, and the commands that it offers
=============== =======================================================================
"""

"""For people: tables, figures and pages, made from result files alone.

=============== ==================================================================
``results``     what a run or a comparison left in its folder, as frozen records
``examples``    samples, reconstructions and interpolations, to and from files
``run``         ``write_report(run)``: one run as one page
``comparison``  ``write_comparison(folder)``: all arms as one page, and as a table
=============== ==================================================================
"""

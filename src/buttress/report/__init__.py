"""For people: tables, figures and pages, made from result files alone."""

"""Patients: a file for each kind of trouble, found by looking into this folder."""

"""Processes, random numbers, memory and files: what every module may use."""

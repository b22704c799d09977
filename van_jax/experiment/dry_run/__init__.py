"""Dry runs: what a config needs of hardware that is not here.

`run.py` asks and reports; `compiler.py` is the process that compiles.
"""

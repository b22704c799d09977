"""Heads that make dense predictions of a backbone's maps; `table.py` has them.

Names of parameters are mmsegmentation's, with "_" for "." before an index.
"""

"""Scoring on ImageNet's test sets: where they lie, and their table."""

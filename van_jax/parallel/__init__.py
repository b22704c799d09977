"""Placement on devices."""

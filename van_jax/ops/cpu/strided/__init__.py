"""Strided convolution by loops for the CPU at hand."""

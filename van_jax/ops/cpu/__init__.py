"""The kernels for CPUs: loops that Numba compiles and XLA calls."""

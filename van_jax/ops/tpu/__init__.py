"""The kernels for TPUs, in Pallas."""

"""The kernels for NVIDIA's GPUs, in Pallas by Triton."""

"""The clocks of TPUs, by the names that JAX calls their kinds."""

# In Hz: the published peak in bfloat16 (cloud.google.com/tpu/docs/v5e and its
# siblings) over what the matrix units of a TensorCore do in a cycle, 4 of
# 128 x 128 products and sums, 4 of 256 x 256 from v6e on: 197e12 / (4 * 128**2
# * 2) for v5e. v4 and v5p have two cores (v4's 1,050 MHz is in table 4 of arXiv
# 2304.01433), tpu7x has two as well. Schedules of large products agree: 0.12
# million operations a cycle and core on v4, 0.14 on v5p, 0.42 on v6e.
HERTZ = {
  "TPU v4": 1.05e9,  # 275e12 / 2
  "TPU v5 lite": 1.5e9,  # v5e, 197e12
  "TPU v5": 1.75e9,  # v5p, 459e12 / 2
  "TPU v6 lite": 1.75e9,  # v6e, 918e12
  "TPU7x": 2.2e9,  # 2307e12 / 2
}

"""The clocks of TPUs, by the names that JAX calls their kinds."""

# Published peaks over the numbers that a cycle of the matrix units makes: in
# bfloat16 4 units of 128 x 128 a TensorCore multiply and add (cloud.google.com/
# tpu/docs/v5e: 197 TFLOP/s over 4 * 128**2 * 2). v4: 1,050 MHz as in table 4 of
# arXiv:2304.01433, where 275 TFLOP/s come from two cores.
HERTZ = {
  "TPU v4": 1.05e9,
  "TPU v5 lite": 1.5e9,
  "TPU v5": 1.75e9,
  "TPU v5p": 1.75e9,
}

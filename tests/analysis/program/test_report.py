"""What a person reads of a program, and what it is warned of."""

import dataclasses
import json

import fragments
import pytest

from van_jax.analysis import program
from van_jax.analysis.program import advice
from van_jax.analysis.program.padding import padding

MIB = 1 << 20


def row(**changes):
  plain = program.Collective(
    kind="all-reduce",
    dtype="f32",
    axis="data",
    link="ICI",
    devices=256,
    count=1,
    bytes=4 * MIB,
    op_name="jit(train_step)/transpose(jvp(VAN))/stage1/conv",
  )
  return dataclasses.replace(plain, **changes)


def figures(*rows, **changes):
  plain = program.Program(
    chip="TPU v5 lite",
    mesh_shape={"data": 256, "fsdp": 1},
    slices=1,
    argument_bytes=100 * MIB,
    output_bytes=90 * MIB,
    donated_bytes=90 * MIB,
    temporary_bytes=400 * MIB,
    peak_bytes=380 * MIB,
    flops=2e12,
    collectives=rows,
    uncounted_loops=(),
    seconds_by_schedule=0.02,
    schedule_gap="",
    padding=program.Padding((), 0, 0),
    moved_bytes=None,
    seconds_by_traffic=None,
  )
  return dataclasses.replace(plain, **changes)


def described(result, **options):
  return program.describe(result, name="training step", **options)


def test_the_verdict_comes_first_with_what_is_left():
  lines = described(figures(), available_bytes=1 << 30)
  assert lines[0] == (
    "training step: fits, by the compiler: 500.00 MiB of 1.00 GiB a chip, "
    "524.00 MiB to spare"
  )


def test_a_compiler_that_refuses_nothing_gives_no_verdict():
  assert (
    described(figures())[0] == "training step: compiles; 500.00 MiB a device"
  )


def test_what_a_gpu_moves_bounds_its_speed():
  found = figures(
    seconds_by_schedule=None, moved_bytes=48 << 30, seconds_by_traffic=0.01
  )
  lines = described(found, images=256)[5:8]
  assert " ".join(" ".join(lines).split()) == (
    "traffic 48.00 GiB a chip and run between kernels and memory: at full "
    "bandwidth 10.00 ms, 25,600 images/s at the most; what caches save is not "
    "known"
  )
  assert "traffic" not in str(described(figures(), images=256))


def test_a_missing_schedule_is_told_of():
  found = figures(seconds_by_schedule=None, schedule_gap="k has no schedule")
  assert "  speed        not known, since k has no schedule" in described(found)


def test_a_refusal_says_how_much_is_too_much():
  (line,) = described(program.Refusal(3 << 30, 1 << 30, "RESOURCE_EXHAUSTED"))
  assert "DOES NOT FIT" in line
  assert "needs 3.00 GiB of 1.00 GiB a chip, 2.00 GiB too much" in line


def test_collectives_of_a_kind_are_a_line_and_the_largest_is_named():
  lines = described(
    figures(
      row(), row(bytes=6 * MIB, op_name="largest/of/all"), row(link="DCN")
    )
  )
  words = [" ".join(line.split()) for line in lines]
  assert "all-reduce data 256 2 10.00 MiB ICI f32" in words
  assert "all-reduce data 256 1 4.00 MiB DCN f32" in words
  assert "all 3 14.00 MiB" in words
  assert "largest: all-reduce, 6.00 MiB of f32, ICI: largest/of/all" in words
  assert words.index("all-reduce data 256 2 10.00 MiB ICI f32") < words.index(
    "all-reduce data 256 1 4.00 MiB DCN f32"
  )


def test_the_speed_is_called_an_estimate():
  text = " ".join(" ".join(described(figures(), images=4096)).split())
  assert "204,800 images/s" in text
  assert "an estimate by the compiler's schedule, which knows no stalls" in text


def test_no_line_is_wider_than_a_terminal():
  lines = described(
    figures(row(op_name="jit(train_step)/" + "stage/" * 40)),
    available_bytes=1 << 34,
    images=4096,
    warnings=["a long warning " * 20],
  )
  # Names have no spaces to break at; the verdict is one line on purpose.
  assert all(len(line) <= 100 for line in lines)


def test_json_holds_every_figure():
  report = json.loads(json.dumps(program.as_json(figures(row()))))
  assert report["fits"] is True
  assert report["temporary_bytes"] == 400 * MIB
  assert report["collectives"][0]["axis"] == "data"
  refused = program.as_json(program.Refusal(3, 1, "no"))
  assert (refused["fits"], refused["required_bytes"]) == (False, 3)


def warned(*rows, **changes):
  options = {
    "images_per_chip": 16,
    "batch_norm_group_size": 16,
    "mixing_group_size": 16,
  } | changes
  return program.warnings(figures(*rows), **options)


def test_a_sound_step_is_not_warned_of():
  assert warned(row()) == []


def test_few_images_a_chip():
  (line,) = warned(images_per_chip=4, batch_norm_group_size=4)
  assert line.startswith("4 images a chip")


def test_spread_batch_norm_tells_what_its_groups_cost():
  small = row(devices=8, bytes=10_000, count=3, op_name="jit(f)/mean")
  (line,) = warned(row(), small, batch_norm_group_size=128)
  assert "128 images are spread over 8 chips each: 3 small" in line
  assert "0.01 MB" in line


@pytest.mark.parametrize("group", [None, 17])
def test_batch_norm_of_other_groups_is_spread(group):
  (line,) = warned(batch_norm_group_size=group)
  assert "spread over" in line


def test_bfloat16_sums_are_of_gradients_alone():
  forward = row(dtype="bf16", op_name="jit(train_step)/jvp(VAN)/mean")
  assert advice.bfloat16_sums([row(), forward]) is None
  line = advice.bfloat16_sums(
    [row(bytes=10**6), row(dtype="bf16", bytes=10**6)]
  )
  assert line is not None
  assert "1.00 of 2.00 MB" in line


def test_partners_of_another_slice():
  far = row(kind="collective-permute", link="DCN", op_name="jit(f)/rev")
  (line,) = warned(far, mixing_group_size=None)
  assert "partners from the whole batch" in line
  assert advice.partners_across_slices(None, 16, [row(link="DCN")]) is None
  near = dataclasses.replace(far, link="ICI")
  assert advice.partners_across_slices(None, 16, [near]) is None


def test_widths_that_fill_no_register():
  module = fragments.module(
    "%x = bf16[2,7,7,32]{3,2,1,0:T(8,128)(2,1)} parameter(0)",
    "%k = bf16[1,1,32,256]{3,2,1,0:T(8,128)(2,1)} parameter(1)",
    "%y = bf16[2,7,7,256]{3,2,1,0:T(8,128)(2,1)} convolution(%x, %k), "
    "window={size=1x1}, dim_labels=b01f_01io->b01f",
  )
  found = padding(module)
  macs = 2 * 7 * 7 * 32 * 256
  assert found.multiply_adds == macs
  assert found.widths == (program.PaddedWidth(32, 128, macs),)
  assert found.wasted == 0.75
  line = advice.padded_channels(found)
  assert line is not None
  assert "75%" in line
  assert "32 (of 128)" in line


def test_gradients_have_the_widths_of_the_forward_pass():
  tile = "{1,0:T(8,128)}"
  name = 'metadata={op_name="jit(f)/transpose(jvp(VAN))/dot_general"}'
  module = fragments.module(
    f"%x = f32[8,64]{tile} parameter(0)",
    f"%k = f32[64,64]{tile} parameter(1)",
    f"%y = f32[8,64]{tile} dot(%x, %k), lhs_contracting_dims={{1}}, "
    f"rhs_contracting_dims={{0}}, {name}",
  )
  assert padding(module) == program.Padding((), 0, 0)


def test_a_depthwise_layer_is_padded_the_way_that_pads_less():
  tile = "{3,2,1,0:T(8,128)}"
  module = fragments.module(
    f"%x = f32[128,4,4,32]{tile} parameter(0)",
    f"%k = f32[3,3,1,32]{tile} parameter(1)",
    f"%y = f32[128,4,4,32]{tile} convolution(%x, %k), window={{size=3x3 "
    "pad=1_1x1_1}, dim_labels=b01f_01io->b01f, feature_group_count=32",
  )
  found = padding(module)
  assert found.multiply_adds == 128 * 4 * 4 * 32 * 9
  assert found.wasted == 0  # 32 sublanes, and examples fill the lanes.


def test_a_product_of_matrices_is_a_layer():
  tile = "{1,0:T(8,128)}"
  module = fragments.module(
    f"%x = f32[8,64]{tile} parameter(0)",
    f"%k = f32[64,128]{tile} parameter(1)",
    f"%y = f32[8,128]{tile} dot(%x, %k), lhs_contracting_dims={{1}}, "
    "rhs_contracting_dims={0}",
  )
  found = padding(module)
  assert (found.multiply_adds, found.wasted) == (8 * 64 * 128, 0.5)

"""Collectives in HLO text: kinds, bytes, axes and links, counted by hand."""

import fragments
import pytest

from van_jax.analysis.program import groups
from van_jax.analysis.program.collectives import uncounted

ALONG_DATA = "replica_groups={{0,2,4,6},{1,3,5,7}}"
ALONG_FSDP = "replica_groups=[4,2]<=[8]"
EVERYWHERE = "replica_groups=[1,8]<=[8]"


def one(*lines, **options):
  (row,) = fragments.rows(*lines, **options)
  return row


def test_an_all_reduce_counts_the_array_it_sums():
  row = one(
    "%a = f32[10,20]{1,0:T(8,128)} all-reduce(%p), channel_id=1, "
    f"{ALONG_DATA}, use_global_device_ids=true, to_apply=%add, "
    'metadata={op_name="jit(f)/psum" source_line=1}'
  )
  assert (row.kind, row.dtype, row.bytes) == ("all-reduce", "f32", 800)
  assert (row.axis, row.link, row.devices) == ("data", "ICI", 4)
  assert (row.count, row.op_name) == (1, "jit(f)/psum")


def test_a_tuple_counts_all_of_its_arrays():
  row = one(
    "%a = (bf16[100]{0:T(256)(128)(2,1)}, /*index=1*/f32[4]{0}) "
    f"all-reduce(%p, %q), {EVERYWHERE}, to_apply=%add"
  )
  assert (row.bytes, row.dtype, row.axis) == (216, "bf16", "data+fsdp")


def test_a_reduce_scatter_counts_what_it_sums():
  row = one(
    f"%r = f32[10]{{0}} reduce-scatter(%p), {ALONG_FSDP}, to_apply=%add"
  )
  assert (row.bytes, row.axis) == (80, "fsdp")  # 10 float32 on each of 2.


def test_an_all_gather_counts_what_it_gathers():
  row = one(
    f"%g = bf16[16]{{0}} all-gather(%p), {ALONG_FSDP}, dimensions={{0}}"
  )
  assert (row.kind, row.bytes, row.axis) == ("all-gather", 32, "fsdp")


def test_an_all_to_all_and_a_permute():
  rows = fragments.rows(
    f"%t = (u8[5]{{0}}, u8[5]{{0}}) all-to-all(%p, %q), {ALONG_FSDP}",
    "%c = u8[7]{0} collective-permute(%p), source_target_pairs={{0,2},{2,0}}",
  )
  assert [(r.kind, r.bytes, r.axis) for r in rows] == [
    ("all-to-all", 10, "fsdp"),
    ("collective-permute", 7, "data"),
  ]


def test_a_start_and_its_done_are_one():
  row = one(
    "%s = (bf16[8]{0}, bf16[16]{0}, u32[], u32[]) all-gather-start(%p), "
    f"{ALONG_FSDP}, dimensions={{0}}",
    "%d = bf16[16]{0} all-gather-done(%s)",
  )
  assert (row.kind, row.count, row.bytes) == ("all-gather", 1, 32)


def test_a_pair_around_a_computation_is_one():
  row = one(
    "%s = ((f32[16]{0}), f32[8]{0}, s32[]) async-start(%p), calls=%wrapped",
    "%d = f32[8]{0} async-done(%s), calls=%wrapped",
    before=(
      "%wrapped (q: f32[16]) -> f32[8] {\n"
      "  %q = f32[16]{0} parameter(0)\n"
      f"  ROOT %r = f32[8]{{0}} reduce-scatter(%q), {ALONG_FSDP}, "
      "to_apply=%add\n}\n\n"
    ),
  )
  assert (row.kind, row.count, row.bytes) == ("reduce-scatter", 1, 64)


LOOP = (
  "%body (b: (s32[], f32[4])) -> (s32[], f32[4]) {\n"
  "  %b = (s32[], f32[4]) parameter(0)\n"
  f"  %a = f32[4]{{0}} all-reduce(%b), {EVERYWHERE}, to_apply=%add\n"
  "  ROOT %t = (s32[], f32[4]) tuple(%b, %a)\n}\n\n"
)


def test_a_loop_counts_as_often_as_it_turns():
  line = "%w = (s32[], f32[4]) while(%p), condition=%less, body=%body"
  known = line + ', backend_config={"known_trip_count":{"n":"5"},"x":"y"}'
  row = one(known, before=LOOP)
  assert (row.count, row.bytes) == (5, 5 * 16)


def test_a_loop_of_unknown_turns_counts_once_and_is_told_of():
  module = fragments.module(
    "%w = (s32[], f32[4]) while(%p), condition=%less, body=%body", before=LOOP
  )
  assert module.endless == {"w": "body"}
  assert uncounted(module) == ("w",)
  assert module.turns["body"] == 1


def test_a_loop_that_counts_to_a_constant_has_its_turns():
  condition = (
    "%less (b: (s32[], f32[4])) -> pred[] {\n"
    "  %turns = s32[]{:T(128)} constant(3)\n"
    "  %b.1 = (s32[], f32[4]) parameter(0)\n"
    "  %n = s32[]{:T(128)} get-tuple-element(%b.1), index=0\n"
    "  ROOT %lt = pred[]{:T(512)} compare(%n, %turns), direction=LT\n}\n\n"
  )
  row = one(
    "%w = (s32[], f32[4]) while(%p), condition=%less, body=%body",
    before=LOOP + condition,
  )
  assert row.count == 3


def test_an_exchange_beside_several_fusions_is_one():
  gather = (
    (
      f"%g{{n}} = bf16[16]{{{{0}}}} all-gather(%q{{n}}), channel_id=1, "
      f"{ALONG_FSDP}, dimensions={{{{0}}}}, "
      'frontend_attributes={{{{chain_id="0"}}}}'
    )
    .replace("{{{{", "{{")
    .replace("}}}}", "}}")
  )
  row = one(*(gather.format(n=n) for n in range(3)))
  assert (row.count, row.bytes) == (1, 32)


def test_what_has_no_name_has_that_of_what_it_works_on():
  row = one(
    '%x = f32[80]{0} fusion(%p), kind=kLoop, metadata={op_name="jit(f)/sum"}',
    "%b = f32[8,10]{1,0} bitcast(%x)",
    f"%r = f32[4,10]{{1,0}} reduce-scatter(%b), {ALONG_FSDP}, to_apply=%add",
  )
  assert row.op_name == "jit(f)/sum"


def test_what_leaves_no_device_is_no_exchange():
  assert not fragments.rows(
    "%a = f32[4]{0} all-reduce(%p), replica_groups=[8,1]<=[8], to_apply=%add",
    "%c = f32[4]{0} collective-permute(%p), source_target_pairs={{0,0},{1,1}}",
  )


def test_what_leaves_a_slice_goes_through_the_data_centre():
  halves = "source_target_pairs={{0,7},{7,0},{3,4},{4,3}}"
  line = f"%c = u8[9]{{0}} collective-permute(%p), {halves}"
  within = f"%a = f32[4]{{0}} all-reduce(%p), {ALONG_FSDP}, to_apply=%add"
  rows = fragments.rows(line, within, slices=2)
  assert [(r.axis, r.link) for r in rows] == [("slice", "DCN"), ("fsdp", "ICI")]


def test_what_a_tpu_sends_to_its_host_for_another_slice():
  handler = '_xla_host_transfer_handler_name="xla_megascale_runtime"'
  kind = '_xla_megascale_transfer_type="ALL_REDUCE"'
  row = one(
    "%s = (bf16[50]{0}, u32[], token[]) send(%p, %t), channel_id=9, "
    f"is_host_transfer=true, frontend_attributes={{{handler},{kind}}}",
    "%d = token[] send-done(%s), channel_id=9, is_host_transfer=true",
  )
  assert (row.kind, row.bytes, row.link) == ("all-reduce", 100, "DCN")


@pytest.mark.parametrize(
  ("text", "expected"),
  [
    ("replica_groups={}", ((0, 1, 2, 3),)),
    ("replica_groups={{0,1},{2,3}}", ((0, 1), (2, 3))),
    ("replica_groups=[2,2]<=[4]", ((0, 1), (2, 3))),
    ("replica_groups=[2,2]<=[2,2]T(1,0)", ((0, 2), (1, 3))),
    ("replica_groups=mesh['a'=2,'b'=2] {'a'}", ((0, 2), (1, 3))),
    ("replica_groups=@mesh<a=2,b=2> {a,b}", ((0, 1, 2, 3),)),
    ("replica_groups=mesh['a'=4] {'a':(1)2}", ((0, 2), (1, 3))),
    ("replica_groups=mesh['a'=4] {'a':(2)2}", ((0, 1), (2, 3))),
    (
      "replica_groups=@mesh<a=2,b=2>, device_ids=(3,1,0,2) {a}",
      ((3, 0), (1, 2)),
    ),
    (
      "replica_groups=@mesh<a=2,b=2>, device_ids=([2,2]T(1,0)) {b}",
      ((0, 2), (1, 3)),
    ),
    ("source_target_pairs={{0,1},{1,0},{2,2}}", ((0, 1), (1, 0))),
  ],
)
def test_groups_are_read_as_written(text, expected):
  assert groups.parse(f"channel_id=1, {text}, x=y", 4) == expected


def test_an_axis_of_one_device_is_not_named():
  everywhere = (tuple(range(8)),)
  assert groups.axis_of(everywhere, {"data": 8, "fsdp": 1}, 1)[0] == "data"

"""Cycles of schedules written by hand, as libtpu writes them."""

import fragments
import pytest

from van_jax.analysis.program import schedule

# A loop of five turns of three bundles, and two bundles around it.
OPERATION = """
   0x0   :  { %s1 = smov 0 }
   0x1 LB: > { %s2 = sadd.s32 1, %s1 }
   0x2   : > { %p1 = scmp.ge.s32.totalorder %s2, 5 /* loop exit test */ }
   0x3   : > { %9 = sbr.rel (!%p1) target = $region1 }
   0x4   :  { %10 = vsyncadd }
"""
# A grid's loop of three bundles and four turns, two more to fetch and to store,
# and a loop of two within.
KERNEL = """
   0x0   : > { %s1 = smov 0 }
   0x1 LB: >> { %s2 = sadd.s32 1, %s1 }
   0x2   : >> { %9 = sbr.rel (!%p1) target = $region1 }
   0x3   : > { %s3 = smov 0 }
   0x4   : > { %p4 = scmp.ge.s32.totalorder %s4, 6 /* loop exit test */ }
"""
FUSION = (
  "%fusion{n} = f32[40]{{0}} fusion(%p), kind=kLoop, calls=%fused, "
  'backend_config={{"window_config":{{"iteration_bounds":["5"]}}}}'
)
FUSED = (
  "%fused (q: f32[40]) -> f32[40] {\n  %q = f32[40]{0} parameter(0)\n}\n\n"
)
CALL = (
  "%depthwise.{n} = f32[8]{{0}} custom-call(%p), "
  'custom_call_target="tpu_custom_call", frontend_attributes='
  '{{kernel_metadata={{\n"loops":"{loops}"\n}}}}, metadata={{op_name="k"}}'
)


@pytest.fixture
def folder(tmp_path):
  """Returns a folder with the schedules of an operation and of a kernel."""
  (tmp_path / "12-fusion1-01-final_bundles.txt").write_text(OPERATION)
  (tmp_path / "12-depthwise.1-01-final_bundles.txt").write_text(KERNEL)
  (tmp_path / "12-depthwise.1-00-schedule-analysis_final_bundles.txt").touch()
  return tmp_path


def test_a_loop_s_bundles_count_as_often_as_it_turns(folder):
  module = fragments.module(FUSION.format(n=1), before=FUSED)
  assert schedule.cycles(module, folder) == 2 + 3 * 5


def test_operations_that_are_alike_share_a_schedule(folder):
  lines = [FUSION.format(n=1), FUSION.format(n=2)]
  module = fragments.module(*lines, before=FUSED)
  assert schedule.cycles(module, folder) == 2 * 17


def test_a_sum_that_names_its_numbers_in_another_order_is_alike(folder):
  def called(name, order):
    lines = [f"  %{name}{n} = f32[] parameter({n})\n" for n in order]
    return f"%{name} (x: f32[]) -> f32[] {{\n{''.join(lines)}}}\n\n"

  up = FUSION.format(n=1).replace("%fused", "%up")
  down = FUSION.format(n=2).replace("%fused", "%down")
  before = called("up", (0, 1)) + called("down", (1, 0))
  module = fragments.module(up, down, before=before)
  assert schedule.cycles(module, folder) == 2 * 17


def test_an_operation_in_a_loop_counts_as_often_as_that_turns(folder):
  body = f"%body (q: f32[40]) -> f32[40] {{\n  {FUSION.format(n=1)}\n}}\n\n"
  loop = "%w = f32[40] while(%p), condition=%less, body=%body"
  known = loop + ', backend_config={"known_trip_count":{"n":"3"}}'
  module = fragments.module(known, before=FUSED + body)
  assert schedule.cycles(module, folder) == 3 * 17


def test_a_kernel_counts_its_loops_by_the_turns_that_it_tells(folder):
  call = CALL.format(n=1, loops="[[1,4],[2,10]]")
  assert schedule.cycles(fragments.module(call), folder) == 4 * 3 + 10 * 2


def test_a_kernel_whose_grid_has_one_step_has_no_loop_of_it(folder):
  """The loops inside are then a level up, and so is what is around them."""
  (folder / "12-depthwise.1-01-final_bundles.txt").write_text(
    KERNEL.replace(": >", ": ")
  )
  call = CALL.format(n=1, loops="[[1,1],[2,10]]")
  assert schedule.cycles(fragments.module(call), folder) == 3 + 10 * 2


def test_of_a_grid_shared_by_two_cores_each_takes_half(folder):
  call = CALL.format(n=1, loops="[[1,8],[2,20]]")
  assert schedule.cycles(fragments.module(call), folder) == 4 * 3 + 10 * 2


# How libtpu copies a last block that the end of the map cuts off.
COPIES = """
   0x5 LB: >> { %v1 = vld [vmem:[%s1]]  ;;  %s2 = sadd.s32 1, %s1 }
   0x6   : >> { %2 = vst [vmem:[%s2]] /*vst_source=*/%v1 }
   0x7   : > { %p4 = scmp.ge.s32.totalorder %s4, 6 /* loop exit test */ }
"""


def test_a_kernel_s_copies_of_a_cut_off_block_are_left_out(folder):
  call = CALL.format(n=1, loops="[[1,4],[2,10]]")
  # The grid's loop has a bundle more.
  expected = 4 * 4 + 10 * 2
  computing = KERNEL.replace("sadd.s32 1, %s1", "%v3 = vmul.f32 %v1, %v2", 1)
  (folder / "12-depthwise.1-01-final_bundles.txt").write_text(
    computing + COPIES
  )
  assert schedule.cycles(fragments.module(call), folder) == expected


@pytest.mark.parametrize(
  "line",
  [
    FUSION.format(n=7),  # Nothing like it was scheduled.
    CALL.format(n=1, loops="[[1,4]]"),  # Tells of fewer loops than it has.
    CALL.format(n=1, loops=""),
  ],
)
def test_what_has_no_schedule_is_refused(folder, line):
  with pytest.raises(ValueError, match=r"fusion7|depthwise.1"):
    schedule.cycles(fragments.module(line, before=FUSED), folder)

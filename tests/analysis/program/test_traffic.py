"""Bytes of programs whose kernels one can count, and XLA's own count."""

from typing import Any

import fragments
import jax
import jax.numpy as jnp
import pytest

from van_jax.analysis.program import hlo, traffic
from van_jax.parallel import graphics_cards

# 4 KB each: of 1,024 numbers.
MAP = "f32[1024]{0}"
ADD_AND_DOUBLE = f"""
%fused (a: f32[1024], b: f32[1024]) -> (f32[1024], f32[1024]) {{
  %a = {MAP} parameter(0)
  %b = {MAP} parameter(1)
  %inside = {MAP} add(%a, %b)
  %twice = {MAP} add(%inside, %inside)
  ROOT %both = ({MAP}, {MAP}) tuple(%inside, %twice)
}}

"""


def test_a_fusion_reads_its_parameters_and_writes_its_results_alone():
  module = fragments.module(
    f"%p = {MAP} parameter(0)",
    f"%q = {MAP} parameter(1)",
    f"%made = ({MAP}, {MAP}) fusion(%p, %q), kind=kLoop, calls=%fused",
    f"%first = {MAP} get-tuple-element(%made), index=0",
    f"ROOT %same = {MAP} bitcast(%first)",
    before=ADD_AND_DOUBLE,
  )
  (kernel,) = traffic.kernels(module)
  assert (kernel.name, kernel.bytes, kernel.count) == ("made", 4 * 4096, 1)


def test_an_operand_given_twice_is_read_once():
  module = fragments.module(
    f"%p = {MAP} parameter(0)", f"ROOT %q = {MAP} multiply(%p, %p)"
  )
  assert traffic.moved_bytes(module) == 2 * 4096


def test_operands_beyond_the_fifth_count():
  names = [f"%p{i}" for i in range(7)]
  parameters = [f"{n} = {MAP} parameter({i})" for i, n in enumerate(names)]
  names[5] = f"/*index=5*/{names[5]}"
  call = f"ROOT %q = {MAP} custom-call({', '.join(names)})"
  assert traffic.moved_bytes(fragments.module(*parameters, call)) == 8 * 4096


LOOP = f"""
%slice (s: f32[10,1024], i: s32[]) -> f32[1024] {{
  %s = f32[10,1024]{{1,0}} parameter(0)
  %i = s32[] parameter(1)
  %zero = s32[] constant(0)
  %row = f32[1,1024]{{1,0}} dynamic-slice(%s, %i, %zero)
  ROOT %flat = {MAP} bitcast(%row)
}}

%update (u: f32[10,1024], v: f32[1,1024], j: s32[]) -> f32[10,1024] {{
  %u = f32[10,1024]{{1,0}} parameter(0)
  %v = f32[1,1024]{{1,0}} parameter(1)
  %j = s32[] parameter(2)
  %none = s32[] constant(0)
  ROOT %new = f32[10,1024]{{1,0}} dynamic-update-slice(%u, %v, %j, %none)
}}

%turn (t: (s32[], f32[10,1024])) -> (s32[], f32[10,1024]) {{
  %t = (s32[], f32[10,1024]{{1,0}}) parameter(0)
  %n = s32[] get-tuple-element(%t), index=0
  %rows = f32[10,1024]{{1,0}} get-tuple-element(%t), index=1
  %one = {MAP} fusion(%rows, %n), kind=kLoop, calls=%slice
  %line = f32[1,1024]{{1,0}} bitcast(%one)
  %put = f32[10,1024]{{1,0}} fusion(%rows, %line, %n), kind=kLoop, calls=%update
  ROOT %next = (s32[], f32[10,1024]{{1,0}}) tuple(%n, %put)
}}

%more (t2: (s32[], f32[10,1024])) -> pred[] {{
  %t2 = (s32[], f32[10,1024]{{1,0}}) parameter(0)
  ROOT %yes = pred[] constant(true)
}}

"""


def test_a_turn_of_a_loop_moves_its_own_rows():
  module = fragments.module(
    "%p = (s32[], f32[10,1024]{1,0}) parameter(0)",
    "ROOT %w = (s32[], f32[10,1024]{1,0}) while(%p), condition=%more, "
    'body=%turn, backend_config={"known_trip_count":{"n":"10"}}',
    before=LOOP,
  )
  # A row read and one written, and a number, of each of the two kernels.
  assert traffic.moved_bytes(module) == 10 * 2 * (2 * 4096 + 4)


def test_an_exchange_begun_and_waited_for_counts_once():
  """What XLA for GPUs writes: a -start with its operands and its result."""
  module = fragments.module(
    f"%p = {MAP} parameter(0)",
    f"%s = ({MAP}, f32[256]{{0}}) reduce-scatter-start(%p), dimensions={{0}}",
    "%d = f32[256]{0} reduce-scatter-done(%s)",
    f"%t = (f32[256]{{0}}, {MAP}) all-gather-start(%d), dimensions={{0}}",
    f"ROOT %q = {MAP} all-gather-done(%t)",
  )
  assert [kernel.bytes for kernel in traffic.kernels(module)] == [5120, 5120]


def test_a_slice_of_a_view_reads_its_part_alone():
  sliced = """
%part (w: f32[10,1024]) -> f32[1,1024] {
  %w = f32[10,1024]{1,0} parameter(0)
  %flat = f32[10240]{0} bitcast(%w)
  %cut = f32[1024]{0} slice(%flat), slice={[0:1024]}
  ROOT %shown = f32[1,1024]{1,0} bitcast(%cut)
}

"""
  module = fragments.module(
    "%p = f32[10,1024]{1,0} parameter(0)",
    "ROOT %q = f32[1,1024]{1,0} fusion(%p), kind=kLoop, calls=%part",
    before=sliced,
  )
  assert traffic.moved_bytes(module) == 2 * 4096


def test_xla_counts_the_same():
  def two_products(x, kernel, y):
    return jnp.tanh(x @ kernel) * y, x + 1

  shapes = ((64, 128), (128, 256), (64, 256))
  arguments = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes]
  compiled: Any = jax.jit(two_products).lower(*arguments).compile()
  found = traffic.moved_bytes(hlo.parse(compiled.as_text()))
  # XLA's has the two pointers of the result's tuple.
  assert found == compiled.cost_analysis()["bytes accessed"] - 2 * 8


def test_a_card_is_known_by_the_drivers_name():
  assert graphics_cards.bandwidth("NVIDIA H200") == 4.8e12
  assert graphics_cards.bandwidth("TPU v5 lite") is None


@pytest.mark.parametrize("text", ["", "HloModule empty"])
def test_an_empty_program_moves_nothing(text):
  assert traffic.kernels(hlo.parse(text)) == []

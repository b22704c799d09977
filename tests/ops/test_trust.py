"""Kernels that differ from XLA's, or fail, are not trusted."""

import functools
import logging
import re

import jax
import jax.numpy as jnp
import pytest

from van_jax import ops
from van_jax.ops import by_platform, depthwise, trust

CASE = trust.Case((2, 5, 5, 3), taps=3, dilation=1)


@pytest.fixture(autouse=True)
def _small(monkeypatch):
  monkeypatch.setattr(trust, "_CASES", (CASE,))
  monkeypatch.setattr(by_platform, "_auto_is_xla", False)


def auto_calls_ours():
  x, kernel = jnp.ones((1, 4, 4, 2)), jnp.ones((3, 3, 1, 2))
  # Traced anew: programs that were traced before keep what they have.
  run = functools.partial(ops.depthwise_conv)
  return "van_jax_depthwise" in jax.jit(run).lower(x, kernel).as_text()


def break_kernel(monkeypatch, wrong):
  right = depthwise.BY_NAME["numba_cpu"]
  broken = functools.partial(wrong, right)
  monkeypatch.setitem(depthwise.BY_NAME, "numba_cpu", broken)


@jax.custom_vjp
def with_half_a_gradient(x):
  return x


with_half_a_gradient.defvjp(lambda x: (x, None), lambda _, g: (g / 2,))


def wrong_forward(right, x, kernel, bias, dilation):
  return right(x, kernel, bias, dilation).at[0, 0, 0, 0].add(0.1)


def nan_forward(right, x, kernel, bias, dilation):
  return right(x, kernel, bias, dilation).at[0, 0, 0, 0].add(jnp.nan)


def wrong_input_gradient(right, x, kernel, bias, dilation):
  return right(with_half_a_gradient(x), kernel, bias, dilation)


def wrong_kernel_gradient(right, x, kernel, bias, dilation):
  return right(x, with_half_a_gradient(kernel), bias, dilation)


def fails(right, x, kernel, bias, dilation):
  raise RuntimeError("Mosaic does not take this")


@pytest.mark.parametrize(
  ("wrong", "message"),
  [
    (wrong_forward, "^forward of numba_cpu .* differs from XLA's by 0.1:"),
    (nan_forward, "^forward of numba_cpu .* by nan"),
    (wrong_input_gradient, "^input gradient of numba_cpu"),
    (wrong_kernel_gradient, "^kernel gradient of numba_cpu"),
    (fails, "fails on Case.*Mosaic does not take this"),
  ],
)
def test_auto_is_xla_after_a_kernel_was_wrong(
  wrong, message, monkeypatch, caplog
):
  assert auto_calls_ours()
  break_kernel(monkeypatch, wrong)
  caplog.set_level(logging.ERROR, trust.__name__)
  assert not ops.verify_kernels("cpu")
  assert not auto_calls_ours()
  found, conclusion = (record.getMessage() for record in caplog.records)
  assert re.search(message, found)
  assert "python -m van_jax.ops.check" in conclusion


def test_right_kernels_are_trusted_and_nothing_is_said(caplog):
  assert ops.verify_kernels("cpu")
  assert ops.verify_kernels("tpu")  # In the interpreter.
  assert auto_calls_ours()
  assert not caplog.records


def test_kernels_that_proved_themselves_are_not_asked(monkeypatch):
  break_kernel(monkeypatch, fails)
  assert ops.verify_kernels()


def test_all_auto_operations_are_plain_after_distrust():
  by_platform.distrust()
  x, kernel = jnp.ones((1, 4, 4, 2)), jnp.ones((2, 2))
  for run, arrays in (
    (ops.gelu, (x,)),
    (ops.pointwise_conv, (x, kernel)),
    (ops.strided_conv, (x, kernel[None, None])),
  ):
    assert "custom_vjp" not in str(jax.make_jaxpr(run)(*arrays))

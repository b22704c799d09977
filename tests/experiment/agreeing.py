"""Roles for test_agreement.py: what each process was started for."""

import os
import pathlib
from typing import Any

import jax
import numpy as np

from configs import digits
from van_jax import data
from van_jax.data.pipeline import eval_plan
from van_jax.experiment import agreement
from van_jax.parallel import processes
from van_jax.training.run import shared_folder, workdir as workdir_lib


def join(address, index, count):
  """Joins, and touches the devices."""
  group = processes.Group(
    coordinator_address=address, num_processes=count, process_id=index
  )
  processes.join(group, seconds=60.0, barrier_seconds=60.0)
  return jax.process_index()


def config_of(index):
  """Returns the config of a process: the second one's differs in two keys."""
  config: Any = digits.get_config()
  config.data.directory = f"/data/of/host{index}"
  if index == 1:
    config.schedule.learning_rate = 0.5
    config.batch_size = 32
  return config


def agree(addresses, index, folder):
  """Says what each check says, of three processes."""
  join(addresses[0], index, 3)
  same = digits.get_config()
  same.data.directory = f"/data/of/host{index}"
  agreement.check(same, step="latest")
  shared_folder.check(os.path.join(folder, "new", "run"))
  agreement.check_weights({"a": np.arange(3.0), "b": np.float32(1)})
  return [
    said(lambda: agreement.check(config_of(index))),
    said(lambda: agreement.check(same, step="best" if index else "latest")),
    said(lambda: agreement.check_weights({"a": np.full(3, float(index // 2))})),
    said(lambda: shared_folder.check(os.path.join(folder, str(index // 2)))),
    said(lambda: claim(index, os.path.join(folder, "full"))),
    sorted(path.name for path in pathlib.Path(folder).rglob("*")),
    said(lambda: agreement.check_batches(whole_images((64, 96)))),
    said(lambda: agreement.check_batches(whole_images((64, 64 + 32 * index)))),
  ]


def whole_images(shape):
  """Returns batches of two images that the network sees in a shape."""
  unread: Any = None
  batches = data.DenseEvalBatches(
    split=unread,
    batch_size=1,
    preprocessing=data.DensePreprocessing(),
    ratios=(1.0,),
    process_index=0,
    process_count=3,
  )
  plan = [eval_plan.Planned(np.array([0, 1, -1]), (shape,), (40, 56))]
  batches.__dict__["plan"] = plan  # As if it had been looked at.
  return batches


def claim(index, folder):
  """Claims a workdir on whose disk nothing can be written."""

  def fail():
    raise OSError(28, "No space left on device")

  with workdir_lib.opened(folder, {}, start_over=False, before_claim=fail):
    raise AssertionError("it is not claimed")


def said(function):
  """Returns the error's line."""
  try:
    function()
  except (ValueError, OSError) as error:
    return str(error)
  return ""

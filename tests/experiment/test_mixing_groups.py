"""Groups of mixing that do not suit a batch, or its repeated examples."""

import types
from typing import Any

import pytest

from van_jax.experiment import misfits

SOURCE: Any = types.SimpleNamespace(train=None)


def test_groups_that_do_not_make_up_a_batch_are_refused(tiny_config):
  config = tiny_config(**{"mixing.group_size": 5})
  message = r"mixing\.group_size=5 .*divide batch_size=16;.*None"
  with pytest.raises(ValueError, match=message):
    misfits.check_batch_sizes(config, SOURCE)
  larger = tiny_config(**{"mixing.group_size": 128})  # A batch is one group.
  misfits.check_batch_sizes(larger, SOURCE)


def test_copies_that_meet_in_a_group_are_said(tiny_config, caplog):
  keys = {"augmentation.repeats": 3, "model.batch_norm_group_size": 4}
  with caplog.at_level("WARNING"):
    misfits.check_batch_sizes(
      tiny_config(**keys, **{"mixing.group_size": 8}), SOURCE
    )
  [record] = caplog.records
  line = record.getMessage()
  assert line.startswith("mixing.group_size=8: ")
  assert "groups of at most 5 have one" in line
  caplog.clear()
  with caplog.at_level("WARNING"):
    misfits.check_batch_sizes(
      tiny_config(**keys, **{"mixing.group_size": 4}), SOURCE
    )
  assert caplog.records == []

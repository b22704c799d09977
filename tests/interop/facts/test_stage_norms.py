"""The stage norms' epsilon follows what the file tells of its training."""

import numpy as np
import published_files as published
import pytest

from van_jax.interop import convert as conversion

BACKBONE = {
  f"backbone.{key}": array
  for key, array in published.official(published.Size(classes=0)).items()
}
HEAD = {"decode_head.conv_seg.weight": np.ones((4, 3, 1, 1), np.float32)}


def epsilon(path, arrays, **options):
  """Returns the epsilon that a file of these arrays gets."""
  meta = options.pop("meta", {})
  published.write_openmmlab(path, arrays, **meta)
  backbone_only = arrays is not BACKBONE
  model = conversion.read_weights(
    path, backbone_only=backbone_only, **options
  ).model
  return model.layer_norm_epsilon


@pytest.mark.parametrize(
  ("meta", "expected"),
  [
    ({"config": "backbone=dict(\n    type='van_tiny',\n"}, 1e-6),
    ({"config": "backbone=dict(\n    type='VAN',\n"}, 1e-5),
    ({"cfg": 'type="VAN"', "time": "Sat Feb 26 03:11:00 2022"}, 1e-5),
    ({"mmengine_version": "0.8.4"}, 1e-5),
    ({"time": "Sat Feb 26 03:11:00 2022"}, 1e-6),
  ],
)
def test_what_the_file_tells_decides(meta, expected, tmp_path, caplog):
  got = epsilon(tmp_path / "w", BACKBONE | HEAD, meta=meta)
  assert got == expected
  assert "--layer_norm_epsilon" not in caplog.text


@pytest.mark.parametrize(
  "meta", [{}, {"time": "Mon Jan  2 03:04:05 2023"}, {"time": 5}]
)
def test_where_nothing_tells_what_was_taken_is_said(meta, tmp_path, caplog):
  assert epsilon(tmp_path / "w", BACKBONE | HEAD, meta=meta) == 1e-5
  assert "an epsilon of 1e-05" in caplog.text
  assert "--layer_norm_epsilon" in caplog.text


def test_a_given_epsilon_is_taken(tmp_path, caplog):
  got = epsilon(tmp_path / "w", BACKBONE | HEAD, layer_norm_epsilon=1e-6)
  assert got == 1e-6
  assert "--layer_norm_epsilon" not in caplog.text


@pytest.mark.parametrize("value", [0.0, -1e-6, 1.0, float("nan")])
def test_a_given_epsilon_is_checked(value, tmp_path):
  with pytest.raises(ValueError, match=r"layer_norm_epsilon=.*above 0"):
    epsilon(tmp_path / "w", BACKBONE, layer_norm_epsilon=value)


def test_classifiers_keep_the_official_epsilon(tmp_path):
  published.write_official(tmp_path / "w", published.official())
  assert conversion.read_weights(tmp_path / "w").model.layer_norm_epsilon == (
    1e-6
  )

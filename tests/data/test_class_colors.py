"""The colours that classes have where data says none."""

from van_jax.data import class_colors

# Of the development kit of PASCAL VOC: background, aeroplane, ..., tvmonitor.
PASCAL_VOC = """
0 0 0, 128 0 0, 0 128 0, 128 128 0, 0 0 128, 128 0 128, 0 128 128, 128 128 128,
64 0 0, 192 0 0, 64 128 0, 192 128 0, 64 0 128, 192 0 128, 64 128 128,
192 128 128, 0 64 0, 128 64 0, 0 192 0, 128 192 0, 0 64 128
"""


def test_they_are_those_of_pascal_voc():
  expected = [tuple(map(int, c.split())) for c in PASCAL_VOC.split(",")]
  colors = class_colors.default(256)
  assert list(colors[: len(expected)]) == expected
  assert colors[255] == (224, 224, 192)  # Of void, in the kit.
  assert len(set(colors)) == 256

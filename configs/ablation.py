"""The paper's ablations, one part of VAN changed at a time.

The argument is NAME, or NAME,SCALE; the scale is imagenet1k (when left out),
cifar10 or digits, the recipe of the file of that name, and the rest of it:

  python train.py --config=configs/ablation.py:w_o_dw --workdir=runs/w_o_dw
  python train.py --config=configs/ablation.py:w_o_dw,digits --workdir=runs/d

Names, with the top-1 (%) that arXiv 2202.09741 reports on ImageNet-1k:

  Table 3, parts of large kernel attention in VAN-B0: w_o_dw (no depthwise
    convolution, 74.9), w_o_dw_d (no dilated one, 74.1), w_o_attention (the view
    alone, no product, 74.3), add (a sum in place of it, 74.6), w_o_1x1 (74.6),
    sigmoid (of the view, 75.2), dense21 (one 21x21 convolution over all
    channels, 124.7 M parameters, 76.0), van_b0 (nothing changed, 75.4).
  Table 6, kernel size and dilation: k7_d2 (74.8), k14_d3 (75.3), k21_d3 (VAN's
    own, 75.4), k28_d4 (75.4).
  Table 7, with and without layer scales: van_b0 (75.4), van_b0_w_o_ls (75.2),
    van_b1 (81.1, 81.0), van_b2 (82.8, 82.9), van_b3 (83.9, 83.8), van_b4 (84.2,
    84.2). Its other rows are other networks.
  Later attentions in VAN-B0's place of LKA: lska7, lska11, lska23, lska35,
    lska41, lska53 (arXiv 2309.01439), msca (arXiv 2209.08575).

Another kernel size is `--config.model.attention.kernel_size=35`, which with
`--config.model.attention.dilation=None` gets the dilation of fewest parameters.
At 32 pixels maps are 8 x 8 and smaller: digits and CIFAR-10 hardly tell these
apart. benchmarks/ablation.py has a task that does. Ours: not run on ImageNet.
"""

from configs import cifar10, digits, imagenet1k

# The recipe, by scale, for a network.
SCALES = {
  "imagenet1k": imagenet1k.get_config,
  "cifar10": lambda variant: cifar10.get_config(),
  "digits": lambda variant: digits.get_config(),
}

# The network, and what is changed in it: keys of config.model.
ROWS = {
  "w_o_dw": ("van_b0", {"attention": {"convs": ("dilated", "pointwise")}}),
  "w_o_dw_d": ("van_b0", {"attention": {"convs": ("depthwise", "pointwise")}}),
  "w_o_attention": ("van_b0", {"attention": {"gate": "none"}}),
  "add": ("van_b0", {"attention": {"gate": "add"}}),
  "w_o_1x1": ("van_b0", {"attention": {"convs": ("depthwise", "dilated")}}),
  "sigmoid": ("van_b0", {"attention": {"gate": "sigmoid"}}),
  "dense21": ("van_b0", {"attention": {"convs": ("dense",)}}),
  "k7_d2": ("van_b0", {"attention": {"kernel_size": 7, "dilation": 2}}),
  "k14_d3": ("van_b0", {"attention": {"kernel_size": 14, "dilation": 3}}),
  "k21_d3": ("van_b0", {"attention": {"kernel_size": 21, "dilation": 3}}),
  "k28_d4": ("van_b0", {"attention": {"kernel_size": 28, "dilation": 4}}),
  "van_b0": ("van_b0", {}),
  "van_b0_w_o_ls": ("van_b0", {"layer_scale_init": None}),
  "van_b1": ("van_b1", {}),
  "van_b1_w_o_ls": ("van_b1", {"layer_scale_init": None}),
  "van_b2": ("van_b2", {}),
  "van_b2_w_o_ls": ("van_b2", {"layer_scale_init": None}),
  "van_b3": ("van_b3", {}),
  "van_b3_w_o_ls": ("van_b3", {"layer_scale_init": None}),
  "van_b4": ("van_b4", {}),
  "van_b4_w_o_ls": ("van_b4", {"layer_scale_init": None}),
  "lska7": (
    "van_b0",
    {"attention": {"name": "lska", "kernel_size": 7, "dilation": 2}},
  ),
  "lska11": (
    "van_b0",
    {"attention": {"name": "lska", "kernel_size": 11, "dilation": 2}},
  ),
  "lska23": (
    "van_b0",
    {"attention": {"name": "lska", "kernel_size": 23, "dilation": 3}},
  ),
  "lska35": (
    "van_b0",
    {"attention": {"name": "lska", "kernel_size": 35, "dilation": 3}},
  ),
  "lska41": (
    "van_b0",
    {"attention": {"name": "lska", "kernel_size": 41, "dilation": 3}},
  ),
  "lska53": (
    "van_b0",
    {"attention": {"name": "lska", "kernel_size": 53, "dilation": 3}},
  ),
  "msca": ("van_b0", {"attention": {"name": "msca"}}),
}


def get_config(run="van_b0"):
  """Returns a row at a scale: NAME or NAME,SCALE."""
  name, _, scale = run.partition(",")
  variant, changes = ROWS[name]
  config = SCALES[scale or "imagenet1k"](variant)
  config.model.name = variant
  config.model.update(changes)
  return config

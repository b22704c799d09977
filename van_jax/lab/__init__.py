"""The laboratory: training, and comparing, from Python; no folder, no config.

result = van_jax.fit("van_b0", (images, labels), evaluation=0.1, epochs=10)
print(van_jax.sweep({"lka": model_a, "lska": model_b}, data, ...))
"""

from van_jax.lab.fitted import Fit
from van_jax.lab.fitting import fit
from van_jax.lab.history import History
from van_jax.lab.members import Row
from van_jax.lab.parts import GROUPS, PARTS
from van_jax.lab.sweeping import sweep
from van_jax.lab.swept import Sweep

__all__ = ["GROUPS", "PARTS", "Fit", "History", "Row", "Sweep", "fit", "sweep"]

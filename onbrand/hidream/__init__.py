"""The image model: HiDream, with the brand's LoRA. Only this package may import torch.

Import this package before torch, because OpenMP reads the setting below once, when torch loads it.
"""

import os

# Waiting threads sleep and do not spin. Measured on two cores with three other busy processes: four pictures took 24 to
# 65 s with spinning threads, and 7 s at most with sleeping ones. On idle cores, sleeping costs about half a second.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

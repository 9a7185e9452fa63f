"""The image model: HiDream through diffusers, with the brand's LoRA. torch lives here and in `training` only.

Import this before torch: the thread pool reads its settings once, when torch loads it.
"""

import os

# Waiting threads sleep instead of spinning. On two cores shared with three other busy processes, spinning made single
# drawings of four pictures take 24 to 65 s, sleeping at most 7 s; on quiet cores it costs about half a second.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

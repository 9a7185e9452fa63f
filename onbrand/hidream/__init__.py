"""The image model: HiDream through diffusers, with the brand's LoRA. torch lives here and in `training` only."""

"""What every training here shares, of a whole miniature or of a brand's LoRA: loss, optimiser, checkpoints, progress.

A loop written with it ends with the same bytes whether or not it was killed on the way: the data and the noise of
step n depend on the seed and n alone, and a checkpoint is there whole or not at all.
"""

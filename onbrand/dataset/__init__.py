"""A studio's own illustrations: what is read of a folder, how a picture is normalised, and what is wrong with it.

Nothing here changes the folder, and nothing here imports torch. `reader` is for training and evaluation, `check` for
`onbrand dataset check`.
"""

"""Blind reviews of brand packs: sixteen pictures, a rule that was stated before, and what a designer answered.

Nothing here draws: `onbrand review open` does, and `open` here makes a review of what was drawn. Nothing here moves an
alias: `packs.promotion` does.
"""

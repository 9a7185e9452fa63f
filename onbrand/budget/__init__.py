"""The money that GPUs may cost in a month: what was spent, what is promised, and what may still be accepted."""

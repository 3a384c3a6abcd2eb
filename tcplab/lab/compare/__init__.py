"""Parity: one script on our stack and on the kernel's, the two timelines side by side.

`runs` plays an exercise or a script, `drilled` a packet script; `rows` makes comparable rows of what happened, without
what chance and addresses give; `align` lays two timelines side by side; `fidelity` knows which differences are meant.
"""

"""The loss of a training, as an ablation file names it.

train.loss: auto                   the network's own loss, else that of the task
train.loss: dice                   a named loss of the task: a function of `bench/tasks/TASK_losses.py`
train.loss: cross_entropy+dice     the sum of several
train.loss: losses.py:tversky      a function of the project: (outputs, targets) to a number
"""

from __future__ import annotations

import re

AUTO = "auto"
OWN = re.compile(r"[^:?&]+:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")
NAMED = re.compile(r"[A-Za-z_]\w*(\+[A-Za-z_]\w*)*")
SYNTAX = "auto, named losses of the task (dice, cross_entropy+dice), or file.py:function"


def loss_text(text: str) -> str:
    """The text itself. Raises ValueError for what can name no loss."""
    if not (OWN.fullmatch(text) or NAMED.fullmatch(text)):
        raise ValueError(f"a loss is {SYNTAX}")
    names = text.split("+")
    if len(set(names)) < len(names):
        raise ValueError("each loss of a sum is named once")
    return text


def is_own(loss: str) -> bool:
    """Whether it is a function of the project."""
    return ":" in loss

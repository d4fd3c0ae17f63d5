"""Permissions that the user gives a command, for what it otherwise refuses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import tyro


@dataclass(frozen=True)
class Permissions:
    """Permissions of a study's driver for one start; they are no fields of the study."""

    take_over: Annotated[bool, tyro.conf.FlagCreatePairsOff, tyro.conf.arg(help_behavior_hint="")] = False
    """Take the study over from another driver that is running it. That driver stops."""
    move_here: Annotated[bool, tyro.conf.FlagCreatePairsOff, tyro.conf.arg(help_behavior_hint="")] = False
    """Go on in this folder without the study's checkpoints, which are in another folder. Unfinished trials begin
    again."""
    allow_changed_code: Annotated[bool, tyro.conf.FlagCreatePairsOff, tyro.conf.arg(help_behavior_hint="")] = False
    """Go on although source files that the trainings run have changed since the last start. Later trials get a tag."""
    trust_model_code: Annotated[bool, tyro.conf.FlagCreatePairsOff, tyro.conf.arg(help_behavior_hint="")] = False
    """Run the code that a registered model brings (the present champion, or the one that --start names), even where it
    is neither the code installed here nor that of your own studies. It can do all that you can."""

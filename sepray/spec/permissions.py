"""What a command may do that it otherwise refuses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import tyro


@dataclass(frozen=True)
class Permissions:
    """What the user allows a study's driver at this start; not a part of the study."""

    take_over: Annotated[bool, tyro.conf.FlagCreatePairsOff, tyro.conf.arg(help_behavior_hint="")] = False
    """Take the study from another driver that runs it, which then stops."""
    move_here: Annotated[bool, tyro.conf.FlagCreatePairsOff, tyro.conf.arg(help_behavior_hint="")] = False
    """Go on in this folder although the study's checkpoints are in another one, without them: unfinished trials begin
    again."""
    allow_changed_code: Annotated[bool, tyro.conf.FlagCreatePairsOff, tyro.conf.arg(help_behavior_hint="")] = False
    """Go on although source files that trainings run have changed since the last start; later trials are tagged."""
    trust_model_code: Annotated[bool, tyro.conf.FlagCreatePairsOff, tyro.conf.arg(help_behavior_hint="")] = False
    """Let the code in registered models (the present champion, a start) run although it is neither what is installed
    here nor of your own studies."""

"""How a version moves: its states, the work that each state waits for, and what follows.

queued -> planning -> learning -> generating -> finalizing -> evaluating -> completed
             a refresh: -> unchanged                                     -> held -> completed, once it is promoted
                             (at any time)  -> cancelling -> cancelled,  -> failed
"""

from typing import Literal, get_args

State = Literal[
    "queued",
    "planning",
    "learning",
    "generating",
    "finalizing",
    "evaluating",
    "completed",
    "held",
    "unchanged",
    "cancelling",
    "cancelled",
    "failed",
]
Stage = Literal["plan", "learn", "generate", "finalize", "evaluate"]
STAGES: tuple[Stage, ...] = get_args(Stage)
DURING: dict[Stage, State] = {
    "plan": "planning",
    "learn": "learning",
    "generate": "generating",
    "finalize": "finalizing",
    "evaluate": "evaluating",
}
STAGE_OF: dict[State, Stage] = {"queued": "plan", **{state: stage for stage, state in DURING.items()}}
PUBLISHED: tuple[State, ...] = ("completed", "held")
ENDED: tuple[State, ...] = (*PUBLISHED, "unchanged", "cancelled", "failed")


def following(stage: Stage, work: dict[str, int]) -> Stage | None:
    """The next stage with anything to do, by the plan's count of units for each; None after the last."""
    later = STAGES[STAGES.index(stage) + 1 :]
    return next((each for each in later if work.get(each, 0)), None)

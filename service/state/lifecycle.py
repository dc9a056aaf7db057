"""The life of a version: its states, the stage of work that each state waits for, and the stage that follows.

queued -> planning -> learning -> generating -> finalizing -> evaluating -> reporting -> completed
             a refresh: -> unchanged                                                  -> held -> completed, once promoted
                             (at any time)  -> cancelling -> cancelled,               -> failed
                      (once it has ended)   -> deleting -> gone
"""

from typing import Literal, get_args

State = Literal[
    "queued",
    "planning",
    "learning",
    "generating",
    "finalizing",
    "evaluating",
    "reporting",
    "completed",
    "held",
    "unchanged",
    "cancelling",
    "cancelled",
    "failed",
    "deleting",
]
Stage = Literal["plan", "learn", "generate", "finalize", "evaluate", "report", "delete", "ingest"]
STAGES: tuple[Stage, ...] = ("plan", "learn", "generate", "finalize", "evaluate", "report")  # of making a version, in order
ALL_STAGES: tuple[Stage, ...] = get_args(Stage)  # with the removal of a version, and the reading of an upload
STATE_OF: dict[Stage, State] = {
    "plan": "planning",
    "learn": "learning",
    "generate": "generating",
    "finalize": "finalizing",
    "evaluate": "evaluating",
    "report": "reporting",
}
STAGE_OF: dict[State, Stage] = {
    "queued": "plan",
    **{state: stage for stage, state in STATE_OF.items()},
    "deleting": "delete",
}
EVALUATION: tuple[Stage, ...] = ("evaluate", "report")  # stages of a version that is published
PUBLISHED: tuple[State, ...] = ("completed", "held")
ENDED: tuple[State, ...] = (*PUBLISHED, "unchanged", "cancelled", "failed", "deleting")

WorkerKind = Literal["cpu", "gpu"]
WORKER_KINDS: tuple[WorkerKind, ...] = get_args(WorkerKind)
WORKER_KIND_OF: dict[Stage, WorkerKind] = {
    "plan": "cpu",
    "learn": "gpu",
    "generate": "gpu",
    "finalize": "cpu",
    "evaluate": "gpu",
    "report": "cpu",
    "delete": "cpu",
    "ingest": "cpu",
}


def stages_of(kind: WorkerKind) -> list[Stage]:
    """The stages whose units a kind of worker takes."""
    return [stage for stage in ALL_STAGES if WORKER_KIND_OF[stage] == kind]


def next_stage(stage: Stage, unit_counts: dict[str, int]) -> Stage | None:
    """The next stage that has units, by the plan's count of units for each stage; None after the last."""
    later = STAGES[STAGES.index(stage) + 1 :] if stage in STAGES else ()
    return next((candidate for candidate in later if unit_counts.get(candidate, 0)), None)

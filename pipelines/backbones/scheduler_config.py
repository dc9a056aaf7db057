"""What the configuration of a checkpoint's scheduler says: whether its schedule is one that is read here, and of how few
steps a distilled checkpoint is."""

from collections.abc import Mapping
from typing import Any

from pipelines.errors import ModelError

FEW_STEP_SCHEDULERS = ("LCMScheduler", "TCDScheduler")
DISTILLED_STEPS = {"EulerDiscreteScheduler": 8, "EulerAncestralDiscreteScheduler": 1}  # most steps of distilled checkpoints
FLOW = "FlowMatchEulerDiscreteScheduler"
MULTISTEP = {"algorithm_type": "dpmsolver++", "solver_order": 2, "solver_type": "midpoint"}  # and diffusers' defaults


def check_diffusion(name: str, config: Mapping[str, Any]) -> None:
    """Raises ModelError unless a scheduler is one of diffusion in discrete time; `name` is that of its class."""
    if "beta_schedule" not in config:
        raise ModelError(f"{name}: only schedulers with a beta schedule are supported")
    prediction = config.get("prediction_type", "epsilon")
    if prediction not in ("epsilon", "v_prediction", "sample"):
        raise ModelError(f"prediction_type {prediction!r} is not epsilon, v_prediction or sample")


def check_flow(name: str, config: Mapping[str, Any]) -> None:
    """Raises ModelError for another solver of flow matching than Euler's, or a variant that is random or runs backwards."""
    if name != FLOW:
        raise ModelError(f"{name}: of flow matching, only {FLOW} is supported")
    for option in ("stochastic_sampling", "invert_sigmas"):
        if config.get(option):
            raise ModelError(f"{name}: {option} is not supported; set it to false")


def default_solver(name: str, config: Mapping[str, Any]) -> str:
    """The solver of diffusion that `method.solver: auto` stands for: the scheduler's own, where it is one of ours."""
    own = name == "DPMSolverMultistepScheduler" and all(config.get(key, one) == one for key, one in MULTISTEP.items())
    return "dpmsolver++" if own else "ddim"


def most_steps(name: str, config: Mapping[str, Any]) -> int | None:
    """Most steps of checkpoints such as SD-Turbo and SDXL-Lightning, distilled to few steps of Euler's solver.

    Trailing timesteps and the prediction of noise tell them. Our solver takes the same steps as Euler's, and adds no noise
    on the way, as the ancestral one does: of that, only a single step is the same.
    """
    trailing = config.get("timestep_spacing") == "trailing" and config.get("prediction_type", "epsilon") == "epsilon"
    return DISTILLED_STEPS.get(name) if trailing else None

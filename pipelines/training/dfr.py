"""Deep feature reweighting (Kirichenko et al., ICLR 2023, arXiv 2204.02937): ERM, then its last layer retrained on real
held-out images in which every group is as frequent.
"""

from pipelines.chance import derive
from pipelines.training.erm import erm
from pipelines.training.last_layer import retrain
from pipelines.training.task import Task
from pipelines.vision.classifier import Classifier


def dfr(task: Task) -> Classifier:
    """The classifier of ERM with another last layer. `task.validation` must have images, with their groups."""
    assert task.validation is not None
    model = erm(task)
    retrain(model, task.validation, task.classes, derive(task.seed, "dfr"))
    return model

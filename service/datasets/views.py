"""Datasets: from rows of the database to response models."""

from service.datasets.schemas import DatasetView, VersionSummary
from service.schedules.views import schedule_view
from service.state.datasets import DatasetSummary


def dataset_view(dataset: DatasetSummary) -> DatasetView:
    url = f"/v1/datasets/{dataset.name}"
    links = {"self": url, "schedule": f"{url}/schedule", "refresh": f"{url}:refresh"}
    if dataset.latest:
        links["latest"] = f"{url}/versions/{dataset.latest}"
    return DatasetView(
        name=dataset.name,
        latest=dataset.latest,
        versions=[VersionSummary(number=number, state=state) for number, state in dataset.versions],
        schedule=None if dataset.schedule is None else schedule_view(dataset.schedule),
        links=links,
    )

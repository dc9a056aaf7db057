"""The page of a discovery: self-contained HTML, the suspects with their images, then all attributes in one table."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from jinja2 import ChoiceLoader, FileSystemLoader

from pipelines.discovery.exhibits import Exhibit
from pipelines.discovery.suspects import Discovery
from pipelines.report import figures
from pipelines.report.page import TEMPLATES


def render(discovery: Discovery, exhibits: Mapping[str, Sequence[Exhibit]]) -> str:
    """The whole page; `exhibits` of each suspect by its attribute. Same discovery, same bytes."""
    own = Path(__file__).parent
    loader = ChoiceLoader([FileSystemLoader(own), FileSystemLoader(Path(figures.__file__).parent)])
    template = TEMPLATES.overlay(loader=loader).get_template("discovery.html.j2")
    return template.render(discovery=discovery, exhibits=exhibits)

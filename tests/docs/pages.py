"""The README, the guides and CONTRIBUTING, as the tests read them."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).parents[2]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Page:
    """A Markdown file, named by its path from the root."""

    name: str

    @cached_property
    def text(self) -> str:
        return (ROOT / self.name).read_text(encoding="utf-8")

    @property
    def prose(self) -> str:
        """The text without its code blocks."""
        return FENCE.sub("", self.text)

    def blocks(self, language: str) -> list[str]:
        return [code for name, code in FENCE.findall(self.text) if name == language]

    def section(self, heading: str) -> str:
        """From a heading to the next of its level or above. Raises ValueError if it is not there."""
        start = re.search(rf"^(#+) {re.escape(heading)}\n", self.prose, re.MULTILINE)
        if start is None:
            raise ValueError(f"{self.name} has no section {heading!r}")
        rest = self.prose[start.end() :]
        end = re.search(rf"^#{{1,{len(start[1])}}} ", rest, re.MULTILINE)
        return rest[: end.start()] if end else rest

    @property
    def anchors(self) -> set[str]:
        """The anchors of its headings, as GitHub makes them."""
        headings = re.findall(r"^#+ (.+)$", self.prose, re.MULTILINE)
        return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}

    @property
    def links(self) -> list[str]:
        """Targets of links and images, without those elsewhere on the web."""
        return [link for link in re.findall(r"\]\(([^)\s]+)\)", self.prose) if "://" not in link]


README = Page("README.md")
GUIDES = [Page(f"docs/{path.name}") for path in sorted((ROOT / "docs").glob("*.md"))]
PAGES = [README, Page("CONTRIBUTING.md"), *GUIDES]


def guide(name: str) -> Page:
    return Page(f"docs/{name}.md")


def rows(text: str) -> list[list[str]]:
    """The cells of every table row of a text, without the rules below their heads."""
    lines = [line.strip() for line in text.splitlines() if re.match(r"\s*\|", line)]
    return [[cell.strip() for cell in line.strip("|").split(" |")] for line in lines if not re.fullmatch(r"[|:\- ]+", line)]


def named(text: str) -> set[str]:
    """What stands in backticks in the first cell of the table rows of a text."""
    return {name for row in rows(text) for name in re.findall(r"`([^`]+)`", row[0])}


def shell_lines() -> Iterator[tuple[str, str]]:
    """Every line of every shell block, continued lines joined, without its comment; with the page that has it."""
    for page in PAGES:
        for block in page.blocks("bash"):
            for line in block.replace("\\\n", " ").splitlines():
                yield page.name, re.sub(r"\s+#.*$", "", line)

"""Every file and heading that a page names is there, and the site of the guides builds without a warning."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.docs.pages import GUIDES, PAGES, ROOT, Page

FOLDERS = "counterpoise|docker|docs|k8s|monitoring|pipelines|service|tests|workers"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Page) -> None:
    home = Path(page.name).parent
    for link in page.links:
        path, _, anchor = link.partition("#")
        target = page if not path else Page((home / path).as_posix())
        assert (ROOT / target.name).exists(), link
        assert not anchor or anchor in target.anchors, link


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_path_it_names_is_there(page: Page) -> None:
    missing = [path for path in re.findall(rf"`((?:{FOLDERS})/[^`\s]*)`", page.text) if not (ROOT / path).exists()]
    assert missing == []


def test_the_pages_name_paths_and_links() -> None:
    assert sum(len(page.links) for page in PAGES) > 40
    assert sum(page.text.count("`pipelines/") for page in PAGES) > 40


def test_every_guide_is_in_the_site_s_menu_and_in_the_readme() -> None:
    menu = re.findall(r"([\w-]+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE)
    assert sorted(menu) == [Path(page.name).name for page in GUIDES]
    assert {page.name for page in GUIDES} - {"docs/index.md"} <= {link.partition("#")[0] for link in PAGES[0].links}


def test_the_site_is_built_without_a_warning_and_fetches_nothing_from_elsewhere(tmp_path: Path) -> None:
    pytest.importorskip("zensical", reason="the site's generator is not installed: pip install -e '.[docs]'")
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    shutil.copy(ROOT / "mkdocs.yml", tmp_path)
    command = [sys.executable, "-m", "zensical", "build", "--strict"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    site = tmp_path / yaml.safe_load((ROOT / "mkdocs.yml").read_text())["site_dir"]
    for page in GUIDES:
        html = (site / Path(page.name).with_suffix(".html").name).read_text(encoding="utf-8")
        assert re.findall(r'<(?:script|img|link rel="stylesheet")[^>]*(?:src|href)="(?:https?:)?//[^"]*', html) == []
        for image in re.findall(r'<img[^>]*src="([^"]+)"', html):
            assert (site / image).exists(), image

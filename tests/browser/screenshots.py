"""The pictures of the console's guide, made anew: python -m tests.browser.screenshots. Half a minute."""

import io
import tempfile
import time
from pathlib import Path
from typing import Literal

import PIL.Image
from playwright.sync_api import sync_playwright
from sqlalchemy import update

from pipelines.progress import Silent
from pipelines.run import run
from pipelines.spec import parse
from pipelines.store import keys
from service.settings import Settings
from service.state import versions
from service.state.tables import Dataset, Version
from tests.browser.serving import Served, serving
from tests.parts import CHROMIUM
from tests.service.calls import context, store
from tests.test_run import SPEC

DOCS = Path(__file__).parents[2] / "docs"
DISPLAYED = parse({**SPEC, "amount": {"per_class": 30}, "shard_size": 20, "evaluation": None})
COLOURS = 256  # of a picture
REGION = "540,260,700,120,900,200,960,640,800,800,580,640"  # of the map


def publish(served: Served) -> None:
    """The row of a version that was made in this process."""
    database, now = context(served.client).database, time.time()
    versions.create(database, "default", "shoes", DISPLAYED.model_dump(mode="json"))
    counts = store(served.client, "default").json(keys.manifest(keys.version("shoes", 1)))["counts"]
    entered = {"queued": now - 90, "planning": now - 89, "generating": now - 80, "completed": now}
    with database.write() as session:
        session.execute(update(Version).values(state="completed", counts=counts, entered=entered))
        session.execute(update(Dataset).values(latest=1))


def take(served: Served, executable: Path, width: int, height: int, *pages: tuple[Literal["light", "dark"], str]) -> bytes:
    """Pages of a version, each light or dark, side by side, in a window of so many pixels."""
    pictures = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(executable), args=["--no-sandbox"])
        for scheme, path in pages:
            page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
            page.goto(f"{served.url}/console/datasets/shoes/versions/1/{path}", wait_until="networkidle")
            pictures.append(PIL.Image.open(io.BytesIO(page.screenshot())).convert("RGB"))
        browser.close()
    both = PIL.Image.new("RGB", (2 * pictures[0].width, pictures[0].height))
    for number, picture in enumerate(pictures):
        both.paste(picture, (number * picture.width, 0))
    data = io.BytesIO()
    both.quantize(COLOURS).save(data, "PNG", optimize=True)
    return data.getvalue()


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run(DISPLAYED, folder / "store" / "default", Silent())
        settings = Settings(state_dir=folder, broker_url="redis://127.0.0.1:1/0", auth=False)
        with serving(settings) as served:
            publish(served)
            executable = CHROMIUM.path()
            grid = take(served, executable, 900, 720, ("light", "samples"), ("dark", "samples?verdict=dropped"))
            (DOCS / "console.png").write_bytes(grid)
            drawn = take(served, executable, 1100, 1000, ("light", "map"), ("dark", f"map?by=kind&region={REGION}"))
            (DOCS / "map.png").write_bytes(drawn)


if __name__ == "__main__":
    main()

"""The pictures in the documentation: `python -m tests.system.page.screenshots docs/images`."""

import os
import sys
from pathlib import Path

from tests.control.serving import served
from tests.fakes.sidecar import NOW
from tests.system.page.browser import LAPTOP, PHONE, chromium, opened, url
from tests.system.page.scenes import sidecar

PICTURES = {
    "status-expired": ("expired", {"viewport": LAPTOP, "color_scheme": "light"}),
    "status-failing-phone": ("failing", {"viewport": PHONE, "color_scheme": "dark"}),
    "status-well-phone": ("well", {"viewport": PHONE, "color_scheme": "light"}),
}
"""By file name: what is shown, and to whom."""


def take(directory: Path, pictures: dict[str, tuple[str, dict[str, object]]]) -> None:
    """Write each picture into the directory."""
    directory.mkdir(parents=True, exist_ok=True)
    with chromium() as browser:
        for name, (scene, options) in pictures.items():
            with served(sidecar(scene, now=NOW)) as server, opened(browser, url(server), **options) as page:
                page.screenshot(path=directory / f"{name}.png", full_page=True)


if __name__ == "__main__":
    os.environ["HOSTNAME"] = "web-5f7c"  # not the machine's that takes them
    take(Path(sys.argv[1]), PICTURES)

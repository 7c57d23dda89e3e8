"""One step on a volume, to be killed or traced: `python -m tests.crash.step LAYOUT SCENE VOLUME`."""

import os
import sys
from pathlib import Path

from refresher.model import LayoutName
from tests.crash.scenes import scenes, web
from tests.fakes.source import App

BEGIN = "/the-step-begins-here"


def main(layout: LayoutName, scene: str, volume: Path) -> None:
    chosen = scenes(layout)[scene]
    asset = web(volume, layout, App())
    # A call that a trace shows, so that what Python itself read and wrote before it can be told apart.
    os.access(BEGIN, os.F_OK)
    chosen.step(asset, chosen.wanted)


if __name__ == "__main__":
    main(LayoutName(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.support.daemon import ROOT

SCRIPT = """
import os, resource
import doorbelld.daemon
from doorbelld.media import jpeg
from doorbelld.stream.hub import FrameHub
from doorbelld.stream.placeholder import Placeholder
from doorbelld.stream.state import CameraState, Condition
hub = FrameHub()
placeholder = Placeholder(hub)
resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))
placeholder.draw("Gate", Condition(CameraState.OFFLINE, "No camera", 0.0), 640, 480)
placeholder.publish(1.0)
print(jpeg.size(hub.latest.data))
"""


@pytest.mark.process
def test_there_is_a_card_even_when_no_file_can_be_opened() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        cwd=ROOT,
        env={**os.environ, "COVERAGE_PROCESS_CONFIG": ""},  # It could not write its data either.
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("(640, 480)\n", "")

"""The service sends nobody anything by itself."""

import subprocess
import sys

from tests.trained import ROOT


def test_onnxruntime_is_told_to_send_no_usage_data_before_it_is_imported() -> None:
    code = (
        "import os, sys; os.environ.pop('ORT_DISABLE_TELEMETRY', None); import service.runtime; "
        "assert 'onnxruntime' not in sys.modules; print(os.environ['ORT_DISABLE_TELEMETRY'])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True)
    assert done.stdout == "1\n"

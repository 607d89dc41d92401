# Installs depthkit where it is missing, on Kaggle or Colab, and never torch. After `make` there is nothing to do.
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

REPOSITORY = "https://github.com/OWNER/depthkit"
os.environ |= {"PYTORCH_NVML_BASED_CUDA_CHECK": "1", "NO_ALBUMENTATIONS_UPDATE": "1"}  # read by what is imported below
pip = [sys.executable, "-m", "pip", "install", "-qq"]
beside = ["accelerate>=1.14", "transformers>=5.4", "huggingface-hub>=1.5", "tyro>=1.0", "docstring-parser", "typeguard"]
found = (wheel for depth in range(1, 5) for wheel in Path("/kaggle/input").glob("*/" * depth + "depthkit-*.whl"))
if wheel := next(found, None):
    subprocess.run([*pip, "--no-index", "--no-deps", "--find-links", wheel.parent, wheel, *beside], check=True)
elif not find_spec("depthkit") and subprocess.run([*pip, f"depthkit @ {REPOSITORY}/archive/HEAD.zip"]).returncode:
    raise ModuleNotFoundError(
        "no depthkit, and pip can't fetch it. On Kaggle: Settings > Turn on internet (a phone number must be verified "
        "at kaggle.com/settings), or Add Input > Datasets > depthkit-course; then Run All. Elsewhere: run `make` first."
    )

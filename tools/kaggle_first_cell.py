# On Kaggle: install depthkit from the attached data set and leave torch as it is. Elsewhere `make` has installed it.
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

found = [*Path("/kaggle/input").glob("*/depthkit-*.whl"), *Path("/kaggle/input").glob("datasets/*/*/depthkit-*.whl")]
if found:
    wheels = [str(wheel) for wheel in found[0].parent.glob("*.whl")]
    subprocess.run([sys.executable, "-m", "pip", "install", "-qq", "--no-index", "--no-deps", *wheels], check=True)
elif find_spec("depthkit") is None:
    raise ModuleNotFoundError("no depthkit: on Kaggle attach the data set depthkit-course; elsewhere run `make` first")

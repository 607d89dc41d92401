import subprocess
import sys

PROBE = """
import importlib, pkgutil, torch
touched = []
torch.cuda._lazy_init = lambda: touched.append("init")
for name in ("is_available", "device_count", "get_device_capability", "current_device"):
    setattr(torch.cuda, name, lambda *a, _name=name: touched.append(_name) or 0)
import accelerate, albumentations, transformers  # what these do at import is theirs
before = len(touched)
import depthkit
for module in pkgutil.iter_modules(depthkit.__path__):
    importlib.import_module(f"depthkit.{module.name}")
assert len(touched) == before, touched
assert not torch.cuda.is_initialized()
print("clean")
"""


def test_importing_every_module_touches_no_cuda():
    """A CUDA call at import would make `notebook_launcher`'s forked processes fail."""
    done = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and done.stdout.strip() == "clean", done.stderr

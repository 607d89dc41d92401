"""The package as a whole: what importing it does, what it declares, and that the built wheel works by itself."""

import ast
import json
import os
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import depthkit

REPOSITORY = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
PACKAGE = REPOSITORY / "depthkit"
MODULES = sorted(path.relative_to(REPOSITORY) for path in PACKAGE.rglob("*.py"))
KIT = [path for path in MODULES if path.parts[1] != "course"]  # what an engineer uses without the course
LONGEST_MODULE = 250  # lines

# Prints what each import changed of what importing must leave alone.
PROBE = """
import importlib, os, sys
import cv2, torch, torch._dynamo  # which set variables of their own when they are first imported
asked = []
torch.cuda._lazy_init = lambda: asked.append("_lazy_init")
for name in ("is_available", "device_count", "get_device_capability", "current_device"):
    setattr(torch.cuda, name, lambda *a, _name=name: asked.append(_name) or 0)
def state():
    threads = {"threads of cv2": cv2.getNumThreads(), "threads of torch": torch.get_num_threads()}
    others = {"matplotlib": "matplotlib" in sys.modules, "CUDA": len(asked), "environment": dict(os.environ)}
    return threads | others
for module in sys.argv[1:]:
    before = state()
    importlib.import_module(module)
    for name, value in state().items():
        if value != before[name]:
            print(f"{module}: {name}")
"""


def module_name(path):
    return ".".join(path.with_suffix("").parts).removesuffix(".__init__")


def probe(*modules):
    """What PROBE printed of the modules in a fresh process; several threads, so that a change of them shows."""
    environment = os.environ | {"OMP_NUM_THREADS": "3"}
    command = [sys.executable, "-c", PROBE, *modules]
    done = subprocess.run(command, env=environment, cwd=REPOSITORY, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_importing_the_kit_draws_nothing_touches_no_cuda_and_sets_no_threads():
    """A CUDA call at import would make `notebook_launcher`'s forked processes fail."""
    assert probe("depthkit", *map(module_name, KIT)) == []


def test_the_probe_sees_what_it_looks_for(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    faults = {
        "draws": ("import matplotlib", "matplotlib"),
        "sets_threads": ("import cv2; cv2.setNumThreads(1)", "threads of cv2"),
        "sets_more_threads": ("import torch; torch.set_num_threads(1)", "threads of torch"),
        "asks_cuda": ("import torch; torch.cuda.is_available()", "CUDA"),
    }
    for name, (line, _) in faults.items():
        (tmp_path / f"{name}.py").write_text(line)
    assert probe(*faults) == [f"{name}: {what}" for name, (_, what) in faults.items()]


def test_importing_depthkit_alone_loads_no_heavy_package():
    heavy = "{'torch', 'cv2', 'transformers', 'accelerate', 'albumentations', 'h5py', 'numpy'}"
    code = f"import sys, depthkit; print(depthkit.__version__, sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == f"{depthkit.__version__} []"


def test_every_public_name_loads_and_nothing_is_listed_twice():
    assert len(set(depthkit.__all__)) == len(depthkit.__all__) >= 20
    for name in depthkit.__all__:
        assert callable(getattr(depthkit, name)) or name.isupper(), name
        assert name in dir(depthkit)


def test_no_module_is_too_long_to_read():
    lengths = {str(path): len((REPOSITORY / path).read_text(encoding="utf-8").splitlines()) for path in KIT}
    assert {path: lines for path, lines in lengths.items() if lines > LONGEST_MODULE} == {}


@pytest.mark.parametrize(
    "module, line",
    [
        ("camera.py", "from depthkit.training import losses"),
        ("data/readers.py", "from depthkit.models import build"),
        ("models/predict.py", "def late():\n    from depthkit.scoring import metrics"),
        ("training/config.py", "import depthkit.course.settings"),
    ],
)
def test_a_line_that_imports_upwards_breaks_the_contract(module, line, tmp_path):
    shutil.copytree(PACKAGE, tmp_path / "depthkit", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(REPOSITORY / "pyproject.toml", tmp_path)
    check = [str(BIN / "lint-imports"), "--no-cache"]
    run = dict(cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert subprocess.run(check, **run).returncode == 0
    with (tmp_path / "depthkit" / module).open("a") as file:
        file.write(f"\n\n{line}\n")
    broken = subprocess.run(check, **run)
    assert broken.returncode == 1 and f"depthkit.{module[:-3].replace('/', '.')} -> " in broken.stdout


def requirements(*names):
    """{distribution: its requirement} of requirement files."""
    found = {}
    for name in names:
        for line in (REPOSITORY / name).read_text(encoding="utf-8").splitlines():
            if text := line.split("#")[0].strip():
                found[canonicalize_name(Requirement(text).name)] = Requirement(text)
    return found


def imported(code):
    """Top names of everything that Python code imports absolutely."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.module.split(".")[0]


def notebook_code(path):
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    sources = ("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    return "\n".join(source for source in sources if not source.lstrip().startswith("%%"))


def third_party(codes):
    """The distributions that pieces of code import, but for the standard library and the extras of pyproject.toml."""
    known = packages_distributions()
    names = {name for code in codes for name in imported(code)} - set(sys.stdlib_module_names) - {"depthkit"}
    extras = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["optional-dependencies"].values()
    optional = {canonicalize_name(Requirement(text).name) for extra in extras for text in extra}
    return {canonicalize_name(known.get(name, [name])[0]) for name in names} - optional


def test_what_package_and_notebooks_import_is_declared():
    codes = [(REPOSITORY / path).read_text(encoding="utf-8") for path in MODULES]
    codes += [notebook_code(path) for path in (REPOSITORY / "notebooks").glob("*.ipynb")]
    assert third_party(codes) - requirements("requirements.txt").keys() == set()


def test_what_tools_and_tests_import_is_declared():
    files = [path for folder in ("tests", "benchmarks") for path in (REPOSITORY / folder).rglob("*.py")]
    files += (REPOSITORY / "tools").glob("*.py")
    own = {canonicalize_name(path.stem) for path in files} | {"benchmarks"}
    own.add("jkp-depth-anything-v2")  # the Makefile installs it, without its dependencies
    found = third_party(path.read_text(encoding="utf-8") for path in files) - own
    assert found - requirements("requirements.txt", "requirements-dev.txt").keys() == set()


def test_the_constraints_name_one_admitted_version_of_each_requirement_but_torch():
    wanted, pinned = requirements("requirements.txt", "requirements-dev.txt"), requirements("constraints.txt")
    assert wanted.keys() - pinned.keys() == {"torch", "torchvision"}
    for name, requirement in wanted.items():
        if name in pinned:
            (pin,) = pinned[name].specifier
            assert pin.operator == "==" and requirement.specifier.contains(pin.version), name


TRAIN = """
import sys
from pathlib import Path
import depthkit
from depthkit.course import sample
assert Path(depthkit.__file__).is_relative_to(sys.prefix), depthkit.__file__
assert sample.ASSETS.is_relative_to(sys.prefix), sample.ASSETS
rooms = sample.unpack_sample("rooms", sys.argv[1])
for split, count in (("train", 4), ("val", 2)):
    for path in sorted((rooms / split).rglob("*.h5"))[count:]:
        path.unlink()
print(rooms, sample.ASSETS / "weights" / "tiny-relative")
"""


def empty_environment(folder):
    """A virtual environment that finds the packages of this one, but no depthkit; returns its bin folder."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder / "venv")], check=True)
    (site,) = (folder / "venv").glob("lib/python*/site-packages")
    packages = folder / "packages"
    packages.mkdir()
    for distribution in {Path(path) for path in sys.path if path.endswith("site-packages")}:
        for path in distribution.iterdir():
            if not path.name.startswith(("depthkit", "_depthkit", "_editable", "__editable__", "__pycache__", "pip")):
                (packages / path.name).symlink_to(path)
    (site / "packages.pth").write_text(str(packages))
    return folder / "venv" / "bin"


def test_the_built_wheel_trains_the_tiny_model_from_its_own_sample(tmp_path):
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-index", "--no-build-isolation"]
    subprocess.run([*build, "--wheel-dir", str(tmp_path), str(REPOSITORY)], check=True)
    (wheel,) = tmp_path.glob("depthkit-*.whl")
    bin_folder = empty_environment(tmp_path)
    run = dict(cwd=tmp_path, capture_output=True, text=True, timeout=300)
    run["env"] = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | {"OMP_NUM_THREADS": "1"}
    install = [sys.executable, "-m", "pip", "--python", str(bin_folder / "python"), "install", "--quiet"]
    subprocess.run([*install, "--no-index", "--no-deps", str(wheel)], check=True, **run)
    unpacked = subprocess.run([str(bin_folder / "python"), "-c", TRAIN, str(tmp_path / "data")], **run)
    assert unpacked.returncode == 0, unpacked.stderr
    data, weights = unpacked.stdout.split()
    options = {"data": data, "weights": weights, "output": tmp_path / "run", "encoder": "tiny", "init": "neck"}
    options |= {"size": 56, "epochs": 1, "batch_size": 4, "workers": 0, "warmup_epochs": 0}
    words = [str(word) for name, value in options.items() for word in (f"--{name}", value)]
    trained = subprocess.run([str(bin_folder / "depthkit"), "train", *words], **run)
    assert trained.returncode == 0, trained.stdout + trained.stderr
    (row,) = json.loads((tmp_path / "run" / "history.json").read_text())
    assert 0 < row["abs_rel"] < 1
    assert (tmp_path / "run" / "best" / "model.safetensors").is_file()

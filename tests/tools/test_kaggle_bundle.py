"""The bundle for Kaggle, uploaded by the real `kaggle` command to a stand-in of its server on this machine."""

import inspect
import json
import os
import shutil
import subprocess
import sys
import threading
import tomllib
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path

import check_tree
import kaggle_bundle as bundle
import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
USER, NYU = "a-reader", "some-owner/nyu-depth-dataset-v2"
TITLES = {
    "01_relative": "Relative and metric depth",
    "02_losses": "Losses and metrics",
    "03_data": "Data",
    "04_finetune": "Fine-tuning",
    "05_results": "Results",
    "06_yours": "Your own pictures",
}
# The command's own code, told where its server is, and unable to reach any other machine.
DRIVER = """
import json, os, sys
def guard(event, args):
    if event == "socket.connect" and args[1][0] not in ("127.0.0.1", "::1"):
        os._exit(3)
sys.addaudithook(guard)
import kagglesdk.kaggle_env as env
assert env.KaggleEnv.LOCAL in env._env_to_endpoint
env._env_to_endpoint[env.KaggleEnv.LOCAL] = sys.argv[1]
from kaggle.cli import main
for command in json.loads(sys.argv[2]):
    sys.argv = ["kaggle", *command]
    main()
"""


FIRST_CELL = (REPOSITORY / "tools" / "kaggle_first_cell.py").read_text().strip()


def write_notebook(folder, name, opening, first_cell=FIRST_CELL):
    output = {"output_type": "stream", "name": "stdout", "text": ["an output\n"]}
    code = {"cell_type": "code", "execution_count": 1, "metadata": {}, "outputs": [output]}
    cells = [
        {"cell_type": "markdown", "metadata": {}, "source": [f"{opening}\n", "\n", "Text."]},
        code | {"source": first_cell.splitlines(keepends=True)},
        code | {"source": ["print('an output')"]},
    ]
    path = folder / f"{name}.ipynb"
    path.write_text(json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))
    return path


def write_notebooks(folder):
    folder.mkdir(exist_ok=True)
    for name, title in TITLES.items():
        write_notebook(folder, name, f"# {name[:2]} · {title}")
    return folder


def write_wheel(folder, name, version):
    """A wheel that pip installs under this name, with nothing else in it."""
    module = name.replace("-", "_")
    path, info = folder / f"{module}-{version}-py3-none-any.whl", f"{module}-{version}.dist-info"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr(f"{module}/__init__.py", f"__version__ = {version!r}\n")
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(
            f"{info}/RECORD", f"{module}/__init__.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n"
        )


@pytest.fixture(scope="module")
def wheels(tmp_path_factory):
    """A folder with small wheels of what the bundle carries besides depthkit."""
    folder = tmp_path_factory.mktemp("wheels")
    for name in bundle.CARRIED:
        write_wheel(folder, name, "99.0")
    return folder


@pytest.fixture(scope="module")
def built(tmp_path_factory, wheels):
    """The bundle of six small notebooks, with the real wheel of this tree."""
    folder = tmp_path_factory.mktemp("bundle")
    out = folder / "kaggle"
    bundle.build(out, USER, NYU, write_notebooks(folder / "notebooks"), wheels)
    return out


class StandIn(BaseHTTPRequestHandler):
    """Answers what a new data set and a new kernel need, and keeps what was asked in `server.calls` and `.blobs`."""

    def do_POST(self):
        name, body = self.path.rsplit("/", 1)[1], json.loads(self.read())
        self.server.calls.append((name, body))
        if name == "GetDatasetStatus":
            return self.answer({"code": 404, "message": "no such data set"}, 404)
        if name == "StartBlobUpload":
            url = f"http://127.0.0.1:{self.server.server_port}/upload/{body['name']}"
            return self.answer({"token": f"token of {body['name']}", "createUrl": url})
        return self.answer({"status": "ok", "versionNumber": 1, "url": f"http://127.0.0.1/{name}"})

    def do_PUT(self):
        self.server.blobs[self.path.removeprefix("/upload/")] = self.read()
        self.answer({})

    def read(self):
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers["Content-Length"]))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def answer(self, content, status=200):
        text = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """What of this repository's root a push from there reads, with the template as a reader fills it in."""
    folder = tmp_path_factory.mktemp("root")
    text = bundle.TEMPLATE.read_text()
    code_file = json.loads(text)["code_file"]
    (folder / code_file).parent.mkdir()
    shutil.copy(REPOSITORY / code_file, folder / code_file)
    (folder / "kernel-metadata.json").write_text(text.replace("INSERT_USER_HERE", USER))
    return folder


@pytest.fixture(scope="module")
def sent(built, root, tmp_path_factory):
    """What the `kaggle` command sends for the bundle, then from the root: calls, blobs, its words, its own template."""
    home = tmp_path_factory.mktemp("home")
    kernels = sorted((built / "kernels").iterdir())
    commands = [["datasets", "create", "-p", str(built / "dataset")]]
    commands += [["kernels", "push", "-p", str(folder)] for folder in [*kernels, root]]
    commands += [["kernels", "init", "-p", str(home)]]
    kept = {
        key: value for key, value in os.environ.items() if not key.startswith("KAGGLE_") and "proxy" not in key.lower()
    }
    account = {"KAGGLE_USERNAME": USER, "KAGGLE_KEY": "0" * 32, "KAGGLE_API_ENVIRONMENT": "LOCALHOST"}
    places = {"HOME": str(home), "TMPDIR": str(home), "KAGGLE_CONFIG_DIR": str(home / "config")}
    server = ThreadingHTTPServer(("127.0.0.1", 0), StandIn)
    server.calls, server.blobs = [], {}
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        driver = [sys.executable, "-c", DRIVER, f"http://127.0.0.1:{server.server_port}", json.dumps(commands)]
        done = subprocess.run(driver, env=kept | account | places, capture_output=True, text=True, timeout=120)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    assert done.returncode == 0, done.stdout + done.stderr
    template = json.loads((home / "kernel-metadata.json").read_text())
    return server.calls, server.blobs, done.stdout, template


def test_the_data_set_uploaded_is_the_wheels(built, sent):
    calls, blobs, printed, _ = sent
    wheels = {path.name: path.read_bytes() for path in (built / "dataset").glob("*.whl")}
    names = sorted(["depthkit", *(name.replace("-", "_") for name in bundle.CARRIED)])
    assert blobs == wheels and sorted(name.split("-")[0] for name in wheels) == names
    (created,) = (body for name, body in calls if name == "CreateDataset")
    assert (created["ownerSlug"], created["slug"], created["title"]) == (USER, "depthkit-course", "depthkit course")
    assert created["licenseName"] == "apache-2.0" and created["isPrivate"] is True
    assert sorted(file["token"] for file in created["files"]) == sorted(f"token of {name}" for name in wheels)
    assert "Skipping" not in printed and "Your private Dataset is being created" in printed


COURSE, FINETUNED = f"{USER}/depthkit-course", f"{USER}/depthkit-04-fine-tuning"


def test_each_kernel_pushed_has_its_machine_and_its_sources(sent):
    calls, _, printed, _ = sent
    pushed = [body for name, body in calls if name == "SaveKernel"]
    slugs = [f"{USER}/depthkit-{name[:2]}-{title.lower().replace(' ', '-')}" for name, title in TITLES.items()]
    assert [body["slug"] for body in pushed] == [*slugs, FINETUNED]
    assert printed.count("successfully pushed") == 7 and "does not resolve" not in printed
    for (name, title), body in zip(TITLES.items(), pushed[:6], strict=True):
        number = name[:2]
        assert body["newTitle"] == f"depthkit {number} {title}"
        assert (body["language"], body["kernelType"], body["isPrivate"]) == ("python", "notebook", True)
        assert (body["enableInternet"], body["enableTpu"]) == (True, False)
        on_gpu = number >= "04"
        assert (body["enableGpu"], body.get("machineShape")) == (on_gpu, "NvidiaTeslaT4" if on_gpu else "")
        assert body["datasetDataSources"] == ([COURSE, NYU] if number >= "03" else [COURSE])
        assert body.get("kernelDataSources", []) == ([FINETUNED] if on_gpu else [])  # 04's too: it goes on from it
        assert not body.get("competitionDataSources") and not body.get("modelDataSources")
        cells = json.loads(body["text"])["cells"]
        assert cells[0]["source"].startswith(f"# {number} · {title}\n")
        assert cells[1]["source"] == FIRST_CELL and cells[1]["outputs"] == []


def test_the_template_is_accepted_from_the_root_with_a_name_put_in(sent):
    body = [body for name, body in sent[0] if name == "SaveKernel"][-1]
    assert body["slug"] == FINETUNED and body["newTitle"] == "depthkit 04 Fine-tuning"
    assert (body["enableGpu"], body["machineShape"], body["isPrivate"]) == (True, "NvidiaTeslaT4", True)
    assert body["datasetDataSources"][0] == COURSE and len(body["datasetDataSources"]) == 2
    assert body["kernelDataSources"] == [FINETUNED] and "INSERT" not in json.dumps(body)
    opening = json.loads(body["text"])["cells"][0]["source"]
    assert opening.startswith("# 04 · Fine-tuning\n")


def test_the_template_has_the_keys_of_the_command_and_no_other(sent):
    assert set(json.loads(bundle.TEMPLATE.read_text())) == set(sent[3])


def test_the_wheel_holds_the_package_the_sample_and_the_weights_and_nothing_else(built):
    (path,) = (built / "dataset").glob("depthkit-*.whl")
    with zipfile.ZipFile(path) as wheel:
        inside = {name: wheel.getinfo(name).file_size for name in wheel.namelist()}
    for folder, prefix in (("data", "depthkit/bundled/"), ("weights", "depthkit/bundled/"), ("depthkit", "")):
        for file in (REPOSITORY / folder).rglob("*"):
            if file.is_file() and file.suffix != ".pyc" and file != REPOSITORY / "depthkit" / "__init__.py":
                assert inside[prefix + file.relative_to(REPOSITORY).as_posix()] == file.stat().st_size
    assert {name.split("/")[0].split("-")[0] for name in inside} == {"depthkit"}
    assert "depthkit/py.typed" in inside and "depthkit/__init__.pyi" in inside


def test_the_wheels_version_moves_with_its_content(built, tmp_path, monkeypatch):
    """pip leaves an installed package alone where the version is equal; the same content has the same version."""
    monkeypatch.setattr(bundle, "IN_WHEEL", ("depthkit", *bundle.IN_WHEEL[3:]))  # without the sample: it is quicker
    monkeypatch.setattr(bundle, "REPOSITORY", tmp_path / "tree")
    shutil.copytree(REPOSITORY / "depthkit", tmp_path / "tree" / "depthkit")
    for name in bundle.IN_WHEEL[1:]:
        shutil.copy(REPOSITORY / name, tmp_path / "tree")
    for empty in ("data", "weights"):
        (tmp_path / "tree" / empty).mkdir(parents=True)
    for folder in ("first", "again"):
        (tmp_path / folder).mkdir()
        bundle.build_wheel(tmp_path / folder)
    with (tmp_path / "tree" / "depthkit" / "errors.py").open("a") as file:
        file.write("# a change\n")
    (tmp_path / "changed").mkdir()
    bundle.build_wheel(tmp_path / "changed")
    first, again, changed = (next((tmp_path / name).iterdir()).name for name in ("first", "again", "changed"))
    assert first == again != changed
    with zipfile.ZipFile(tmp_path / "changed" / changed) as wheel:
        assert f'__version__ = "{changed.split("-")[1]}"' in wheel.read("depthkit/__init__.py").decode()


def run_first_cell(mounts, **environment):
    command = [sys.executable, "-c", FIRST_CELL.replace("/kaggle/input", str(mounts))]
    return subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize("mounts", ["course", "datasets/me/course", "datasets/me/course/wheels", "a datasets/me/a"])
def test_the_first_cell_installs_what_is_attached(mounts, built, tmp_path):
    """In each layout of Kaggle's inputs; what is installed finds the sample in itself, away from any checkout."""
    for mount in mounts.split():
        (tmp_path / "input" / mount).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "input" / mount).symlink_to(built / "dataset")
    target = tmp_path / "site"
    done = run_first_cell(tmp_path / "input", PIP_TARGET=str(target))
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    # PIP_TARGET starts from nothing: what is too old on the machine is installed too.
    installed = {path.name for path in target.iterdir() if "info" not in path.name}
    assert installed == {"bin", "depthkit", *(name.replace("-", "_") for name in bundle.CARRIED)}
    for name in bundle.CARRIED:  # the small ones were no packages to work with
        shutil.rmtree(target / name.replace("-", "_"))
    probe = (
        "from depthkit.course import sample, scenes; "
        f"image, depth, _ = scenes.teaching('{teaching_name()}'); "
        "print(sample.ASSETS.relative_to(sample.REPOSITORY), image.shape == (*depth.shape, 3))"
    )
    environment = os.environ | {"PYTHONPATH": str(target)}
    done = subprocess.run(
        [sys.executable, "-c", probe], env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert done.stdout.split() == ["depthkit/bundled", "True"], done.stderr


def teaching_name():
    frames = json.loads((REPOSITORY / "data" / "sample" / "frames.json").read_text())
    names = (frame["name"] for frame in frames if frame["name"].startswith("teaching/") and "depth" in frame)
    return next(names).removeprefix("teaching/")


def test_the_first_cell_does_nothing_where_depthkit_is_installed(tmp_path):
    (tmp_path / "input" / "nyu" / "nyudepthv2").mkdir(parents=True)
    done = run_first_cell(tmp_path / "input", PIP_NO_INDEX="1")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_first_cell_names_each_click_and_takes_the_repository(tmp_path):
    """In a Python with nothing but pip; a small project under the name that GitHub gives stands for the repository."""
    python = tmp_path / "venv" / "bin" / "python"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    (site,) = (tmp_path / "venv").glob("lib/python*/site-packages")
    (site / "pip").symlink_to(Path(find_spec("pip").origin).parent)
    address = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["urls"]["Repository"]
    assert f'REPOSITORY = "{address}"' in FIRST_CELL
    cell = FIRST_CELL.replace(address, f"file://{tmp_path}").replace("/kaggle/input", str(tmp_path / "input"))

    def first_cell():
        return subprocess.run([python, "-c", cell], cwd=tmp_path, capture_output=True, text=True, timeout=120)

    done = first_cell()
    assert done.returncode == 1
    for click in ("Settings > Turn on internet", "at kaggle.com/settings", "Add Input > Datasets > depthkit-course"):
        assert click in done.stderr
    (tmp_path / "archive").mkdir()
    with zipfile.ZipFile(tmp_path / "archive" / "HEAD.zip", "w") as file:
        file.writestr("depthkit-main/pyproject.toml", PROJECT)
        file.writestr("depthkit-main/backend.py", BACKEND)
    done = first_cell()
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    subprocess.run([python, "-c", "import depthkit"], cwd=tmp_path, check=True)


PROJECT = """
[project]
name = "depthkit"
version = "7"
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
"""
# A build backend without needs: it makes the wheel as `write_wheel` does.
BACKEND = f"""
import zipfile
from pathlib import Path
{inspect.getsource(write_wheel)}
def build_wheel(folder, settings=None, metadata=None):
    write_wheel(Path(folder), "depthkit", "7")
    return "depthkit-7-py3-none-any.whl"
"""


def test_the_first_cell_is_short_and_asks_for_what_requirements_ask_for():
    statements = [line for line in FIRST_CELL.splitlines() if line and not line.startswith("#")]
    assert len(statements) <= 18
    for requirement in bundle.requirements(bundle.CARRIED):
        assert f'"{requirement}"' in FIRST_CELL
    before, _, after = FIRST_CELL.partition("os.environ |=")
    assert "torch" not in before.partition("\n")[2] and "NVML" in after


@pytest.mark.parametrize(
    "change, message",
    [
        (dict(user="A Reader"), "a Kaggle user name is lower-case"),
        (dict(user="me/depthkit"), "a Kaggle user name is lower-case"),
        (dict(nyu="nyu-depth-dataset-v2"), "OWNER/SLUG"),
        (dict(wheels="no/such/folder"), r"pip download failed[\s\S]*accelerate>=1\.14"),
    ],
)
def test_wrong_arguments_are_named(change, message, tmp_path, monkeypatch):
    monkeypatch.setattr(bundle, "build_wheel", lambda folder: None)
    arguments = dict(user=USER, nyu=NYU, notebooks=write_notebooks(tmp_path / "notebooks")) | change
    with pytest.raises(bundle.BundleError, match=message):
        bundle.build(tmp_path / "out", **arguments)
    assert not list(tmp_path.glob("out*"))


@pytest.mark.parametrize(
    "opening, message",
    [
        ("# 03 · Fine-tuning", "need a first line `# 04 · Title`"),
        ("# Fine-tuning", "need a first line `# 04 · Title`"),
        ("# 04 · Réglage fin", "plain letters, digits and hyphens"),
        ("# 04 · Depth & more", "plain letters, digits and hyphens"),
        ("# 04 · " + "Long " * 9 + "title", "50 at most"),
    ],
)
def test_a_title_that_kaggle_would_spell_otherwise_is_refused(opening, message, tmp_path):
    with pytest.raises(bundle.BundleError, match=message):
        bundle.title_and_slug(write_notebook(tmp_path, "04_finetune", opening))


def test_a_missing_notebook_a_missing_first_cell_and_a_foreign_folder_are_named(tmp_path):
    notebooks = write_notebooks(tmp_path / "notebooks")
    foreign = tmp_path / "thesis"
    foreign.mkdir()
    (foreign / "chapter.tex").touch()
    with pytest.raises(bundle.BundleError, match="something other than a bundle"):
        bundle.build(foreign, USER, NYU, notebooks)
    write_notebook(notebooks, "05_results", "# 05 · Results", "import torch")
    with pytest.raises(bundle.BundleError, match=r"05_results\.ipynb: its first code cell is not that of"):
        bundle.build(tmp_path / "out", USER, NYU, notebooks)
    (notebooks / "05_results.ipynb").unlink()
    with pytest.raises(bundle.BundleError, match=r"'04_finetune\.ipynb', '06_yours\.ipynb'.*one each of 01, 02"):
        bundle.build(tmp_path / "out", USER, NYU, notebooks)
    assert (foreign / "chapter.tex").exists() and not (tmp_path / "out").exists()


def test_the_course_has_titles_that_kaggle_takes():
    for path in sorted((REPOSITORY / "notebooks").glob("*.ipynb")):
        assert bundle.title_and_slug(path)[1].startswith(f"depthkit-{path.name[:2]}-")


def test_notebooks_that_begin_differently_are_found(tmp_path):
    check = check_tree.check_first_cells
    paths = [write_notebook(tmp_path, name, "# Title", "import torch") for name in ("01_a", "02_b")]
    assert list(check(paths)) == []  # none has the cell yet
    write_notebook(tmp_path, "02_b", "# Title")
    assert list(check(paths)) == ["01_a.ipynb: its first code cell is not that of tools/kaggle_first_cell.py"]
    write_notebook(tmp_path, "01_a", "# Title", FIRST_CELL.replace("-qq", "-q"))
    assert len(list(check(paths))) == 1
    write_notebook(tmp_path, "01_a", "# Title")
    assert list(check(paths)) == []


def test_the_steps_name_what_to_wait_for_and_what_to_read(built):
    steps = bundle.steps(built, USER)
    for words in ('until it says "ready"', "phone number", "auth login", "may lapse", "weekly quota", "exits 0"):
        assert words in steps
    assert f"kernels push -p {built}/kernels/04_finetune" in steps and "05_results, 06_yours" in steps

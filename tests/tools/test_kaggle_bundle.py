"""The bundle for Kaggle, uploaded by the real `kaggle` command to a stand-in of its server on this machine."""

import json
import os
import subprocess
import sys
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
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


def write_accelerate(folder, version="1.99.0"):
    """A wheel that pip installs as accelerate."""
    path, info = folder / f"accelerate-{version}-py3-none-any.whl", f"accelerate-{version}.dist-info"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr("accelerate/__init__.py", f"__version__ = {version!r}\n")
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: accelerate\nVersion: {version}\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(
            f"{info}/RECORD", f"accelerate/__init__.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n"
        )
    return path


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The bundle of five small notebooks, with the real wheel of this tree."""
    folder = tmp_path_factory.mktemp("bundle")
    out = folder / "kaggle"
    bundle.build(out, USER, NYU, write_notebooks(folder / "notebooks"), write_accelerate(folder))
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
def sent(built, tmp_path_factory):
    """What the `kaggle` command sends for the whole bundle: its calls, the blobs, its words, and its own template."""
    home = tmp_path_factory.mktemp("home")
    kernels = sorted((built / "kernels").iterdir())
    commands = [["datasets", "create", "-p", str(built / "dataset")]]
    commands += [["kernels", "push", "-p", str(folder)] for folder in kernels]
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


def test_the_data_set_uploaded_is_the_two_wheels(built, sent):
    calls, blobs, said, _ = sent
    wheels = {path.name: path.read_bytes() for path in (built / "dataset").glob("*.whl")}
    assert blobs == wheels and sorted(name.split("-")[0] for name in wheels) == ["accelerate", "depthkit"]
    (created,) = (body for name, body in calls if name == "CreateDataset")
    assert (created["ownerSlug"], created["slug"], created["title"]) == (USER, "depthkit-course", "depthkit course")
    assert created["licenseName"] == "apache-2.0" and created["isPrivate"] is True
    assert sorted(file["token"] for file in created["files"]) == sorted(f"token of {name}" for name in wheels)
    assert "Skipping" not in said and "Your private Dataset is being created" in said


def test_each_kernel_pushed_has_its_machine_and_its_sources(sent):
    calls, _, said, _ = sent
    pushed = {body["slug"]: body for name, body in calls if name == "SaveKernel"}
    slugs = [f"{USER}/depthkit-{name[:2]}-{title.lower().replace(' ', '-')}" for name, title in TITLES.items()]
    assert list(pushed) == slugs
    assert said.count("successfully pushed") == 5 and "does not resolve" not in said
    course, finetuned = f"{USER}/depthkit-course", f"{USER}/depthkit-04-fine-tuning"
    for (name, title), body in zip(TITLES.items(), pushed.values(), strict=True):
        number = name[:2]
        assert body["newTitle"] == f"depthkit {number} {title}"
        assert (body["language"], body["kernelType"], body["isPrivate"]) == ("python", "notebook", True)
        assert (body["enableInternet"], body["enableTpu"]) == (True, False)
        on_gpu = number in ("04", "05")
        assert (body["enableGpu"], body.get("machineShape")) == (on_gpu, "NvidiaTeslaT4" if on_gpu else "")
        assert body["datasetDataSources"] == ([course, NYU] if number >= "03" else [course])
        assert body.get("kernelDataSources", []) == ([finetuned] if number == "05" else [])
        assert not body.get("competitionDataSources") and not body.get("modelDataSources")
        cells = json.loads(body["text"])["cells"]
        assert cells[0]["source"].startswith(f"# {number} · {title}\n")
        assert cells[1]["source"] == FIRST_CELL and cells[1]["outputs"] == []


def test_the_template_has_the_keys_of_the_command_and_no_other(sent):
    assert set(json.loads(bundle.TEMPLATE.read_text())) == set(sent[3])


def test_the_wheel_holds_the_package_the_sample_and_the_weights_and_nothing_else(built):
    (path,) = (built / "dataset").glob("depthkit-*.whl")
    with zipfile.ZipFile(path) as wheel:
        inside = {name: wheel.getinfo(name).file_size for name in wheel.namelist()}
    for folder, prefix in (("data/sample", "depthkit/bundled/"), ("weights", "depthkit/bundled/"), ("depthkit", "")):
        for file in (REPOSITORY / folder).rglob("*"):
            if file.is_file() and file.suffix != ".pyc":
                assert inside[prefix + file.relative_to(REPOSITORY).as_posix()] == file.stat().st_size
    assert {name.split("/")[0].split("-")[0] for name in inside} == {"depthkit"}
    assert "depthkit/py.typed" in inside and "depthkit/__init__.pyi" in inside


def run_first_cell(mounts, **environment):
    command = [sys.executable, "-c", FIRST_CELL.replace("/kaggle/input", str(mounts))]
    return subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize("mounts", ["depthkit-course", "datasets/me/depthkit-course", "course datasets/me/course"])
def test_the_first_cell_installs_what_is_attached(mounts, built, tmp_path):
    """In each layout of Kaggle's inputs; what is installed finds the sample in itself, away from any checkout."""
    for mount in mounts.split():
        (tmp_path / "input" / mount).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "input" / mount).symlink_to(built / "dataset")
    target = tmp_path / "site"
    done = run_first_cell(tmp_path / "input", PIP_TARGET=str(target))
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert sorted(path.name for path in target.iterdir() if "info" not in path.name) == [
        "accelerate",
        "bin",
        "depthkit",
    ]
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


def test_the_first_cell_uses_what_is_installed_and_else_says_what_to_attach(tmp_path):
    (tmp_path / "input" / "nyu" / "nyudepthv2").mkdir(parents=True)
    done = run_first_cell(tmp_path / "input")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    cell = FIRST_CELL.replace("/kaggle/input", str(tmp_path))
    bare = [sys.executable, "-I", "-S", "-c", cell]  # without site-packages
    done = subprocess.run(bare, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and "attach the data set depthkit-course" in done.stderr
    assert len(FIRST_CELL.splitlines()) <= 12 and "except" not in FIRST_CELL


@pytest.mark.parametrize(
    "change, message",
    [
        (dict(user="A Reader"), "a Kaggle user name is lower-case"),
        (dict(user="me/depthkit"), "a Kaggle user name is lower-case"),
        (dict(nyu="nyu-depth-dataset-v2"), "OWNER/SLUG"),
        (dict(accelerate="accelerate-1.13.0-py3-none-any.whl"), r"existing wheel of accelerate>=1\.14"),
        (dict(accelerate="torch-2.10.0-py3-none-any.whl"), r"existing wheel of accelerate>=1\.14"),
        (dict(accelerate="accelerate.zip"), "accelerate.zip"),
    ],
)
def test_wrong_arguments_are_named(change, message, tmp_path, monkeypatch):
    monkeypatch.setattr(bundle, "build_wheel", lambda folder: None)
    if name := change.get("accelerate"):
        (tmp_path / name).touch()
        change = {"accelerate": tmp_path / name}
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
    with pytest.raises(bundle.BundleError, match=r"has 0 notebooks 05_\*"):
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

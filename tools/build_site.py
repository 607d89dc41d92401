"""Build the site: documents and executed notebooks as pages that need no network. docs/conf.py says how.

python tools/build_site.py    # build/site, from the notebooks as they are committed
"""

import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
URLS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["urls"]
REPOSITORY = URLS["Repository"]  # the one place that names it


def build(out: Path, notebooks: Path = ROOT / "notebooks", source: Path = ROOT) -> Path:
    """Build the site in `out` from executed notebooks, and return its front page; exit at a warning.

    A notebook that is not among `notebooks` is taken as it is committed. MyST-NB and Sphinx leave what they need for
    themselves beside `out`.
    """
    out, caches = out.resolve(), out.resolve().parent / "doctrees"
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-E", "-d", str(caches)]
    command += ["-D", f"notebooks={notebooks.resolve()}", "-c", str(ROOT / "docs"), str(source), str(out)]
    if subprocess.run(command).returncode:
        sys.exit("==> The site was not built: see the lines above.")
    return out / "index.html"


def badges(name: str, folder: str) -> str:
    """The two pictures, from `folder`, that open the notebook called `name` in Kaggle and Colab, as Markdown."""
    raw = REPOSITORY.replace("//github.com/", "//raw.githubusercontent.com/")
    colab = REPOSITORY.replace("//github.com/", "//colab.research.google.com/github/")
    kaggle = f"https://www.kaggle.com/kernels/welcome?src={raw}/main/notebooks/{name}"
    colab = f"{colab}/blob/main/notebooks/{name}"
    return f"[![Open in Kaggle]({folder}/kaggle.svg)]({kaggle}) [![Open in Colab]({folder}/colab.svg)]({colab})"


if __name__ == "__main__":
    print(f"site: {build(ROOT / 'build' / 'site').relative_to(ROOT)}")

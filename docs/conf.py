"""How Sphinx makes the site of the documents and the notebooks as they lie in the repository (`make site`).

The source folder is the root of the repository, so that links between documents hold on GitHub and on the site alike.
"""

import ast
import json
import re
import sys
from importlib.util import find_spec
from pathlib import Path

from myst_nb.core.render import NbElementRenderer
from sphinx.errors import ExtensionError

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))
from build_site import REPOSITORY, badges  # noqa: E402

MATHJAX = Path(find_spec("sphinx-mathjax-offline").origin).parent / "static" / "mathjax" / "tex-svg.js"

project = "depthkit"
author = "The depthkit developers"
copyright = "the depthkit developers; code and sample under Apache-2.0"
root_doc = "docs/index"
include_patterns = ["docs/*.md", "notebooks/*.ipynb", "benchmarks/*.md", "CHANGELOG.md"]
extensions = ["myst_nb", "sphinx.ext.mathjax", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
myst_enable_extensions = ["dollarmath", "amsmath"]
myst_dmath_double_inline = True  # $$ in the middle of a paragraph, as GitHub has it
myst_heading_anchors = 4
nb_execution_mode = "off"  # the notebooks hold their outputs
nb_merge_streams = True
nb_render_markdown_format = "myst"

autodoc_typehints = "signature"
autodoc_member_order = "bysource"
default_role = "code"  # docstrings are Markdown: `name`
python_maximum_signature_line_length = 88

html_theme = "sphinx_book_theme"
html_title = "depthkit"
html_favicon = "_static/icon.svg"
html_context = {"default_mode": "auto"}  # light or dark, as the reader's system is
html_static_path = ["_static", str(MATHJAX)]  # MathJax with its fonts in one file, served from the site itself
html_extra_path = ["_extra"]
html_css_files = ["course.css"]
mathjax_path = "tex-svg.js"
html_copy_source = False
html_theme_options = {
    "repository_url": REPOSITORY,
    "use_repository_button": True,
    "use_download_button": False,
    "show_toc_level": 2,
    "navbar_persistent": [],  # the sidebar has the search
}
html_show_sphinx = False
pygments_style = "default"


def prepare(app, docname, source):
    """Take a notebook's executed copy where one was given, fold its plumbing, name its figures and add its badges."""
    if not docname.startswith("notebooks/"):
        if docname == root_doc:
            source[0] = source[0].replace("<!-- course -->", course_table(app))
        return
    name = f"{Path(docname).name}.ipynb"
    notebook = load(app, name)
    cells = notebook["cells"]
    first = next(cell for cell in cells if cell["cell_type"] == "code")
    for cell, following in zip(cells, cells[1:] + [{}], strict=True):
        if cell["cell_type"] == "code":
            cell["metadata"].setdefault("tags", []).extend(["hide-cell"] if cell is first else plumbing(cell))
            name_figures(cell, following)
    title, _, rest = "".join(cells[0]["source"]).partition("\n")
    cells[0]["source"] = f"{title}\n\n{badges(name, '../docs/_static')}\n{rest}"
    source[0] = json.dumps(notebook)


def plumbing(cell):
    """The tag that folds a cell's code when most of its statements are imports."""
    try:
        statements = ast.parse("".join(cell["source"])).body
    except SyntaxError:  # magic commands
        return []
    imports = sum(isinstance(statement, ast.Import | ast.ImportFrom) for statement in statements)
    return ["hide-input"] if imports > len(statements) / 2 else []


def name_figures(cell, following):
    """Give figures without alternative text (`plots.describe`) the first sentence of the text below them."""
    below = "".join(following.get("source", "")) if following.get("cell_type") == "markdown" else ""
    sentence = re.split(r"(?<=[.:?])\s", re.sub(r"[*_`$#\n\\]+", " ", below).strip())[0]
    for output in cell["outputs"]:
        for kind in output.get("data", {}):
            if kind.startswith("image/"):
                output["metadata"].setdefault(kind, {}).setdefault("alt", sentence or "Figure of the code above")


def course_table(app):
    """The notebooks: what README says of each, the time to read (200 words a minute) and to run (as it says itself)."""
    lines = ["| notebook | what it teaches | to read | to run |", "|---|---|---|---|"]
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        cells = load(app, path.name)["cells"]
        text = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
        title = re.search(r"^# (.+)", text)[1]
        teaches = re.search(rf"\(notebooks/{path.name}\) \| ([^|]+) \|", readme)
        run = re.search(r"\*\*Expected time\.?\*\*:? ([^.(]+?)(?: on a CPU with two cores)?[ .(]*[.(]", text)
        times = f"{len(text.split()) / 200:.0f} minutes | {run[1] if run else ''}"
        lines.append(f"| [{title}](../notebooks/{path.name}) | {teaches[1] if teaches else ''} | {times} |")
    return "\n".join(lines)


def load(app, name):
    """A notebook: its executed copy where there is one, else as it is committed."""
    executed = Path(app.config.notebooks, name)
    path = executed if executed.is_file() else ROOT / "notebooks" / name
    return json.loads(path.read_text(encoding="utf-8"))


def render_image(self, data, render=NbElementRenderer.render_image):
    """MyST-NB's picture of an output, with the alternative text that the output's metadata hold."""
    pictures = render(self, data)
    for picture in pictures:
        picture["alt"] = data.output_metadata[data.mime_type]["alt"]
    return pictures


def read_plainly(app, what, name, obj, options, lines):
    """Let a docstring mean what it says: |x| is a magnitude and * a product, and `field: text` a list of fields."""
    text = "\n".join(lines)
    if what == "class":
        text = re.sub(r"^([a-z_]+(?:, [a-z_]+)*): ", r"\n- `\1`: ", text, flags=re.MULTILINE)
    parts = re.split(r"(`[^`]*`)", text)
    lines[:] = "".join(part if part[:1] == "`" else re.sub(r"([|*])", r"\\\1", part) for part in parts).split("\n")


def setup(app):
    if not MATHJAX.is_file():
        raise ExtensionError(f"no {MATHJAX}: install requirements-dev.txt")
    NbElementRenderer.render_image = render_image
    app.add_config_value("notebooks", "notebooks", "env", str)
    app.connect("source-read", prepare)
    app.connect("autodoc-process-docstring", read_plainly)

"""Notebooks as pages that read whole without a network: formulas become MathML, nothing is loaded from elsewhere."""

import copy
import re

from latex2mathml.converter import convert
from nbconvert import HTMLExporter

CODE = r"(?P<code>```.*?```|`[^`]*`)"
FORMULA = re.compile(rf"{CODE}|\$\$(?P<block>.+?)\$\$|\$(?P<inline>[^$\s](?:[^$]*?[^$\s])?)\$", re.DOTALL)
FOREIGN_SCRIPT = re.compile(r'<script[^>]*\ssrc="https?://[^>]*>\s*</script>')


def page(notebook) -> str:
    """The HTML page of an executed notebook. Browsers draw MathML themselves; nbconvert's own pages fetch MathJax."""
    notebook = copy.deepcopy(notebook)
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = FORMULA.sub(_mathml, cell.source)
    return FOREIGN_SCRIPT.sub("", HTMLExporter().from_notebook_node(notebook)[0])


def _mathml(found):
    if found["code"]:
        return found[0]
    if found["block"]:
        return convert(found["block"].strip(), display="block")
    return convert(found["inline"])

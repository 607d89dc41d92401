"""Alternative text, through a real kernel and a real converter (of whose templates `classic` shows it)."""

import nbformat
from nbclient import NotebookClient
from nbconvert import HTMLExporter

CELL = """
import numpy as np
from depthkit.course import plots
plots.describe(plots.grid([[np.ones((4, 6))]], [["flat"]]), "A wall, seen from the front & all at 1 m.");
"""


def test_the_picture_of_a_figure_carries_its_alternative_text():
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(CELL)])
    NotebookClient(notebook, timeout=240, kernel_name="python3").execute()
    (output,) = notebook.cells[0].outputs
    text = "A wall, seen from the front & all at 1 m."
    assert output.metadata["image/png"]["alt"] == output.data["text/plain"] == text
    page, _ = HTMLExporter(template_name="classic").from_notebook_node(notebook)
    assert f'alt="{text.replace("&", "&amp;")}"' in page
    assert output.data["image/png"][:100] in page.replace("\n", "")

import re

import nbformat
from pages import page

TEXT = "Depth $z = \\frac{fb}{d}$ in metres, and\n\n$$\\hat d = \\frac{d - t}{s}$$\n\ncosts `$5 or $6`, not $7."


def test_a_page_draws_its_formulas_without_a_network_and_leaves_code_alone():
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(TEXT)])
    html = page(notebook)
    assert html.count("<mfrac>") == 2 and html.count('display="block"') == 1
    assert "<code>$5 or $6</code>" in html and "$7." in html
    assert not re.findall(r'<(?:script|link)[^>]*"https?://', html)
    assert notebook.cells[0].source == TEXT

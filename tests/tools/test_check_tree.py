from build_site import ROOT, badges
from check_tree import check_badges


def test_a_notebook_that_readme_does_not_open_is_named():
    here, new = ROOT / "notebooks" / "01_relative_vs_metric_depth.ipynb", ROOT / "notebooks" / "07_more.ipynb"
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert list(check_badges([here], readme)) == []
    for changed in (readme.replace("kernels/welcome", "kernels/unwelcome"), readme.replace(here.name, new.name)):
        assert [here.name in problem for problem in check_badges([here], changed)] == [True]
    assert badges(new.name, "docs/_static") in next(check_badges([new], readme))

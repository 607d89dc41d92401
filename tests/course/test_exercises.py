"""The exercises of the notebooks: a check cell passes the folded answer, and neither the stub nor a mistake."""

import ast
import contextlib
import io
import re
from collections import Counter
from pathlib import Path

import nbformat
import pytest

from depthkit.course import exercises

NOTEBOOKS = sorted((Path(__file__).resolve().parents[2] / "notebooks").glob("*.ipynb"))

# Wrong variants by exercise: what to replace in its answer, and by what.
MISTAKES: dict[str, list[tuple[str, str]]] = {
    "01-1": [("depth * (u - cx)", "(u - cx)"), ("v, u = ", "u, v = "), ("(v - cy) / fy", "(v - cy) / fx")],
    "01-2": [("distance /", "distance *"), ("/ fx", "/ fy"), ("np.sqrt(", "(")],
    "01-3": [("1 / truth[seen]", "truth[seen]"), ("truth > 0", "truth >= 0"), (", 1 / farthest)", ", 1e-9)")],
    "02-1": [("d = d[mask]", "d = d * mask"), ("d.median()", "d.mean()"), ("d.abs().mean()", "d.std()")],
    "02-2": [
        ("(1 - lam)", "lam"),
        (".sqrt()", ""),
        ("correction=0", "correction=5"),
        ("pred[mask].log() - target[mask].log()", "((pred.log() - target.log()) * mask)"),
    ],
    "02-3": [("torch.maximum(pred / target, target / pred)", "pred / target"), ("mask.sum((1, 2))", "mask[0].numel()")],
    "03-1": [
        (" & (stored < 65535)", ""),
        ("stored / units", "stored * units"),
        (".transpose(2, 0, 1)", ""),
        (".astype(np.float32)", ""),
        ("np.where(mask, stored / units, 0)", "(stored / units)"),
    ],
    "03-2": [
        ("held |= group == name", "held[:] = np.random.default_rng(seed).random(len(group)) < share"),
        (">= share", "> 2 * share"),
        ("default_rng(seed)", "default_rng(0)"),
        ("default_rng(seed)", "default_rng()"),
    ],
    "03-3": [
        ("np.arange(height) + 0.5", "np.arange(height)"),
        ("(camera.cx + 0.5) * across - 0.5", "camera.cx * across"),
        ("camera.fy * down", "camera.fy * across"),
    ],
    "04-1": [
        ("p.dim() > 1", "p.dim() > 0"),
        ("if p.requires_grad:", "if True:"),
        ("encoder_rate if", "decoder_rate if"),
    ],
    "04-2": [
        ("(step + 1) / warmup", "step / warmup"),
        ("(step - warmup) / (steps - warmup)", "step / steps"),
    ],
    "04-3": [
        ("depth.isfinite() & (depth > 0)", "depth != 0"),
        ("optimizer.zero_grad()", "pass"),
        ("losses.append(0.0)", "pass"),
        ("0.5 * error", "1.0 * error"),
    ],
    "05-1": [
        ("first) - np.asarray(second)", "second) - np.asarray(first)"),
        ("[2.5, 97.5]", "[25, 75]"),
        (
            "difference[chosen].mean(1)",
            "np.asarray(first)[chosen].mean(1) - np.asarray(second)[np.flip(chosen)].mean(1)",
        ),
        ("(draws, len(difference))", "(draws, 4 * len(difference))"),
    ],
    "05-2": [
        ("depth * (canonical / focal)", "depth * (focal / canonical)"),
        ("prediction * (focal / canonical)", "prediction * (canonical / focal)"),
        ("depth * (canonical / focal)", "depth * (canonical / focal) + 1e-3"),
    ],
    "05-3": [
        ("depth[:, 1:] > ratio * depth[:, :-1]", "depth[:, :-1] > ratio * depth[:, 1:]"),
        ("depth[:, 1:] > ratio * depth[:, :-1]", "depth[:, 1:] - depth[:, :-1] > 0.5"),
        ("both / true.sum()", "precision"),
        ("return 0.0", "return 1.0"),
    ],
    "06-1": [("math.hypot(36, 24)", "36"), ("math.hypot(width, height) / math.hypot(36, 24)", "width / 36")],
    "06-2": [
        ("measured / predicted, predicted / measured", "measured / predicted, np.ones_like(measured)"),
        ("reached[-1] / 2", "reached[-1] / 3"),
    ],
    "06-3": [
        ("np.rint(1000 * np.float64(metres))", "1000 * np.float64(metres)"),
        (" & (millimetres < 65535)", ""),
        ("millimetres < 65535", "millimetres < 70000"),
        ("np.isfinite(metres) & (millimetres > 0) & ", ""),
        (".astype(np.uint16)", ""),
    ],
}


def read_exercises():
    """Return {exercise: (imports of its notebook, {"task", "exercise", "check", "answer": source})}."""
    found = {}
    for path in NOTEBOOKS:
        cells = nbformat.read(path, as_version=4).cells
        trees = [ast.parse(cell.source) for cell in cells if cell.cell_type == "code" and cell.id != "install"]
        imports = [node for tree in trees for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
        for cell in cells:
            if match := re.fullmatch(r"(task|exercise|check|answer)-(\d\d-\d+)", cell.id):
                _, parts = found.setdefault(match[2], ("\n".join(map(ast.unparse, imports)), {}))
                parts[match[1]] = cell.source
    return found


EXERCISES = read_exercises()


def folded(parts):
    """The code in the folded answer."""
    assert parts["answer"].startswith("<details>") and parts["answer"].endswith("</details>")
    (code,) = re.findall(r"```python\n(.*?)```", parts["answer"], re.DOTALL)
    return code


def verdict(name, code):
    """What the check cell prints about `code`."""
    imports, parts = EXERCISES[name]
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(f"{imports}\n{code}\n{parts['check']}", {"__name__": "exercise"})
    return printed.getvalue().strip()


def test_each_notebook_with_exercises_has_three():
    assert EXERCISES
    assert min(Counter(name[:2] for name in EXERCISES).values()) >= 3


@pytest.mark.filterwarnings("ignore")  # mistakes divide by 0
@pytest.mark.parametrize("name", EXERCISES)
def test_the_check_knows_right_from_wrong(name):
    _, parts = EXERCISES[name]
    assert list(parts) == ["task", "exercise", "check", "answer"]
    assert verdict(name, parts["exercise"]) == f"{name}: not written yet"
    answer = folded(parts)
    assert verdict(name, answer) == f"{name}: right"
    assert MISTAKES[name]
    for old, new in MISTAKES[name]:
        assert old in answer
        said = verdict(name, answer.replace(old, new))
        assert said.startswith((f"{name}: not right yet", f"{name}: stopped by")), (old, new, said)


@pytest.mark.parametrize(
    "error, said",
    [
        (NotImplementedError(), "9: not written yet"),
        (AssertionError("too near"), "9: not right yet: too near"),
        (AssertionError(), "9: not right yet"),
        (ValueError("shapes"), "9: stopped by ValueError: shapes"),
    ],
)
def test_check_prints_what_was_raised(error, said, capsys):
    with exercises.check("9"):
        raise error
    assert capsys.readouterr().out.strip() == said


def test_check_says_right(capsys):
    with exercises.check("9"):
        pass
    assert capsys.readouterr().out == "9: right\n"

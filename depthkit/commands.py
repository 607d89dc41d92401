"""The subcommands of `depthkit`: each is a function whose signature and docstring are its help."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

from tyro.conf import Positional, PositionalRequiredArgs, arg, configure

from depthkit.camera import Intrinsics
from depthkit.data.datasets import Layout, open_split
from depthkit.data.importers import import_data
from depthkit.data.mixed import open_scored
from depthkit.errors import InputError
from depthkit.scoring.protocol import PROTOCOLS, Alignment
from depthkit.training.config import Recipe, TrainConfig


def train(config: Annotated[TrainConfig, arg(name="")], recipe: Recipe = "nyu") -> None:
    """Fine-tune, or pre-train, a model; --resume True goes on, and `accelerate launch -m depthkit` uses every GPU.

    Args:
        recipe: what the defaults below are made for: nyu, or small for a few hundred images and little memory
    """
    from depthkit.training.train import train

    train(config)


def check(
    data: Positional[Path],
    layout: Layout = "folder",
    depth_scale: float | None = None,
    max_depth: float | None = None,
    deep: bool = False,
) -> None:
    """Look at the splits train and val: what is there, what is odd, the max_depth to train with; pictures of both.

    Args:
        data: root of the data set; pictures go to <data>/check, or to check/ where it is read-only
        layout: how the data lie there, as for train
        depth_scale: layout folder: units of an integer depth file per metre (1000 for mm)
        max_depth: metres; data that are mostly beyond are doubted; 100 if None
        deep: decode every file, instead of all headers and a spread of files
    """
    from depthkit.data import overview
    from depthkit.data.check import check, compare_splits

    pictures = overview.picture_folder(data)
    datasets = {
        "train": open_split(layout, data, "train", depth_scale),
        "val": open_scored(layout, data, "val", depth_scale),
    }
    summaries = [check(dataset, max_depth=max_depth, deep=deep, progress=True) for dataset in datasets.values()]
    for (split, dataset), summary in zip(datasets.items(), summaries, strict=True):
        sheet = overview.write_contact_sheet(dataset, pictures / f"{split}.png")
        histogram = overview.write_histogram(dataset, pictures / f"{split}_depth.png")
        print(f"{split}: {summary}\n  see {sheet} and {histogram.name}")
    compare_splits(*summaries)
    print(overview.near_duplicates(*datasets.values()))
    print(overview.next_step(summaries[0], layout, data, depth_scale))


def evaluate(
    model: Positional[str],
    data: Positional[Path],
    layout: Layout = "folder",
    split: str = "val",
    train_split: str = "train",
    depth_scale: float | None = None,
    protocol: Literal["plain", "nyu-eigen", "kitti-garg"] = "plain",
    align: Alignment | None = None,
    max_depth: float | None = None,
    output: Path | None = None,
) -> None:
    """Score a model on a data set, beside what never saw a picture; writes scores.json and report.html.

    Args:
        model: model folder (best/ of a run) or Hub id
        data: root of the data set
        layout: how the data lie there, as for train
        split: folder of the split to score
        train_split: folder of the split that the constant and the row prior are fitted on
        depth_scale: layout folder: units of an integer depth file per metre (1000 for mm)
        protocol: what is compared with what; the report says it in words
        align: fit to the truth before scoring; by default none for metric and disparity for relative models
        max_depth: metres; larger true depths count as not measured; by default the protocol's, for plain the model's
        output: folder to write to; if None, eval/ of the model's run, else of the working folder
    """
    from depthkit.models.build import canonical_focal, load_model
    from depthkit.models.calibration import load_calibration
    from depthkit.run_folder import RunFolder, write_json
    from depthkit.scoring.baselines import Calibrated, fit_baselines
    from depthkit.scoring.evaluate import evaluate, evaluation_report, output_kind
    from depthkit.scoring.report import write_report
    from depthkit.scoring.truth import farthest, raw_or_filled

    network: Any = load_model(model)
    calibration = load_calibration(model)
    network = Calibrated(network, calibration) if calibration else network
    fitted = align or ("disparity" if output_kind(network) == "relative" else "none")
    dataset = open_scored(layout, data, split, depth_scale)
    is_own = protocol == "plain" and fitted == "none" and not calibration
    own = farthest(network.config, dataset) if is_own else PROTOCOLS[protocol].max_depth
    rules = replace(PROTOCOLS[protocol], align=fitted, max_depth=own if max_depth is None else max_depth)
    if layout == "nyu":
        print("the truth is {}: {:.1%} of its pixels are holes".format(*raw_or_filled(dataset)))
    is_there = layout != "mixed" and (data / train_split).is_dir()
    priors = fit_baselines(open_split(layout, data, train_split, depth_scale), rules).models(rules) if is_there else {}
    others = {name: evaluate(prior, dataset, rules) for name, prior in priors.items()}
    records = evaluate(network, dataset, rules, progress=True)
    report = evaluation_report(records, rules, model=model, data=str(data))
    run = RunFolder(Path(model).parent)  # not best/ itself, which the next better epoch replaces
    folder = output or (run.eval if run.is_used() else Path("eval", Path(model).name)) / protocol
    write_json(folder / "scores.json", report)
    write_report(folder / "report.html", network, dataset, rules, records, others, Path(model).name, f"{data}/{split}")
    lens = "; canonical metres times the data's focal lengths" if canonical_focal(network.config) else ""
    print(f"{report['images']} image(s) scored, {report['skipped']} skipped; {rules}{'' if calibration else lens}")
    for name, score in report["summary"].items():
        spread = f"  ({score['low']:.4f} to {score['high']:.4f})" if report["images"] > 1 else ""
        print(f"{name:12} {score['mean']:.4f}{spread}")
    for name, scores in others.items():
        print(f"{name + ':':15} AbsRel {evaluation_report(scores, rules)['summary']['abs_rel']['mean']:.4f}")
    print(f"written: {folder}/scores.json and report.html")


def calibrate(
    model: Positional[Path],
    points: Path | None = None,
    data: Path | None = None,
    layout: Layout = "folder",
    split: str = "val",
    depth_scale: float | None = None,
) -> None:
    """Fix the scale of a model by a few known distances; kept beside its weights if it helps held-out points.

    Args:
        model: model folder (best/ of a run)
        points: CSV with the header file,u,v,metres: photo, column and row of a pixel, planar depth there
        data: instead of points: root of a data set with depth
        layout: how the data lie there, as for train
        split: folder of the split
        depth_scale: layout folder: units of an integer depth file per metre (1000 for mm)
    """
    from depthkit.models.calibration import CALIBRATION_FILE, calibrate

    if bool(points) == bool(data):
        raise InputError("give either --points, a CSV of measured points, or --data, a data set with depth")
    result = calibrate(model, points or open_scored(layout, data or "", split, depth_scale))
    print(result)
    if (file := model / CALIBRATION_FILE).exists():
        print(f"{file}{'' if result.kept else ', from before,'} is what predict, evaluate and export use")


def export(
    model: Positional[str],
    output: Path | None = None,
    size: tuple[int, int] | None = None,
    batch: int | None = None,
    photos: tuple[Path, ...] = (),
    verify: bool = True,
) -> None:
    """Write an ONNX file with normalisation and calibration inside, and a text beside it that says how to call it.

    Args:
        model: model folder (best/ of a run) or Hub id
        output: the file to write; <model>.onnx if None, for a Hub id in the working folder
        size: height and width of the pictures it takes, multiples of 14; the model's own size, square, if None
        batch: a fixed number of pictures; any number if None
        photos: pictures to compare on
        verify: compare onnxruntime with PyTorch before the file is kept
    """
    from depthkit.models.export import export_onnx

    path = output or Path(f"{model}.onnx" if Path(model).is_dir() else f"{Path(model).name}.onnx")
    if (difference := export_onnx(model, path, size, batch or "dynamic", verify, photos)) is not None:
        print(f"verified: onnxruntime differs from PyTorch by at most {difference:.1e} of the range")
    print(f"written: {path}, and {path.with_suffix('.txt').name} on how to call it")


def predict(
    sources: Positional[tuple[str, ...]],
    model: str,
    output: Path = Path("predictions"),
    hfov: float | None = None,
    intrinsics: tuple[float, float, float, float] | None = None,
    focal_px: float | None = None,
) -> None:
    """Predict for photos and videos: millimetres (PNG), metres (.npy), a picture, a point cloud.

    Args:
        sources: photos, videos, folders and patterns
        model: model folder (best/ of a run) or Hub id, metric or relative
        output: folder to write to; it keeps the tree of the sources
        hfov: horizontal field of view of the camera, degrees; without any, camera.json or EXIF says it
        intrinsics: fx fy cx cy of the camera, pixels
        focal_px: focal length of the camera, pixels
    """
    from depthkit.models.predict_files import predict_files

    if intrinsics and hfov is not None:
        raise InputError("--intrinsics and --hfov both give the camera: leave one out")
    done = predict_files(model, sources, output, Intrinsics(*intrinsics) if intrinsics else hfov, focal_px)
    print(f"{len(done)} file(s) predicted, in {output}")


def demo(model: Positional[str], port: int | None = None, share_on_network: bool = False) -> None:
    """Open a page to try a model on: photo in, depth under the pointer, a point cloud to turn.

    Args:
        model: model folder (best/ of a run) or Hub id
        port: of the page; the first free one from 7860 on if None
        share_on_network: let other machines see the page
    """
    from depthkit.demo import run_demo

    run_demo(model, port, share_on_network)


def convert(
    source: Positional[str],
    target: Positional[Path],
    objective: Literal["metric", "relative"] | None = None,
    max_depth: int | None = None,
) -> None:
    """Convert a .pth of the Depth Anything authors to a model folder, or a model to such a .pth.

    Args:
        source: a .pth; or a model folder (best/ of a run) or Hub id
        target: the folder to write; or the .pth
        objective: what a .pth predicts whose name does not say it
        max_depth: metres, of a metric .pth whose name does not say it
    """
    from depthkit.models.author_weights import is_checkpoint
    from depthkit.models.build import CALIBRATION_FILE, load_model
    from depthkit.models.convert import export, to_folder

    if is_checkpoint(source):
        print(f"{target}: {to_folder(source, target, objective, max_depth)}")
    else:
        rest = f"; its {CALIBRATION_FILE} stays behind" if Path(source, CALIBRATION_FILE).is_file() else ""
        print(f"{target}: in the authors' code, load_state_dict into {export(load_model(source), target)}{rest}")


# A function of the kit, which knows nothing of tyro: here its first two go by place.
COMMANDS: dict[str, Callable[..., Any]] = {"import": configure(PositionalRequiredArgs)(import_data)}
COMMANDS |= {each.__name__: each for each in (check, train, evaluate, calibrate, export, predict, demo, convert)}

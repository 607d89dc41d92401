"""A model trained with camera canonical: one scene through several lenses, and what its folder says to others."""

import json
import shutil
from types import SimpleNamespace

import cv2
import h5py
import numpy as np
import pytest
import torch
from helpers import write_frame
from PIL import ExifTags, Image

from depthkit.camera import Intrinsics
from depthkit.cli import main
from depthkit.data.datasets import NYUDepthV2
from depthkit.data.transforms import EvalTransform, TrainTransform
from depthkit.errors import InputError
from depthkit.models.build import build_model, canonical_focal, load_model, save_model
from depthkit.models.calibration import Calibration, predict_calibrated
from depthkit.models.predict import predict_depth, predict_output
from depthkit.models.predict_files import ASSUMED, photo_camera
from depthkit.run_folder import read_json, write_json
from depthkit.scoring.baselines import Calibrated
from depthkit.scoring.evaluate import evaluate

SIZE, METRES, SIDE = 168, 3.0, 1.0


class Sees(torch.nn.Module):
    """A network that learnt canonical depth perfectly: what looks `w` pixels wide and is SIDE metres, is f_c · SIDE / w
    metres away."""

    def __init__(self):
        super().__init__()
        self.unused = torch.nn.Parameter(torch.zeros(1))
        self.config = SimpleNamespace(
            input_size=SIZE, depth_estimation_type="metric", canonical_focal=SIZE, max_depth=10
        )

    def forward(self, pixel_values):
        area = (pixel_values[:, 0] > 0).sum((1, 2))
        depth = self.config.canonical_focal * SIDE / area.sqrt()
        return SimpleNamespace(predicted_depth=depth[:, None, None].expand(-1, *pixel_values.shape[2:]))


def picture(focal, height=480, width=640):
    """A white square of SIDE metres, METRES away from a camera of that focal length."""
    image = np.zeros((height, width, 3), np.uint8)
    half = round(focal * SIDE / METRES / 2)
    image[height // 2 - half : height // 2 + half, width // 2 - half : width // 2 + half] = 255
    return image


@pytest.mark.parametrize("focal", [300, 600, 1200])
@pytest.mark.parametrize("height, width", [(480, 640), (640, 480), (500, 590)])
def test_one_scene_through_several_lenses_is_one_depth(focal, height, width, tmp_path):
    """By `predict_depth` and by `evaluate`; without the focal length, only the one that is assumed would be right."""
    image = picture(focal, height, width)
    depth = predict_depth(Sees(), image, focal)
    assert depth.shape == (height, width)
    np.testing.assert_allclose(depth, METRES, rtol=0.04)  # pytest.approx would look at each pixel in Python
    with pytest.warns(UserWarning, match="no focal_px: the photo's shorter side"):
        np.testing.assert_allclose(predict_depth(Sees(), image), depth * min(height, width) / focal, rtol=1e-5)
    path = tmp_path / "val" / "scene" / "0.h5"
    path.parent.mkdir(parents=True)
    with h5py.File(path, "w") as file:
        file["rgb"], file["depth"] = image.transpose(2, 0, 1), np.full(image.shape[:2], METRES, np.float32)
        file.attrs["intrinsics"] = list(Intrinsics.centred(focal, width, height))
    (record,) = evaluate(Sees(), NYUDepthV2(tmp_path, "val"))
    assert record["abs_rel"] == pytest.approx(abs(depth[0, 0] / METRES - 1), abs=1e-5)


@pytest.mark.parametrize("zoom", [1.0, 1.5])
def test_a_label_is_what_the_network_would_have_to_say(zoom):
    """Training and prediction are inverse: the label of a crop is what `Sees` answers to that crop."""
    sample = {"image": picture(600), "depth": np.full((480, 640), METRES, np.float32)}
    sample |= {"mask": sample["depth"] > 0, "intrinsics": Intrinsics.centred(600, 640, 480)}
    out = TrainTransform(SIZE, zoom=zoom, canonical=True)(sample, index=1)
    assert (out["image"][[0, -1]] < 128).all() and (out["image"][:, [0, -1]] < 128).all()  # the whole square is seen
    pixels = torch.from_numpy(out["image"].astype(np.float32).transpose(2, 0, 1))[None] - 128
    assert Sees()(pixels).predicted_depth[0, 0, 0] == pytest.approx(float(out["depth"][0, 0]), rel=0.02)


def test_an_unknown_camera_is_missed_by_a_canonical_model_alone(nyu_root):
    dataset = NYUDepthV2(nyu_root, "val")
    with pytest.raises(InputError, match=r"00000\.h5: its camera is unknown"):
        evaluate(Sees(), dataset)
    assert len(evaluate(build_model("tiny", input_size=56), dataset)) == 5
    calibrated = Calibrated(Sees(), Calibration(2.0, 0.0, "depth", 3, 3, 1.0, 0.1))
    assert len(evaluate(calibrated, dataset)) == 5  # a calibration holds its camera's focal length
    with pytest.raises(InputError, match="focal_px must be a positive number of pixels of the photo; got 0"):
        predict_depth(Sees(), picture(600), 0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A canonical model with random weights, saved."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("canonical") / "model"
    save_model(build_model("tiny", max_depth=20, input_size=56, camera="canonical"), folder)
    return folder


def test_the_folder_says_it_and_weights_of_another_space_are_refused(folder, tmp_path):
    model = load_model(folder)
    assert canonical_focal(model.config) == 56
    assert "metres = depth * focal_px / min(photo.size)" in (folder / "README.md").read_text()
    assert "up to 20 m" in (folder / "README.md").read_text()
    again = build_model("tiny", max_depth=20, weights=folder, init="all", input_size=70, camera="canonical")
    assert canonical_focal(again.config) == 70
    with pytest.raises(
        InputError, match="predicts metric depth up to 20 canonical metres, but a model of metric depth"
    ):
        build_model("tiny", max_depth=20, weights=folder, init="all")
    save_model(build_model("tiny", input_size=56), tmp_path / "ignore")
    assert "canonical" not in (tmp_path / "ignore" / "config.json").read_text()
    assert "canonical" not in (tmp_path / "ignore" / "README.md").read_text().lower()


def test_a_calibration_takes_the_networks_output_whatever_the_lens(folder):
    model, image = load_model(folder), picture(40, 60, 90)
    calibration = Calibration(2.0, 0.0, "depth", 3, 3, 1.0, 0.1)
    expected = 2 * predict_output(model, image)
    assert predict_calibrated(model, image, calibration, 1234.0) == pytest.approx(expected)
    assert predict_calibrated(model, image, None, 120.0) == pytest.approx(expected, rel=0.02)  # f / f_c is 2 at 60 rows


def test_a_focal_length_is_looked_for_in_this_order(tmp_path):
    exif = Image.Exif()
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.FocalLengthIn35mmFilm] = 28
    photos = {name: tmp_path / f"{name}.jpg" for name in ("exif", "plain", "zero")}
    Image.new("RGB", (360, 240)).save(photos["exif"], exif=exif)
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.FocalLengthIn35mmFilm] = 0
    Image.new("RGB", (360, 240)).save(photos["zero"], exif=exif)
    Image.new("RGB", (360, 240)).save(photos["plain"])
    photos["noted"] = tmp_path / "data" / "val" / "rgb" / "noted.jpg"
    photos["noted"].parent.mkdir(parents=True)
    Image.new("RGB", (360, 240)).save(photos["noted"], exif=exif)
    (tmp_path / "data" / "camera.json").write_text('{"hfov_deg": 90}')
    shape, given = (240, 360), Intrinsics(1, 2, 3, 4)
    cases = [
        ((photos["exif"], shape, 90.0, 77.0), 77, "as given"),
        ((photos["exif"], shape, given), given.focal, "as given"),
        ((photos["exif"], shape, 90.0), 180, "from a field of view of 90°"),
        ((photos["noted"], shape, None, None, photos["noted"].parents[:3]), 180, "from the .json beside it"),
        ((photos["noted"], shape, None, 77.0), 77, "as given"),
        ((photos["exif"], shape), 280, r"from EXIF (28 mm equivalent)"),
        *(((file, shape), 240, ASSUMED) for file in (photos["plain"], photos["zero"], None)),
    ]
    for arguments, focal, words in cases:
        camera, source = photo_camera(*arguments)
        assert (camera.focal, source) == (pytest.approx(focal), words)


def test_the_command_predicts_with_it_and_says_which(folder, tmp_path, capsys):
    image = np.random.default_rng(0).integers(0, 255, (60, 80, 3), dtype=np.uint8)
    cv2.imwrite(str(tmp_path / "photo.png"), image[..., ::-1])
    for options, focal, words in (
        (["--focal_px", "90"], 90.0, "focal length 90 px as given"),
        (["--hfov", "90"], 40.0, "focal length 40 px from a field of view of 90°"),
        ([], 60.0, f"focal length 60 px {ASSUMED}"),
    ):
        output = tmp_path / f"o{focal:g}"
        main(["predict", str(tmp_path / "photo.png"), "--model", str(folder), "--output", str(output), *options])
        assert words in capsys.readouterr().out  # and a model that ignores the camera is silent about what is assumed
        depth = predict_depth(load_model(folder), image, focal)
        assert np.array_equal(np.load(output / "photo_depth.npy"), depth)
        assert (output / "photo.ply").exists() == bool(options)


def test_the_command_evaluates_with_the_cameras_of_the_data(folder, tmp_path, capsys):
    data = tmp_path / "data"
    for number in range(3):
        write_frame(data / "val" / f"{number}.h5", number)
    command = ["evaluate", str(folder), str(data), "--layout", "nyu", "--output", str(tmp_path / "eval")]
    with pytest.raises(SystemExit):
        main(command)
    assert "camera.json" in capsys.readouterr().err
    (data / "camera.json").write_text(json.dumps({"hfov_deg": 90}))  # 40 px, where 60 would be canonical
    main(command)
    assert "canonical metres times the data's focal lengths" in capsys.readouterr().out
    report = read_json(tmp_path / "eval" / "scores.json")
    assert report["protocol"]["max_depth"] == pytest.approx(20 * 40 / 60)
    sample = NYUDepthV2(data, "val")[0]
    shown = EvalTransform(56)({"image": sample["image"].numpy().transpose(1, 2, 0)})["image"].shape[:2]
    depth = predict_output(load_model(folder), sample["image"].numpy())
    depth *= 40 * np.sqrt(np.prod(shown) / (60 * 80)) / 56
    truth, mask = sample["depth"].numpy(), sample["mask"].numpy()
    expected = np.abs(depth / np.where(mask, truth, 1) - 1)[mask].mean()
    assert report["records"][0]["abs_rel"] == pytest.approx(expected, rel=1e-4)


def test_the_text_beside_the_onnx_file_leads_to_metres(folder, tmp_path, monkeypatch):
    pytest.importorskip("onnxscript", reason="the extra onnx is not installed")
    from depthkit.models.export import export_onnx

    monkeypatch.chdir(tmp_path)
    cv2.imwrite("photo.jpg", np.random.default_rng(0).integers(0, 255, (60, 80, 3), dtype=np.uint8))
    export_onnx(folder, tmp_path / "m.onnx", (56, 70))
    text = (tmp_path / "m.txt").read_text()
    names = {"focal_px": 90.0}
    exec(text[text.index("import cv2") :], names)
    photo = cv2.imread("photo.jpg")[..., ::-1]
    expected = predict_depth(load_model(folder), photo, 90.0)
    assert np.abs(names["depth"] / expected - 1).mean() < 0.03
    shutil.copytree(folder, "calibrated")
    write_json(tmp_path / "calibrated" / "calibration.json", vars(Calibration(2.0, 0.0, "depth", 3, 3, 1.0, 0.1)))
    export_onnx("calibrated", tmp_path / "c.onnx", (56, 70), verify=False)
    assert "canonical" not in (tmp_path / "c.txt").read_text()


def test_the_authors_code_is_told(folder, tmp_path, capsys):
    torch.manual_seed(0)
    save_model(build_model("vits", input_size=56, camera="canonical"), tmp_path / "small")
    main(["convert", str(tmp_path / "small"), str(tmp_path / "small.pth")])
    assert "times focal length / shorter side of a photo" in capsys.readouterr().out

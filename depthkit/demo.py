"""A local page to try a model on: photo in; depth to read under the pointer, a point cloud to turn, files to keep."""

import tempfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from depthkit.camera import Intrinsics, point_cloud, write_ply
from depthkit.data.readers import read_image
from depthkit.errors import InputError
from depthkit.models.build import load_model
from depthkit.models.calibration import load_calibration, predict_calibrated
from depthkit.models.predict_files import photo_camera

SHOWN_WIDTH = 480  # pixels of the depth map on the page; the files keep the photo's size
SHOWN_POINTS = 20_000


def run_demo(model: str, port: int | None = None, share_on_network: bool = False) -> None:
    """Serve the page until it is stopped, to this machine alone unless `share_on_network`; `port` None is a free one.

    Raises: InputError when gradio is not installed, or the model can't be loaded.
    """
    host = "0.0.0.0" if share_on_network else "127.0.0.1"
    with tempfile.TemporaryDirectory(prefix="depthkit-") as folder:
        build_page(model, Path(folder)).launch(server_name=host, server_port=port, share=False, quiet=False)


def build_page(model: str, folder: Path) -> Any:
    """The page; the files of the latest prediction lie in `folder`, from where gradio copies them to its cache."""
    try:
        import gradio as gr
        import plotly  # noqa: F401
    except ImportError as error:
        raise InputError(f"the demo needs gradio and plotly ({error}): pip install 'depthkit[demo]'") from error
    network, calibration = load_model(model), load_calibration(model)
    metric = calibration is not None or network.config.depth_estimation_type == "metric"

    def show(path: str | None, fov: float) -> tuple[Any, Any, str, list[str]]:
        if path is None:
            raise gr.Error("Choose a photo first.")
        photo = read_image(Path(path))
        intrinsics, source = photo_camera(Path(path), photo.shape, fov or None)
        values = predict_calibrated(network, photo, calibration, intrinsics.focal)
        depth = values if metric else _relative_depth(values)
        files = _files(folder, values, depth, photo, intrinsics, metric)
        figures = depth_figure(values, metric), cloud_figure(depth, photo, intrinsics)
        return *figures, f"{_words(values, metric)} Focal length {intrinsics.focal:.0f} px {source}.", files

    # a photo of 12 megapixels makes 230 MB of files: a page that runs for days must not fill the disk
    with gr.Blocks(title="depthkit", analytics_enabled=False, delete_cache=(3600, 3600)) as page:
        kind = "metric depth, in metres" if metric else "relative depth: disparity of unknown scale and shift"
        gr.Markdown(f"# depthkit\nThe model in `{Path(model).name}` predicts {kind}.")
        with gr.Row():
            with gr.Column():
                photo = gr.Image(type="filepath", label="photo", elem_id="photo")
                fov = gr.Slider(0, 120, 0, step=1, label="horizontal field of view, degrees (0: from EXIF, if there)")
                button = gr.Button("Predict", variant="primary", elem_id="predict")
                words = gr.Markdown(elem_id="words")
                files = gr.File(label="to keep", file_count="multiple", elem_id="files")
            with gr.Column():
                depth_plot = gr.Plot(label="depth", elem_id="depth")
                cloud_plot = gr.Plot(label="point cloud: drag to turn", elem_id="cloud")
        button.click(show, [photo, fov], [depth_plot, cloud_plot, words, files], api_name="predict")
    return page


def depth_figure(values: np.ndarray, metric: bool) -> Any:
    """The map with a colour bar; the pointer reads its values. Near is bright in both kinds."""
    import plotly.graph_objects as go

    scale = min(1.0, SHOWN_WIDTH / values.shape[1])
    shown = cv2.resize(values, None, fx=scale, fy=scale, interpolation=cv2.INTER_NEAREST)
    unit = "%{z:.2f} m" if metric else "%{z:.3f}"
    heatmap = go.Heatmap(
        z=np.round(shown, 3),
        colorscale="magma_r" if metric else "magma",
        colorbar={"title": "depth (m)" if metric else "disparity"},
        hovertemplate=f"{unit}<extra></extra>",
    )
    figure = go.Figure(heatmap)
    figure.update_yaxes(autorange="reversed", scaleanchor="x", visible=False)
    figure.update_xaxes(visible=False, constrain="domain")
    return figure.update_layout(margin={"l": 0, "r": 0, "t": 10, "b": 10}, height=360)


def cloud_figure(depth: np.ndarray, photo: np.ndarray, intrinsics: Intrinsics) -> Any:
    import plotly.graph_objects as go

    points, colours = point_cloud(depth, photo, intrinsics)
    keep = np.random.default_rng(0).permutation(len(points))[:SHOWN_POINTS]
    x, y, z = points[keep].T
    marker = {"size": 1.5, "color": [f"rgb({r},{g},{b})" for r, g, b in colours[keep]]}
    figure = go.Figure(go.Scatter3d(x=x, y=z, z=-y, mode="markers", marker=marker, hoverinfo="skip"))
    scene = {"aspectmode": "data", "camera": {"eye": {"x": 0.0, "y": -1.6, "z": 0.4}}, "xaxis_title": "x"}
    scene |= {"yaxis_title": "z (depth)", "zaxis_title": "-y"}
    return figure.update_layout(scene=scene, margin={"l": 0, "r": 0, "t": 0, "b": 0}, height=420)


def _relative_depth(disparity: np.ndarray) -> np.ndarray:
    """A depth of arbitrary scale and a guessed shift, to show the shape of what has no metres."""
    span = np.ptp(disparity) + 1e-6
    return (1 / (0.1 + (disparity - disparity.min()) / span)).astype(np.float32)


def _words(values: np.ndarray, metric: bool) -> str:
    if not metric:
        return "Near is bright. There are no metres: the point cloud has an arbitrary scale and a guessed shift."
    near, far = np.percentile(values, [1, 99])
    return f"{near:.2f} m (nearest 1 %) to {far:.2f} m (farthest 1 %)."


def _files(
    folder: Path, values: np.ndarray, depth: np.ndarray, photo: np.ndarray, intrinsics: Intrinsics, metric: bool
) -> list[str]:
    """The map as .npy and the points as .ply, in place of those of the photo before."""
    np.save(folder / ("depth_m.npy" if metric else "disparity.npy"), values)
    write_ply(folder / "points.ply", *point_cloud(depth, photo, intrinsics))
    return [str(path) for path in sorted(folder.iterdir())]

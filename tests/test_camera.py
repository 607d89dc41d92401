import os

import numpy as np
import pytest
from skimage.data import stereo_motorcycle

from depthkit.camera import (
    Intrinsics,
    depth_to_ray_distance,
    disparity_to_depth,
    point_cloud,
    project,
    ray_distance_to_depth,
    unproject,
    write_ply,
)

CAMERA = Intrinsics(fx=50.0, fy=60.0, cx=9.2, cy=7.7)


@pytest.fixture
def depth():
    return np.random.default_rng(2).uniform(0.5, 8, (15, 20)).astype(np.float32)


def test_field_of_view_spans_the_image_edges():
    """90° over 100 pixels: the focal length is half the width, and the edges, half a pixel out, see ±45°."""
    camera = Intrinsics.from_fov(90, width=100, height=60)
    assert (camera.fx, camera.fy, camera.cx, camera.cy) == pytest.approx((50, 50, 49.5, 29.5))
    assert project([[-1, 0, 1], [1, 0, 1]], camera)[:, 0] == pytest.approx([-0.5, 99.5])


def test_intrinsics_unpack_and_pack():
    fx, fy, cx, cy = CAMERA
    assert (fx, fy, cx, cy) == (50.0, 60.0, 9.2, 7.7) and Intrinsics(*CAMERA) == CAMERA


def test_projection_by_hand_and_behind_the_camera():
    pixels = project([[1.0, 2.0, 4.0], [1.0, 2.0, -4.0], [0.0, 0.0, 0.0]], CAMERA)
    assert pixels[0] == pytest.approx([50 / 4 + 9.2, 60 * 2 / 4 + 7.7])
    assert np.isnan(pixels[1:]).all()


def test_unproject_and_project_are_inverse(depth):
    points = unproject(depth, CAMERA)
    assert points.shape == (15, 20, 3) and points.dtype == np.float32 and np.array_equal(points[..., 2], depth)
    rows, columns = np.mgrid[:15, :20]
    assert project(points, CAMERA) == pytest.approx(np.stack([columns, rows], -1), abs=1e-4)


def test_resizing_keeps_the_outer_edges():
    """A pixel of the small image is a block of the large one: its centre lies in the middle of the block."""
    small = CAMERA.scaled(0.25, 0.5)
    point = np.array([[0.3, -0.2, 1.7]])
    (u, v), (u_small, v_small) = project(point, CAMERA)[0], project(point, small)[0]
    assert (u_small + 0.5, v_small + 0.5) == pytest.approx(((u + 0.5) / 4, (v + 0.5) / 2))
    whole = Intrinsics.from_fov(57, 640, 480)
    half = Intrinsics.from_fov(57, 320, 240)
    assert tuple(whole.scaled(0.5, 0.5)) == pytest.approx(tuple(half))


def test_crop_and_flip_move_the_principal_point():
    point = np.array([[0.3, -0.2, 1.7]])
    u, v = project(point, CAMERA)[0]
    assert project(point, CAMERA.cropped(4, 3))[0] == pytest.approx([u - 4, v - 3])
    mirrored = point * [-1, 1, 1]
    assert project(mirrored, CAMERA.flipped(20))[0] == pytest.approx([19 - u, v])


@pytest.mark.parametrize("zoom", [0.5, 2.0, 3.0])
def test_zooming_an_image_by_s_is_the_scene_at_depth_over_s(zoom):
    """Enlarge by s, cut out the middle, keep believing in the old focal length: everything seems s times nearer."""
    width, height = 64, 48
    camera = Intrinsics.from_fov(60, width, height)
    zoomed = camera.scaled(zoom, zoom).cropped((zoom - 1) * width / 2, (zoom - 1) * height / 2)
    points = np.random.default_rng(0).uniform([-1, -1, 2], [1, 1, 4], (20, 3))
    assert project(points, zoomed) == pytest.approx(project(points / [1, 1, zoom], camera))


def test_ray_distance_is_the_length_of_the_point(depth):
    distance = depth_to_ray_distance(depth, CAMERA)
    assert distance == pytest.approx(np.linalg.norm(unproject(depth, CAMERA).astype(np.float64), axis=-1), rel=1e-6)
    assert ray_distance_to_depth(distance, CAMERA) == pytest.approx(depth, rel=1e-6)
    assert ray_distance_to_depth(distance, CAMERA).dtype == np.float32


def test_ray_distance_by_hand():
    """f = 4 and the pixel (3, 0) off the centre: a 3-4-5 triangle, so 5 m along the ray are 4 m of depth."""
    camera = Intrinsics(4.0, 4.0, 0.0, 0.0)
    assert ray_distance_to_depth(np.full((4, 4), 5.0), camera)[[0, 0, 3], [0, 3, 0]].tolist() == [5.0, 4.0, 4.0]
    wall = depth_to_ray_distance(np.full((4, 4), 2.0), camera)
    assert wall[3, 3] == pytest.approx(2 * np.sqrt(1 + 9 / 16 + 9 / 16))


def test_middlebury_motorcycle_has_its_published_depth():
    """f 994.978 px, baseline 193.001 mm, doffs 31.086 px; without doffs the far wall would stand at 27 m."""
    _, _, disparity = stereo_motorcycle()
    depth = disparity_to_depth(disparity, focal=994.978, baseline=0.193001, doffs=31.086)
    measured = np.isfinite(disparity)
    assert (depth[~measured] == 0).all() and (~measured).sum() > 10000
    assert depth[measured].min() == pytest.approx(2.11, abs=0.01)
    assert depth[measured].max() == pytest.approx(5.02, abs=0.01)
    assert disparity_to_depth(disparity, 994.978, 0.193001)[measured].max() > 26


def test_disparity_by_hand_and_not_measured():
    """200 px · 0.1 m = 20: 10 px are 2 m, and with doffs 6, 4 px are; what is no disparity has no depth."""
    disparity = np.array([10.0, 0.0, np.nan, np.inf, -np.inf, -3.0])
    assert disparity_to_depth(disparity, 200, 0.1).tolist() == [2.0, 0, 0, 0, 0, 0]
    shifted = disparity_to_depth(np.array([4.0, -1.0, -6.0, -9.0, 0.0]), 200, 0.1, doffs=6)
    assert shifted.tolist() == [2.0, 4.0, 0, 0, 0]


def test_point_cloud_holds_the_measured_pixels_and_their_colours(depth):
    image = np.random.default_rng(0).integers(0, 255, (15, 20, 3), dtype=np.uint8)
    depth[0, :5] = [0, -1, np.nan, np.inf, -np.inf]
    mask = np.ones(depth.shape, dtype=bool)
    mask[3] = False
    points, colors = point_cloud(depth, image, CAMERA, mask)
    assert points.shape == colors.shape == (15 * 20 - 5 - 20, 3)
    assert points.dtype == np.float32 and colors.dtype == np.uint8
    z = depth[0, 6]
    assert points[1] == pytest.approx([(6 - 9.2) / 50 * z, -7.7 / 60 * z, z]) and (colors[1] == image[0, 6]).all()
    assert len(point_cloud(depth, image, CAMERA)[0]) == 15 * 20 - 5
    with pytest.raises(ValueError, match="image must be"):
        point_cloud(depth, image[:, ::2], CAMERA)


def test_point_clouds_need_the_intrinsics_of_their_own_size(depth):
    """The cloud of a map shown at twice the size is the same cloud only with scaled intrinsics."""
    plane = np.full((15, 20), 3.0)
    doubled = unproject(np.full((30, 40), 3.0), CAMERA.scaled(2, 2))
    blocks = doubled.reshape(15, 2, 20, 2, 3).mean((1, 3))
    assert blocks == pytest.approx(unproject(plane, CAMERA), abs=1e-5)


def read_ply(path):
    """Header lines and the vertices, parsed by the header alone."""
    header, body = path.read_bytes().split(b"end_header\n", 1)
    lines = header.decode("ascii").splitlines()
    kinds = {"float": "<f4", "uchar": "u1"}
    fields = [line.split() for line in lines if line.startswith("property")]
    return lines, np.frombuffer(body, dtype=[(name, kinds[kind]) for _, kind, name in fields])


def test_ply_reads_back(tmp_path):
    rng = np.random.default_rng(0)
    points, colors = rng.normal(size=(50, 3)).astype(np.float32), rng.integers(0, 255, (50, 3), dtype=np.uint8)
    write_ply(tmp_path / "cloud.ply", points, colors)
    lines, vertices = read_ply(tmp_path / "cloud.ply")
    assert lines[:2] == ["ply", "format binary_little_endian 1.0"] and "element vertex 50" in lines
    assert np.array_equal(np.stack([vertices[k] for k in "xyz"], 1), points)
    assert np.array_equal(np.stack([vertices[k] for k in ("red", "green", "blue")], 1), colors)
    write_ply(tmp_path / "empty.ply", points[:0], colors[:0])
    assert len(read_ply(tmp_path / "empty.ply")[1]) == 0


def test_ply_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "cloud.ply"
    points, colors = np.zeros((5, 3), np.float32), np.zeros((5, 3), np.uint8)
    write_ply(path, points, colors)
    before = path.read_bytes()

    def fail(*args, **kwargs):
        raise OSError("disk full")

    for target in ("pathlib.Path.replace", "pathlib.Path.write_bytes"):
        with monkeypatch.context() as patch:
            patch.setattr(target, fail)
            with pytest.raises(OSError, match="disk full"):
                write_ply(path, points + 1, colors)
        assert path.read_bytes() == before and os.listdir(tmp_path) == ["cloud.ply"]  # noqa: PTH208


def test_ply_refuses_what_is_no_cloud(tmp_path):
    points, colors = np.zeros((5, 3), np.float32), np.zeros((5, 3), np.uint8)
    for bad in ((points, colors[:4]), (points[:, :2], colors[:, :2]), (points, colors / 255)):
        with pytest.raises(ValueError, match=r"\(N, 3\) each"):
            write_ply(tmp_path / "cloud.ply", *bad)
    points[2] = np.nan
    with pytest.raises(ValueError, match="finite"):
        write_ply(tmp_path / "cloud.ply", points, colors)
    assert not list(tmp_path.iterdir())


def test_the_one_focal_length_keeps_areas():
    """Of a square of side 1 at distance 1 the picture has fx · fy pixels."""
    assert Intrinsics(50, 72, 0, 0).focal == pytest.approx(60)
    assert Intrinsics.centred(60, 80, 50).scaled(0.5, 2) == Intrinsics(30, 120, 19.5, 49.5)
    assert Intrinsics.centred(60, 80, 50).scaled(0.5, 2).focal == pytest.approx(60)

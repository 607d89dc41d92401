"""Measure the renderer on things whose answer is known: is depth planar, in metres, and where are pixel centres?

python tools/renderer/check_renderer.py          (in the environment that has bpy; exits 1 if a number is off)
"""

import sys

import bpy
import materials as mt
import numpy as np
import renderer
from mathutils import Matrix
from meshes import Mesh

WIDTH, HEIGHT, FOV = 320, 240, 57.0
PLANE_TOLERANCE_M = 1e-5
SLANTED_TOLERANCE_M = 1e-3  # the sample sits within 0.005 pixel of the centre: at 60 degrees that is up to 2 mm at 15 m
OUTLINE_TOLERANCE = 5  # pixels whose centre lies within 0.005 pixel of an edge


def camera_rays(k):
    """Directions (H, W, 3) with z = 1 of all pixel centres, camera axes x right, y down, z forward."""
    u, v = np.meshgrid(np.arange(k["width"]), np.arange(k["height"]))
    return np.stack([(u - k["cx"]) / k["fx"], (v - k["cy"]) / k["fy"], np.ones(u.shape)], -1)


def empty_scene():
    scene = renderer.new_scene()
    renderer.configure(scene, WIDTH, HEIGHT, 1)
    fx = renderer.focal_px(WIDTH, FOV)
    return scene, fx, renderer.intrinsics(WIDTH, HEIGHT, fx)


def plane_error(slant_deg):
    """Largest |rendered - analytic| depth, metres, of a plane 3 m ahead turned by `slant_deg` about the vertical."""
    scene, fx, k = empty_scene()
    mesh = Mesh("plane")
    mesh.panel(40.0, 40.0, mt.tinted(), (0, 0, -20))
    mesh.object(Matrix.Translation((0, 3, 0)) @ Matrix.Rotation(np.radians(slant_deg), 4, "Z"))
    renderer.set_camera(scene, renderer.pose((0, 0, 0), 0, 0), fx)
    depth = renderer.render_depth(scene)
    slope = np.tan(np.radians(slant_deg))  # in camera axes the plane is z = 3 + slope x
    expected = 3 / (1 - slope * camera_rays(k)[..., 0])
    held = (depth > 0) & (expected > 0) & (expected < 15)
    return float(np.abs(depth - expected)[held].max()), float(held.mean())


def covered(corners, k):
    """Mask of the pixels whose centres lie in a convex polygon given by its corners (N, 2) in pixels, clockwise."""
    u, v = np.meshgrid(np.arange(k["width"]), np.arange(k["height"]))
    sides = [
        (q[0] - p[0]) * (v - p[1]) - (q[1] - p[1]) * (u - p[0])
        for p, q in zip(corners, np.roll(corners, -1, 0), strict=True)
    ]
    return np.all(np.array(sides) <= 0, 0) | np.all(np.array(sides) >= 0, 0)


def outline_errors():
    """Pixels that differ between the rendered mask of a square of known corners and its projection, and how many
    would with the principal point half a pixel on. Camera tilt and roll make every edge cross many pixels."""
    scene, fx, k = empty_scene()
    matrix = renderer.pose((0.3, -0.2, 1.4), 7.0, -11.0, 17.0)
    corners = np.array([(-0.5, 3.0, 0.2), (0.9, 3.4, 0.2), (0.9, 3.4, 1.3), (-0.5, 3.0, 1.3)])
    mesh = Mesh("square")
    mesh.add(corners, [[0, 1, 2, 3]], mt.tinted())
    mesh.object()
    renderer.set_camera(scene, matrix, fx)
    seen = renderer.render_depth(scene) > 0
    local = np.array([matrix.inverted() @ Matrix.Translation(p).translation for p in corners]) * (1, -1, -1)
    pixels = local[:, :2] / local[:, 2:] * fx + (k["cx"], k["cy"])
    return [int((covered(pixels + shift, k) != seen).sum()) for shift in (0.0, 0.5)], int(seen.sum())


def corner_errors():
    """Project eight corners of known boxes; the depth just inside each corner must be the corner's own."""
    scene, fx, k = empty_scene()
    matrix = renderer.pose((0.3, -0.2, 1.4), 7.0, -11.0)
    points = np.array([(x, 3.5 + 0.3 * x, z) for x in (-0.8, -0.2, 0.4, 0.8) for z in (0.4, 1.2)])
    for p in points:
        mesh = Mesh("box")
        mesh.box((0.2, 0.2, 0.2), mt.tinted(), (p[0] - 0.1, p[1] + 0.1, p[2] - 0.2), bevel=0.0)
        mesh.object()
    renderer.set_camera(scene, matrix, fx)
    depth = renderer.render_depth(scene)
    worst = 0.0
    for p in points:  # the upper right front corner of each box
        x, y, z = np.array(matrix.inverted() @ Matrix.Translation(p).translation) * (1, -1, -1)
        u, v = k["fx"] * x / z + k["cx"], k["fy"] * y / z + k["cy"]
        patch = depth[round(v) - 1 : round(v) + 3, round(u) - 2 : round(u) + 2]
        worst = max(worst, float(np.abs(patch[patch > 0] - z).min()))
    return worst


def main():
    good = True
    for slant in (0, 30, 60):
        error, share = plane_error(slant)
        good &= error < (SLANTED_TOLERANCE_M if slant else PLANE_TOLERANCE_M)
        print(f"plane at 3 m, slant {slant:2d} deg: max |depth - planar z| {error:.2e} m over {share:.0%} of the image")
    (wrong, half_off), count = outline_errors()
    good &= wrong <= OUTLINE_TOLERANCE
    print(
        f"projected square of {count} pixels: {wrong} differ with cx = (W-1)/2, cy = (H-1)/2; {half_off} with W/2, H/2"
    )
    error = corner_errors()
    good &= error < 0.02
    print(f"eight box corners: nearest depth within 2 pixels of the projection differs by at most {error:.4f} m")
    print("ok" if good else "FAILED", "with bpy", bpy.app.version_string)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())

"""Cycles through bpy: settings, camera, photo-like RGB and exact planar depth.

Pixel centres are at integer coordinates: pixel (u, v) sees the direction ((u - cx) / fx, (v - cy) / fy, 1) with
cx = (W - 1) / 2 and cy = (H - 1) / 2. Camera axes: x right, y down, z forward; depth is that z in metres.
`check_renderer.py` measures both statements.
"""

import os
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

import bpy
import numpy as np
import OpenEXR
from mathutils import Matrix


def new_scene():
    """Start from nothing; returns the scene."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    scene = bpy.context.scene
    world = bpy.data.worlds.new("world")
    scene.world, world.use_nodes = world, True
    world.node_tree.nodes["Background"].inputs[1].default_value = 0.0
    scene.camera = bpy.data.objects.new("camera", bpy.data.cameras.new("camera"))
    scene.collection.objects.link(scene.camera)
    return scene


def configure(scene, width, height, samples, threads=0, quick=False):
    """Cycles on the CPU; `threads` 0 means all cores. `quick` halves the time at small sizes: edges are less clean."""
    render, cycles = scene.render, scene.cycles
    render.engine, cycles.device = "CYCLES", "CPU"
    render.resolution_x, render.resolution_y, render.resolution_percentage = width, height, 100
    render.threads_mode, render.threads = ("FIXED", threads) if threads else ("AUTO", 1)
    render.use_persistent_data = True
    render.image_settings.file_format, render.image_settings.color_depth = "OPEN_EXR_MULTILAYER", "32"
    cycles.samples, cycles.seed, cycles.use_adaptive_sampling = samples, 0, False
    cycles.max_bounces, cycles.diffuse_bounces, cycles.glossy_bounces = 4, 3, 2
    cycles.sample_clamp_indirect, cycles.blur_glossy = 4.0, 1.0
    cycles.caustics_reflective = cycles.caustics_refractive = False
    cycles.denoiser, cycles.denoising_input_passes = "OPENIMAGEDENOISE", "RGB_ALBEDO_NORMAL"
    if quick:
        cycles.denoising_prefilter, cycles.use_light_tree = "FAST", False
    scene.view_layers[0].use_pass_z = True


def focal_px(width, hfov_deg):
    """Focal length in pixels from the horizontal field of view."""
    return width / 2 / np.tan(np.radians(hfov_deg) / 2)


def intrinsics(width, height, fx):
    return {
        "width": width,
        "height": height,
        "fx": float(fx),
        "fy": float(fx),
        "cx": (width - 1) / 2,
        "cy": (height - 1) / 2,
    }


def pose(position, heading_deg, tilt_deg, roll_deg=0.0):
    """Camera-to-world matrix, Blender's camera axes. Heading 0 looks along +y, counter-clockwise; tilt up positive."""
    return (
        Matrix.Translation(position)
        @ Matrix.Rotation(np.radians(heading_deg), 4, "Z")
        @ Matrix.Rotation(np.radians(90 + tilt_deg), 4, "X")
        @ Matrix.Rotation(np.radians(roll_deg), 4, "Z")
    )


def set_camera(scene, matrix, fx):
    camera = scene.camera
    camera.matrix_world = matrix
    camera.data.sensor_fit, camera.data.sensor_width = "HORIZONTAL", 36.0
    camera.data.lens = fx * 36.0 / scene.render.resolution_x
    camera.data.clip_start, camera.data.clip_end = 0.001, 1000.0


@contextmanager
def quiet():
    """Blender prints every step of its work to the C-level standard output; keep that from ours."""
    sys.stdout.flush()
    kept, nowhere = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    try:
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
        os.close(nowhere)


def _render(scene):
    """Render; returns the EXR channels by their last names (R, G, B, Z; OpenEXR gathers RGB in one array)."""
    with tempfile.TemporaryDirectory() as folder:
        scene.render.filepath = str(Path(folder) / "image.exr")
        with quiet():
            bpy.ops.render.render(write_still=True)
        with OpenEXR.File(scene.render.filepath, separate_channels=True) as exr:
            return {name: np.array(c.pixels, np.float32) for name, c in exr.channels().items()}


def render_depth(scene):
    """Planar depth (H, W) float32 metres, 0 where nothing is hit.

    One sample through each pixel's centre (a box filter 0.01 pixel wide), without bounces or denoiser: every value is
    the depth of one surface, never a mixture of two across an edge."""
    cycles = scene.cycles
    kept = cycles.samples, cycles.max_bounces, cycles.pixel_filter_type, cycles.filter_width
    cycles.samples, cycles.max_bounces, cycles.pixel_filter_type, cycles.filter_width = 1, 0, "BOX", 0.01
    cycles.use_denoising = False
    channels = _render(scene)
    cycles.samples, cycles.max_bounces, cycles.pixel_filter_type, cycles.filter_width = kept
    depth = next(pixels for name, pixels in channels.items() if name.endswith("Depth.Z"))
    return np.where(depth < 1e6, depth, 0).astype(np.float32)


def render_radiance(scene):
    """Linear RGB (H, W, 3), denoised."""
    scene.cycles.use_denoising = True
    channels = _render(scene)
    return np.stack([next(p for n, p in channels.items() if n.endswith(f"Combined.{c}")) for c in "RGB"], -1)


def exposure_for(radiance, key=0.19):
    """Gains (3,) that bring the log-mean luminance to `key` and take back half of a colour cast, as cameras do."""
    luminance = radiance @ (0.2126, 0.7152, 0.0722)
    level = np.exp(np.mean(np.log(luminance + 1e-4)))
    cast = np.array([np.mean(np.minimum(radiance[..., c], 4 * level)) for c in range(3)]) + 1e-6
    return key / level * (cast.mean() / cast) ** 0.5


def photograph(scene, radiance, gains, path):
    """Develop linear RGB with Blender's AgX view transform to an 8-bit PNG."""
    h, w, _ = radiance.shape
    image = bpy.data.images.new("photo", w, h, float_buffer=True)
    rgba = np.ones((h, w, 4), np.float32)
    rgba[..., :3] = (radiance * gains)[::-1]
    image.pixels.foreach_set(rgba.ravel())
    settings = scene.render.image_settings
    kept = settings.file_format, settings.color_depth
    settings.file_format, settings.color_mode, settings.color_depth = "PNG", "RGB", "8"
    scene.view_settings.view_transform, scene.view_settings.look = "AgX", "AgX - Medium High Contrast"
    with quiet():
        image.save_render(str(path), scene=scene)
    settings.file_format, settings.color_depth = kept
    bpy.data.images.remove(image)

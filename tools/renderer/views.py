"""Choosing where the camera stands: views are drawn at random and kept only if rays find them worth a render."""

from dataclasses import dataclass

import bpy
import numpy as np
import renderer
from mathutils import Vector

SHELL = ("floor", "ceiling", "wall", "window", "rug")


@dataclass(frozen=True)
class Limits:
    """What a view must fulfil; distances are planar depths in metres."""

    near: float = 0.5
    far: float = 9.0
    spread: float = 1.7  # 90th over 10th percentile of depth
    things: float = 0.25  # least share of rays that hit something else than the bare shell
    objects: int = 5  # least number of such objects
    deep: float = 0.0  # the largest depth is at least this


def probe(scene, matrix, fx, columns=28, rows=21):
    """Planar depths and object names on a grid of rays through the image."""
    width, height = scene.render.resolution_x, scene.render.resolution_y
    graph, origin, turn = bpy.context.evaluated_depsgraph_get(), matrix.translation, matrix.to_3x3()
    depths, names = [], []
    for v in (np.arange(rows) + 0.5) / rows * height:
        for u in (np.arange(columns) + 0.5) / columns * width:
            ray = Vector(((u - width / 2) / fx, -(v - height / 2) / fx, -1.0))
            length = ray.length
            hit, point, _, _, made, _ = scene.ray_cast(graph, origin, (turn @ ray).normalized())
            depths.append((point - origin).length / length if hit else 1e3)
            names.append(made.name if hit else "nothing")
    return np.array(depths), names


def accept(depths, names, limits):
    """True if the view keeps the limits."""
    inside = depths.min() > limits.near * 1.06 and limits.deep < depths.max() < limits.far
    low, high = np.percentile(depths, [10, 90])
    things = [n for n in names if not n.startswith(SHELL)]
    largest = max((names.count(n) for n in set(things)), default=0)
    return (
        inside
        and high / low > limits.spread
        and len(things) > limits.things * len(names)
        and largest < 0.38 * len(names)
        and len(set(things)) >= limits.objects
    )


def choose(scene, plan, rng, fx, limits, height=(1.0, 1.8), tilt=(-22.0, 2.0), tries=400):
    """A camera matrix and its numbers, or None. The camera stands on free floor and looks across the room."""
    bpy.context.view_layer.update()
    for _ in range(tries):
        x, y = rng.uniform(0.3, plan.w - 0.3), rng.uniform(0.3, plan.d - 0.3)
        if not plan.free(x, x, y, y, 0.15):
            continue
        tx, ty = rng.uniform(0.2, 0.8) * plan.w, rng.uniform(0.2, 0.8) * plan.d
        heading = np.degrees(np.arctan2(-(tx - x), ty - y)) + rng.uniform(-8, 8)
        z, lean, roll = min(rng.uniform(*height), plan.h - 0.4), rng.uniform(*tilt), rng.normal(0, 0.8)
        matrix = renderer.pose((x, y, z), heading, lean, roll)
        if accept(*probe(scene, matrix, fx, 14, 10), limits) and accept(*probe(scene, matrix, fx), limits):
            return {"position": (x, y, z), "heading_deg": heading, "tilt_deg": lean, "roll_deg": roll}
    return None


def nearby(view, rng):
    """The next frame of a hand-held sequence: a few centimetres and degrees on."""
    x, y, z = view["position"]
    step = rng.normal(0, 0.04, 3)
    return {
        "position": (x + step[0], y + step[1], z + 0.5 * step[2]),
        "heading_deg": view["heading_deg"] + rng.normal(0, 2.5),
        "tilt_deg": view["tilt_deg"] + rng.normal(0, 1.2),
        "roll_deg": view["roll_deg"] + rng.normal(0, 0.4),
    }

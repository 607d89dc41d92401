"""The building around a scene: floor, ceiling, walls with doors and windows, and all lights.

A wall's local frame: x along the wall, z up, its inner face in y = 0, the room on the -y side. The four walls of a
room [0, W] x [0, D] are numbered north, east, south, west.
"""

from dataclasses import dataclass, field

import bpy
import materials as mt
import numpy as np
import pictures
from mathutils import Matrix, Vector
from meshes import Mesh, place

THICK = 0.24


@dataclass
class Wall:
    """One wall: `openings` (x0, x1, z0, z1, kind) and `used` (x0, x1, z_top) intervals that furniture stands before."""

    length: float
    matrix: Matrix
    turn: float
    openings: list = field(default_factory=list)
    used: list = field(default_factory=list)

    def point(self, s, off=0.0, z=0.0):
        return self.matrix @ Vector((s, -off, z))

    def clear(self, x0, x1, z0, z1):
        """No opening within [x0, x1] x [z0, z1]."""
        return all(x1 < a or x0 > b or z1 < c or z0 > d for a, b, c, d, _ in self.openings)


def walls_of(w, d):
    corners = [((0, d), 0.0, w), ((w, d), -np.pi / 2, d), ((w, 0), np.pi, w), ((0, 0), np.pi / 2, d)]
    return [Wall(length, place(x, y, turn), turn) for (x, y), turn, length in corners]


def light(kind, matrix, watts, color=(1, 1, 1), size=0.1, size_y=None):
    """A light object that the camera doesn't see itself. Area lights shine along local -z; sizes are metres."""
    data = bpy.data.lights.new(kind.lower(), kind)
    data.energy, data.color = watts, color
    if kind == "AREA":
        data.shape, data.size, data.size_y = "RECTANGLE", size, size_y or size
    elif kind == "SUN":
        data.angle = size
    else:
        data.shadow_soft_size = size
    made = bpy.data.objects.new(data.name, data)
    made.matrix_world = matrix
    made.visible_camera = False
    bpy.context.scene.collection.objects.link(made)
    return made


def downward(x, y, z):
    return Matrix.Translation((x, y, z))


def slab(name, w, d, z, material, thickness=0.2):
    """Floor (top at z) or ceiling (bottom at z, with negative thickness)."""
    mesh = Mesh(name)
    mesh.box((w + 2 * THICK, d + 2 * THICK, abs(thickness)), material, (w / 2, d / 2, min(z, z - thickness)), bevel=0)
    return mesh.object()


def build_wall(wall, height, material, look, skirting=True, name="wall"):
    """Boxes around the openings; skirting between them."""
    mesh = Mesh(name)

    def piece(x0, x1, z0, z1):
        if x1 - x0 > 1e-6 and z1 - z0 > 1e-6:
            mesh.box((x1 - x0, THICK, z1 - z0), material, ((x0 + x1) / 2, THICK / 2, z0), bevel=0)

    x = -THICK
    for x0, x1, z0, z1, _ in sorted(wall.openings):
        piece(x, x0, 0, height)
        piece(x0, x1, 0, z0)
        piece(x0, x1, z1, height)
        x = x1
    piece(x, wall.length + THICK, 0, height)
    if skirting:
        edges = [0.0] + [e for o in sorted(wall.openings) if o[2] < 0.05 for e in (o[0] - 0.07, o[1] + 0.07)]
        edges.append(wall.length)
        for a, b in zip(edges[::2], edges[1::2], strict=True):
            if b - a > 0.02:
                mesh.box((b - a, 0.015, 0.09), look.white, ((a + b) / 2, -0.0075, 0), 0.004)
    return mesh.object(wall.matrix)


def window(wall, opening, look, view, daylight, dressing=None):
    """Frame, sill, the view outside, curtains or blinds, and the sky's light. `daylight` is watts a square metre.

    The view is a picture on an opaque pane that only the camera sees, so its depth is the window's and the sun
    still enters."""
    rng = look.rng
    x0, x1, z0, z1, _ = opening
    w, h, x = x1 - x0, z1 - z0, (x0 + x1) / 2
    pane = Mesh("window pane")
    pane.panel(w, h, view, (x, 0.15, z0))
    made = pane.object(wall.matrix)
    made.visible_shadow = made.visible_diffuse = False
    mesh = Mesh("window")
    for bar in np.linspace(x0 + 0.03, x1 - 0.03, 1 + max(1, round(w / 0.75))):
        mesh.box((0.055, 0.05, h), look.white, (bar, 0.12, z0))
    for z in (z0, z1 - 0.055) + ((z0 + 0.68 * h,) if rng.random() < 0.4 else ()):
        mesh.box((w, 0.042, 0.055), look.white, (x, 0.12, z))
    if z0 > 0.2:
        mesh.box((w + 0.12, 0.2, 0.03), look.white, (x, 0.02, z0 - 0.024))
    near = [top for a, b, top in wall.used if a < x1 + 0.35 and b > x0 - 0.35]
    if dressing is None:  # curtains need room to hang
        dressing = rng.choice(["none", "blinds", "roller"] + ["curtains"] * 2 * (not near))
    if dressing == "curtains":
        curtains(mesh, look, x0, x1, z1)
    elif dressing == "blinds":
        for z in np.arange(z1 - 0.03, z1 - h * rng.uniform(0.2, 0.7), -0.045):
            mesh.box((w - 0.02, 0.035, 0.003), look.white, (x, 0.06, z), 0.0005, rot=(0.5, 0, 0))
    elif dressing == "roller":
        drop = h * rng.uniform(0.1, 0.6)
        mesh.box((w - 0.03, 0.004, drop), look.cloths[0], (x, 0.05, z1 - drop), 0.0005)
    mesh.object(wall.matrix)
    tint = mt.hsv(rng.uniform(0.55, 0.62), rng.uniform(0.0, 0.2), 1.0)
    light(
        "AREA",
        wall.matrix @ Matrix.Translation((x, 0.14, (z0 + z1) / 2)) @ Matrix.Rotation(-np.pi / 2, 4, "X"),
        daylight * w * h,
        tint,
        w * 0.94,
        h * 0.94,
    )


def curtains(mesh, look, x0, x1, z1):
    """Two hanging, folded cloths on a rail."""
    rng, cloth = look.rng, look.cloths[look.rng.integers(4)]
    top, bottom = z1 + 0.12, 0.03 if rng.random() < 0.7 else 0.75
    for edge, sign in ((x0, 1), (x1, -1)):
        width, folds, amp = rng.uniform(0.25, 0.45), rng.integers(4, 8), rng.uniform(0.02, 0.035)
        start = edge - sign * 0.22

        def cloth_at(u, v, start=start, sign=sign, width=width, folds=folds, amp=amp):
            wave = amp * np.sin(2 * np.pi * folds * u + 0.6 * np.sin(3 * v)) * (0.6 + 0.4 * v)
            return start + sign * width * u * (1 - 0.1 * v), -0.1 + wave, top - 0.02 - v * (top - bottom)

        mesh.sheet(cloth_at, 90, 8, cloth)
    mesh.rod((x0 - 0.3, -0.1, top), (x1 + 0.3, -0.1, top), 0.012, look.metal)


def door(wall, opening, look, leaf=None):
    """A closed panelled door in its frame."""
    rng = look.rng
    x0, x1, _, z1, _ = opening
    x, w = (x0 + x1) / 2, x1 - x0
    mesh, leaf = Mesh("door"), leaf or (look.wood_upright if rng.random() < 0.4 else look.white)
    mesh.box((w, 0.04, z1), leaf, (x, 0.06, 0), bevel=0.002)
    for z, h in ((0.15, 0.75), (1.02, z1 - 1.2)) if rng.random() < 0.7 else ():
        for k in (-1, 1):
            mesh.box((w * 0.34, 0.012, h), leaf, (x + k * w * 0.21, 0.036, z), 0.005)
    side = 1 if rng.random() < 0.5 else -1
    mesh.box((0.04, 0.012, 0.16), look.metal, (x + side * (w / 2 - 0.07), 0.034, 0.95))
    mesh.rod((x + side * (w / 2 - 0.07), 0.0, 1.05), (x + side * (w / 2 - 0.18), 0.0, 1.05), 0.009, look.metal)
    for edge in (x0 - 0.035, x1 + 0.035):
        mesh.box((0.07, 0.02, z1), look.white, (edge, -0.01, 0))
    mesh.box((w + 0.14, 0.02, 0.07), look.white, (x, -0.01, z1))
    mesh.object(wall.matrix)


def painting(wall, s, z, look, w=None):
    """A framed picture hanging at `s` along the wall, its lower edge at z."""
    rng, mesh = look.rng, Mesh("painting")
    make = (pictures.landscape, pictures.abstract, pictures.poster)[rng.integers(3)]
    pixels = make(rng)
    w = w or rng.uniform(0.25, 0.9)
    h = w * pixels.shape[0] / pixels.shape[1]
    edge = rng.uniform(0.015, 0.05)
    with mesh.frame((s, -0.012, z)):
        wood = look.black if rng.random() < 0.4 else look.any_wood()
        mesh.box((w + 2 * edge, 0.024, h + 2 * edge), wood, bevel=0.004)
        mesh.panel(w, h, mt.picture(pixels), (0, -0.0135, edge))
    mesh.object(wall.matrix)
    return w + 2 * edge, h + 2 * edge


def ceiling_lamp(x, y, ceiling, look, watts, drop=0.0):
    """A dome under the ceiling, or a pendant hanging `drop` metres."""
    rng, mesh = look.rng, Mesh("lamp")
    r = rng.uniform(0.14, 0.26)
    if drop:
        z = ceiling - drop
        mesh.rod((x, y, z + 0.2), (x, y, ceiling), 0.004, look.black, 6)
        mesh.lathe(
            [(r, 0), (0.8 * r, 0.12), (0.03, 0.2), (0.02, 0.2), (0.78 * r, 0.11), (r - 0.005, 0)],
            look.shade if rng.random() < 0.5 else look.lacquer,
            (x, y, z),
        )
        light("POINT", Matrix.Translation((x, y, z + 0.02)), watts, look.warm, 0.05)
    else:
        z = ceiling - 0.09
        mesh.lathe([(0, 0), (0.6 * r, 0.012), (0.9 * r, 0.04), (r, 0.085), (0, 0.088)], look.shade, (x, y, z), 32)
        light("POINT", Matrix.Translation((x, y, z - 0.12)), watts, look.warm, 0.1)
    mesh.object()


def panel_light(x, y, ceiling, look, w, d, watts):
    """A luminous ceiling panel or tube, as in offices and corridors."""
    mesh = Mesh("ceiling panel")
    mesh.box((w + 0.04, d + 0.04, 0.03), look.white, (x, y, ceiling - 0.03))
    mesh.box((w, d, 0.006), look.shade, (x, y, ceiling - 0.035), 0.001)
    mesh.object()
    light("AREA", downward(x, y, ceiling - 0.05), watts, look.warm, w, d)


def sun(rng, wall, strength):
    """Sunlight falling in through a wall's windows, 20 to 50 degrees above the horizon."""
    out = wall.matrix.to_3x3() @ Vector((rng.uniform(-0.8, 0.8), 1.0, 0.0))
    direction = -out.normalized() - Vector((0, 0, np.tan(np.radians(rng.uniform(20, 50)))))
    turn = direction.to_track_quat("-Z", "Y").to_matrix().to_4x4()
    light("SUN", turn, strength, mt.hsv(0.1, rng.uniform(0.1, 0.35), 1.0), np.radians(1.0))

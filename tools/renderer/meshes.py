"""Mesh primitives for the scene generator: one `Mesh` collects shapes and becomes one Blender object.

Lengths are metres, angles radians, z is up. Every primitive is placed by the centre of its *base*, because nearly
everything in a room rests on something: a cup with `at=(x, y, table_height)` stands on the table by construction.
"""

from contextlib import contextmanager

import bpy
import numpy as np
from mathutils import Euler, Matrix

WHITE = (0.8, 0.8, 0.8)


def _chamfered_cube_faces():
    """Face lists of a cube whose 8 corners are cut: vertex `3 * corner + axis` lies on the face normal to `axis`."""
    corner = {s: i for i, s in enumerate((x, y, z) for x in (-1, 1) for y in (-1, 1) for z in (-1, 1))}
    faces = [[3 * i, 3 * i + 1, 3 * i + 2] for i in range(8)]
    for a in range(3):
        b, c = (a + 1) % 3, (a + 2) % 3

        def at(sa, sb, sc, a=a, b=b, c=c):
            sign = [0, 0, 0]
            sign[a], sign[b], sign[c] = sa, sb, sc
            return 3 * corner[tuple(sign)]

        for s in (-1, 1):
            faces.append([at(s, *pq) + a for pq in ((-1, -1), (1, -1), (1, 1), (-1, 1))])
            faces += [[at(-1, s, t) + b, at(1, s, t) + b, at(1, s, t) + c, at(-1, s, t) + c] for t in (-1, 1)]
    signs = np.array(list(corner), float)
    points = _chamfered_cube_points(signs, np.ones(3), 0.2)
    oriented = []
    for f in faces:  # the shape is convex about the origin, so outward is away from it
        p = points[f]
        outward = np.dot(np.cross(p[1] - p[0], p[2] - p[0]), p.mean(0)) > 0
        oriented.append(f if outward else f[::-1])
    return signs, oriented


def _chamfered_cube_points(signs, half, bevel):
    points = np.repeat(signs[:, None] * (half - bevel), 3, axis=1)
    for axis in range(3):
        points[:, axis, axis] = signs[:, axis] * half[axis]
    return points.reshape(-1, 3)


_SIGNS, _CUBE_FACES = _chamfered_cube_faces()


class Mesh:
    """Shapes collected in one local frame, with a material, a tint and a smooth flag a face and UVs where needed."""

    def __init__(self, name):
        self.name = name
        self.verts, self.faces, self.slots, self.smooth, self.tints, self.uvs = [], [], [], [], [], []
        self.materials, self.count = [], 0
        self.frames = [np.eye(4)]

    @contextmanager
    def frame(self, at=(0, 0, 0), turn=0.0):
        """Place what is added inside at `at`, turned by `turn` radians about z."""
        self.frames.append(self.frames[-1] @ np.array(Matrix.Translation(at) @ Matrix.Rotation(turn, 4, "Z")))
        yield
        self.frames.pop()

    def add(self, verts, faces, material, at=(0, 0, 0), rot=(0, 0, 0), tint=WHITE, smooth=False, uv=None):
        """Add vertices (N, 3) and faces; `uv` gives one (u, v) a vertex."""
        verts = np.asarray(verts, float) @ np.array(Euler(rot).to_matrix()).T + np.asarray(at, float)
        frame = self.frames[-1]
        self.verts.append(verts @ frame[:3, :3].T + frame[:3, 3])
        if material not in self.materials:
            self.materials.append(material)
        slot = self.materials.index(material)
        for face in faces:
            self.faces.append([i + self.count for i in face])
            self.uvs.extend((0.0, 0.0) if uv is None else uv[i] for i in face)
        self.slots += [slot] * len(faces)
        self.smooth += [smooth] * len(faces)
        self.tints += [(*tint, 1.0)] * len(faces)
        self.count += len(verts)

    def box(self, size, material, at=(0, 0, 0), bevel=0.003, **more):
        """A box `size` (x, y, z) standing on `at`, its edges cut by `bevel` so that they catch light."""
        half = np.asarray(size, float) / 2
        points = _chamfered_cube_points(_SIGNS, half, min(bevel, 0.45 * half.min()))
        self.add(points + (0, 0, half[2]), _CUBE_FACES, material, at, **more)

    def cushion(self, size, material, at=(0, 0, 0), square=0.4, n=20, **more):
        """A superellipsoid: `square` near 0 is a box, 1 an ellipsoid; around 0.4 it is upholstery."""
        u = np.linspace(0, 2 * np.pi, n, endpoint=False)
        v = np.linspace(-np.pi / 2, np.pi / 2, n // 2 + 1)

        def power(x):
            return np.sign(x) * np.abs(x) ** square

        x, y = np.outer(power(np.cos(v)), power(np.cos(u))), np.outer(power(np.cos(v)), power(np.sin(u)))
        z = np.repeat(power(np.sin(v))[:, None], n, axis=1)
        points = np.stack([x, y, z], -1).reshape(-1, 3) * np.asarray(size, float) / 2
        self.add(points + (0, 0, size[2] / 2), _ring_faces(len(v), n), material, at, smooth=True, **more)

    def lathe(self, profile, material, at=(0, 0, 0), n=24, smooth=True, **more):
        """Turn a profile [(radius, height), ...] about z: cups, bottles, legs, lamp shades."""
        angle = np.linspace(0, 2 * np.pi, n, endpoint=False)
        points = np.array([(r * np.cos(a), r * np.sin(a), z) for r, z in profile for a in angle])
        self.add(points, _ring_faces(len(profile), n), material, at, smooth=smooth, **more)

    def cylinder(self, radius, height, material, at=(0, 0, 0), top=None, n=20, **more):
        top = radius if top is None else top
        edge = min(0.004, 0.3 * min(radius, top, height))
        profile = [(0, 0), (radius, 0), (radius, 0), (top, height - edge), (top - edge, height), (0, height)]
        self.lathe(profile, material, at, n, smooth=False, **more)

    def rod(self, start, end, radius, material, n=10, **more):
        """A round bar between two points."""
        start, end = np.asarray(start, float), np.asarray(end, float)
        axis = end - start
        length = np.linalg.norm(axis)
        ex = np.cross(axis, (0, 0, 1) if abs(axis[2]) < 0.9 * length else (1, 0, 0))
        ex /= np.linalg.norm(ex)
        ey = np.cross(axis / length, ex)
        angle = np.linspace(0, 2 * np.pi, n, endpoint=False)
        ring = radius * (np.outer(np.cos(angle), ex) + np.outer(np.sin(angle), ey))
        faces = _ring_faces(2, n) + [list(range(n))[::-1], list(range(n, 2 * n))]
        self.add(np.concatenate([start + ring, end + ring]), faces, material, smooth=False, **more)

    def panel(self, width, height, material, at=(0, 0, 0), rot=(0, 0, 0), **more):
        """A flat rectangle in the xz plane, facing -y, with UVs from its lower left corner (pictures, screens)."""
        w = width / 2
        self.add(
            [(-w, 0, 0), (w, 0, 0), (w, 0, height), (-w, 0, height)],
            [[0, 1, 2, 3]],
            material,
            at,
            rot,
            uv=[(0, 0), (1, 0), (1, 1), (0, 1)],
            **more,
        )

    def sheet(self, function, nu, nv, material, at=(0, 0, 0), **more):
        """A grid of points `function(u, v)`, u and v in [0, 1]: curtains, leaves, blankets."""
        u, v = np.meshgrid(np.linspace(0, 1, nu), np.linspace(0, 1, nv), indexing="ij")
        points = np.stack(np.broadcast_arrays(*function(u, v)), -1).reshape(-1, 3)
        faces = [
            [i * nv + j, (i + 1) * nv + j, (i + 1) * nv + j + 1, i * nv + j + 1]
            for i in range(nu - 1)
            for j in range(nv - 1)
        ]
        uv = list(zip(u.ravel(), v.ravel(), strict=True))
        self.add(points, faces, material, at, smooth=True, uv=uv, **more)

    def object(self, matrix=None):
        """Make the Blender object and link it to the scene."""
        data = bpy.data.meshes.new(self.name)
        data.from_pydata(np.concatenate(self.verts).tolist(), [], self.faces)
        for material in self.materials:
            data.materials.append(material)
        data.polygons.foreach_set("material_index", self.slots)
        data.polygons.foreach_set("use_smooth", self.smooth)
        tint = data.attributes.new("tint", "FLOAT_COLOR", "FACE")
        tint.data.foreach_set("color", np.asarray(self.tints, np.float32).ravel())
        data.uv_layers.new(name="UVMap").data.foreach_set("uv", np.asarray(self.uvs, np.float32).ravel())
        data.update()
        made = bpy.data.objects.new(self.name, data)
        if matrix is not None:
            made.matrix_world = matrix
        bpy.context.scene.collection.objects.link(made)
        return made


def _ring_faces(rings, n):
    """Quads between consecutive rings of n vertices."""
    return [
        [i * n + j, i * n + (j + 1) % n, (i + 1) * n + (j + 1) % n, (i + 1) * n + j]
        for i in range(rings - 1)
        for j in range(n)
    ]


def place(x, y, turn=0.0, z=0.0):
    """World matrix of something standing at (x, y, z), turned by `turn` radians about z."""
    return Matrix.Translation((x, y, z)) @ Matrix.Rotation(turn, 4, "Z")

"""Procedural Cycles materials: wood, tiles, carpet, plaster, wallpaper, fabric, metal, pictures.

All textures read *object* coordinates, which are metres in the frame of the mesh; so a scene scaled as a whole keeps
its look. Colours are linear RGB. Random choices come from the generator handed in, never from global state.
"""

import colorsys

import bpy
import numpy as np


def hsv(h, s, v):
    """Linear RGB of a colour given as sRGB hue, saturation, value in [0, 1]."""
    return tuple(c**2.2 for c in colorsys.hsv_to_rgb(h % 1.0, min(max(s, 0), 1), min(max(v, 0), 1)))


class Shader:
    """A Principled material under construction; `node` adds a node and returns the socket asked for."""

    def __init__(self, name, **inputs):
        self.material = bpy.data.materials.new(name)
        self.material.use_nodes = True
        self.tree = self.material.node_tree
        self.bsdf = self.tree.nodes["Principled BSDF"]
        self.set(**inputs)

    def set(self, **inputs):
        """Set inputs of the Principled node; `_` in a name stands for a space."""
        for key, value in inputs.items():
            self._feed(self.bsdf.inputs[key.replace("_", " ")], value)
        return self.material

    def _feed(self, socket, value):
        if isinstance(value, bpy.types.NodeSocket):
            self.tree.links.new(value, socket)
        elif isinstance(value, tuple) and len(value) == 3 and socket.type == "RGBA":
            socket.default_value = (*value, 1.0)
        else:
            socket.default_value = value

    def node(self, kind, out, inputs=None, **properties):
        made = self.tree.nodes.new(f"ShaderNode{kind}")
        for key, value in properties.items():
            setattr(made, key, value)
        for key, value in (inputs or {}).items():
            self._feed(made.inputs[key], value)
        return made.outputs[out]

    def coords(self, scale=(1.0, 1.0, 1.0), plane="xyz", shift=(0.0, 0.0, 0.0)):
        """Object coordinates times `scale`; `plane="xz"` lays x and z on the texture's first two axes (walls)."""
        vector = self.node("TexCoord", "Object")
        if plane == "xz":
            split = vector.node.id_data.nodes.new("ShaderNodeSeparateXYZ")
            self.tree.links.new(vector, split.inputs[0])
            vector = self.node(
                "CombineXYZ", "Vector", {"X": split.outputs[0], "Y": split.outputs[2], "Z": split.outputs[1]}
            )
        return self.node("Mapping", "Vector", {"Vector": vector, "Scale": scale, "Location": shift})

    def noise(self, vector, scale, detail=3.0, distortion=0.0, out="Fac"):
        return self.node(
            "TexNoise", out, {"Vector": vector, "Scale": scale, "Detail": detail, "Distortion": distortion}
        )

    def ramp(self, fac, stops):
        """Colour ramp through [(position, rgb), ...]."""
        socket = self.node("ValToRGB", "Color", {"Fac": fac})
        elements = socket.node.color_ramp.elements
        while len(elements) < len(stops):
            elements.new(0.5)
        for element, (position, rgb) in zip(elements, stops, strict=True):
            element.position, element.color = position, (*rgb, 1.0)
        return socket

    def mix(self, fac, a, b, blend="MIX"):
        return self.node("MixRGB", "Color", {"Fac": fac, "Color1": a, "Color2": b}, blend_type=blend)

    def bump(self, height, distance, strength=0.6):
        """Perturb the normal by a height field; `distance` metres (scaled with the scene, see teaching.py)."""
        normal = self.node("Bump", "Normal", {"Height": height, "Distance": distance, "Strength": strength})
        return self.set(Normal=normal)


def varied(color, by):
    """The colour made lighter or darker by a factor."""
    return tuple(min(c * by, 1.0) for c in color)


def paint(rng, color, roughness=0.6, wear=0.12, metallic=0.0, bump=0.0):
    """A nearly uniform surface with faint large-scale wear, as every real one has."""
    s = Shader("paint", Roughness=roughness, Metallic=metallic)
    where = s.coords(shift=tuple(rng.uniform(0, 50, 3)))
    fac = s.noise(where, rng.uniform(1.5, 5), 5)
    s.set(Base_Color=s.ramp(fac, [(0.25, varied(color, 1 - wear)), (0.75, varied(color, 1 + wear))]))
    if bump:
        s.bump(s.noise(where, rng.uniform(60, 200), 2), bump)
    return s.material


def wood(rng, color=None, along="x", gloss=None):
    """Grain stretched along one axis."""
    tone = color or hsv(rng.uniform(0.045, 0.095), rng.uniform(0.35, 0.7), rng.uniform(0.3, 0.85))
    s = Shader("wood", Roughness=gloss if gloss is not None else rng.uniform(0.3, 0.6))
    stretch = {"x": (0.7, 9, 9), "y": (9, 0.7, 9), "z": (9, 9, 0.7)}[along]
    where = s.coords(stretch, shift=tuple(rng.uniform(0, 50, 3)))
    fac = s.noise(where, rng.uniform(1.0, 2.5), 6, distortion=rng.uniform(0.5, 1.8))
    s.set(Base_Color=s.ramp(fac, [(0.3, varied(tone, 0.55)), (0.5, tone), (0.7, varied(tone, 1.25))]))
    return s.bump(fac, 0.002, 0.3)


def planks(rng, color=None):
    """A wooden floor: boards of one tone each, with joints."""
    tone = color or hsv(rng.uniform(0.05, 0.1), rng.uniform(0.25, 0.65), rng.uniform(0.35, 0.85))
    s = Shader("planks", Roughness=rng.uniform(0.2, 0.5))
    turn = rng.random() < 0.5
    where = s.coords(shift=tuple(rng.uniform(0, 50, 3)))
    if turn:
        where = s.node("VectorRotate", "Vector", {"Vector": where, "Angle": np.pi / 2}, rotation_type="Z_AXIS")
    contrast = rng.uniform(0.1, 0.35)
    brick = s.node(
        "TexBrick",
        "Color",
        {
            "Vector": where,
            "Color1": varied(tone, 1 - contrast),
            "Color2": varied(tone, 1 + contrast),
            "Mortar": varied(tone, 0.3),
            "Scale": 1.0,
            "Mortar Size": rng.uniform(0.001, 0.003),
            "Bias": 0.0,
            "Brick Width": rng.uniform(0.6, 1.8),
            "Row Height": rng.uniform(0.07, 0.2),
        },
        offset=rng.uniform(0.3, 0.6),
    )
    grain = s.noise(s.node("Mapping", "Vector", {"Vector": where, "Scale": (0.8, 12, 12)}), 2.0, 6, 1.0)
    s.set(
        Base_Color=s.mix(
            rng.uniform(0.3, 0.7), brick, s.ramp(grain, [(0.3, (0.35,) * 3), (0.7, (1, 1, 1))]), "MULTIPLY"
        )
    )
    return s.bump(brick.node.outputs["Fac"], -0.002, 0.5)


def tiles(rng, color=None, plane="xyz", size=None, stagger=0.0):
    """Tiles or, staggered, bricks; `size` (width, height) metres."""
    tone = color or hsv(rng.uniform(0, 1), rng.uniform(0, 0.25), rng.uniform(0.35, 0.9))
    w = rng.uniform(0.2, 0.6)
    w, h = size or (w, w)
    s = Shader("tiles", Roughness=rng.uniform(0.08, 0.5))
    where = s.coords(plane=plane)
    spread = rng.uniform(0.03, 0.2)
    other = tone if rng.random() < 0.75 else hsv(rng.uniform(0, 1), 0.2, rng.uniform(0.1, 0.5))
    grout = hsv(0.1, 0.08, rng.uniform(0.3, 0.8))
    brick = s.node(
        "TexBrick",
        "Color",
        {
            "Vector": where,
            "Color1": varied(tone, 1 - spread),
            "Color2": varied(other, 1 + spread),
            "Mortar": grout,
            "Scale": 1.0,
            "Mortar Size": rng.uniform(0.003, 0.008),
            "Bias": 0.0,
            "Brick Width": w,
            "Row Height": h,
        },
        offset=stagger,
    )
    stain = s.ramp(s.noise(s.coords(), rng.uniform(3, 12), 6, 1.0), [(0.3, (0.75,) * 3), (0.6, (1, 1, 1))])
    s.set(Base_Color=s.mix(0.8, brick, stain, "MULTIPLY"))
    return s.bump(brick.node.outputs["Fac"], -0.004, 0.7)


def carpet(rng, color=None):
    tone = color or hsv(rng.uniform(0, 1), rng.uniform(0.05, 0.4), rng.uniform(0.25, 0.75))
    s = Shader("carpet", Roughness=1.0)
    s.bsdf.inputs["Specular IOR Level"].default_value = 0.1
    where = s.coords(shift=tuple(rng.uniform(0, 50, 3)))
    fine = s.noise(where, rng.uniform(60, 160), 2)
    patch = s.noise(where, rng.uniform(2, 6), 4)
    base = s.ramp(fine, [(0.3, varied(tone, 0.55)), (0.7, varied(tone, 1.35))])
    s.set(Base_Color=s.mix(0.5, base, s.ramp(patch, [(0.35, (0.7,) * 3), (0.65, (1, 1, 1))]), "MULTIPLY"))
    return s.bump(fine, 0.006)


def stone(rng, color=None):
    """Concrete, terrazzo, stone: noise at two scales."""
    tone = color or hsv(rng.uniform(0.05, 0.15), rng.uniform(0.0, 0.12), rng.uniform(0.4, 0.75))
    s = Shader("stone", Roughness=rng.uniform(0.15, 0.8))
    where = s.coords(shift=tuple(rng.uniform(0, 50, 3)))
    large = s.ramp(s.noise(where, rng.uniform(0.6, 2), 8, 0.6), [(0.3, varied(tone, 0.7)), (0.7, varied(tone, 1.2))])
    small = s.ramp(s.noise(where, rng.uniform(15, 60), 3), [(0.35, (0.6,) * 3), (0.55, (1, 1, 1))])
    return s.set(Base_Color=s.mix(rng.uniform(0.2, 0.7), large, small, "MULTIPLY"))


def wallpaper(rng, color):
    """Stripes, dots or a soft pattern in two close tones."""
    s = Shader("wallpaper", Roughness=0.8)
    other = varied(color, rng.uniform(0.6, 0.9))
    kind = rng.integers(3)
    where = s.coords(plane="xz")
    if kind == 0:
        fac = s.node("TexWave", "Fac", {"Vector": where, "Scale": rng.uniform(1.0, 4.0)}, wave_type="BANDS")
        stops = [(0.45, color), (0.55, other)]
    elif kind == 1:
        fac = s.node(
            "TexVoronoi",
            "Distance",
            {"Vector": where, "Scale": rng.uniform(4, 12), "Randomness": rng.uniform(0, 0.4)},
            voronoi_dimensions="2D",
        )
        stops = [(0.2, other), (0.28, color)]
    else:
        fac = s.node(
            "TexVoronoi",
            "Distance",
            {"Vector": where, "Scale": rng.uniform(5, 14)},
            feature="SMOOTH_F1",
            voronoi_dimensions="2D",
        )
        stops = [(0.25, color), (0.4, other), (0.6, color)]
    return s.set(Base_Color=s.ramp(fac, stops))


def fabric(rng, color=None):
    """Woven cloth: plain, striped or chequered, with a fine weave."""
    tone = color or hsv(rng.uniform(0, 1), rng.uniform(0.05, 0.65), rng.uniform(0.15, 0.85))
    s = Shader("fabric", Roughness=0.95, Sheen_Weight=rng.uniform(0, 0.4))
    s.bsdf.inputs["Specular IOR Level"].default_value = 0.15
    where = s.coords(shift=tuple(rng.uniform(0, 5, 3)))
    weave = s.noise(where, rng.uniform(150, 400), 2)
    base = s.ramp(weave, [(0.3, varied(tone, 0.85)), (0.7, varied(tone, 1.14))])
    kind = rng.random()
    if kind < 0.3:
        other = hsv(rng.uniform(0, 1), rng.uniform(0, 0.5), rng.uniform(0.2, 0.9))
        scale = rng.uniform(1.5, 6)
        stripes = [
            s.node("TexWave", "Fac", {"Vector": where, "Scale": scale}, bands_direction=axis)
            for axis in ("XY"[: 1 + (kind < 0.15)])
        ]
        for fac in stripes:
            base = s.mix(s.ramp(fac, [(0.55, (0, 0, 0)), (0.6, (0.7,) * 3)]), base, other)
    s.set(Base_Color=base)
    return s.bump(weave, 0.002)


def leather(rng):
    tone = hsv(rng.uniform(0.02, 0.08), rng.uniform(0.2, 0.75), rng.uniform(0.1, 0.5))
    s = Shader("leather", Base_Color=tone, Roughness=rng.uniform(0.35, 0.55))
    return s.bump(s.node("TexVoronoi", "Distance", {"Vector": s.coords(), "Scale": 120.0}), 0.001)


def tinted(roughness=0.5, metallic=0.0):
    """Takes its colour from the mesh's `tint` a face: books, cups, boxes share one material."""
    s = Shader("tinted", Roughness=roughness, Metallic=metallic)
    tint = s.node("Attribute", "Color", attribute_name="tint")
    wear = s.ramp(s.noise(s.coords(), 9.0, 4), [(0.3, (0.8,) * 3), (0.7, (1, 1, 1))])
    return s.set(Base_Color=s.mix(0.6, tint, wear, "MULTIPLY"))


def glow(color, strength):
    """A surface that shines and is seen to shine (lamp shades, ceiling panels); light objects do the lighting."""
    return Shader("glow", Base_Color=color, Emission_Color=color, Emission_Strength=strength).material


def picture(pixels, roughness=0.4, shine=0.0):
    """A material showing an image (H, W, 3), sRGB in [0, 1], by UV; `shine` makes it emit (screens, sky)."""
    h, w = pixels.shape[:2]
    image = bpy.data.images.new("picture", w, h)
    rgba = np.ones((h, w, 4), np.float32)
    rgba[..., :3] = np.clip(pixels, 0, 1)[::-1]
    image.pixels.foreach_set(rgba.ravel())
    image.pack()
    s = Shader("picture", Roughness=roughness)
    color = s.node("TexImage", "Color", {"Vector": s.node("TexCoord", "UV")}, image=image, extension="EXTEND")
    if shine:
        return s.set(Base_Color=(0.0, 0.0, 0.0), Emission_Color=color, Emission_Strength=shine)
    return s.set(Base_Color=color)

"""Tall and fixed furniture, lamps, plants, and what leans or lies on floors: `Item`s as in furniture.py."""

from itertools import pairwise

import clutter as ct
import materials as mt
import numpy as np
import pictures
from furniture import Item, front_panel, legs_under
from meshes import Mesh


def bookcase(look, w=None, h=None, fill=0.8):
    rng = look.rng
    w, d, h = w or rng.uniform(0.6, 1.4), rng.uniform(0.26, 0.36), h or rng.uniform(0.8, 2.1)
    mesh, body, t = Mesh("bookcase"), look.any_wood(), 0.022
    for s in (-1, 1):
        mesh.box((t, d, h), body, (s * (w / 2 - t / 2), 0, 0))
    mesh.box((w - 2 * t, 0.01, h), body, (0, d / 2 - 0.006, 0), 0.001)
    levels = np.linspace(0.05, h - t, max(2, round(h / rng.uniform(0.3, 0.38)) + 1))
    for z in levels:
        mesh.box((w - 2 * t, d - 0.012, t), body, (0, -0.006, z))
    for z, above in pairwise(levels):
        _fill_shelf(mesh, look, (-w / 2 + t, w / 2 - t), d, z + t, above - z - t, fill)
    if h < 1.5:
        ct.scatter(mesh, look, (-w / 2, w / 2, -d / 2, d / 2, h), 3, ct.ANYWHERE + (ct.plant,))
    return Item(mesh, w, d, h)


def _fill_shelf(mesh, look, span, d, z, gap, fill):
    """Rows of upright books, sometimes a stack or an ornament instead."""
    rng, x = look.rng, span[0] + 0.01
    while x < span[1] - 0.05:
        if rng.random() > fill:
            room = rng.uniform(0.15, 0.3)
            if x + room < span[1] and gap > 0.24:
                kind = (ct.bowl, ct.books_flat, ct.carton, ct.cup)[rng.integers(4)]
                if 2 * ct.RADIUS[kind] < min(room + 0.05, d + 0.05):
                    kind(mesh, look, (x + room / 2, 0, z))
            x += room
            continue
        tall, hue = rng.uniform(0.6, 0.92) * gap, rng.random()
        for _ in range(int(rng.integers(3, 14))):
            thick = rng.uniform(0.014, 0.05)
            if x + thick > span[1] - 0.005:
                return
            height = min(tall * rng.uniform(0.8, 1.1), 0.96 * gap)
            tint = mt.hsv(hue + rng.uniform(0, 0.4), rng.uniform(0.05, 0.55), rng.uniform(0.12, 0.85))
            mesh.box(
                (thick - 0.001, d * rng.uniform(0.6, 0.8), height),
                look.matt,
                (x + thick / 2, 0.02, z),
                0.002,
                tint=tint,
            )
            x += thick


def wardrobe(look):
    rng = look.rng
    doors = int(rng.integers(2, 4))
    w, d, h = doors * rng.uniform(0.42, 0.55), rng.uniform(0.5, 0.6), rng.uniform(1.8, 2.15)
    mesh, body = Mesh("wardrobe"), look.any_wood()
    mesh.box((w, d, h), body, bevel=0.006)
    for k in range(doors):
        x = (k - (doors - 1) / 2) * w / doors
        mesh.box((w / doors - 0.012, 0.02, h - 0.12), body, (x, -d / 2 - 0.004, 0.08), 0.004)
        if rng.random() < 0.6:
            mesh.box((w / doors - 0.16, 0.012, (h - 0.4) / 2), body, (x, -d / 2 - 0.014, 0.2), 0.005)
            mesh.box((w / doors - 0.16, 0.012, (h - 0.55) / 2), body, (x, -d / 2 - 0.014, 0.3 + (h - 0.4) / 2), 0.005)
        mesh.box(
            (0.015, 0.03, 0.16),
            look.metal,
            (x + (w / doors / 2 - 0.05) * (1 if k % 2 == 0 else -1), -d / 2 - 0.02, 1.0),
        )
    if rng.random() < 0.4:
        mesh.box(
            (rng.uniform(0.3, 0.5), 0.35, rng.uniform(0.15, 0.3)),
            look.matt,
            (rng.uniform(-0.1, 0.1), 0, h),
            tint=mt.hsv(0.08, 0.5, 0.6),
        )
    return Item(mesh, w, d + 0.06, h)


def kitchen(look, length, cupboards=True):
    """A run of base cabinets with a worktop, hob, sink and perhaps wall cupboards, `length` metres along x."""
    rng, mesh = look.rng, Mesh("kitchen")
    body, d, h = (look.any_wood(), 0.6, 0.88)
    top = mt.stone(rng) if rng.random() < 0.5 else look.wood
    mesh.box((length, d - 0.06, 0.1), look.black, (0, 0.03, 0))
    mesh.box((length, d - 0.02, h - 0.14), body, (0, 0.01, 0.1))
    mesh.box((length, d + 0.02, 0.04), top, (0, -0.01, h - 0.04))
    units = max(2, round(length / 0.6))
    step, oven = length / units, int(rng.integers(units))
    for k in range(units):
        x = (k - (units - 1) / 2) * step
        if k == oven:
            mesh.box((step - 0.02, 0.03, 0.6), look.black, (x, -d / 2, 0.14))
            mesh.rod((x - 0.2, -d / 2 - 0.045, 0.66), (x + 0.2, -d / 2 - 0.045, 0.66), 0.008, look.metal)
            mesh.box((step - 0.05, 0.5, 0.006), look.black, (x, 0, h))
        elif rng.random() < 0.4:
            for j in range(3):
                front_panel(mesh, look, step - 0.01, 0.235, (x, -d / 2 + 0.01, 0.12 + 0.24 * j), body)
        else:
            front_panel(mesh, look, step - 0.01, 0.7, (x, -d / 2 + 0.01, 0.12), body)
    sink = (oven + units // 2 + (units == 2)) % units if units > 1 else 0
    x = (sink - (units - 1) / 2) * step
    mesh.box((0.46, 0.4, 0.008), look.metal, (x, 0, h))
    mesh.rod((x, 0.22, h), (x, 0.22, h + 0.25), 0.012, look.metal)
    mesh.rod((x, 0.22, h + 0.25), (x, 0.05, h + 0.22), 0.011, look.metal)
    taken = [(x, 0, 0.3), ((oven - (units - 1) / 2) * step, 0, 0.3)]
    ct.scatter(
        mesh,
        look,
        (-length / 2, length / 2, -d / 2 + 0.05, d / 2, h),
        3 * units,
        (ct.cup, ct.bottle, ct.bowl, ct.carton, ct.vase),
        taken,
    )
    if cupboards:
        for k in range(units):
            if k != oven:
                x = (k - (units - 1) / 2) * step
                mesh.box((step, 0.33, 0.68), body, (x, d / 2 - 0.165, 1.45))
                front_panel(mesh, look, step - 0.01, 0.66, (x, d / 2 - 0.335, 1.46), body)
        x = (oven - (units - 1) / 2) * step
        mesh.box((step - 0.04, 0.45, 0.12), look.metal, (x, d / 2 - 0.23, 1.55))
        mesh.box((0.25, 0.25, 0.5), look.metal, (x, d / 2 - 0.14, 1.65))
    return Item(mesh, length, d + 0.06, 2.2 if cupboards else h + 0.3)


def fridge(look):
    mesh, h = Mesh("fridge"), look.rng.uniform(1.4, 1.95)
    skin = look.white if look.rng.random() < 0.6 else look.metal
    mesh.box((0.6, 0.58, h), skin, bevel=0.012)
    for z, part in ((0.05, 0.55), (0.05 + 0.57 * h, 0.38)):
        mesh.box((0.585, 0.05, part * h), skin, (0, -0.3, z), 0.012)
        mesh.box((0.02, 0.04, 0.3), look.metal, (-0.25, -0.34, z + 0.1))
    return Item(mesh, 0.6, 0.72, h)


def media(look):
    """A low unit with a television."""
    rng = look.rng
    w, tv = rng.uniform(1.2, 1.9), rng.uniform(0.8, 1.25)
    mesh, body, h = Mesh("media"), look.any_wood(), rng.uniform(0.4, 0.6)
    mesh.box((w, 0.42, h), body, bevel=0.006)
    for k in range(3):
        front_panel(mesh, look, w / 3 - 0.02, h - 0.06, ((k - 1) * w / 3, -0.213, 0.03), body)
    shown = mt.picture(pictures.landscape(rng), 0.1, 1.2) if rng.random() < 0.35 else mt.paint(rng, (0.01,) * 3, 0.12)
    mesh.box((0.4, 0.22, 0.015), look.black, (0, 0.05, h))
    mesh.box((0.08, 0.03, 0.1), look.black, (0, 0.08, h))
    mesh.box((tv, 0.04, tv * 0.58), look.black, (0, 0.06, h + 0.06))
    mesh.panel(tv - 0.03, tv * 0.58 - 0.03, shown, (0, 0.038, h + 0.075))
    for side in (-1, 1):
        if w > tv + 0.3 and rng.random() < 0.7:
            mesh.box((0.14, 0.2, 0.26), look.black, (side * (w / 2 - 0.1), 0.05, h))
    return Item(mesh, w, 0.46, h)


def floor_lamp(look):
    mesh, h = Mesh("floor lamp"), look.rng.uniform(1.35, 1.7)
    mesh.cylinder(0.14, 0.025, look.metal)
    mesh.rod((0, 0, 0.02), (0, 0, h - 0.05), 0.012, look.metal)
    ct.shade(mesh, look, (0, 0, h - 0.28), look.rng.uniform(0.16, 0.23), 0.28, look.rng.uniform(0.5, 0.9))
    return Item(mesh, 0.36, 0.36, h, [(0, 0, h - 0.1, 45)])


def big_plant(look):
    mesh, h = Mesh("plant"), look.rng.uniform(0.6, 1.6)
    ct.plant(mesh, look, (0, 0, 0), h)
    return Item(mesh, h, h, h)


def cartons(look):
    """One to three cardboard boxes, stacked."""
    rng, mesh, z = look.rng, Mesh("cartons"), 0.0
    size = rng.uniform(0.35, 0.6)
    for _ in range(int(rng.integers(1, 4))):
        s = (size * rng.uniform(0.85, 1), size * rng.uniform(0.6, 0.9), rng.uniform(0.22, 0.4))
        tint = mt.hsv(rng.uniform(0.06, 0.1), rng.uniform(0.35, 0.55), rng.uniform(0.5, 0.75))
        with mesh.frame((0, 0, z), rng.uniform(-0.25, 0.25)):
            mesh.box(s, look.matt, tint=tint)
            mesh.box((0.05, s[1] + 0.002, s[2] + 0.001), look.matt, bevel=0.001, tint=mt.hsv(0.1, 0.3, 0.75))
        z, size = z + s[2] + 0.001, size * 0.9
    return Item(mesh, 0.62, 0.55, z)


def basket(look):
    rng, mesh = look.rng, Mesh("basket")
    r, h = rng.uniform(0.14, 0.24), rng.uniform(0.25, 0.45)
    mesh.lathe(
        [(0, 0), (0.8 * r, 0), (r, h), (0.95 * r, h), (0.75 * r, 0.03), (0, 0.03)],
        look.matt,
        tint=look.color((0, 0.6), (0.15, 0.8)),
    )
    if rng.random() < 0.5:
        mesh.cushion((1.5 * r, 1.5 * r, 0.2), look.cloth(), (0, 0, h - 0.13), 0.7)
    return Item(mesh, 2 * r, 2 * r, h)


def ottoman(look):
    mesh, s = Mesh("ottoman"), look.rng.uniform(0.45, 0.7)
    if look.rng.random() < 0.5:
        mesh.cushion((s, s, 0.4), look.cloth(), square=0.3)
    else:
        mesh.cushion((s, s, 0.33), look.cloth(), (0, 0, 0.08), 0.25)
        legs_under(mesh, look, s * 0.8, s * 0.8, 0.12, look.wood)
    return Item(mesh, s, s, 0.42)


def rug(look, w, d):
    mesh = Mesh("rug")
    pattern = mt.picture(pictures.rug(look.rng), 0.95)
    mesh.box((w, d, 0.008), look.matt, tint=look.color(), bevel=0.002)
    mesh.panel(w, d, pattern, (0, -d / 2, 0.0095), rot=(-np.pi / 2, 0, 0))
    return Item(mesh, w, d, 0.01)


def radiator(look, w):
    mesh = Mesh("radiator")
    for x in np.arange(-w / 2 + 0.03, w / 2, 0.06):
        mesh.box((0.045, 0.08, 0.5), look.white, (x, 0, 0.12), 0.015)
    mesh.rod((-w / 2, 0, 0.2), (w / 2, 0, 0.2), 0.015, look.white)
    mesh.rod((w / 2 - 0.03, 0, 0), (w / 2 - 0.03, 0, 0.2), 0.012, look.white)
    return Item(mesh, w, 0.12, 0.62)


def floor_thing(look):
    """Something left lying on the floor."""
    kind = (ct.books_flat, ct.carton, ct.ball, ct.shoes, ct.bag, ct.papers)[look.rng.integers(6)]
    mesh = Mesh("floor thing")
    kind(mesh, look, (0, 0, 0))
    return Item(mesh, 2 * ct.RADIUS[kind], 2 * ct.RADIUS[kind], 0.3)


def wall_shelf(look, w):
    """A board with brackets whose underside is z = 0, its back in y = 0, with books and ornaments."""
    mesh, d = Mesh("wall shelf"), look.rng.uniform(0.2, 0.26)
    mesh.box((w, d, 0.025), look.any_wood(), (0, -d / 2, 0))
    for s in (-1, 1):
        mesh.box((0.02, d * 0.7, 0.02), look.metal, (s * w * 0.35, -d * 0.35, -0.02))
    if look.rng.random() < 0.6:
        with mesh.frame((0, -d / 2, 0)):
            _fill_shelf(mesh, look, (-w / 2, w / 2), d, 0.025, 0.32, 0.6)
    else:
        ct.scatter(mesh, look, (-w / 2, w / 2, -d - 0.03, 0.03, 0.025), 6, (ct.bottle, ct.cup, ct.carton, ct.vase))
    return Item(mesh, w, d, 0.35)

"""Furniture: each builder returns an `Item` whose mesh stands on z = 0, centred, its back towards +y."""

from dataclasses import dataclass, field

import clutter as ct
import materials as mt
import numpy as np
import pictures
from meshes import Mesh


@dataclass
class Item:
    """A mesh with its footprint (w, d) and height in metres, and bulbs (x, y, z, watts) it carries."""

    mesh: Mesh
    w: float
    d: float
    h: float
    bulbs: list = field(default_factory=list)


def legs_under(mesh, look, w, d, h, material, inset=0.05):
    rng, style = look.rng, look.rng.integers(3)
    thick = rng.uniform(0.03, 0.07)
    for sx in (-1, 1):
        for sy in (-1, 1):
            x, y = sx * (w / 2 - inset), sy * (d / 2 - inset)
            if style == 0:
                mesh.box((thick, thick, h), material, (x, y, 0))
            elif style == 1:
                mesh.cylinder(thick * 0.3, h, material, (x, y, 0), top=thick * 0.55, n=12)
            else:
                mesh.rod((x, y, 0), (x * 0.85, y * 0.85, h), thick * 0.3, material)


def table(look, w=None, d=None, h=None, things=5, kinds=ct.ANYWHERE, round_share=0.25):
    rng = look.rng
    w, d, h = w or rng.uniform(1.0, 1.9), d or rng.uniform(0.7, 0.95), h or rng.uniform(0.71, 0.77)
    mesh, top, thick = Mesh("table"), look.any_wood(), rng.uniform(0.02, 0.05)
    if rng.random() < round_share:
        w = d = max(min(w, 1.2), d)
        mesh.cylinder(w / 2, thick, top, (0, 0, h - thick), n=40)
        if rng.random() < 0.5:
            mesh.lathe(
                [(0, 0), (0.25 * w, 0), (0.22 * w, 0.03), (0.05, 0.07), (0.035, 0.5 * h), (0.06, h - thick)],
                look.any_wood(),
                smooth=False,
            )
        else:
            legs_under(mesh, look, w * 0.75, d * 0.75, h - thick, look.wood_upright)
        surface = (-0.34 * w, 0.34 * w, -0.34 * d, 0.34 * d, h)
    else:
        mesh.box((w, d, thick), top, (0, 0, h - thick), 0.006)
        frame = look.wood_upright if rng.random() < 0.6 else look.metal
        if rng.random() < 0.6:
            mesh.box((w - 0.16, d - 0.16, 0.07), frame, (0, 0, h - thick - 0.07))
        legs_under(mesh, look, w, d, h - thick, frame)
        surface = (-w / 2 + 0.03, w / 2 - 0.03, -d / 2 + 0.03, d / 2 - 0.03, h)
    ct.scatter(mesh, look, surface, things, kinds)
    return Item(mesh, w, d, h)


def desk(look, things=4, w=None, screens=None):
    """A desk with drawers, a screen or two, and papers; its user sits at -y."""
    rng = look.rng
    w, d, h = w or rng.uniform(1.1, 1.7), rng.uniform(0.6, 0.8), 0.74
    mesh, body = Mesh("desk"), look.any_wood()
    mesh.box((w, d, 0.03), look.any_wood(), (0, 0, h - 0.03))
    side = 1 if rng.random() < 0.5 else -1
    mesh.box((0.03, d - 0.04, h - 0.03), body, (-side * (w / 2 - 0.03), 0, 0))
    mesh.box((0.4, d - 0.06, h - 0.03), body, (side * (w / 2 - 0.21), 0, 0))
    for k in range(3):
        front_panel(mesh, look, 0.37, 0.19, (side * (w / 2 - 0.21), -(d - 0.06) / 2, 0.06 + 0.21 * k), body)
    taken = []
    for k in range(rng.integers(1, 3) if screens is None else screens):
        x = -side * 0.15 + (0.58 * k - 0.1) * (1 if rng.random() < 0.5 else -1) if k else -side * 0.12
        if k and abs(x - taken[0][0]) < 0.58:
            continue
        monitor(mesh, look, (x, d * 0.25, h), rng.uniform(0.45, 0.56))
        taken.append((x, d * 0.25, 0.28))
    mesh.box((0.42, 0.14, 0.02), look.black, (-side * 0.12, -d * 0.22, h))
    taken.append((-side * 0.12, -d * 0.22, 0.22))
    ct.scatter(
        mesh,
        look,
        (-w / 2, w / 2, -d / 2, d / 2, h),
        things,
        (ct.cup, ct.papers, ct.books_flat, ct.frame_photo, ct.plant),
        taken,
    )
    bulbs = []
    if rng.random() < 0.4 and all(abs(x - side * (w / 2 - 0.2)) > q + 0.15 for x, _, q in taken[:-1]):
        bulbs.append((*ct.table_lamp(mesh, look, (side * (w / 2 - 0.2), d * 0.22, h)), 25))
    return Item(mesh, w, d, h, bulbs)


def monitor(mesh, look, at, width):
    rng, height = look.rng, width * 0.6
    on = rng.random() < 0.6
    shown = mt.picture(pictures.screen(rng), 0.2, 1.2) if on else look.black
    with mesh.frame(at, rng.uniform(-0.25, 0.25)):
        mesh.box((0.22, 0.16, 0.012), look.black)
        mesh.box((0.05, 0.03, 0.15), look.black, (0, 0.04, 0.01))
        mesh.box((width, 0.03, height), look.black, (0, 0, 0.1))
        mesh.panel(width - 0.02, height - 0.03, shown, (0, -0.017, 0.115))


def chair(look, material=None, cloth=None):
    rng = look.rng
    w, d, seat, h = rng.uniform(0.42, 0.5), rng.uniform(0.42, 0.5), rng.uniform(0.43, 0.47), rng.uniform(0.8, 1.0)
    mesh, frame, style = Mesh("chair"), material or look.wood_upright, rng.integers(4)
    legs = rng.uniform(0.015, 0.025)
    for sx in (-1, 1):
        x = sx * (w / 2 - 0.03)
        mesh.rod((x * 1.05, -d / 2 + 0.02, 0), (x, -d / 2 + 0.04, seat), legs, frame)
        mesh.rod((x * 1.05, d / 2 - 0.01, 0), (x, d / 2 - 0.05, seat), legs, frame)
        mesh.rod((x, d / 2 - 0.05, seat), (x, d / 2 - 0.0, h), legs * 0.9, frame)
    mesh.box((w, d, 0.03), frame, (0, 0, seat - 0.02), 0.01)
    if style != 1:
        mesh.cushion((w - 0.03, d - 0.03, 0.06), cloth or look.cloth(), (0, -0.01, seat), 0.35)
    if style == 0:
        for x in np.linspace(-w / 2 + 0.08, w / 2 - 0.08, int(rng.integers(3, 7))):
            mesh.rod((x, d / 2 - 0.045, seat), (x, d / 2, h - 0.04), 0.008, frame)
        mesh.box((w, 0.025, 0.07), frame, (0, d / 2, h - 0.06), 0.008)
    elif style == 1:
        for z in np.linspace(seat + 0.12, h - 0.08, 3):
            mesh.box((w, 0.018, 0.07), frame, (0, d / 2 - 0.02, z), 0.008)
    else:
        mesh.cushion(
            (w, 0.07, h - seat - 0.08), cloth or look.cloth(), (0, d / 2 - 0.03, seat + 0.1), 0.35, rot=(-0.08, 0, 0)
        )
    return Item(mesh, w + 0.04, d + 0.06, h)


def office_chair(look, cloth=None):
    rng, mesh, cloth = look.rng, Mesh("office chair"), cloth or look.cloth()
    for k in range(5):
        a = k * 2 * np.pi / 5 + 0.3
        tip = (0.29 * np.cos(a), 0.29 * np.sin(a), 0.06)
        mesh.rod((0, 0, 0.1), tip, 0.018, look.black)
        mesh.cushion((0.05, 0.05, 0.06), look.black, (tip[0], tip[1], 0), 0.8, 10)
    mesh.cylinder(0.03, 0.36, look.metal, (0, 0, 0.08))
    mesh.cushion((0.5, 0.5, 0.1), cloth, (0, 0, 0.42), 0.4)
    mesh.box((0.06, 0.02, 0.3), look.black, (0, 0.24, 0.42))
    mesh.cushion((0.46, 0.08, rng.uniform(0.4, 0.6)), cloth, (0, 0.23, 0.56), 0.4, rot=(-0.1, 0, 0))
    if rng.random() < 0.7:
        for x in (-0.27, 0.27):
            mesh.box((0.05, 0.26, 0.025), look.black, (x, 0.02, 0.66), 0.01)
            mesh.box((0.03, 0.04, 0.2), look.black, (x * 0.96, 0.05, 0.47))
    return Item(mesh, 0.62, 0.62, 1.1)


def sofa(look, seats=None):
    """Sofa, or armchair with one seat."""
    rng = look.rng
    seats = seats or int(rng.integers(2, 4))
    cushion_w, arm, d = rng.uniform(0.58, 0.75), rng.uniform(0.1, 0.22), rng.uniform(0.82, 0.98)
    w, seat, back = seats * cushion_w + 2 * arm, rng.uniform(0.4, 0.46), rng.uniform(0.75, 0.95)
    mesh, cloth, square = Mesh("sofa"), look.cloth(), rng.uniform(0.18, 0.35)
    foot = rng.uniform(0.03, 0.14)
    legs_under(mesh, look, w - 0.1, d - 0.1, foot, look.any_wood())
    mesh.box((w - 0.02, d - 0.03, seat - 0.14 - foot), cloth, (0, 0, foot), 0.02)
    for s in (-1, 1):
        mesh.cushion((arm, d, rng.uniform(0.55, 0.64) - foot), cloth, (s * (w / 2 - arm / 2), 0, foot), square * 0.6)
    mesh.cushion((w - 2 * arm + 0.04, 0.2, back - foot), cloth, (0, d / 2 - 0.1, foot), square * 0.6)
    for k in range(seats):
        x = (k - (seats - 1) / 2) * cushion_w
        mesh.cushion((cushion_w - 0.005, d - 0.18, 0.17), cloth, (x, -0.09, seat - 0.15), square)
        mesh.cushion(
            (cushion_w - 0.02, 0.18, back - seat + 0.06), cloth, (x, d / 2 - 0.23, seat), square, rot=(-0.15, 0, 0)
        )
    pillow = look.cloth()
    for k in range(int(rng.integers(0, seats + 1))):
        x = (k - (seats - 1) / 2) * cushion_w + rng.uniform(-0.12, 0.12)
        mesh.cushion((0.42, 0.15, 0.4), pillow, (x, -0.02, seat + 0.01), 0.6, rot=(-0.35, rng.uniform(-0.3, 0.3), 0))
    return Item(mesh, w, d, back)


def bed(look):
    rng = look.rng
    w, d = rng.choice([0.95, 1.4, 1.6, 1.8]), 2.08
    mesh, frame = Mesh("bed"), look.any_wood()
    base = rng.uniform(0.22, 0.34)
    mesh.box((w, d, base - 0.1), frame, (0, 0, 0.1), 0.01)
    legs_under(mesh, look, w - 0.1, d - 0.1, 0.1, frame)
    h = rng.uniform(0.8, 1.15)
    if rng.random() < 0.6:
        mesh.box((w + 0.04, 0.06, h), frame, (0, d / 2, 0), 0.01)
    else:
        mesh.cushion((w + 0.06, 0.14, h), look.cloth(), (0, d / 2, 0), 0.2)
    mesh.cushion((w - 0.02, d - 0.1, 0.22), mt.paint(rng, (0.75, 0.74, 0.7), 0.9), (0, -0.02, base - 0.02), 0.15)
    cover, phase, top = look.cloths[rng.integers(4)], rng.uniform(0, 6, 4), base + 0.22
    drop, length = rng.uniform(0.15, 0.3), rng.uniform(1.25, 1.6)

    def duvet(u, v):
        x = (u - 0.5) * (w + 0.1)
        fold = np.clip(np.abs(u - 0.5) * 2 - 0.93, 0, 1) / 0.07
        z = 0.012 * (np.sin(9 * u + phase[0] + 3 * v) + np.sin(7 * v + phase[1] + 4 * u) + np.sin(17 * v + phase[2]))
        return x + 0.0 * v, v * length - d / 2 - 0.03, top + 0.03 + z - drop * fold**1.5

    mesh.sheet(duvet, 60, 40, cover)
    mesh.sheet(
        lambda u, v: (
            (u - 0.5) * (w + 0.1),
            -d / 2 - 0.03 - 0.02 * np.sin(12 * u + phase[3]) * v,
            top + 0.03 - v * drop,
        ),
        60,
        8,
        cover,
    )
    pillows = 1 if w < 1.2 else 2
    for k in range(pillows):
        x = (k - (pillows - 1) / 2) * w * 0.48
        mesh.cushion(
            (min(0.68, w * 0.7), 0.42, 0.15),
            look.white if rng.random() < 0.6 else cover,
            (x, d / 2 - 0.32, top - 0.01),
            0.5,
            rot=(0.25, 0, 0),
        )
    return Item(mesh, w + 0.12, d + 0.14, h)


def front_panel(mesh, look, w, h, at, material, knob=True):
    """A drawer or door front facing -y with a handle."""
    mesh.box((w, 0.02, h), material, at, 0.004)
    if knob:
        if look.rng.random() < 0.5:
            mesh.cushion((0.03, 0.03, 0.03), look.metal, (at[0], at[1] - 0.022, at[2] + h * 0.55), 0.9, 10)
        else:
            mesh.box((min(0.14, 0.4 * w), 0.025, 0.012), look.metal, (at[0], at[1] - 0.018, at[2] + h * 0.7))


def chest(look, w=None, d=None, h=None, rows=None, columns=None, things=4, lamp=0.3):
    """Chest of drawers, sideboard, nightstand."""
    rng = look.rng
    w, d, h = w or rng.uniform(0.7, 1.5), d or rng.uniform(0.38, 0.5), h or rng.uniform(0.65, 1.05)
    rows, columns = rows or int(rng.integers(2, 5)), columns or int(rng.integers(1, 4))
    mesh, body = Mesh("chest"), look.any_wood()
    foot = rng.uniform(0.02, 0.12)
    legs_under(mesh, look, w, d, foot, body)
    mesh.box((w, d, h - foot), body, (0, 0, foot), 0.005)
    fw, fh = (w - 0.03) / columns, (h - foot - 0.04) / rows
    front = body if rng.random() < 0.7 else look.any_wood()
    for i in range(columns):
        for j in range(rows):
            front_panel(
                mesh,
                look,
                fw - 0.01,
                fh - 0.01,
                ((i - (columns - 1) / 2) * fw, -d / 2 - 0.004, foot + 0.015 + j * fh),
                front,
            )
    bulbs, taken = [], []
    if rng.random() < lamp:
        x = (w / 2 - 0.2) * (1 if rng.random() < 0.5 else -1) if w > 0.7 else 0.0
        bulbs.append((*ct.table_lamp(mesh, look, (x, 0.0, h)), 30))
        taken.append((x, 0.0, 0.18))
    ct.scatter(mesh, look, (-w / 2, w / 2, -d / 2, d / 2, h), things, ct.ANYWHERE + (ct.plant,), taken)
    return Item(mesh, w, d + 0.06, h, bulbs)

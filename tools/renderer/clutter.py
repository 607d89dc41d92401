"""Small things that stand on furniture and floors, and the palette (`Look`) a scene draws its materials from."""

from itertools import pairwise

import materials as mt
import numpy as np
import pictures


class Look:
    """The materials of one scene: few woods, metals and cloths, used again and again, as in a furnished place."""

    def __init__(self, rng):
        self.rng = rng
        tone = mt.hsv(rng.uniform(0.045, 0.095), rng.uniform(0.3, 0.7), rng.uniform(0.3, 0.85))
        self.wood = mt.wood(rng, tone, "x")
        self.wood_upright = mt.wood(rng, tone, "z")
        self.other_wood = mt.wood(rng)
        self.white = mt.paint(rng, mt.hsv(rng.uniform(0.05, 0.15), 0.03, rng.uniform(0.82, 0.95)), 0.35, 0.04)
        self.lacquer = mt.paint(rng, self.color((0.1, 0.7), (0.2, 0.85)), rng.uniform(0.2, 0.5), 0.06)
        self.metal = mt.paint(rng, (0.55, 0.55, 0.56), rng.uniform(0.2, 0.4), 0.08, 1.0)
        self.black = mt.paint(rng, (0.02, 0.02, 0.022), 0.35, 0.2)
        self.glossy = mt.tinted(0.15)
        self.matt = mt.tinted(0.75)
        self.leaf = mt.paint(rng, mt.hsv(rng.uniform(0.24, 0.36), 0.65, rng.uniform(0.3, 0.5)), 0.4, 0.4)
        self.cloths = [mt.fabric(rng) for _ in range(4)] + [mt.leather(rng)]
        self.warm = mt.hsv(rng.uniform(0.07, 0.12), rng.uniform(0.15, 0.45), 1.0)
        self.shade = mt.glow(self.warm, rng.uniform(1.5, 4.0))

    def color(self, s=(0.05, 0.8), v=(0.15, 0.95)):
        """A linear RGB; saturation leans to the low end of its range, as in most homes."""
        return mt.hsv(self.rng.random(), s[0] + (s[1] - s[0]) * self.rng.beta(1.1, 2.2), self.rng.uniform(*v))

    def any_wood(self):
        return [self.wood, self.wood, self.other_wood, self.white, self.lacquer][self.rng.integers(5)]

    def cloth(self):
        return self.cloths[self.rng.integers(len(self.cloths))]


def cup(mesh, look, at):
    r, h = look.rng.uniform(0.03, 0.045), look.rng.uniform(0.07, 0.11)
    profile = [(0, 0), (0.8 * r, 0), (r, 0.3 * h), (r, h), (0.9 * r, h), (0.85 * r, 0.2 * h), (0, 0.15 * h)]
    tint = look.color((0, 0.6), (0.3, 0.95))
    mesh.lathe(profile, look.glossy, at, 16, tint=tint)
    turn = look.rng.uniform(0, 6)
    c, s = np.cos(turn), np.sin(turn)
    points = [
        (at[0] + c * q, at[1] + s * q, at[2] + z * h)
        for q, z in ((0.9 * r, 0.85), (1.6 * r, 0.75), (1.6 * r, 0.35), (0.9 * r, 0.25))
    ]
    for a, b in pairwise(points):
        mesh.rod(a, b, 0.004, look.glossy, 6, tint=tint)


def bottle(mesh, look, at):
    r, h = look.rng.uniform(0.03, 0.042), look.rng.uniform(0.2, 0.32)
    profile = [(0, 0), (r, 0), (r, 0.6 * h), (0.35 * r, 0.78 * h), (0.35 * r, h), (0, h)]
    mesh.lathe(profile, look.glossy, at, 16, tint=look.color((0.2, 0.9), (0.08, 0.6)))


def bowl(mesh, look, at):
    r, h = look.rng.uniform(0.07, 0.14), look.rng.uniform(0.05, 0.09)
    mesh.lathe(
        [(0, 0), (0.45 * r, 0), (0.8 * r, 0.5 * h), (r, h), (0.95 * r, h), (0.4 * r, 0.25 * h), (0, 0.2 * h)],
        look.glossy,
        at,
        22,
        tint=look.color((0, 0.5), (0.4, 0.95)),
    )
    if look.rng.random() < 0.6:
        for k in range(4):
            a = k * 1.6 + look.rng.random()
            mesh.cushion(
                (0.4 * r,) * 3,
                look.glossy,
                (at[0] + 0.4 * r * np.cos(a), at[1] + 0.4 * r * np.sin(a), at[2] + 0.45 * h),
                1.0,
                12,
                tint=mt.hsv(look.rng.uniform(0, 0.2), 0.8, 0.8),
            )


def vase(mesh, look, at):
    r, h = look.rng.uniform(0.05, 0.09), look.rng.uniform(0.15, 0.35)
    t = np.linspace(0, 1, 9)
    radius = r * (0.55 + 0.45 * np.sin(np.pi * (0.15 + t * look.rng.uniform(0.7, 1.0))))
    mesh.lathe(
        [(0, 0), *zip(radius, t * h, strict=True), (radius[-1] * 0.8, h), (0, 0.9 * h)],
        look.glossy,
        at,
        22,
        tint=look.color((0, 0.7), (0.2, 0.95)),
    )
    if look.rng.random() < 0.6:
        foliage(mesh, look, (at[0], at[1], at[2] + 0.85 * h), look.rng.uniform(0.2, 0.4), 8)


def foliage(mesh, look, at, size, count):
    """Arching leaves from one point."""
    rng = look.rng
    for k in range(count):
        turn, lean, length = 2.4 * k + rng.uniform(0, 0.5), rng.uniform(0.15, 0.7), size * rng.uniform(0.6, 1.0)
        width = length * rng.uniform(0.08, 0.17)

        def leaf(u, v, turn=turn, lean=lean, length=length, width=width):
            out = length * lean * u**1.3
            up = length * (u - 0.75 * lean * u * u)
            side = width * np.sin(np.pi * (0.12 + 0.88 * u)) * (v - 0.5) * 2
            return (
                out * np.cos(turn) - side * np.sin(turn),
                out * np.sin(turn) + side * np.cos(turn),
                up + 0.15 * np.abs(side),
            )

        mesh.sheet(leaf, 7, 3, look.leaf, at)


def plant(mesh, look, at, height=0.4):
    """A pot with leaves, `height` over all."""
    r = height * look.rng.uniform(0.12, 0.2)
    h = 1.7 * r
    mesh.lathe(
        [(0, 0), (0.75 * r, 0), (r, h), (0.88 * r, h), (0.85 * r, 0.85 * h), (0, 0.85 * h)],
        look.matt,
        at,
        22,
        tint=look.color((0, 0.7), (0.2, 0.9)),
    )
    foliage(mesh, look, (at[0], at[1], at[2] + 0.8 * h), height - h, int(look.rng.integers(9, 22)))


def books_flat(mesh, look, at):
    z = at[2]
    for _ in range(int(look.rng.integers(1, 6))):
        h = look.rng.uniform(0.012, 0.04)
        mesh.box(
            (look.rng.uniform(0.19, 0.26), look.rng.uniform(0.13, 0.18), h),
            look.matt,
            (at[0], at[1], z),
            0.002,
            rot=(0, 0, look.rng.uniform(-0.5, 0.5)),
            tint=look.color(),
        )
        z += h


def carton(mesh, look, at):
    s = look.rng.uniform(0.07, 0.16, 3)
    mesh.box(s, look.matt, at, 0.002, rot=(0, 0, look.rng.uniform(0, 3)), tint=look.color())


def papers(mesh, look, at):
    for k in range(int(look.rng.integers(1, 4))):
        mesh.box(
            (0.21, 0.297, 0.002),
            look.matt,
            (at[0] + 0.02 * k, at[1], at[2] + 0.002 * k),
            0.0005,
            rot=(0, 0, look.rng.uniform(-0.6, 0.6)),
            tint=(0.85, 0.85, 0.83),
        )


def frame_photo(mesh, look, at):
    w, h, turn = look.rng.uniform(0.1, 0.2), look.rng.uniform(0.13, 0.22), look.rng.uniform(-0.5, 0.5)
    picture = mt.picture(pictures.landscape(look.rng, 60, 48))
    with mesh.frame(at, turn):
        mesh.box((w, 0.02, h), look.any_wood(), rot=(-0.15, 0, 0))
        mesh.panel(w - 0.03, h - 0.03, picture, (0, -0.014, 0.015), rot=(-0.15, 0, 0))


def laptop(mesh, look, at):
    shown = mt.picture(pictures.screen(look.rng), 0.2, 1.0)
    with mesh.frame(at, look.rng.uniform(-0.4, 0.4)):
        mesh.box((0.33, 0.23, 0.016), look.metal)
        mesh.box((0.28, 0.1, 0.002), look.black, (0, 0.04, 0.016), 0.0005)
        mesh.box((0.33, 0.008, 0.22), look.metal, (0, 0.12, 0.014), rot=(-0.25, 0, 0))
        mesh.panel(0.31, 0.19, shown, (0, 0.112, 0.03), rot=(-0.25, 0, 0))


def table_lamp(mesh, look, at):
    """Returns the place of its bulb, relative to the mesh."""
    rng = look.rng
    h, r = rng.uniform(0.22, 0.4), rng.uniform(0.1, 0.17)
    mesh.cylinder(0.07, 0.02, look.metal, at)
    t = np.linspace(0, 1, 8)
    foot = 0.02 + 0.04 * np.sin(np.pi * t) ** 2 * rng.random()
    mesh.lathe([(0, 0), *zip(foot, t * h, strict=True), (0, h)], look.glossy, at, tint=look.color((0, 0.6), (0.2, 0.9)))
    shade(mesh, look, (at[0], at[1], at[2] + h - 0.02), r, rng.uniform(0.14, 0.22), rng.uniform(0.5, 0.95))
    return at[0], at[1], at[2] + h + 0.06


def shade(mesh, look, at, radius, height, taper):
    mesh.lathe(
        [(radius, 0), (radius * taper, height), (radius * taper - 0.004, height), (radius - 0.004, 0)],
        look.shade,
        at,
        28,
    )


def ball(mesh, look, at):
    r = look.rng.uniform(0.06, 0.12)
    mesh.cushion((2 * r,) * 3, look.glossy, at, 1.0, 24, tint=look.color((0.2, 0.9), (0.3, 0.95)))


def shoes(mesh, look, at):
    tint, turn = look.color((0, 0.5), (0.05, 0.7)), look.rng.uniform(0, 6.3)
    with mesh.frame(at, turn):
        for x in (-0.06, 0.06):
            mesh.cushion((0.095, 0.27, 0.07), look.matt, (x, 0.0, 0), 0.55, 14, tint=tint)
            mesh.cushion((0.085, 0.11, 0.1), look.matt, (x, 0.075, 0.02), 0.6, 14, tint=tint)


def bag(mesh, look, at):
    with mesh.frame(at, look.rng.uniform(0, 6.3)):
        h = look.rng.uniform(0.28, 0.42)
        mesh.cushion((0.36, 0.17, h), look.cloth(), square=0.45)
        points = [(-0.09, 0, h - 0.04), (-0.06, 0, h + 0.09), (0.06, 0, h + 0.09), (0.09, 0, h - 0.04)]
        for a, b in pairwise(points):
            mesh.rod(a, b, 0.01, look.black, 8)


ANYWHERE = (cup, bottle, bowl, vase, books_flat, carton, papers, frame_photo)
RADIUS = {
    cup: 0.06,
    bottle: 0.045,
    bowl: 0.14,
    vase: 0.1,
    plant: 0.15,
    books_flat: 0.16,
    carton: 0.13,
    papers: 0.2,
    frame_photo: 0.13,
    laptop: 0.24,
    ball: 0.13,
    shoes: 0.17,
    bag: 0.2,
}


def scatter(mesh, look, surface, count, kinds=ANYWHERE, taken=()):
    """Stand up to `count` small things on `surface` (x0, x1, y0, y1, z), none touching another or going over the edge.

    `taken` lists discs (x, y, radius) that are already occupied."""
    x0, x1, y0, y1, z = surface
    taken = list(taken)
    for _ in range(count):
        kind = kinds[look.rng.integers(len(kinds))]
        r = RADIUS[kind]
        if x1 - x0 < 2 * r or y1 - y0 < 2 * r:
            continue
        for _ in range(6):
            x, y = look.rng.uniform(x0 + r, x1 - r), look.rng.uniform(y0 + r, y1 - r)
            if all(np.hypot(x - a, y - b) > r + q for a, b, q in taken):
                kind(mesh, look, (x, y, z))
                taken.append((x, y, r))
                break

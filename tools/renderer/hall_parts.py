"""What halls are made of: rows of windows and doors, ceiling grids, columns, boards, benches, lockers, racks."""

import materials as mt
import numpy as np
import pictures
import shell
from furniture import Item
from meshes import Mesh


def alike(plan, make):
    """A maker that builds the same item each time: chairs of one classroom."""
    state = int(plan.rng.integers(1 << 30))

    def again():
        kept, plan.look.rng = plan.look.rng, np.random.default_rng(state)
        made = make(plan.look)
        plan.look.rng = kept
        return made

    return again


def windows_along(wall, sill, head, width, gap):
    """Cut a row of windows into a wall."""
    count = int((wall.length - gap) // (width + gap))
    start = (wall.length - count * (width + gap) + gap) / 2
    for k in range(count):
        x0 = start + k * (width + gap)
        if wall.clear(x0, x0 + width, sill, head):
            wall.openings.append((x0, x0 + width, sill, head, "window"))


def doors_along(plan, wall, every):
    s = plan.rng.uniform(0.8, every)
    while s + 1.2 < wall.length:
        wall.openings.append((s, s + 0.95, 0.0, 2.08, "door"))
        a, b = wall.point(s, 0.5), wall.point(s + 0.95, 0.0)
        plan.taken.append((min(a.x, b.x), max(a.x, b.x), min(a.y, b.y), max(a.y, b.y)))
        s += every * plan.rng.uniform(0.7, 1.3)


def ceiling_grid(plan, step, w, d, watts):
    nx, ny = max(1, round(plan.w / step)), max(1, round(plan.d / step))
    for i in range(nx):
        for j in range(ny):
            shell.panel_light(
                (i + 0.5) * plan.w / nx,
                (j + 0.5) * plan.d / ny,
                plan.h,
                plan.look,
                w,
                d,
                watts * plan.rng.uniform(0.9, 1.1),
            )


def close(plan, floor, finish, daylight=None, skirting=True):
    """Floor, ceiling and walls with what is cut into them."""
    rng, look = plan.rng, plan.look
    shell.slab("floor", plan.w, plan.d, 0.0, floor)
    shell.slab("ceiling", plan.w, plan.d, plan.h, mt.paint(rng, (0.78, 0.78, 0.76), 0.8, 0.03), -0.2)
    daylight = rng.uniform(25, 70) if daylight is None else daylight
    view, leaf = mt.picture(pictures.outside(rng), shine=rng.uniform(4, 10)), look.any_wood()
    for wall in plan.walls:
        shell.build_wall(wall, plan.h, finish, look, skirting)
        for opening in wall.openings:
            if opening[4] == "door":
                shell.door(wall, opening, look, leaf)
            else:
                shell.window(wall, opening, look, view, daylight, rng.choice(["none", "none", "roller"]))
    lit = [w for w in plan.walls if any(o[4] == "window" for o in w.openings)]
    if lit and rng.random() < 0.5:
        shell.sun(rng, lit[0], rng.uniform(3, 9))


def columns(plan, size, step, material):
    for x in np.arange(step, plan.w - step / 2, step):
        for y in np.arange(step, plan.d - step / 2, step):
            mesh = Mesh("column")
            mesh.box((size, size, plan.h), material, bevel=0.01)
            plan.stand(Item(mesh, size, size, plan.h - 0.1), x, y, 0.0)


def board(wall, s, look, w, h=1.2, white=True):
    """A whiteboard or a notice board with papers."""
    mesh, rng = Mesh("board"), look.rng
    face = look.white if white else mt.fabric(rng)
    mesh.box((w, 0.03, h), look.metal, (s, -0.016, 0.95))
    mesh.box((w - 0.06, 0.012, h - 0.06), face, (s, -0.03, 0.98))
    for _ in range(0 if white else int(rng.integers(5, 14))):
        with mesh.frame((s + rng.uniform(-0.42, 0.42) * w, -0.038, 0.95 + rng.uniform(0.08, 0.6) * h)):
            mesh.panel(0.21, 0.3, mt.picture(pictures.poster(rng, 80, 56)), rot=(0, rng.uniform(-0.08, 0.08), 0))
    mesh.object(wall.matrix)


def bench(look):
    mesh, w = Mesh("bench"), look.rng.uniform(1.2, 1.8)
    for y in (-0.14, 0.0, 0.14):
        mesh.box((w, 0.11, 0.035), look.wood, (0, y, 0.42), 0.006)
    for x in (-w / 2 + 0.15, w / 2 - 0.15):
        mesh.box((0.05, 0.38, 0.42), look.metal, (x, 0, 0))
    return Item(mesh, w, 0.44, 0.46)


def lockers(look):
    mesh, n = Mesh("lockers"), int(look.rng.integers(3, 7))
    paint = look.lacquer
    mesh.box((n * 0.32, 0.45, 1.8), paint, bevel=0.004)
    for k in range(n):
        x = (k - (n - 1) / 2) * 0.32
        mesh.box((0.3, 0.02, 1.7), paint, (x, -0.23, 0.06), 0.006)
        mesh.box((0.02, 0.03, 0.1), look.metal, (x + 0.1, -0.245, 0.9))
        for z in (1.5, 1.55, 1.6):
            mesh.box((0.16, 0.006, 0.012), look.black, (x, -0.241, z), 0.001)
    return Item(mesh, n * 0.32, 0.5, 1.8)


def gallery(plan, wall, depth, z):
    """A mezzanine along a wall: slab, railing, posts below."""
    mesh, look, n = Mesh("gallery"), plan.look, max(2, round(wall.length / 4))
    mesh.box((wall.length, depth, 0.3), look.white, (wall.length / 2, -depth / 2, z), 0.004)
    mesh.rod((0, -depth + 0.05, z + 1.3), (wall.length, -depth + 0.05, z + 1.3), 0.025, look.metal)
    for x in np.arange(0.1, wall.length, 0.14):
        mesh.rod((x, -depth + 0.05, z + 0.3), (x, -depth + 0.05, z + 1.3), 0.007, look.metal, 6)
    mesh.object(wall.matrix)
    for k in range(n):
        post = Mesh("column")
        post.cylinder(0.16, z - 0.001, look.white)
        p = wall.point((k + 0.5) * wall.length / n, depth - 0.3)
        plan.stand(Item(post, 0.34, 0.34, z), p.x, p.y, 0.0)


def rack(look, bays):
    """Warehouse shelving full of boxes, on the floor and on two levels."""
    rng, mesh, w, d, h = look.rng, Mesh("rack"), bays * 2.4, 1.0, 4.2
    for k in range(bays + 1):
        for y in (-d / 2, d / 2):
            mesh.box((0.09, 0.07, h), look.lacquer, (-w / 2 + k * 2.4, y, 0))
    for level, z in enumerate((0.0, 1.6, 3.0)):
        if level:
            for y in (-d / 2, d / 2):
                mesh.box((w, 0.05, 0.12), look.metal, (0, y, z - 0.13))
            mesh.box((w, d - 0.06, 0.02), look.other_wood, (0, 0, z - 0.02))
        for k in range(bays):
            x, end = -w / 2 + k * 2.4 + 0.12, -w / 2 + (k + 1) * 2.4 - 0.12
            while rng.random() < 0.93:
                s = rng.uniform((0.35, 0.5, 0.3), (0.9, 0.9, 1.15))
                if x + s[0] > end:
                    break
                tint = mt.hsv(rng.uniform(0.05, 0.11), rng.uniform(0.2, 0.55), rng.uniform(0.4, 0.8))
                tint = tint if rng.random() < 0.8 else look.color()
                mesh.box(s, look.matt, (x + s[0] / 2, rng.uniform(-0.05, 0.05), z), 0.006, tint=tint)
                x += s[0] + rng.uniform(0.02, 0.15)
    return Item(mesh, w + 0.1, d + 0.1, h)

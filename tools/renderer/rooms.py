"""Layouts of furnished rooms. Everything stands on something, keeps clear of doors, and no two footprints overlap."""

import furniture as fu
import materials as mt
import numpy as np
import pictures
import shell
import storage as st
from meshes import place
from plan import Plan, rug_at


def living(plan):
    rng, look = plan.rng, plan.look
    sofa = fu.sofa(look)
    wall = plan.against(sofa, tries=40)
    if wall is not None:
        x0, x1, _ = wall.used[-1]
        s = (x0 + x1) / 2
        p = wall.point(s, sofa.d + rng.uniform(0.65, 0.9))
        if rng.random() < 0.75:
            q = wall.point(s, sofa.d + 0.7)
            wide = abs(np.cos(wall.turn)) > 0.5
            w, d = rng.uniform(1.8, 2.8), rng.uniform(1.3, 1.9)
            rug_at(plan, q.x, q.y, *((w, d) if wide else (d, w)))
        plan.stand(
            fu.table(look, rng.uniform(0.8, 1.2), rng.uniform(0.5, 0.65), rng.uniform(0.36, 0.46)), p.x, p.y, wall.turn
        )
        other = plan.walls[(plan.walls.index(wall) + 2) % 4]
        plan.against(st.media(look), other, tries=20)
        for side in (-1, 1):
            chair = fu.sofa(look, 1)
            p = wall.point(s + side * (sofa.w / 2 + rng.uniform(0.4, 0.8)), sofa.d + rng.uniform(0.5, 1.0))
            plan.stand(chair, p.x, p.y, wall.turn + side * rng.uniform(-2.0, -1.3), margin=0.05)
    return [st.bookcase, st.floor_lamp, st.big_plant, fu.chest, st.bookcase, st.ottoman, st.basket, fu.desk]


def bedroom(plan):
    look, item = plan.look, fu.bed(plan.look)
    wall = plan.against(item, tries=60)
    if wall is not None:
        x0, x1, _ = wall.used[-1]
        for s in (x0 - 0.3, x1 + 0.3):
            plan.against(fu.chest(look, 0.45, 0.38, 0.5, 2, 1, 2, 0.7), wall, s, tries=1, margin=0.0)
        if plan.rng.random() < 0.6:
            p = wall.point((x0 + x1) / 2, 1.7)
            rug_at(plan, p.x, p.y, 2.0, 1.6)
    plan.against(st.wardrobe(look), tries=30)
    return [fu.chest, fu.desk, st.bookcase, st.basket, st.ottoman, st.big_plant, fu.chair, st.floor_lamp]


def dining(plan):
    rng, look = plan.rng, plan.look
    cloth, item = look.cloth(), fu.table(look, things=7)
    turn = rng.choice([0, np.pi / 2])
    x, y = plan.w * rng.uniform(0.38, 0.62), plan.d * rng.uniform(0.38, 0.62)
    if rng.random() < 0.5:
        rug_at(plan, x, y, 2.8, 2.2)
    if plan.stand(item, x, y, turn):
        state = rng.integers(1 << 30)

        def same_chair():
            look.rng = np.random.default_rng(state)
            made = fu.chair(look, cloth=cloth)
            look.rng = rng
            return made

        plan.seats_around(item, x, y, turn, same_chair)
        plan.pendant = (x, y)
    return [fu.chest, st.bookcase, fu.chest, st.big_plant, st.floor_lamp, fu.chair, st.fridge]


def kitchen(plan):
    look, order = plan.look, plan.rng.permutation(4)
    for k in order:
        wall = plan.walls[k]
        length = plan.rng.uniform(1.8, max(1.9, min(3.6, wall.length - 0.9)))
        run = st.kitchen(look, length, wall.clear(0, wall.length, 1.1, 2.0) and plan.rng.random() < 0.8)
        if plan.against(run, wall, tries=25):
            plan.against(st.fridge(look), wall, tries=20)
            break
    dining(plan)
    return [fu.chest, st.bookcase, st.big_plant, st.basket, st.cartons]


def office(plan):
    look = plan.look
    for _ in range(int(plan.rng.integers(1, 4))):
        item = fu.desk(look, 6)
        wall = plan.against(item, tries=20)
        if wall is not None:
            s = sum(wall.used[-1][:2]) / 2
            p = wall.point(s + plan.rng.uniform(-0.2, 0.2), item.d + 0.35)
            own = plan.taken.pop()
            plan.stand(fu.office_chair(look), p.x, p.y, wall.turn + np.pi + plan.rng.uniform(-0.6, 0.6), margin=-0.05)
            plan.taken.append(own)
    return [st.bookcase, st.bookcase, st.cartons, fu.chest, st.big_plant, st.basket, fu.table, st.floor_lamp]


def library(plan):
    for _ in range(5):
        plan.against(st.bookcase(plan.look, h=plan.rng.uniform(1.7, 2.2), fill=0.9))
    chair = fu.sofa(plan.look, 1)
    plan.somewhere(chair)
    rug_at(plan, plan.w / 2, plan.d / 2, 2.4, 1.7)
    return [fu.desk, st.floor_lamp, st.bookcase, st.big_plant, fu.table, fu.chair, st.ottoman, st.cartons]


KINDS = (living, living, bedroom, bedroom, dining, kitchen, kitchen, office, library)


def wall_finish(look, rng):
    """Mostly pale paint; some colour, wallpaper, brick, wood."""
    pale = mt.hsv(rng.choice([0.08, 0.12, 0.15, 0.33, 0.58, 0.95]), rng.uniform(0.02, 0.18), rng.uniform(0.7, 0.93))
    kind = rng.random()
    if kind < 0.5:
        return mt.paint(rng, pale, 0.7, 0.04, bump=0.0008)
    if kind < 0.68:
        strong = mt.hsv(rng.random(), rng.uniform(0.15, 0.5), rng.uniform(0.35, 0.8))
        return mt.paint(rng, strong, 0.7, 0.05, bump=0.0008)
    if kind < 0.88:
        return mt.wallpaper(rng, mt.hsv(rng.random(), rng.uniform(0.04, 0.35), rng.uniform(0.5, 0.9)))
    if kind < 0.95:
        return mt.tiles(
            rng,
            mt.hsv(rng.uniform(0.01, 0.06), rng.uniform(0.1, 0.6), rng.uniform(0.4, 0.85)),
            "xz",
            (0.24, 0.075),
            0.5,
        )
    return mt.wood(rng, along="z")


def floor_finish(rng):
    kind = rng.random()
    if kind < 0.5:
        return mt.planks(rng)
    if kind < 0.72:
        return mt.tiles(rng)
    return mt.carpet(rng) if kind < 0.93 else mt.stone(rng)


def open_walls(plan, doors=1):
    """Cut one door and one to three windows."""
    rng, order = plan.rng, plan.rng.permutation(4)
    for k in order[:doors]:
        wall, w = plan.walls[k], plan.rng.uniform(0.8, 0.95)
        x0 = rng.uniform(0.2, wall.length - w - 0.2)
        wall.openings.append((x0, x0 + w, 0.0, 2.05, "door"))
        a, b = wall.point(x0, 0.9), wall.point(x0 + w, 0.0)
        plan.taken.append((min(a.x, b.x), max(a.x, b.x), min(a.y, b.y), max(a.y, b.y)))
    sill, head = rng.choice([0.12, 0.5, 0.85, 0.95]), min(plan.h - 0.25, rng.uniform(2.0, 2.3))
    for k in order[doors : doors + int(rng.integers(1, 3))]:
        wall, w = plan.walls[k], rng.uniform(0.8, 2.0)
        for part in range(2 if wall.length > 2 * w + 1.8 and rng.random() < 0.5 else 1):
            centre = wall.length * (0.5 if part == 0 and wall.length < 2 * w + 1.8 else 0.28 + 0.44 * part)
            wall.openings.append((centre - w / 2, centre + w / 2, sill, head, "window"))


def decorate(plan, wanted=5):
    """Pictures where no tall furniture stands before the wall."""
    rng = plan.rng
    for _ in range(wanted * 3):
        wall = plan.walls[rng.integers(4)]
        s = rng.uniform(0.5, max(0.6, wall.length - 0.5))
        below = max([top for a, b, top in wall.used if a - 0.5 < s < b + 0.5], default=0)
        z = max(rng.uniform(1.25, 1.5), below + 0.15)
        top = min(plan.h - 0.15, z + 1.3)
        if wanted and top - z > 0.5 and wall.clear(s - 0.75, s + 0.75, z, top) and 0.5 < s < wall.length - 0.5:
            if rng.random() < 0.25:
                st.wall_shelf(plan.look, rng.uniform(0.5, 0.95)).mesh.object(wall.matrix @ place(s, 0, z=z))
            else:
                shell.painting(wall, s, z, plan.look, min(rng.uniform(0.25, 0.9), (top - z) * 0.66))
            wall.used.append((s - 0.5, s + 0.5, plan.h))
            wanted -= 1


def build_shell(plan):
    """Floor, ceiling, walls, doors and windows; light of a random time of day."""
    rng, look = plan.rng, plan.look
    shell.slab("floor", plan.w, plan.d, 0.0, floor_finish(rng))
    ceiling = mt.paint(rng, (0.8, 0.79, 0.77), 0.8, 0.03) if rng.random() < 0.9 else mt.wood(rng)
    shell.slab("ceiling", plan.w, plan.d, plan.h, ceiling, -0.2)
    finish, accent = wall_finish(look, rng), wall_finish(look, rng)
    odd = rng.integers(4) if rng.random() < 0.35 else 4
    day = rng.random() < 0.75
    daylight, seen = (rng.uniform(25, 90), rng.uniform(3, 10)) if day else (rng.uniform(0.3, 2), 0.02)
    view = mt.picture(pictures.outside(rng), shine=seen)
    sunny = [w for w in plan.walls if any(o[4] == "window" for o in w.openings)]
    for k, wall in enumerate(plan.walls):
        shell.build_wall(wall, plan.h, accent if k == odd else finish, look)
        for opening in wall.openings:
            if opening[4] == "door":
                shell.door(wall, opening, look)
            else:
                shell.window(wall, opening, look, view, daylight)
    if day and sunny and rng.random() < 0.5:
        shell.sun(rng, sunny[0], rng.uniform(3, 12))
    area = plan.w * plan.d
    lamp = rng.uniform(4, 12) * area if not day or rng.random() < 0.4 else rng.uniform(0.5, 3) * area
    x, y = getattr(plan, "pendant", (plan.w / 2, plan.d / 2))
    low = hasattr(plan, "pendant")
    shell.ceiling_lamp(x, y, plan.h, look, lamp, rng.uniform(0.6, 0.9) if low else 0.0)


def room(rng, kind=None):
    """Build a whole room into the current scene; returns its plan."""
    w, d = np.sort(rng.uniform(2.9, 5.8, 2))[:: rng.choice([-1, 1])]
    plan = Plan(float(w), float(d), float(rng.uniform(2.35, 3.0)), rng)
    open_walls(plan)
    more = (kind or KINDS[rng.integers(len(KINDS))])(plan)
    for make in more + [more[k] for k in rng.integers(len(more), size=3)]:
        if rng.random() < 0.9:
            plan.against(make(plan.look), tries=25)
    for make in (st.big_plant, st.cartons, st.basket, fu.chair, st.ottoman):
        if rng.random() < 0.35:
            plan.somewhere(make(plan.look), 6)
    for _ in range(int(rng.integers(0, 7))):
        plan.somewhere(st.floor_thing(plan.look), 6, 0.02)
    for wall in plan.walls:
        for x0, x1, z0, _, kind_ in wall.openings:
            if kind_ == "window" and z0 > 0.75 and rng.random() < 0.6:
                plan.against(st.radiator(plan.look, min(1.2, 0.8 * (x1 - x0))), wall, (x0 + x1) / 2, 0.02, 1)
    decorate(plan, int(rng.integers(2, 7)))
    build_shell(plan)
    return plan

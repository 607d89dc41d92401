"""Layouts of larger spaces: corridor, classroom, open office, lobby, warehouse, library hall."""

import clutter as ct
import furniture as fu
import materials as mt
import numpy as np
import rooms
import shell
import storage as st
from furniture import Item
from hall_parts import (
    alike,
    bench,
    board,
    ceiling_grid,
    close,
    columns,
    doors_along,
    gallery,
    lockers,
    rack,
    windows_along,
)
from meshes import Mesh
from plan import Plan, rug_at
from views import Limits

LIMITS = Limits(near=0.9, far=30.0, spread=2.0, things=0.22, objects=7, deep=7.0)
SQUARE = np.pi / 2


def corridor(rng):
    plan = Plan(rng.uniform(2.0, 3.4), rng.uniform(13, 26), rng.uniform(2.5, 3.3), rng)
    sides, end = (plan.walls[1], plan.walls[3]), plan.walls[0]
    doors_along(plan, sides[0], rng.uniform(3, 5))
    if rng.random() < 0.5:
        windows_along(sides[1], 0.9, 2.2, 1.4, 1.2)
    else:
        doors_along(plan, sides[1], rng.uniform(3, 6))
    end.openings.append((plan.w / 2 - 0.6, plan.w / 2 + 0.6, 0.3, 2.2, "window"))
    for wall in sides:
        for make in (bench, lockers, st.big_plant, st.bookcase, bench, st.basket, fu.chair, st.cartons, st.bookcase):
            if rng.random() < 0.8:
                plan.against(make(plan.look), wall, tries=20)
    for wall in sides:
        for _ in range(2):
            s = rng.uniform(1, wall.length - 1)
            if wall.clear(s - 0.9, s + 0.9, 0.8, 2.2) and all(b < s - 0.8 or a > s + 0.8 for a, b, _ in wall.used):
                board(wall, s, plan.look, 1.4, 1.0, white=False)
                wall.used.append((s - 0.9, s + 0.9, plan.h))
    rooms.decorate(plan, 8)
    ceiling_grid(plan, 3.2, 0.3, 1.2, rng.uniform(25, 50))
    close(plan, rooms.floor_finish(rng), rooms.wall_finish(plan.look, rng), rng.uniform(10, 50))
    return plan


def classroom(rng):
    plan = Plan(rng.uniform(7, 10), rng.uniform(9, 13), rng.uniform(2.9, 3.6), rng)
    look, front = plan.look, plan.walls[0]
    windows_along(plan.walls[1], 0.9, plan.h - 0.5, 1.8, 0.6)
    doors_along(plan, plan.walls[3], 7)
    board(front, plan.w / 2, look, rng.uniform(2.4, 3.6))
    front.used.append((plan.w / 2 - 2, plan.w / 2 + 2, plan.h))
    plan.stand(fu.desk(look, 4, 1.5), plan.w * 0.3, plan.d - 2.0, 0.0)
    desk_like = [
        alike(
            plan,
            lambda k: fu.table(k, 1.2, 0.55, 0.74, 2, (ct.papers, ct.books_flat, ct.bottle, ct.cup), round_share=0),
        )
        for _ in range(3)
    ]
    chair_like = alike(plan, fu.chair)
    for y in np.arange(1.6, plan.d - 3.6, rng.uniform(1.35, 1.7)):
        for x in np.arange(1.2, plan.w - 0.9, rng.uniform(1.7, 2.1)):
            item = desk_like[rng.integers(3)]()
            if plan.stand(item, x, y, 0.0):
                plan.seats_around(item, x, y, 0.0, chair_like, 0.8, "s")
    for make in (st.bookcase, fu.chest, st.wardrobe, st.bookcase, st.big_plant, st.cartons, st.bookcase):
        plan.against(make(look), plan.walls[2] if rng.random() < 0.6 else None, tries=20)
    rooms.decorate(plan, 8)
    ceiling_grid(plan, 2.8, 1.2, 0.3, rng.uniform(20, 45))
    close(plan, rooms.floor_finish(rng), rooms.wall_finish(look, rng))
    return plan


def open_office(rng):
    plan = Plan(rng.uniform(9, 15), rng.uniform(12, 20), rng.uniform(2.7, 3.5), rng)
    look = plan.look
    windows_along(plan.walls[1], 0.6, plan.h - 0.3, 2.2, 0.35)
    if rng.random() < 0.5:
        windows_along(plan.walls[0], 0.6, plan.h - 0.3, 2.2, 0.35)
    doors_along(plan, plan.walls[3], 8)
    columns(plan, 0.45, rng.uniform(5, 6.5), mt.stone(rng))
    cloth = look.cloth()
    for y in np.arange(2.0, plan.d - 1.5, rng.uniform(3.2, 4.2)):
        for x in np.arange(2.2, plan.w - 1.8, rng.uniform(3.4, 4.4)):
            for dx in (-0.72, 0.72):
                for turn, dy in ((0.0, -0.42), (np.pi, 0.42)):
                    item = fu.desk(look, 4, 1.4)
                    if rng.random() < 0.92 and plan.stand(item, x + dx, y + dy, turn, 0.0):
                        seat = fu.office_chair(look, cloth)
                        side = -1 if turn == 0 else 1
                        plan.stand(
                            seat,
                            x + dx + rng.uniform(-0.2, 0.2),
                            y + dy + side * rng.uniform(0.72, 0.95),
                            turn + np.pi + rng.uniform(-0.9, 0.9),
                            -0.05,
                        )
    for make in (st.bookcase, fu.chest, st.bookcase, st.wardrobe, st.bookcase, fu.sofa, fu.chest):
        plan.against(make(look), tries=20)
    for _ in range(7):
        plan.somewhere(st.big_plant(look))
    plan.somewhere(st.cartons(look))
    rooms.decorate(plan, 6)
    ceiling_grid(plan, 3.0, 1.2, 0.3, rng.uniform(20, 45))
    close(plan, mt.carpet(rng) if rng.random() < 0.6 else rooms.floor_finish(rng), rooms.wall_finish(look, rng))
    return plan


def lobby(rng):
    plan = Plan(rng.uniform(9, 14), rng.uniform(12, 22), rng.uniform(5.0, 8.0), rng)
    look = plan.look
    windows_along(plan.walls[1], 0.4, plan.h - 0.8, 2.4, 0.5)
    doors_along(plan, plan.walls[0], 5)
    gallery(plan, plan.walls[3], rng.uniform(2.2, 3.0), 3.0)
    counter = Mesh("counter")
    counter.box((3.2, 0.75, 1.0), look.any_wood(), bevel=0.01)
    counter.box((3.3, 0.85, 0.05), mt.stone(rng), (0, 0, 1.0), 0.006)
    fu.monitor(counter, look, (0.6, 0.1, 1.05), 0.5)
    ct.scatter(counter, look, (-1.6, 0.2, -0.4, 0.4, 1.05), 5)
    plan.stand(Item(counter, 3.3, 0.9, 1.5), plan.w * 0.5, plan.d - 3.0, 0.0)
    for y in np.arange(2.5, plan.d - 4.5, rng.uniform(3.6, 4.6)):
        for x in (plan.w * 0.42, plan.w * 0.72):
            x, y_ = x + rng.uniform(-0.4, 0.4), y + rng.uniform(-0.3, 0.3)
            rug_at(plan, x, y_, 3.2, 2.6)
            plan.stand(fu.table(look, 1.0, 0.6, 0.42, 4), x, y_, 0.0)
            plan.stand(fu.sofa(look), x, y_ + 1.15, 0.0)
            plan.stand(fu.sofa(look, 1), x - 1.25, y_, SQUARE)
            plan.stand(fu.sofa(look, 1), x + 1.25, y_, -SQUARE)
    for _ in range(9):
        plan.somewhere(st.big_plant(look))
    for make in (st.bookcase, bench, bench, fu.chest, st.bookcase):
        plan.against(make(look), tries=20)
    for wall, s in ((plan.walls[0], 0.3), (plan.walls[2], 0.35), (plan.walls[2], 0.7)):
        shell.painting(wall, s * wall.length, 2.5, look, rng.uniform(1.2, 2.0))
    for x in (0.35, 0.65):
        for y in (0.25, 0.5, 0.75):
            shell.ceiling_lamp(x * plan.w, y * plan.d, plan.h, look, rng.uniform(80, 160), rng.uniform(1.2, 2.5))
    close(plan, mt.stone(rng) if rng.random() < 0.5 else rooms.floor_finish(rng), rooms.wall_finish(look, rng))
    return plan


def warehouse(rng):
    plan = Plan(rng.uniform(11, 16), rng.uniform(16, 25), rng.uniform(5.5, 8.0), rng)
    look = plan.look
    doors_along(plan, plan.walls[2], 6)
    windows_along(plan.walls[1], plan.h - 2.0, plan.h - 0.6, 2.4, 1.0)
    windows_along(plan.walls[3], plan.h - 2.0, plan.h - 0.6, 2.4, 1.0)
    for x in np.arange(1.3, plan.w - 1.0, rng.uniform(3.6, 4.4)):
        bays = int((plan.d - 5.0) // 2.5)
        plan.stand(rack(look, bays), x, plan.d / 2 + rng.uniform(-0.8, 0.8), SQUARE)
    for _ in range(26):
        plan.somewhere(st.cartons(look), 10)
    for make in (lockers, fu.desk, st.bookcase, bench):
        plan.against(make(look), tries=20)
    truss = Mesh("truss")
    for y in np.arange(2.0, plan.d, 3.5):
        truss.box((plan.w - 0.02, 0.14, 0.35), look.metal, (plan.w / 2, y, plan.h - 0.351))
    truss.object()
    ceiling_grid(plan, 4.5, 0.3, 1.5, rng.uniform(90, 180))
    close(plan, mt.stone(rng), rooms.wall_finish(look, rng), rng.uniform(20, 60), skirting=False)
    return plan


def library_hall(rng):
    plan = Plan(rng.uniform(9, 13), rng.uniform(11, 17), rng.uniform(3.0, 4.5), rng)
    look = plan.look
    windows_along(plan.walls[0], 0.8, plan.h - 0.5, 1.6, 1.0)
    doors_along(plan, plan.walls[2], 7)
    for y in np.arange(1.8, plan.d - 4.0, rng.uniform(2.0, 2.6)):
        for x in np.arange(1.6, plan.w * 0.55, 1.45):
            for turn, dy in ((0.0, -0.2), (np.pi, 0.2)):
                plan.stand(st.bookcase(look, 1.4, 1.95, 0.88), x, y + dy, turn, -0.02)
    for y in np.arange(2.2, plan.d - 1.2, rng.uniform(2.6, 3.2)):
        x, item = plan.w * 0.8, fu.table(look, 1.8, 0.9, 0.74, 5, (ct.books_flat, ct.papers, ct.laptop), round_share=0)
        if plan.stand(item, x, y, 0.0):
            plan.seats_around(item, x, y, 0.0, alike(plan, fu.chair), 0.85, "ns")
    for make in (st.bookcase, st.bookcase, st.bookcase, fu.chest, bench, st.floor_lamp, st.big_plant):
        plan.against(make(look), tries=20)
    for _ in range(4):
        plan.somewhere(fu.sofa(look, 1))
        plan.somewhere(st.big_plant(look))
    rooms.decorate(plan, 5)
    ceiling_grid(plan, 3.0, 1.2, 0.3, rng.uniform(25, 60))
    close(plan, rooms.floor_finish(rng), rooms.wall_finish(look, rng))
    return plan


KINDS = (corridor, classroom, open_office, lobby, warehouse, library_hall)


def hall(rng):
    return KINDS[rng.integers(len(KINDS))](rng)


def numbered(index):
    """The kinds in turn, so that a small set holds them all."""
    return KINDS[index % len(KINDS)]

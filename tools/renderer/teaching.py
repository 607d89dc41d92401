"""Renders that explain something: a room and its 1:10 model, a dolly zoom, three focal lengths, a stereo pair."""

import bpy
import furniture as fu
import hall_parts
import materials as mt
import numpy as np
import renderer
import rooms
import storage as st
import views
from mathutils import Matrix, Vector
from meshes import Mesh
from plan import Plan, rug_at

ANY = views.Limits(near=0.0, far=1e3)
BASELINE_M = 0.12
TWIN_SAMPLES = 64
SUBJECT = (3.0, 7.5)  # where the statue of the dolly zoom stands
DISTANCES = (1.6, 2.2, 3.1, 4.4, 6.2)  # camera to statue, metres
NEAREST_FOV = 82.0  # degrees at the first of them


def shrink(scene, scale):
    """Scale everything about the origin; light power by scale² so that radiance, hence the picture, stays."""
    for made in scene.objects:
        matrix = made.matrix_world.copy()
        if made.type == "MESH":
            made.matrix_world = Matrix.Scale(scale, 4) @ matrix
            continue
        matrix.translation *= scale
        made.matrix_world = matrix
        if made.type == "LIGHT" and made.data.type != "SUN":
            made.data.energy *= scale**2
            if made.data.type == "AREA":
                made.data.size, made.data.size_y = made.data.size * scale, made.data.size_y * scale
            else:
                made.data.shadow_soft_size *= scale
    for material in bpy.data.materials:  # bump heights are lengths too
        for node in material.node_tree.nodes:
            if node.type == "BUMP":
                node.inputs["Distance"].default_value *= scale
    bpy.context.view_layer.update()


def _scene(args, width, height):
    scene = renderer.new_scene()
    renderer.configure(scene, width, height, args.samples, args.threads)
    return scene


def _room_with_view(args, rng, kind, fx, limits, good=lambda plan, view: True):
    """A room and a view in it that fulfils `good`; draws rooms until there is one."""
    while True:
        scene = _scene(args, *args.size)
        plan = rooms.room(rng, kind)
        for _ in range(4):
            view = views.choose(scene, plan, rng, fx, limits, tilt=(-14.0, -6.0))
            if view is not None and good(plan, view):
                return scene, view | {"roll_deg": 0.0}


def twin(args, rng, write):
    """The same picture twice: depth in the model is a tenth.

    Float rounding sends a few light paths elsewhere, so the pictures differ by sampling noise: hence more samples."""
    fx = renderer.focal_px(args.size[0], 57.0)
    scene, view = _room_with_view(args, rng, rooms.living, fx, views.Limits(near=0.8, things=0.3, objects=7))
    scene.cycles.samples, scene.render.use_persistent_data = TWIN_SAMPLES, False
    gains = write(scene, args.out / "teaching" / "twin_room", view, fx, ANY, {"scale": 1.0})
    shrink(scene, 0.1)
    small = view | {"position": tuple(0.1 * x for x in view["position"])}
    write(scene, args.out / "teaching" / "twin_model", small, fx, ANY, {"scale": 0.1}, gains)


def stereo(args, rng, write):
    """A rectified pair: the right camera stands BASELINE_M along the left one's x axis."""
    fx = renderer.focal_px(args.size[0], 57.0)

    def beside(view):
        step = Matrix.Rotation(np.radians(view["heading_deg"]), 3, "Z") @ Vector((BASELINE_M, 0, 0))
        return view | {"position": tuple(Vector(view["position"]) + step), "roll_deg": 0.0}

    def good(plan, view):
        x, y, _ = beside(view)["position"]
        return 0.2 < x < plan.w - 0.2 and 0.2 < y < plan.d - 0.2 and plan.free(x, x, y, y, 0.1)

    limits = views.Limits(near=1.0, things=0.35, objects=8)
    scene, view = _room_with_view(args, rng, rooms.library, fx, limits, good)
    about = {"baseline_m": BASELINE_M, "doffs": 0.0}
    gains = write(scene, args.out / "teaching" / "stereo_left", view, fx, ANY, about)
    write(scene, args.out / "teaching" / "stereo_right", beside(view), fx, ANY, about, gains)


def statue(look):
    """A turned figure on a pedestal, 1.75 m high."""
    mesh = Mesh("statue")
    marble = mt.stone(look.rng, mt.hsv(0.09, 0.06, 0.85))
    mesh.box((0.5, 0.5, 0.08), marble, bevel=0.01)
    mesh.box((0.4, 0.4, 0.6), marble, (0, 0, 0.08), 0.01)
    mesh.box((0.48, 0.48, 0.06), marble, (0, 0, 0.68), 0.01)
    body = [
        (0, 0),
        (0.2, 0),
        (0.2, 0.05),
        (0.16, 0.08),
        (0.13, 0.2),
        (0.09, 0.45),
        (0.085, 0.55),
        (0.15, 0.58),
        (0.15, 0.61),
        (0.1, 0.64),
        (0.12, 0.74),
        (0.155, 0.82),
        (0.11, 0.85),
        (0.05, 0.89),
        (0, 0.9),
    ]
    mesh.lathe(body, mt.paint(look.rng, mt.hsv(0.03, 0.65, 0.6), 0.35), (0, 0, 0.74), 40)
    mesh.cushion((0.13, 0.13, 0.12), mt.paint(look.rng, mt.hsv(0.12, 0.7, 0.8), 0.3, metallic=1.0), (0, 0, 1.62), 1.0)
    return fu.Item(mesh, 0.5, 0.5, 1.75)


def statue_hall(rng):
    """A long room with things at all distances behind the statue and a free lane before it."""
    plan = Plan(6.0, 15.0, 3.4, rng)
    look = plan.look
    x, y = SUBJECT
    plan.taken.append((x - 0.5, x + 0.5, 0.0, y - 0.6))
    plan.stand(statue(look), x, y, 0.0)
    hall_parts.windows_along(plan.walls[1], 0.7, 2.7, 1.6, 1.0)
    for s in (0.9, 2.6, 4.9):
        plan.against(st.bookcase(look, 1.3, 2.1), plan.walls[0], s, tries=1)
    for place_x, place_y, make in (
        (1.1, 9.2, fu.sofa),
        (4.6, 10.5, st.big_plant),
        (1.6, 12.2, fu.chair),
        (4.3, 12.6, fu.table),
        (4.7, 8.2, fu.chair),
        (1.2, 6.3, st.big_plant),
    ):
        plan.stand(make(look), place_x, place_y, rng.uniform(-0.4, 0.4))
    for make in (fu.chest, st.bookcase, fu.chest, st.floor_lamp, st.bookcase):
        plan.against(make(look), plan.walls[3], tries=20)
    rug_at(plan, 3.0, 11.0, 3.0, 2.0)
    rooms.decorate(plan, 8)
    hall_parts.ceiling_grid(plan, 3.6, 1.2, 0.3, 35)
    hall_parts.close(plan, mt.tiles(rng, size=(0.5, 0.5)), mt.paint(rng, mt.hsv(0.11, 0.12, 0.85), 0.7, 0.04), 40)
    return plan


def dolly(args, rng, write):
    """Retreat and zoom so that the statue keeps its size; then stand still and only zoom."""
    width, height = args.size[0] * 3 // 4, args.size[1] * 3 // 4
    scene = _scene(args, width, height)
    statue_hall(rng)
    first = renderer.focal_px(width, NEAREST_FOV)
    gains = None
    for k in reversed(range(len(DISTANCES))):
        distance = DISTANCES[k]
        view = {
            "position": (SUBJECT[0], SUBJECT[1] - distance, 1.25),
            "heading_deg": 0.0,
            "tilt_deg": 0.0,
            "roll_deg": 0.0,
        }
        fx = first * distance / DISTANCES[0]
        gains = write(scene, args.out / "teaching" / f"dolly_{k}", view, fx, ANY, {"distance_m": distance}, gains)
    still = {
        "position": (SUBJECT[0], SUBJECT[1] - DISTANCES[2], 1.25),
        "heading_deg": 0.0,
        "tilt_deg": 0.0,
        "roll_deg": 0.0,
    }
    for k, fov in enumerate((80.0, 55.0, 30.0)):
        write(
            scene,
            args.out / "teaching" / f"focal_{k}",
            still,
            renderer.focal_px(width, fov),
            ANY,
            {"hfov_deg": fov},
            gains,
        )


def render(args, generator, write, is_done):
    """All groups; one is rendered whole unless all of its frames are there."""
    groups = {
        twin: ("twin_room", "twin_model"),
        stereo: ("stereo_left", "stereo_right"),
        dolly: [f"dolly_{k}" for k in range(5)] + [f"focal_{k}" for k in range(3)],
    }
    for index, (make, names) in enumerate(groups.items()):
        if not all(is_done(args.out / "teaching" / name) for name in names):
            numbered = index
            make(
                args,
                generator(numbered),
                lambda scene, path, view, fx, limits, about, gains=None, n=numbered: write(
                    scene, path, view, fx, limits, {"set": "teaching", "seed": [args.seed, 3, 1, n, 0], **about}, gains
                ),
            )

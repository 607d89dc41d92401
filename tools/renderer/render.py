"""Render a set of scenes into a raw folder (needs `bpy` and `OpenEXR`; see README.md beside this file).

    python tools/renderer/render.py rooms|more|halls|teaching|mixed --out DIR [--seed S] [--size WxH] [--count N]

A frame is NAME.png (8-bit RGB), NAME.npy (planar depth, float32 metres) and NAME.json (intrinsics, camera, seed), the
JSON written last: a frame that has one is complete and is skipped, so an interrupted run goes on where it stopped.

A scene is a pure function of (seed, set, split, index): each gets a generator of its own from
`numpy.random.SeedSequence`, whose entropy tuple begins with the set's and the split's number. No tuple occurs twice, so
no layout of one set or split occurs in another: `more` shares the number of `rooms` and begins where its indices end.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import renderer
import rooms
import views

SETS = {"rooms": 1, "halls": 2, "teaching": 3, "mixed": 4, "more": 1}  # `more` goes on with the numbers of `rooms`
SPLITS = {"train": 1, "val": 2}
ROOM_FOV = 57.0  # degrees, the Kinect's colour camera
ROOMS = 80  # training rooms of the set `rooms`; `more` begins with this number
ATTEMPTS = 5  # scenes tried for an index before giving up


def generator(args, split, index, attempt=0):
    return np.random.default_rng([args.seed, SETS[args.set], SPLITS[split], index, attempt])


def is_done(path):
    return path.with_suffix(".json").exists()


def write_frame(scene, path, view, fx, limits, about, gains=None):
    """Render depth and colour of one view; returns the exposure gains used.

    None, and nothing written, if a depth is outside the limits. `about` is added to the frame's JSON."""
    started = time.time()
    renderer.set_camera(scene, renderer.pose(**view), fx)
    depth = renderer.render_depth(scene)
    if depth.min() < limits.near or depth.max() > limits.far:
        return None
    radiance = renderer.render_radiance(scene)
    gains = renderer.exposure_for(radiance) if gains is None else gains
    path.parent.mkdir(parents=True, exist_ok=True)
    renderer.photograph(scene, radiance, gains, path.with_suffix(".png"))
    np.save(path.with_suffix(".npy"), depth)
    record = renderer.intrinsics(scene.render.resolution_x, scene.render.resolution_y, fx)
    record |= {"camera_height_m": view["position"][2], "tilt_deg": view["tilt_deg"], "view": view, **about}
    path.with_suffix(".json").write_text(json.dumps(record, indent=1, default=lambda x: np.asarray(x).tolist()))
    print(f"{path}  {depth.min():.2f} to {depth.max():.2f} m  {time.time() - started:.1f} s", flush=True)
    return gains


def render_scene(args, split, index, folder, build, frames, fov, limits, sequence=False, **camera):
    """Render `frames` views of one scene; scenes without a good view are drawn again, with the next attempt number."""
    paths = [folder / f"{k:05d}" for k in range(frames)]
    if all(is_done(p) for p in paths):
        return
    for attempt in range(ATTEMPTS):
        rng = generator(args, split, index, attempt)
        scene = renderer.new_scene()
        renderer.configure(scene, *args.size, args.samples, args.threads, quick=args.set == "mixed")
        plan = build(rng)
        fx = renderer.focal_px(args.size[0], rng.uniform(*fov))
        about = {"set": args.set, "split": split, "seed": [args.seed, SETS[args.set], SPLITS[split], index, attempt]}
        view, done = None, 0
        for _ in range(6 * frames):
            if done < frames:
                follow = sequence and view is not None
                new = views.nearby(view, rng) if follow else views.choose(scene, plan, rng, fx, limits, **camera)
                if new is None:
                    break
                if write_frame(scene, paths[done], new, fx, limits, about) is not None:
                    view, done = new, done + 1
        if done == frames:
            return
    print(f"{folder}: no valid view in {ATTEMPTS} scenes", flush=True)


def room_jobs():
    """(split, index, frames): 80 train rooms, 8 of them with three neighbouring frames, among them 24 val rooms."""
    for k in range(ROOMS):
        yield "train", k, 3 if k % 10 == 3 else 1
        if k < 72 and k % 3 == 0:
            yield "val", k // 3, 1


def render_rooms(args):
    for split, index, frames in selected(args, list(room_jobs())):
        folder = args.out / "rooms" / split / f"room_{index + (100 if split == 'val' else 0):04d}"
        render_scene(args, split, index, folder, rooms.room, frames, (ROOM_FOV, ROOM_FOV), views.Limits(), True)


def render_more(args):
    """Further training rooms, from number 80 on, one frame each: for a learning curve."""
    for index in selected(args, list(range(ROOMS, ROOMS + args.start + (args.count or 100)))):
        folder = args.out / "more" / "train" / f"room_{index:04d}"
        render_scene(args, "train", index, folder, rooms.room, 1, (ROOM_FOV, ROOM_FOV), views.Limits())


def selected(args, jobs):
    """The slice that --start and --count ask for; --part I/N takes every N-th of them."""
    jobs = jobs[args.start : args.start + args.count if args.count else None]
    return jobs[args.part[0] :: args.part[1]]


def render_halls(args):
    import halls

    for index in selected(args, list(range(16))):
        folder = args.out / "halls" / "val" / f"hall_{index:04d}"
        render_scene(
            args,
            "val",
            index,
            folder,
            halls.numbered(index),
            1,
            (70.0, 90.0),
            halls.LIMITS,
            height=(1.2, 2.0),
            tilt=(-14.0, 2.0),
        )


def render_mixed(args):
    """Rooms and halls seen by all sorts of cameras; `--views` frames a scene, 1 in 4 scenes is a hall, some are val."""
    import halls

    for index in selected(args, list(range(args.start + (args.count or 100)))):
        hall, split = index % 4 == 3, "val" if index % 20 == 10 or index % 40 == 31 else "train"
        folder = args.out / "mixed" / split / f"{'hall' if hall else 'room'}_{index:05d}"
        render_scene(
            args,
            split,
            index,
            folder,
            halls.hall if hall else rooms.room,
            args.views,
            args.fov,
            halls.LIMITS if hall else views.Limits(0.4, 10.0, 1.5, 0.25, 4),
            height=(0.6, 2.1),
            tilt=(-30.0, 8.0),
        )


def render_teaching(args):
    import teaching

    teaching.render(args, lambda index: generator(args, "train", index), write_frame, is_done)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("set", choices=SETS)
    parser.add_argument("--out", type=Path, required=True, help="raw folder")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--size", type=lambda s: tuple(map(int, s.split("x"))), default=(640, 480), help="WxH")
    parser.add_argument("--count", type=int, help="how many scenes (default: all of the set; mixed, more: 100)")
    parser.add_argument("--start", type=int, default=0, help="first scene")
    parser.add_argument(
        "--part",
        type=lambda s: tuple(map(int, s.split("/"))),
        default=(0, 1),
        metavar="I/N",
        help="this process renders every N-th scene from the I-th on",
    )
    parser.add_argument("--samples", type=int, default=6, help="samples a pixel before denoising")
    parser.add_argument("--threads", type=int, default=0, help="0: all cores")
    parser.add_argument("--views", type=int, default=2, help="frames a scene of `mixed`")
    parser.add_argument(
        "--fov",
        type=float,
        nargs=2,
        default=(40.0, 90.0),
        metavar=("LOW", "HIGH"),
        help="horizontal fields of view of `mixed`, degrees",
    )
    args = parser.parse_args()
    renders = {
        "rooms": render_rooms,
        "more": render_more,
        "halls": render_halls,
        "teaching": render_teaching,
        "mixed": render_mixed,
    }
    renders[args.set](args)


if __name__ == "__main__":
    main()

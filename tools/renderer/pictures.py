"""Small images made with numpy, for paintings, rugs, screens and the view outside windows. All are (H, W, 3) sRGB in
[0, 1], row 0 on top."""

import colorsys

import numpy as np


def _color(rng, s=(0.1, 0.8), v=(0.2, 0.95)):
    return np.array(colorsys.hsv_to_rgb(rng.random(), rng.uniform(*s), rng.uniform(*v)))


def _smooth_noise(rng, h, w, octaves=5):
    """Sum of bilinearly enlarged random grids, in [0, 1]."""
    total, out = 0.0, np.zeros((h, w))
    for o in range(octaves):
        n = 2 ** (o + 1) + 1
        grid = rng.random((n, n))
        y, x = np.linspace(0, n - 1.001, h), np.linspace(0, n - 1.001, w)
        i, j = y.astype(int), x.astype(int)
        fy, fx = (y - i)[:, None], (x - j)[None]
        g = (grid[np.ix_(i, j)] * (1 - fx) + grid[np.ix_(i, j + 1)] * fx) * (1 - fy) + (
            grid[np.ix_(i + 1, j)] * (1 - fx) + grid[np.ix_(i + 1, j + 1)] * fx
        ) * fy
        out += g * 0.5**o
        total += 0.5**o
    return out / total


def landscape(rng, h=120, w=160):
    """Sky, ridges and a foreground."""
    y = np.linspace(0, 1, h)[:, None, None]
    image = (1 - y) * _color(rng, (0.2, 0.7), (0.5, 0.9)) + y * _color(rng, (0.05, 0.3), (0.8, 1))
    image = np.repeat(image, w, 1) * (0.85 + 0.3 * _smooth_noise(rng, h, w)[..., None])
    for k in range(int(rng.integers(2, 5))):
        ridge = 0.35 + 0.15 * k + 0.35 * (_smooth_noise(rng, 2, w, 6)[0] - 0.5)
        image[np.linspace(0, 1, h)[:, None] > ridge] = _color(rng, (0.2, 0.6), (0.15, 0.6))
    return np.clip(image * (0.8 + 0.4 * _smooth_noise(rng, h, w, 7)[..., None]), 0, 1)


def abstract(rng, h=120, w=120):
    """Blocks and discs."""
    yy, xx = np.mgrid[0:h, 0:w] / max(h, w)
    image = np.ones((h, w, 3)) * _color(rng, (0, 0.3), (0.7, 1))
    for _ in range(int(rng.integers(3, 12))):
        cx, cy, r = rng.random(), rng.random(), rng.uniform(0.05, 0.35)
        if rng.random() < 0.5:
            inside = (np.abs(xx - cx) < r) & (np.abs(yy - cy) < r * rng.uniform(0.2, 1.5))
        else:
            inside = (xx - cx) ** 2 + (yy - cy) ** 2 < r * r
        image[inside] = _color(rng)
    return np.clip(image * (0.9 + 0.2 * _smooth_noise(rng, h, w, 7)[..., None]), 0, 1)


def poster(rng, h=160, w=115):
    """A picture above lines of text."""
    image = np.ones((h, w, 3)) * _color(rng, (0, 0.4), (0.6, 1))
    top = int(h * rng.uniform(0.45, 0.75))
    image[6:top, 6:-6] = (landscape if rng.random() < 0.6 else abstract)(rng, top - 6, w - 12)
    ink = _color(rng, (0, 0.5), (0, 0.3))
    for y in range(top + 8, h - 6, 7):
        image[y : y + 3, 10 : 10 + int((w - 20) * rng.uniform(0.4, 1))] = ink
    return image


def rug(rng, h=160, w=240):
    """A symmetrical rug: borders and mirrored motifs."""
    quarter = np.digitize(_smooth_noise(rng, h // 2, w // 2, 5), np.sort(rng.uniform(0.3, 0.7, 4)))
    colors = np.array([_color(rng, (0.1, 0.75), (0.15, 0.85)) for _ in range(5)])
    if rng.random() < 0.35:
        quarter[:] = (np.arange(h // 2)[:, None] // int(rng.integers(6, 20))) % 5
    image = colors[np.block([[quarter, quarter[:, ::-1]], [quarter[::-1], quarter[::-1, ::-1]]])]
    for k, margin in enumerate((0, 8, 12, 20)):
        ring = np.zeros((h, w), bool)
        ring[margin : h - margin, margin : w - margin] = True
        ring[margin + 4 : h - margin - 4, margin + 4 : w - margin - 4] = False
        image[ring] = colors[(k + 1) % 5]
    return np.clip(image * (0.75 + 0.5 * rng.random((h, w, 1))), 0, 1)


def screen(rng, h=100, w=160):
    """A computer screen: windows, text lines, a picture."""
    image = np.ones((h, w, 3)) * _color(rng, (0.2, 0.7), (0.1, 0.5))
    image[8:-6, 10:-10] = 0.95 if rng.random() < 0.6 else 0.12
    ink = 0.3 if image[20, 20, 0] > 0.5 else 0.75
    for y in range(16, h - 12, 5):
        start = 14 + 6 * int(rng.integers(0, 3))
        image[y : y + 2, start : start + int(rng.uniform(10, w * 0.5))] = ink * rng.uniform(0.6, 1.2, 3).clip(0, 1)
    image[16:46, w - 56 : w - 16] = landscape(rng, 30, 40)
    return image


def outside(rng, h=120, w=120):
    """What a window shows, out of focus: bright sky, house fronts or a mass of leaves, ground."""
    yy = np.linspace(0, 1, h)[:, None]
    image = (1 - yy[..., None]) * np.array([0.62, 0.76, 0.95]) + yy[..., None] * np.array([0.95, 0.96, 0.97])
    image = np.repeat(image, w, 1) * (0.92 + 0.1 * _smooth_noise(rng, h, w, 3)[..., None])
    horizon = rng.uniform(0.45, 0.7)
    if rng.random() < 0.4:
        x = 0
        while x < w:
            width, top = int(rng.integers(18, 50)), int(h * rng.uniform(0.2, horizon))
            house = _color(rng, (0.03, 0.3), (0.5, 0.85))
            image[top:, x : x + width] = house
            for k in range(x + 4, min(x + width, w) - 6, 10):
                image[top + 6 : int(h * 0.9), k : k + 5][np.arange(int(h * 0.9) - top - 6) % 16 < 9] = house * 0.55
            x += width
    tree = _smooth_noise(rng, h, w, 6) + 1.1 * (yy - rng.uniform(0.3, 0.8)) > 0.5
    leaf = _color(rng, (0.2, 0.45), (0.3, 0.5)) * 0.5 + np.array([0.16, 0.27, 0.1])
    image[tree] = (leaf * (0.4 + 1.3 * _smooth_noise(rng, h, w, 7)[..., None]))[tree]
    image[(yy > 0.88).repeat(w, 1)] = _color(rng, (0.05, 0.25), (0.4, 0.6))
    for _ in range(2):  # a small blur: the camera is focused on the room
        image = (image + sum(np.roll(image, by, axis) for by in (1, -1) for axis in (0, 1))) / 5
    return np.clip(0.85 * image + 0.13, 0, 1)

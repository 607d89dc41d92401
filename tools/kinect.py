"""A simulated structured-light camera (the first Kinect): exact depth and a clean image in, what a sensor gives out.

Pure functions of their arguments and a `numpy.random.Generator`. Depth is planar, float32 metres, 0 = not measured.

The numbers follow Khoshelham & Elberink, "Accuracy and Resolution of Kinect Depth Data for Indoor Mapping
Applications", Sensors 2012: baseline 7.5 cm, disparity in steps of 1/8 pixel, so that a step in depth grows as z² (7 cm
at 5 m); random error of depth 1.4 mm·z² (z in metres), which is a constant error of disparity. That no depth is
measured in the projector's shadow, at grazing incidence, on dark or shining surfaces and beyond the range is described
there and by Mallick, Das & Majumdar, "Characterizations of Noise in Kinect Depth Images", IEEE Sensors Journal 2014;
the thresholds for these holes are our own.
"""

import cv2
import numpy as np

BASELINE_M = 0.075
WIDTH, STEPS_PER_PIXEL = 640, 8
SIGMA_Z_PER_Z2 = 1.425e-3  # 1/m
NEAR_M, FAR_M = 0.5, 8.0


def smooth_noise(rng, shape, sigma_px):
    """Gaussian noise of unit variance, correlated over `sigma_px` pixels."""
    noise = cv2.GaussianBlur(rng.standard_normal(shape), (0, 0), sigma_px)
    return noise / noise.std()


def shadow(disparity):
    """Pixels that the projector, a baseline to the right of the camera, doesn't see.

    The projector has a point of column u in its column u - disparity. Somewhere right of u a nearer point has the same
    or a smaller projector column exactly if it stands in the light."""
    column = np.arange(disparity.shape[1]) - disparity
    nearest = np.minimum.accumulate(column[:, ::-1], axis=1)[:, ::-1]
    return column > nearest + 1.0


def incidence(depth, k):
    """Cosine between viewing ray and surface normal, from differences of planar depth; `k` holds fx, fy, cx, cy."""
    zv, zu = np.gradient(depth.astype(np.float64))
    v, u = np.mgrid[: depth.shape[0], : depth.shape[1]]
    x, y = (u - k["cx"]) / k["fx"], (v - k["cy"]) / k["fy"]
    normal = np.stack([-k["fx"] * zu, -k["fy"] * zv, depth + (u - k["cx"]) * zu + (v - k["cy"]) * zv], -1)
    ray = np.stack([x, y, np.ones_like(x)], -1)
    cosine = (normal * ray).sum(-1) / (np.linalg.norm(normal, axis=-1) * np.linalg.norm(ray, axis=-1) + 1e-12)
    return np.abs(cosine)


def measure(depth, image, k, rng):
    """Sensor depth (H, W) of exact `depth` seen with `image` (H, W, 3) uint8: quantised, noisy, with holes."""
    held = depth > 0
    safe = np.where(held, depth, FAR_M * 2)
    fb = k["fx"] * BASELINE_M
    disparity = fb / safe
    noisy = disparity + SIGMA_Z_PER_Z2 * fb * smooth_noise(rng, depth.shape, 0.8)
    per_pixel = STEPS_PER_PIXEL * WIDTH / depth.shape[1]  # a smaller map is made from the sensor's, as steps show
    steps = np.maximum(np.round(noisy * per_pixel), 1)
    measured = fb * per_pixel / steps
    measured[~held | holes(safe, disparity, image, k, rng)] = 0
    return measured.astype(np.float32)


def holes(depth, disparity, image, k, rng):
    """Where nothing is measured. Thresholds wander smoothly over the image, which gives holes their ragged shapes."""
    shape = depth.shape
    fine, coarse = smooth_noise(rng, shape, 1.5), smooth_noise(rng, shape, 6.0)
    light = cv2.GaussianBlur(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32), (0, 0), 2.0)
    kernel = np.ones((3, 3), np.uint8)
    step = cv2.dilate(disparity, kernel) - cv2.erode(disparity, kernel)
    edge = cv2.dilate((step > 1.0).astype(np.uint8), np.ones((5, 5), np.uint8)).astype(bool)
    lost = shadow(disparity) | (edge & (fine > -0.4))
    lost |= incidence(depth, k) < 0.17 + 0.03 * coarse
    lost |= light < 14 + 7 * coarse + 2 * np.minimum(depth, FAR_M)  # absorbed; the return weakens with distance
    lost |= light > 246 + 5 * coarse  # lamps, panes, glare
    lost |= (depth > FAR_M - 0.4 + 0.3 * coarse) | (depth < NEAR_M)
    lost = cv2.morphologyEx(lost.astype(np.uint8), cv2.MORPH_CLOSE, kernel).astype(bool)
    lost[:, : int(rng.integers(4, 9))] = True  # the two cameras' images don't quite overlap
    return lost


def colour(image, rng):
    """The cheap colour camera: a little blur and noise (uint8 RGB in and out); JPEG comes with saving."""
    blurred = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.6, 1.0)).astype(np.float32)
    grain = np.stack([smooth_noise(rng, image.shape[:2], 0.7) for _ in range(3)], -1)
    level = rng.uniform(2.0, 4.5) * (0.6 + 0.4 * (1 - blurred / 255))
    return np.clip(np.round(blurred + level * grain), 0, 255).astype(np.uint8)

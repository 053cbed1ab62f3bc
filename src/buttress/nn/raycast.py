r"""Rays that meet a simple solid standing on a floor inside a square room, all at once.

A ray is followed by steps as long as its distance from the solid, $t \leftarrow t + d(o + t r)$, until it is there;
floor and walls are planes. Light comes from one side: a surface with normal n is as bright as
$a + (1 - a) \max(0, n \cdot l)$, and a place from which the light is hidden as $a$.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

__all__ = ["SOLIDS", "Solid", "room"]

Array = NDArray[Any]
Solid = Literal["cube", "cylinder", "sphere", "capsule"]
SOLIDS: tuple[Solid, ...] = ("cube", "cylinder", "sphere", "capsule")
WALL, DISTANCE, HEIGHT, AIM = 4.0, 3.7, 2.2, 0.75
"""Of the walls from the middle; of the camera from the middle and above the floor; and the height it looks at."""
ZOOM = 1.5
"""Half a picture's width over the distance at which it is seen is 1 / ZOOM."""
LIGHT = np.array([-0.35, -0.55, 0.76])
AMBIENT = 0.4
STEPS, NEAR = 40, 2e-3
"""Steps of a ray, and the distance at which it has arrived."""


def room(solid: Solid, scale: float, azimuth: float, size: int, fine: int = 3) -> Array:
    """How brightly each pixel shows the floor, the walls and the solid: uint8, shape (size, size, 3).

    Args:
        solid: What stands in the middle.
        scale: Its size, 1 for the radius of the sphere.
        azimuth: Of the camera about the middle, in radians.
        size: Pixels of a side.
        fine: Rays along each side of a pixel, whose mean it shows.

    Example:
        >>> picture = room("sphere", 1.0, 0.0, size=9, fine=1)
        >>> picture[8, 0].argmax(), picture[0, 0].argmax(), picture[4, 4].argmax()  # below, above, in the middle
        (np.int64(0), np.int64(1), np.int64(2))
    """
    eye, rays = _camera(azimuth, size * fine)
    far, normal, material = _planes(eye, rays)
    near = _reach(solid, scale, eye, rays)
    hit = near < far
    place = eye + np.where(hit, near, far)[:, None] * rays
    normal[hit] = _normal(solid, scale, place[hit])
    material[hit] = 2
    lit = np.maximum(0.0, normal @ LIGHT)
    hidden = ~hit & np.isfinite(_reach(solid, scale, place, np.broadcast_to(LIGHT, place.shape)))
    bright = AMBIENT + (1 - AMBIENT) * np.where(hidden, 0.0, lit)
    shown = np.eye(3)[material] * bright[:, None]
    tiles = shown.reshape(size, fine, size, fine, 3).mean((1, 3))
    return (255 * np.minimum(tiles, 1)).astype(np.uint8)


def _camera(azimuth: float, size: int) -> tuple[Array, Array]:
    """Where the camera is, shape (3,), and the direction of each ray, from above to below, shape (size^2, 3)."""
    eye = np.array([DISTANCE * math.sin(azimuth), -DISTANCE * math.cos(azimuth), HEIGHT])
    ahead = np.array([0.0, 0.0, AIM]) - eye
    ahead /= np.linalg.norm(ahead)
    right = np.cross(ahead, [0.0, 0.0, 1.0])
    right /= np.linalg.norm(right)
    up = np.cross(right, ahead)
    places = (np.arange(size) + 0.5) / size * 2 - 1
    y, x = np.meshgrid(-places, places, indexing="ij")
    rays = ZOOM * ahead + x.reshape(-1, 1) * right + y.reshape(-1, 1) * up
    return eye, rays / np.linalg.norm(rays, axis=1, keepdims=True)


def _planes(eye: Array, rays: Array) -> tuple[Array, Array, Array]:
    """The nearest of floor (material 0) and walls (1): how far, its normal, and which it is."""
    with np.errstate(divide="ignore", invalid="ignore"):
        floor = np.where(rays[:, 2] < 0, -eye[2] / rays[:, 2], np.inf)
        walls = (np.sign(rays[:, :2]) * WALL - eye[:2]) / rays[:, :2]
    far = np.column_stack([floor, np.where(rays[:, :2] == 0, np.inf, walls)])
    which = far.argmin(1)
    normal = np.zeros_like(rays)
    normal[which == 0, 2] = 1
    for axis in (0, 1):
        on = which == axis + 1
        normal[on, axis] = -np.sign(rays[on, axis])
    return far.min(1), normal, np.minimum(which, 1)


def _reach(solid: Solid, scale: float, start: Array, rays: Array) -> Array:
    """How far along its ray the solid is, shape (n,); infinite where the ray misses it."""
    start = np.broadcast_to(start, rays.shape)
    middle = np.array([0.0, 0.0, 1.2 * scale])
    along = ((middle - start) * rays).sum(1)
    apart = np.linalg.norm(start + along[:, None] * rays - middle, axis=1)
    close = np.flatnonzero((along > 0) & (apart < 1.7 * scale))  # of a ball around the solid
    o, r = start[close], rays[close]
    t = np.maximum(0.02, along[close] - 1.7 * scale)
    for _ in range(STEPS):
        t = t + _distance(solid, scale, o + t[:, None] * r)
    there = _distance(solid, scale, o + t[:, None] * r) < NEAR
    found = np.full(len(rays), np.inf)
    found[close[there]] = t[there]
    return found


def _distance(solid: Solid, scale: float, place: Array) -> Array:
    """Of places (n, 3) from the solid's surface, negative inside."""
    x, y, z = (place / scale).T
    if solid == "sphere":
        return scale * (np.sqrt(x**2 + y**2 + (z - 1) ** 2) - 1)
    if solid == "capsule":
        return scale * (np.sqrt(x**2 + y**2 + (z - np.clip(z, 0.6, 1.9)) ** 2) - 0.6)
    if solid == "cylinder":
        sides = np.stack([np.hypot(x, y) - 0.8, np.abs(z - 0.9) - 0.9])
    else:
        sides = np.stack([np.abs(x) - 0.75, np.abs(y) - 0.75, np.abs(z - 0.75) - 0.75])
    outside = np.sqrt((np.maximum(sides, 0) ** 2).sum(0))
    return scale * (outside + np.minimum(sides.max(0), 0))


def _normal(solid: Solid, scale: float, place: Array) -> Array:
    """Of the solid's surface at places (n, 3), by differences."""
    steps = 1e-4 * np.eye(3)
    slope = [_distance(solid, scale, place + s) - _distance(solid, scale, place - s) for s in steps]
    found = np.stack(slope, 1)
    return found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-12)

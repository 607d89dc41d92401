"""The floor plan of a room: what stands where, and how things are stood against walls, around tables and on rugs."""

import numpy as np
import shell
import storage as st
from clutter import Look
from meshes import place


class Plan:
    """The floor of a room [0, w] x [0, d] of height h: what is taken, and where its walls are."""

    def __init__(self, w, d, h, rng):
        self.w, self.d, self.h, self.rng = w, d, h, rng
        self.look, self.walls, self.taken = Look(rng), shell.walls_of(w, d), []

    def free(self, x0, x1, y0, y1, margin=0.0):
        return all(
            x1 + margin <= a or x0 - margin >= b or y1 + margin <= c or y0 - margin >= e for a, b, c, e in self.taken
        )

    def stand(self, item, x, y, turn, margin=0.02):
        """Stand an item at (x, y) if its footprint fits; its bulbs become lights. True if it does."""
        c, s = abs(np.cos(turn)), abs(np.sin(turn))
        w, d = (item.w * c + item.d * s) / 2, (item.w * s + item.d * c) / 2
        if x - w < 0.01 or y - d < 0.01 or x + w > self.w - 0.01 or y + d > self.d - 0.01 or item.h > self.h - 0.05:
            return False
        if not self.free(x - w, x + w, y - d, y + d, margin):
            return False
        self.taken.append((x - w, x + w, y - d, y + d))
        matrix = place(x, y, turn)
        item.mesh.object(matrix)
        for bx, by, bz, watts in item.bulbs:
            shell.light("POINT", matrix @ shell.downward(bx, by, bz), watts, self.look.warm, 0.04)
        return True

    def against(self, item, wall=None, s=None, gap=0.03, tries=12, margin=0.05):
        """Stand an item with its back to a wall, clear of doors and, if tall, of windows. The wall, or None."""
        for _ in range(tries):
            at = wall if wall is not None else self.walls[self.rng.integers(4)]
            if at.length < item.w + 0.1:
                continue
            where = s if s is not None else self.rng.uniform(item.w / 2 + 0.02, at.length - item.w / 2 - 0.02)
            x0, x1 = where - item.w / 2, where + item.w / 2
            if not at.clear(x0 - 0.1, x1 + 0.1, 0.0, item.h + 0.02):
                continue
            p = at.point(where, item.d / 2 + gap)
            if self.stand(item, p.x, p.y, at.turn, margin):
                at.used.append((x0, x1, item.h))
                return at
        return None

    def somewhere(self, item, tries=15, margin=0.1, turn=None):
        for _ in range(tries):
            x, y = self.rng.uniform(0.4, self.w - 0.4), self.rng.uniform(0.4, self.d - 0.4)
            if self.stand(item, x, y, self.rng.uniform(0, 6.3) if turn is None else turn, margin):
                return True
        return False

    def seats_around(self, item, x, y, turn, make, share=0.85, sides="nswe"):
        """Chairs at a table that stands at (x, y), facing it, partly pushed under it."""
        per_side = max(1, int(item.w // 0.62))
        places = [(sx * item.w / per_side, -1) for sx in np.arange(per_side) - (per_side - 1) / 2]
        spots = [(px, -item.d / 2 - 0.16, np.pi) for px, _ in places if "s" in sides]
        spots += [(px, item.d / 2 + 0.16, 0.0) for px, _ in places if "n" in sides]
        spots += [(-item.w / 2 - 0.18, 0.0, np.pi / 2)] * ("w" in sides)
        spots += [(item.w / 2 + 0.18, 0.0, -np.pi / 2)] * ("e" in sides)
        own = self.taken.pop()
        for px, py, face in spots:
            if self.rng.random() < share:
                p = place(x, y, turn) @ place(px, py).translation
                self.stand(make(), p.x, p.y, turn + face + self.rng.uniform(-0.12, 0.12), margin=-0.02)
        self.taken.append(own)


def rug_at(plan, x, y, w, d, turn=0.0):
    """A rug takes no place: furniture stands on it (8 mm of pile are neglected)."""
    x = np.clip(x, w / 2 + 0.05, plan.w - w / 2 - 0.05) if plan.w > w + 0.1 else plan.w / 2
    y = np.clip(y, d / 2 + 0.05, plan.d - d / 2 - 0.05) if plan.d > d + 0.1 else plan.d / 2
    st.rug(plan.look, min(w, plan.w - 0.1), min(d, plan.d - 0.1)).mesh.object(place(x, y, turn))

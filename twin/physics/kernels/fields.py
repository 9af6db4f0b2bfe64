"""Height fields: the triangles below a bound, found from the grid and not from a tree."""

from __future__ import annotations

import warp as wp

from twin.physics.kernels.data import RigidTables


@wp.struct
class Cells:
    """A block of cells, of which each is two triangles; ``at`` counts them."""

    column: int  # its first
    row: int
    columns: int  # how many
    at: int
    count: int  # triangles


@wp.func
def cells_below(t: RigidTables, f: int, p: wp.vec3, q: wp.quat, center: wp.vec3, half: wp.vec3) -> Cells:
    """Cells of field ``f`` at the pose (p, q) that a world-aligned bound [m] may touch."""
    out = Cells()
    c = wp.quat_rotate_inv(q, center - p)
    x = wp.quat_rotate_inv(q, wp.vec3(half[0], 0.0, 0.0))
    y = wp.quat_rotate_inv(q, wp.vec3(0.0, half[1], 0.0))
    z = wp.quat_rotate_inv(q, wp.vec3(0.0, 0.0, half[2]))
    r = wp.vec3(
        wp.abs(x[0]) + wp.abs(y[0]) + wp.abs(z[0]),
        wp.abs(x[1]) + wp.abs(y[1]) + wp.abs(z[1]),
        wp.abs(x[2]) + wp.abs(y[2]) + wp.abs(z[2]),
    )
    if c[2] - r[2] > t.field[f].highest or c[2] + r[2] < t.field[f].lowest:
        return out
    # clamped before they become integers: a bound may be anywhere
    last_column = float(t.field[f].columns - 2)
    last_row = float(t.field[f].rows - 2)
    left = wp.floor((c[0] - r[0]) / t.field[f].spacing_x)
    right = wp.floor((c[0] + r[0]) / t.field[f].spacing_x)
    below = wp.floor((c[1] - r[1]) / t.field[f].spacing_y)
    above = wp.floor((c[1] + r[1]) / t.field[f].spacing_y)
    if right < 0.0 or above < 0.0 or left > last_column or below > last_row:
        return out
    out.column = int(wp.clamp(left, 0.0, last_column))
    out.row = int(wp.clamp(below, 0.0, last_row))
    out.columns = int(wp.clamp(right, 0.0, last_column)) - out.column + 1
    out.count = 2 * out.columns * (int(wp.clamp(above, 0.0, last_row)) - out.row + 1)
    return out


@wp.func
def corner(t: RigidTables, f: int, p: wp.vec3, q: wp.quat, column: int, row: int) -> wp.vec3:
    """A corner of the grid, world [m]."""
    height = t.height[t.field[f].first + row * t.field[f].columns + column]
    return p + wp.quat_rotate(q, wp.vec3(float(column) * t.field[f].spacing_x, float(row) * t.field[f].spacing_y, height))


@wp.func
def field_triangle(t: RigidTables, f: int, p: wp.vec3, q: wp.quat, cells: Cells):
    """The triangle that ``cells`` is at, counter-clockwise seen from above."""
    cell = cells.at // 2
    column = cells.column + cell % cells.columns
    row = cells.row + cell // cells.columns
    second = cells.at % 2
    a = corner(t, f, p, q, column, row)
    b = corner(t, f, p, q, column + 1, row)
    c = corner(t, f, p, q, column + 1, row + 1)
    d = corner(t, f, p, q, column, row + 1)
    if t.split[t.field[f].first_split + row * (t.field[f].columns - 1) + column] == 0:
        if second == 0:
            return a, b, c
        return a, c, d
    if second == 0:
        return a, b, d
    return b, c, d

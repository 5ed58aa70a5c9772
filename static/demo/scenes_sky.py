"""What hangs in the sky. Each function draws the moment `t` in [0, 1) of its clip on a board of 720×1280."""

import math
import random

import numpy as np
import skia

from brush import PLUS, TAU, mix, smooth, wave


def aurora(b, t):
    """Curtains of northern light over a lake between firs."""
    b.fill((0, "#050a24"), (0.6, "#0d2a4a"), (1, "#1d4a63"), bottom=880)
    rng = random.Random(11)
    for _ in range(150):
        x, y, r = rng.uniform(0, 720), rng.uniform(0, 760), rng.uniform(0.7, 2.2)
        shine = 0.65 + 0.35 * math.sin(TAU * (rng.choice((1, 2)) * t + rng.random()))
        b.disc(x, y, r, "#eaf4ff", shine * rng.uniform(0.4, 1))
    light = _curtains(t)
    b.canvas.drawImageRect(
        light,
        skia.Rect.MakeWH(720, 880),
        skia.SamplingOptions(skia.CubicResampler.Mitchell()),
        b.paint("#ffffff", blend=PLUS),
    )
    far = lambda x: 800 - 70 * math.sin(x / 210 + 0.8) - 34 * math.sin(x / 83) - 8 * math.sin(x / 23)
    b.ground(far, shader=b.linear((0, 690), (0, 900), [(0, "#123553"), (1, "#0d2740")]))
    mid = lambda x: 838 - 42 * math.sin(x / 150 + 3.3) - 12 * math.sin(x / 47)
    b.ground(mid, shader=b.linear((0, 790), (0, 900), [(0, "#0c2238"), (1, "#081a2c")]))
    b.fill((0, "#174a5f"), (0.4, "#0c2d46"), (1, "#050f22"), top=872)
    with b.moved(0, 872 + 872 * 0.62, 0, 1, -0.62):
        b.canvas.drawImageRect(
            light,
            skia.Rect.MakeWH(720, 880),
            skia.SamplingOptions(skia.CubicResampler.Mitchell()),
            b.paint("#ffffff", 0.5, blend=PLUS),
        )
    for i in range(46):
        y = 880 + (i / 46) ** 1.4 * 400
        x = 360 + 330 * math.sin(i * 2.4) + wave(t, (10, 1, i))
        b.disc(x, y, 60 + 90 * (i % 3), "#9ff0d8", 0.05 + 0.05 * math.sin(TAU * t + i), ry=1.6 + i / 22)
    trees = random.Random(3)
    for side in (0, 1):
        for i in range(9):
            x = (i * 30 - 24) if side == 0 else 744 - i * 27
            _fir(
                b,
                x + trees.uniform(-8, 8),
                1010 + i * -11 + trees.uniform(-6, 6),
                330 - i * 26 + trees.uniform(-26, 26),
            )
    bank = lambda x: 1010 + 330 * math.exp(-(((x - 400) / 230) ** 2)) + 7 * math.sin(x / 31)
    b.ground(bank, "#040b16")


def _curtains(t):
    """The light as an image of a quarter of the size: it is soft, so nobody sees the difference."""
    y, x = np.mgrid[0:220, 0:180].astype(np.float32) * 4
    total = np.zeros((220, 180, 4), dtype=np.float32)
    bands = [
        (560, 0.0, 1, 1.0, (0.16, 1.0, 0.55)),
        (430, 2.0, -1, 0.8, (0.2, 0.85, 0.8)),
        (300, 4.4, 1, 0.6, (0.65, 0.35, 1.0)),
    ]
    for base, p, way, power, rgb in bands:
        turn = TAU * t * way
        foot = base + 90 * np.sin(x / 170 + p + 0.6 * np.sin(turn)) + 34 * np.sin(x / 71 + turn + p) - (x - 360) * 0.22
        rays = 0.62 + 0.24 * np.sin(x / 23 + 2 * np.sin(x / 90 + turn) + p) + 0.14 * np.sin(x / 9 - turn + p)
        fold = 0.6 + 0.4 * np.sin(x / 120 - turn + p * 2)
        above = foot - y
        shape = np.where(above > 0, np.exp(-above / (190 + 80 * rays)), np.exp(above / 16))
        strength = power * shape * rays * fold
        high = np.clip(above / 300, 0, 1)
        for c, (low, up) in enumerate(zip(rgb, (0.55, 0.25, 0.9))):
            total[:, :, c] += strength * (low * (1 - high) + up * high) * 1.45
    total[:, :, 3] = total[:, :, :3].max(axis=2)
    return skia.Image.fromarray((np.clip(total, 0, 1) * 255).astype(np.uint8), colorType=skia.kRGBA_8888_ColorType)


def _fir(b, x, foot, height):
    left, right = [], []
    steps = 9
    for i in range(steps):
        y = foot - height * (1 - i / steps)
        w = height * 0.2 * (i + 0.6) / steps
        left += [(x - w, y + height * 0.1), (x - w * 0.5, y + height * 0.085)]
        right += [(x + w, y + height * 0.1), (x + w * 0.5, y + height * 0.085)]
    b.path([(x, foot - height), *right, (x + 4, foot + 40), (x - 4, foot + 40), *left[::-1]], "#040b16")


def balloons(b, t):
    """Balloons over a sea of clouds at sunrise."""
    b.fill((0, "#6f8fd6"), (0.35, "#b6b4e2"), (0.62, "#f6c9c5"), (0.8, "#ffe3bd"), (1, "#fff1d6"))
    b.glow(520, 800, 560, "#fff0b8", 0.9)
    b.disc(520, 800, 62, "#fffbe6")
    for i, (c, base, size, length) in enumerate([("#c9b3d9", 830, 60, 190), ("#a895cb", 880, 76, 150)]):
        peaks = lambda x: (
            base - size * (0.6 * math.sin(x / length + i * 2 + 1) + 0.4 * abs(math.sin(x / (length * 0.43) + i)))
        )
        b.ground(peaks, shader=b.linear((0, base - size), (0, base + 190), [(0, c), (1, "#fbdfcf")]))
    _clouds(b, t, 930, 150, 40, 1, "#ffeadb", "#f3c9cc")
    fleet = [
        (560, 250, 0.62, ("#f4a259", "#fff0d4", "#d1495b"), 0.0),
        (140, 520, 0.5, ("#3d7ea6", "#e8f1f2", "#f2b134"), 2.0),
        (600, 610, 0.36, ("#7b5ea7", "#ffd6e0", "#7b5ea7"), 4.0),
        (300, 400, 1.28, ("#d1495b", "#fff0d4", "#edae49"), 1.0),
    ]
    for x, y, size, dyes, p in fleet:
        _balloon(
            b, x + wave(t, (12 * size, 1, p)), y + wave(t, (22 * size, 1, p + 1.2)), size, dyes, wave(t, (1.6, 1, p))
        )
    _clouds(b, t, 1010, 240, 62, 1, "#fff4e8", "#eab9c4")
    _clouds(b, t, 1120, 360, 92, 1, "#ffffff", "#dda6bd")


def _clouds(b, t, base, period, puff, way, light, shade):
    """A bank that repeats every `period` pixels, and moves by one period in a loop."""
    shapes = random.Random(period)
    puffs = [(shapes.uniform(0, period), shapes.uniform(-0.35, 0.3), shapes.uniform(0.55, 1.0)) for _ in range(6)]
    shader = b.linear((0, base - puff * 1.3), (0, base + 170), [(0, light), (1, shade)])
    for tile in range(-2, 720 // period + 3):
        for x, y, r in puffs:
            b.disc(tile * period + x + way * t * period, base + y * puff, r * puff, shader=shader)
    b.box(-9, base, 729, 1289, 0, shader=shader)


def _balloon(b, x, y, size, dyes, tilt):
    with b.moved(x, y, tilt, size):
        for k in (-1, -0.35, 0.35, 1):
            b.line(k * 46, 128, k * 22, 188, "#6b4a3a", 2.4)
        b.box(-26, 186, 26, 226, 8, shader=b.linear((-26, 0), (26, 0), [(0, "#c98d55"), (1, "#7c4a2c")]))
        b.box(-30, 182, 30, 194, 6, "#8d5a36")
        outline = lambda k: [
            (k * 130 * math.sin(math.pi * min(1, (i / 24) ** 0.82 * 0.86)), -150 + 290 * i / 24) for i in range(25)
        ]
        gores = [-1, -0.8, -0.5, -0.17, 0.17, 0.5, 0.8, 1]
        for i, (left, right) in enumerate(zip(gores, gores[1:])):
            shape = outline(left) + outline(right)[::-1]
            b.path(shape, dyes[i % 2] if i != 3 else dyes[2])
        shape = outline(-1) + outline(1)[::-1]
        b.path(
            shape,
            shader=b.linear(
                (-130, 0),
                (130, 0),
                [(0, "#38184a", 0.38), (0.35, "#38184a", 0.05), (0.72, "#fff2c0", 0.22), (1, "#fff2c0", 0.0)],
            ),
        )
        b.path(
            shape, shader=b.linear((0, -150), (0, 140), [(0, "#ffffff", 0.2), (0.5, "#ffffff", 0), (1, "#38184a", 0.3)])
        )
        b.box(-50, 128, 50, 142, 6, mix(dyes[0], "#40203a", 0.35))


def lanterns(b, t):
    """Paper lanterns rise from a lake. A lantern takes the place of the next one in its chain: that is the loop."""
    b.fill((0, "#0a0e2c"), (0.45, "#252458"), (0.8, "#5b3a6e"), (1, "#a85a6c"), bottom=960)
    stars = random.Random(2)
    for _ in range(90):
        shine = 0.6 + 0.4 * math.sin(TAU * (t + stars.random()))
        b.disc(
            stars.uniform(0, 720),
            stars.uniform(0, 620),
            stars.uniform(0.6, 1.8),
            "#fff6e0",
            shine * stars.uniform(0.3, 0.9),
        )
    for i, c in enumerate(["#43335f", "#2c2449", "#1b1836"]):
        ridge = lambda x: (
            890 + i * 26 - (70 - 18 * i) * math.sin(x / (190 - 40 * i) + 1.7 * i + 0.4) - 14 * math.sin(x / 41 + i)
        )
        b.ground(ridge, c)
    b.fill((0, "#4d3560"), (0.3, "#231f48"), (1, "#090b22"), top=960)
    chains = [
        (90, 0.34, 190),
        (630, 0.3, 170),
        (250, 0.42, 230),
        (480, 0.46, 250),
        (590, 0.66, 330),
        (140, 0.78, 380),
        (400, 1.15, 520),
    ]
    for x, size, gap in chains:
        for k in range(-1, 2200 // gap + 1):
            y = 1290 - (k + t) * gap + (x * 7 % gap)
            y = y if size > 0.6 else y * 0.75
            sway = 26 * math.sin(y / 150 + x)
            lit = smooth((1330 - y) / 220)
            if size < 0.6 and y < 905:
                b.glow(x + sway, 960 + (960 - y) * 0.36, 46 * size + 16, "#ff9a4d", 0.5 * smooth((y + 300) / 1100))
            if size > 0.6 or y < 930:
                _lantern(b, x + sway, y, size * (0.72 + 0.28 * smooth(y / 1000)), 5 * math.cos(y / 150 + x), lit)
    for i in range(40):
        y = 970 + (i / 40) ** 1.5 * 310
        b.disc(
            360 + 350 * math.sin(i * 2.4),
            y,
            40 + 70 * (i % 3),
            "#ffb27a",
            0.05 + 0.045 * math.sin(TAU * t + i * 1.7),
            ry=1.5 + i / 20,
        )


def _lantern(b, x, y, size, tilt, lit):
    b.glow(x, y, 190 * size, "#ff9440", 0.62 * lit)
    with b.moved(x, y, tilt, size):
        shape = [(-40, 58), (-52, 0), (-48, -52), (-26, -70), (26, -70), (48, -52), (52, 0), (40, 58)]
        b.curve(
            shape,
            close=True,
            shader=b.radial((0, 46), 136, [(0, "#fff6c8"), (0.35, "#ffcf73"), (0.7, "#f5893c"), (1, "#c9512f")]),
        )
        for k in (-0.5, 0.5):
            b.curve([(k * 78, 56), (k * 100, 0), (k * 88, -54)], "#b4472a", 0.35, width=2)
        b.disc(0, 58, 40, "#8a3420", 0.9, ry=7)
        b.disc(0, 57, 30, "#fff8d8", 0.95, ry=5)

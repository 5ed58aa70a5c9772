"""Water and flowers. Each function draws the moment `t` in [0, 1) of its clip on a board of 720×1280."""

import math
import random

from brush import TAU, mix, smooth, spline, wave


def dusk_waves(b, t):
    """The sun goes down behind nine rows of waves; a small boat keeps its place."""
    b.fill((0, "#1f1c4d"), (0.35, "#6a3a7c"), (0.62, "#d8616b"), (0.85, "#f9a05f"), (1, "#ffd08a"), bottom=620)
    b.glow(360, 560, 520, "#ffb46b", 0.75)
    b.disc(360, 540, 104, "#fff0c4")
    b.glow(360, 540, 190, "#ffe9b0", 0.8)
    for i, (x, y, r) in enumerate([(150, 300, 190), (560, 230, 230), (420, 410, 260), (90, 455, 170)]):
        x += wave(t, (14, 1, i * 1.9))
        b.disc(x, y, r, mix("#7d4a86", "#ffc49a", y / 520), 0.42, ry=9, blur=7)
        b.disc(x + 50, y + 16, r * 0.6, mix("#7d4a86", "#ffc49a", y / 500), 0.35, ry=7, blur=6)
    for i in range(5):
        flap = 7 + wave(t, (5, 5, i))
        x, y = 190 + i * 34, 190 + abs(i - 1) * 22
        b.curve(
            [(x - 14, y - flap), (x - 5, y - 1), (x, y + 3), (x + 5, y - 1), (x + 14, y - flap)],
            "#2a1f48",
            0.8,
            width=3,
        )
    rows = 10
    for i in range(rows):
        k = i / (rows - 1)
        base = 612 + 640 * k**1.35
        size = 3 + 26 * k
        length = 150 + 420 * k
        turn = (1 if i % 2 else -1) * (1 if i > 3 else 2)
        level = lambda x: (
            base
            + size * math.sin(x / length * TAU + TAU * t * turn + i * 2.1)
            + size * 0.45 * math.sin(x / length * 2.3 * TAU - TAU * t * turn + i)
        )
        near, far = mix("#f59a68", "#221a52", min(1, k * 1.25) ** 0.7), mix("#c95f70", "#120f36", k)
        b.ground(level, shader=b.linear((0, base - size), (0, base + 120 + 120 * k), [(0, near), (1, far)]))
        b.curve([(x, level(x) + 1) for x in range(-20, 760, 20)], "#ffd9a8", 0.5 - 0.38 * k, width=1.5 + 2 * k)
        rng = random.Random(i)
        for _ in range(16):
            x = rng.gauss(360, 60 + 70 * k)
            shine = 0.5 + 0.5 * math.sin(TAU * (t * rng.choice((1, 2)) + rng.random()))
            y = level(x) + 8 + rng.random() * (18 + 70 * k)
            b.disc(x, y, (12 + 26 * k) * (0.4 + shine), "#ffe3ae", 0.62 * shine * (1 - 0.55 * k), ry=1.6 + 2.6 * k)
        if i == 3:
            _boat(b, 520, level(520) + 4, wave(t, (4, 1, 0.4)))


def _boat(b, x, y, tilt):
    with b.moved(x, y, tilt, 1.15):
        b.path([(2, -112), (2, -16), (58, -16)], "#fff3df")
        b.path([(-4, -98), (-4, -16), (-40, -16)], "#ffd9b8")
        b.line(-1, -118, -1, -6, "#40233f", 3)
        b.curve([(-58, -10), (-40, 10), (40, 10), (62, -10)], "#40233f", close=True)


def koi_pond(b, t):
    """Three koi on their rounds below lily pads; rings spread where they rise."""
    shader = b.radial((300, 480), 980, [(0, "#2f8f8c"), (0.5, "#17616c"), (1, "#0a2f42")])
    b.box(0, 0, 720, 1280, 0, shader=shader)
    rng = random.Random(5)
    for _ in range(26):
        x, y, r = rng.uniform(0, 720), rng.uniform(0, 1280), rng.uniform(18, 60)
        b.disc(x, y, r, "#0c4450", 0.35, ry=r * 0.7, blur=9)
    for i in range(9):
        points = [(x, 90 + i * 150 + 40 * math.sin(x / 130 + i * 2)) for x in range(-40, 800, 40)]
        b.curve(points, "#9fe3d4", 0.07, width=16, blur=8)
    fish = [
        (360, 700, 215, 380, 0.00, 1, 1.25, "#fff6ea", "#ee5a24"),
        (350, 560, 190, 250, 0.48, -1, 1.0, "#f8a13a", "#fff1d6"),
        (390, 800, 230, 300, 0.30, 1, 1.05, "#fdf3e4", "#2b2b38"),
    ]
    for x, y, rx, ry, start, way, size, skin, patch in fish:
        _koi(b, lambda u: _round(x, y, rx, ry, way * (t + u) + start), size, skin, patch, t, dark=True)
    for x, y, rx, ry, start, way, size, skin, patch in fish:
        _koi(b, lambda u: _round(x, y, rx, ry, way * (t + u) + start), size, skin, patch, t)
    for x, y, start, reach in [(210, 330, 0.1, 150), (520, 640, 0.55, 190), (250, 1010, 0.8, 170)]:
        for late in (0, 0.09, 0.18):
            k = (t + start - late) % 1
            b.ring(x, y, 10 + reach * k, "#e8fff6", 0.5 * (1 - k) ** 2, width=3.5 - 2 * k, ry=(10 + reach * k) * 0.86)
    pads = [
        (95, 150, 118, 20),
        (250, 70, 80, 200),
        (640, 250, 96, 120),
        (640, 1150, 142, 250),
        (455, 1225, 92, 60),
        (70, 1130, 100, 310),
    ]
    for i, (x, y, r, turn) in enumerate(pads):
        _pad(b, x + wave(t, (5, 1, i)), y + wave(t, (4, 1, i * 2.2)), r, turn + wave(t, (3, 1, i * 1.3)), i)
    _lotus(b, 618 + wave(t, (5, 1, 3)), 1120 + wave(t, (4, 1, 6.6)), 1.25)
    _lotus(b, 108 + wave(t, (5, 1, 0)), 140 + wave(t, (4, 1, 0)), 0.95)


def _round(x, y, rx, ry, u):
    a = TAU * u
    return x + rx * math.sin(a) + 30 * math.sin(2 * a), y - ry * math.cos(a) + 30 * math.sin(3 * a)


def _koi(b, place, size, skin, patch, t, dark=False):
    """A fish whose spine follows its own way, with the tail beating across it."""
    n = 22
    spine, sides = [], []
    for i in range(n):
        x, y = place(-i * 0.0062 * size)
        x2, y2 = place(-i * 0.0062 * size - 0.002)
        a = math.atan2(y - y2, x - x2)
        beat = (i / n) ** 1.6 * 15 * size * math.sin(TAU * (3 * t - i / n * 0.9))
        spine.append((x - math.sin(a) * beat + (26 if dark else 0), y + math.cos(a) * beat + (40 if dark else 0)))
        sides.append(a)
    girth = [size * 34 * math.sin(math.pi * min(1, (i + 1.2) / n) ** 0.62) ** 0.8 + 2 for i in range(n)]
    edge = lambda i, s: (spine[i][0] - math.sin(sides[i]) * s, spine[i][1] + math.cos(sides[i]) * s)
    body = [edge(i, girth[i]) for i in range(n)] + [edge(i, -girth[i]) for i in range(n - 1, -1, -1)]
    back = sides[-1] + math.pi + 0.5 * math.sin(TAU * (3 * t - 1))
    tip = lambda a, r: (spine[-1][0] + math.cos(back + a) * r * size, spine[-1][1] + math.sin(back + a) * r * size)
    tail = [
        edge(n - 2, girth[-2]),
        tip(0.5, 84),
        tip(0.2, 62),
        tip(0, 44),
        tip(-0.2, 62),
        tip(-0.5, 84),
        edge(n - 2, -girth[-2]),
    ]
    fins = []
    for s in (1, -1):
        a = sides[6] + s * (2.05 + 0.2 * math.sin(TAU * 2 * t + s))
        root = edge(5, s * girth[5] * 0.8)
        out = lambda da, r: (root[0] + math.cos(a + da) * r * size, root[1] + math.sin(a + da) * r * size)
        fins.append([root, out(-0.35 * s, 44), out(0.1 * s, 62), out(0.5 * s, 40), edge(9, s * girth[9] * 0.8)])
    if dark:
        for shape in (tail, *fins, body):
            b.curve(shape, "#062430", 0.38, close=True, blur=13)
        return
    for shape in (tail, *fins):
        b.curve(shape, mix(skin, patch, 0.25), 0.78, close=True)
    b.curve(body, skin, close=True)
    b.canvas.save()
    b.canvas.clipPath(spline(body, True), doAntiAlias=True)
    for i, off, r in [(2, 8, 22), (7, -14, 34), (8, -4, 26), (13, 12, 26), (15, 6, 20), (19, -4, 15)]:
        b.disc(*edge(i, off * size), r * size, patch, 0.96)
    b.curve([edge(i, -girth[i]) for i in range(n)], "#3a1a10", 0.25, width=14, blur=7)
    b.curve(spine[3:], "#ffffff", 0.28, width=9, blur=5)
    b.canvas.restore()
    b.curve(spine[6:17], mix(patch, "#803010", 0.4), 0.5, width=4)
    for s in (1, -1):
        b.disc(*edge(2, s * girth[2] * 0.72), 4.2 * size, "#1b1420")


def _pad(b, x, y, r, turn, i):
    b.disc(x + 14, y + 26, r, "#05222b", 0.4, blur=12)
    with b.moved(x, y, turn, r / 100):
        rim = [(100 * math.cos(a / 40 * 5.9 + 0.19), 100 * math.sin(a / 40 * 5.9 + 0.19)) for a in range(41)]
        green = ["#5fae57", "#4b9a58", "#74b85c"][i % 3]
        b.path(
            [(0, 0), *rim],
            shader=b.radial(
                (0, 0), 104, [(0, mix(green, "#e6f5a0", 0.35)), (0.8, green), (1, mix(green, "#12402f", 0.35))]
            ),
        )
        for k in range(1, 12):
            a = 0.19 + 5.9 * k / 12
            b.line(8 * math.cos(a), 8 * math.sin(a), 88 * math.cos(a), 88 * math.sin(a), "#dff0a8", 1.8, 0.4)


def _lotus(b, x, y, size):
    with b.moved(x, y, 0, size):
        for count, reach, c, off in [(9, 74, "#f58fb0", 0), (8, 58, "#f9aec6", 0.35), (6, 40, "#fdd3de", 0.1)]:
            for k in range(count):
                with b.moved(0, 0, math.degrees(off) + 360 * k / count):
                    shape = [(0, 0), (reach * 0.45, -15), (reach, 0), (reach * 0.45, 15)]
                    b.curve(shape, close=True, shader=b.linear((0, 0), (reach, 0), [(0, "#fff3ea"), (1, c)]))
        b.disc(0, 0, 13, "#f7c948")
        for k in range(10):
            b.disc(9 * math.cos(k * 0.628), 9 * math.sin(k * 0.628), 2.4, "#d98b1f")


def sunflower(b, t):
    """A sunflower in the wind. Its seeds move outwards by one Fibonacci number in a loop, so the end is the beginning."""
    b.fill((0, "#58a7c9"), (0.45, "#a9d8d8"), (0.75, "#fdeebf"), (1, "#f6d488"))
    b.glow(610, 170, 420, "#fffbe0", 0.9)
    rng = random.Random(31)
    for _ in range(14):
        x, y, r = rng.uniform(0, 720), rng.uniform(760, 1280), rng.uniform(40, 96)
        b.disc(x, y, r, rng.choice(["#f7c843", "#8fbf5a", "#ffe79a", "#6faa58"]), 0.3, blur=8)
    b.ground(
        lambda x: 1130 - 40 * math.sin(x / 190 + 1),
        shader=b.linear((0, 1090), (0, 1280), [(0, "#7fb257"), (1, "#3f7f45")]),
    )
    lean = wave(t, (14, 1, 0), (4, 2, 1))
    x, y = 360 + lean, 520
    b.curve([(352, 1300), (340, 1080), (352 + lean * 0.4, 840), (x, y)], "#4c8a3d", width=30)
    b.curve([(346, 1300), (334, 1080), (346 + lean * 0.4, 840), (x - 6, y)], "#8fc25e", 0.6, width=7)
    for side, foot, turn, size in [(1, 930, -28, 1.35), (-1, 1040, 204, 1.5), (1, 1130, -14, 1.1)]:
        with b.moved(346 + lean * 0.3 * (1300 - foot) / 460, foot, turn + side * wave(t, (4, 1, foot)), size):
            shape = [(0, 0), (50, -44), (118, -40), (186, 6), (120, 40), (48, 34)]
            b.curve(shape, close=True, shader=b.linear((0, 0), (180, 0), [(0, "#3f7f3a"), (1, "#86bd58")]))
            b.curve([(6, 0), (90, 2), (166, 4)], "#d6ebac", 0.6, width=3)
    turn = wave(t, (3.5, 1, 0.6))
    with b.moved(x, y, turn):
        for count, near, far, wide, c, d, off in [
            (21, 120, 296, 44, "#f3a712", "#e4851b", 0.5),
            (21, 110, 262, 42, "#ffd23f", "#f7a91e", 0),
        ]:
            for k in range(count):
                with b.moved(0, 0, 360 * (k + off) / count + wave(t, (2, 1, k * 1.7), (1, 2, k))):
                    shape = [
                        (near, -wide * 0.4),
                        ((near + far) / 2, -wide * 0.62),
                        (far, 0),
                        ((near + far) / 2, wide * 0.62),
                        (near, wide * 0.4),
                    ]
                    b.curve(
                        shape,
                        close=True,
                        shader=b.linear((near, 0), (far, 0), [(0, d), (0.55, c), (1, mix(c, "#fff6c2", 0.35))]),
                    )
                    b.line(near + 24, 0, far - 44, 0, d, 3, 0.55)
        b.disc(6, 14, 158, "#8a4a12", 0.35, blur=12)
        b.disc(0, 0, 150, shader=b.radial((0, 0), 150, [(0, "#6b4a1e"), (0.55, "#4a2a17"), (1, "#341b12")]))
        _seeds(b, t)
    a = TAU * t
    _bee(b, 380 + 250 * math.sin(a), 300 + 110 * math.sin(2 * a) - 60 * math.cos(a), math.cos(a) > 0, t)


def _seeds(b, t):
    golden = math.pi * (3 - math.sqrt(5))
    step, turns = 13, 5
    for i in range(230, -step, -1):
        n = i + t * step
        r = 9.6 * math.sqrt(max(0, n))
        if n < 0.01 or r > 142:
            continue
        a = i * golden + t * (step * golden - turns * TAU)
        k = r / 142
        c = mix(mix("#b7c95a", "#e8a33a", smooth(k * 2)), "#8a5220", smooth(k * 2 - 1))
        b.disc(r * math.cos(a), r * math.sin(a), (3 + 2.6 * k) * smooth(n / 5) * smooth((1 - k) * 14), c)


def _bee(b, x, y, right, t):
    with b.moved(x, y + wave(t, (5, 6, 0)), -8 if right else 8, 1 if right else -1, 1):
        for k in (0, 1):
            with b.moved(-4 + 12 * k, -18, -24 + 34 * k + wave(t, (16, 24, k))):
                b.disc(0, -22, 13, "#ffffff", 0.75, ry=26)
        b.disc(0, 0, 34, "#ffc93c", ry=25)
        for dx, h in ((-16, 21), (2, 25)):
            b.line(dx, -h + 6, dx, h - 6, "#3a2c2a", 9)
        b.disc(29, -3, 14, "#3a2c2a")
        b.disc(33, -6, 3.6, "#ffffff")
        b.curve([(32, -14), (38, -26), (46, -28)], "#3a2c2a", width=3)

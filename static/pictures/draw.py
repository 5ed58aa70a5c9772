"""Draws the default avatars and profile backgrounds: `python3 draw.py`.

Needs `pip install skia-python numpy pillow`. Every name carries the first eight hex digits of the SHA-256 of its file,
so that the server may let clients keep it for ever. After a change, write the printed names into `src/pictures.rs`; a
unit test there compares names with contents.
"""

import hashlib
import io
import math
import pathlib
import random
import sys

import skia
from PIL import Image

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "demo"))

from brush import Board, mix, spline  # noqa: E402  (the brush lives beside the clips)


def backdrop(b, light, dark):
    b.box(0, 0, 256, 256, 0, shader=b.radial((96, 70), 260, [(0, light), (1, dark)]))


def eyes(b, y, gap, r=9, ink="#2b2233"):
    for s in (-1, 1):
        b.disc(128 + s * gap, y, r, ink)
        b.disc(128 + s * gap - r * 0.3, y - r * 0.35, r * 0.34, "#ffffff")


def cheeks(b, y, gap, c="#ff8c7a", a=0.5):
    for s in (-1, 1):
        b.disc(128 + s * gap, y, 13, c, a, ry=9)


def smile(b, y, w=10, ink="#2b2233"):
    b.curve(
        [(128 - w, y), (128 - w * 0.5, y + w * 0.5), (128, y + w * 0.1), (128 + w * 0.5, y + w * 0.5), (128 + w, y)],
        ink,
        width=4,
    )


def mirrored(b, points, c, **more):
    for s in (-1, 1):
        b.curve([(128 + s * x, y) for x, y in points], c, close=True, **more)


def fox(b):
    backdrop(b, "#bfe3dc", "#5fa8a0")
    mirrored(b, [(22, 104), (84, 34), (92, 126)], "#d8592a")
    mirrored(b, [(44, 98), (78, 58), (80, 112)], "#4a2630")
    b.curve(
        [(40, 118), (70, 88), (128, 76), (186, 88), (216, 118), (190, 170), (128, 226), (66, 170)],
        "#ee7438",
        close=True,
    )
    mirrored(b, [(2, 222), (8, 168), (40, 142), (86, 130), (62, 172)], "#fff3e4")
    b.disc(128, 214, 14, "#2b2233", ry=11)
    eyes(b, 146, 40)


def panda(b):
    backdrop(b, "#d5ecb8", "#86b75f")
    for s in (-1, 1):
        b.disc(128 + s * 66, 74, 30, "#2d2b38")
    b.disc(128, 142, 88, "#fbf7f0", ry=80)
    for s in (-1, 1):
        with b.moved(128 + s * 37, 138, s * 28):
            b.disc(0, 0, 21, "#2d2b38", ry=27)
        b.disc(128 + s * 34, 136, 10, "#15131c")
        b.disc(128 + s * 34 - 3, 131, 4.2, "#ffffff")
    b.disc(128, 166, 12, "#2d2b38", ry=8)
    smile(b, 182, 12)
    cheeks(b, 176, 58)


def cat(b):
    backdrop(b, "#ffe0c2", "#f2a48d")
    mirrored(b, [(30, 96), (76, 34), (94, 120)], "#5b5f7a")
    mirrored(b, [(46, 92), (74, 56), (84, 108)], "#f2a9a9")
    b.disc(128, 142, 92, "#6d7192", ry=78)
    for dx in (-16, 0, 16):
        b.line(128 + dx, 74, 128 + dx * 0.6, 100, "#4c5069", 8)
    mirrored(b, [(0, 150), (30, 160), (34, 190), (0, 214)], "#e9e6ee")
    for s in (-1, 1):
        b.disc(128 + s * 42, 136, 19, "#d9f06b", ry=20)
        b.disc(128 + s * 42, 137, 8, "#232030", ry=17)
        b.disc(128 + s * 42 - 5, 128, 4.5, "#ffffff")
        for k in (-7, 5):
            b.line(128 + s * 40, 176 + k * 0.5, 128 + s * 98, 172 + k * 2.2, "#f4f1f7", 3, 0.85)
    b.curve([(118, 164), (138, 164), (128, 175)], "#e88a92", close=True)
    smile(b, 184, 14)


def owl(b):
    backdrop(b, "#4a5aa0", "#222a5c")
    b.disc(196, 58, 26, "#fff1c2", 0.95)
    mirrored(b, [(20, 88), (70, 48), (84, 110)], "#8a5a3c")
    b.curve(
        [(52, 120), (84, 78), (128, 70), (172, 78), (204, 120), (208, 200), (176, 268), (80, 268), (48, 200)],
        "#a56d45",
        close=True,
    )
    b.disc(128, 232, 56, "#e8c79a", ry=62)
    for row in range(3):
        for k in range(-2 + row % 2, 3):
            x = 128 + k * 24 - (row % 2) * 12
            b.curve([(x - 8, 196 + row * 20), (x, 206 + row * 20), (x + 8, 196 + row * 20)], "#a56d45", width=4)
    for s in (-1, 1):
        b.disc(128 + s * 37, 132, 40, "#f4dfbd")
        b.disc(128 + s * 37, 132, 26, "#f5a623")
        b.disc(128 + s * 35, 132, 15, "#231a24")
        b.disc(128 + s * 35 - 6, 125, 5.5, "#ffffff")
    b.curve([(115, 152), (141, 152), (128, 182)], "#f28c38", close=True)


def whale(b):
    backdrop(b, "#d6f0fa", "#7cc4e4")
    for s in (-1, 1):
        b.curve([(128, 86), (128 + s * 8, 52), (128 + s * 36, 44), (128 + s * 46, 62)], "#ffffff", width=10)
    b.curve(
        [
            (30, 158),
            (54, 104),
            (128, 84),
            (194, 112),
            (220, 92),
            (214, 60),
            (238, 74),
            (252, 62),
            (246, 104),
            (228, 152),
            (176, 206),
            (92, 210),
            (44, 194),
        ],
        "#3c78b4",
        close=True,
    )
    b.curve([(32, 168), (90, 172), (160, 168), (196, 186), (160, 208), (92, 211), (46, 196)], "#f3f7fb", close=True)
    for k in range(4):
        b.curve([(62 + k * 26, 180 + k), (76 + k * 26, 190), (70 + k * 26, 204)], "#bcd0e2", width=4)
    b.disc(84, 146, 9, "#1d2b45")
    b.disc(81, 143, 3, "#ffffff")
    b.disc(64, 162, 12, "#ff9d9d", 0.5, ry=7)
    b.curve([(124, 172), (150, 182), (158, 212), (128, 200)], "#2f629a", close=True)


def penguin(b):
    backdrop(b, "#f7dbe8", "#cf8fb8")
    b.curve([(128, 44), (188, 70), (208, 150), (204, 270), (52, 270), (48, 150), (68, 70)], "#39405e", close=True)
    mirrored(b, [(0, 112), (30, 92), (54, 120), (58, 180), (50, 268), (0, 268)], "#fbf6ee")
    b.box(78, 110, 178, 268, 30, "#fbf6ee")
    eyes(b, 128, 32, 10)
    b.curve([(104, 146), (128, 138), (152, 146), (128, 166)], "#f7a531", close=True)
    cheeks(b, 154, 46)
    b.box(62, 186, 194, 212, 13, "#e4574f")
    b.box(150, 198, 178, 252, 8, "#c9433f")


def cactus(b):
    backdrop(b, "#fff0bf", "#f4b860")
    b.disc(70, 74, 30, "#ffffff", 0.55)
    for points in ([(78, 118), (78, 158), (100, 168), (128, 168)], [(182, 96), (182, 132), (160, 144), (128, 144)]):
        b.curve(points, "#3f8f63", width=32)
    b.box(94, 56, 162, 214, 34, "#4ea373")
    for x in (112, 128, 144):
        b.line(x, 76, x, 190, "#3a8259", 3.5, 0.8)
    b.box(76, 186, 180, 200, 7, "#e07a5f")
    b.path([(84, 198), (172, 198), (160, 250), (96, 250)], "#cc6448")
    for k in range(5):
        b.disc(128 + 13 * math.cos(k * 1.257 - 1.57), 54 + 13 * math.sin(k * 1.257 - 1.57), 11, "#f26a8d")
    b.disc(128, 54, 8, "#ffd166")
    eyes(b, 128, 18, 7, "#173a2b")
    smile(b, 143, 8, "#173a2b")


def monstera(b):
    backdrop(b, "#f9d5cf", "#e79a92")
    with b.moved(128, 138, 18, 1.0):
        b.canvas.save()
        for side in (-1, 1):
            for k in range(4):
                y = -46 + k * 33
                notch = spline(
                    [
                        (side * 120, y - 22),
                        (side * 70, y + 4),
                        (side * 28, y + 14),
                        (side * 70, y + 10),
                        (side * 120, y + 4),
                    ],
                    True,
                )
                b.canvas.clipPath(notch, skia.ClipOp.kDifference, True)
        leaf = [(0, -96), (58, -84), (92, -20), (72, 52), (0, 96), (-72, 52), (-92, -20), (-58, -84)]
        b.curve(leaf, close=True, shader=b.linear((-80, -80), (80, 80), [(0, "#5bb574"), (1, "#1f6b4a")]))
        for side in (-1, 1):
            for k in range(5):
                y = -70 + k * 33
                b.curve([(0, y + 34), (side * 40, y + 14), (side * 78, y - 4)], "#bfe6b4", 0.7, width=3)
        b.canvas.restore()
        b.curve([(0, 118), (4, 40), (0, -84)], "#d8f0c2", width=6)


def mushroom(b):
    backdrop(b, "#d9d2f2", "#8f83c9")
    b.disc(128, 232, 96, "#6a5fae", 0.6, ry=14)
    b.curve([(92, 138), (164, 138), (176, 222), (128, 236), (80, 222)], "#fff2dd", close=True)
    b.curve(
        [(28, 140), (48, 72), (128, 36), (208, 72), (228, 140), (128, 158)],
        close=True,
        shader=b.linear((0, 40), (0, 160), [(0, "#f2584f"), (1, "#c93a4b")]),
    )
    for x, y, r in [(84, 92, 19), (134, 66, 15), (176, 104, 22), (122, 122, 13), (58, 124, 10)]:
        b.disc(x, y, r, "#fff6ec", ry=r * 0.88)
    eyes(b, 182, 22, 8)
    smile(b, 198, 9)
    cheeks(b, 198, 36)


def planet(b):
    backdrop(b, "#3a2f74", "#15123a")
    rng = random.Random(9)
    for _ in range(34):
        b.disc(rng.uniform(0, 256), rng.uniform(0, 256), rng.uniform(0.9, 2.6), "#fff5dc", rng.uniform(0.5, 1))
    with b.moved(128, 130, -22):
        b.ring(0, 0, 108, "#f7d9a0", 0.95, width=13, ry=30)
        b.canvas.save()
        b.disc(0, 0, 68, shader=b.linear((-50, -60), (50, 60), [(0, "#ffb48a"), (0.5, "#f2728c"), (1, "#8a3f9e")]))
        for y, w, a in [(-34, 46, 0.3), (-10, 60, 0.25), (22, 54, 0.3)]:
            b.line(-w, y, w * 0.9, y, "#ffe3cf", 8, a)
        b.canvas.restore()
        rim = [(108 * math.cos(k * math.pi / 40), 30 * math.sin(k * math.pi / 40)) for k in range(41)]
        b.path(rim, "#f7d9a0", close=False, width=13)


def mountain(b):
    b.box(0, 0, 256, 256, 0, shader=b.linear((0, 0), (0, 220), [(0, "#ffcf9f"), (0.6, "#ff9a8b"), (1, "#d9688a")]))
    b.disc(172, 92, 34, "#fff3d0")
    b.path([(-10, 230), (84, 84), (178, 230)], "#7d5a94")
    b.path([(84, 84), (112, 128), (94, 122), (84, 138), (72, 120), (58, 126)], "#fff1ec")
    b.path([(90, 240), (178, 124), (270, 240)], "#5c4479")
    b.path([(178, 124), (200, 152), (184, 148), (176, 160), (158, 150)], "#fbe4e6")
    b.curve([(-20, 216), (60, 196), (140, 222), (276, 200), (276, 276), (-20, 276)], "#34305c", close=True)
    for x, h in [(40, 50), (62, 38), (204, 54), (226, 42)]:
        b.path([(x, 222 - h), (x + 14, 226), (x - 14, 226)], "#241f47")


def bee(b):
    backdrop(b, "#cdeccf", "#74bd9a")
    for s in (-1, 1):
        with b.moved(128 + s * 48, 80, s * 32):
            b.disc(0, 0, 30, "#ffffff", 0.85, ry=46)
        b.curve([(128 + s * 14, 92), (128 + s * 22, 62), (128 + s * 38, 52)], "#3a2c2a", width=5)
        b.disc(128 + s * 40, 52, 7, "#3a2c2a")
    b.disc(128, 160, 78, "#ffc93c", ry=74)
    b.canvas.save()
    b.canvas.clipPath(skia.Path.Oval(skia.Rect.MakeLTRB(50, 86, 206, 234)), doAntiAlias=True)
    for y in (196, 226):
        b.box(40, y - 9, 216, y + 8, 0, "#3a2c2a")
    b.canvas.restore()
    eyes(b, 138, 32, 10)
    smile(b, 156, 11)
    cheeks(b, 158, 50)


def dunes(b):
    b.fill((0, "#f6c58f"), (0.6, "#f9e0b8"), (1, "#fdeccd"))
    b.disc(820, 150, 62, "#fff8e2")
    b.glow(820, 150, 240, "#fff6d8", 0.7)
    for i, (base, size, length, c, d) in enumerate(
        [
            (300, 40, 260, "#eebf8c", "#e0a273"),
            (370, 56, 330, "#dd9a66", "#c67a50"),
            (450, 60, 420, "#b9684a", "#8a4440"),
        ]
    ):
        crest = lambda x: base - size * math.sin(x / length + i * 2.2) - 18 * math.sin(x / (length * 0.37) + i)
        b.ground(crest, shader=b.linear((0, base - size), (0, base + 160), [(0, c), (1, d)]))


def hills(b):
    b.fill((0, "#274b7a"), (0.5, "#6f8fb8"), (1, "#f3cdb4"))
    b.glow(300, 330, 360, "#ffe3b8", 0.7)
    for i in range(6):
        k = i / 5
        base = 250 + 56 * i
        crest = lambda x: base - 46 * math.sin(x / (220 - 18 * i) + i * 1.9) - 17 * math.sin(x / 71 + i * 3)
        c = mix("#93a5c4", "#16264a", k)
        b.ground(
            crest, shader=b.linear((0, base - 50), (0, base + 120), [(0, c), (1, mix(c, "#e8c6b8", 0.35 * (1 - k)))])
        )


def leaves(b):
    b.fill((0, "#123f3a"), (1, "#0b2a30"))
    rng = random.Random(14)
    for i in range(46):
        x, y = (i % 12) * 98 + rng.uniform(-34, 34), (i // 12) * 165 + rng.uniform(-50, 50)
        with b.moved(x, y, rng.uniform(0, 360), rng.uniform(0.8, 1.5)):
            c = rng.choice(["#1e6a55", "#2c8a63", "#185248", "#4aa36f", "#e0a458", "#173f44"])
            b.curve(
                [(0, 0), (40, -26), (104, 0), (40, 26)],
                close=True,
                shader=b.linear((0, 0), (104, 0), [(0, mix(c, "#0b2a30", 0.35)), (1, c)]),
            )
            b.line(6, 0, 88, 0, mix(c, "#f4f1d0", 0.4), 2, 0.7)


def night_city(b):
    b.fill((0, "#141a44"), (0.6, "#4a3a78"), (1, "#d07a86"))
    rng = random.Random(6)
    for _ in range(90):
        b.disc(rng.uniform(0, 1080), rng.uniform(0, 260), rng.uniform(0.7, 1.8), "#fff4dc", rng.uniform(0.3, 0.9))
    b.disc(220, 120, 46, "#fff2d2")
    for layer, (c, low, high) in enumerate([("#6a4f86", 130, 250), ("#3d3266", 100, 220), ("#1d1a40", 60, 170)]):
        x = -20
        while x < 1090:
            w, h = rng.uniform(44, 92), rng.uniform(low, high) + 40
            b.box(x, 540 - h, x + w, 549, 3, c)
            if layer:
                for wy in range(int(540 - h + 14), 530, 24):
                    for wx in range(int(x + 10), int(x + w - 14), 18):
                        if rng.random() < 0.34:
                            b.box(wx, wy, wx + 7, wy + 11, 1, "#ffd48a", 0.85 if layer == 2 else 0.55)
            x += w + rng.uniform(-6, 8)


def sea(b):
    b.fill((0, "#fbe3c8"), (0.5, "#f7c9b0"), (1, "#ea9f98"), bottom=240)
    b.disc(620, 214, 70, "#fff4da")
    for i in range(7):
        base = 232 + i * 46
        c = mix("#e08a86", "#274b78", (i / 6) ** 0.7)
        crest = lambda x: base + (5 + 3 * i) * math.sin(x / (80 + 22 * i) + i * 2.3) + 3 * math.sin(x / 37 + i)
        b.ground(crest, shader=b.linear((0, base - 10), (0, base + 110), [(0, c), (1, mix(c, "#142a52", 0.35))]))
        b.curve([(x, crest(x)) for x in range(-10, 1100, 16)], "#ffe9cf", 0.4 - 0.04 * i, width=2)


AVATARS = [fox, panda, cat, owl, whale, penguin, cactus, monstera, mushroom, planet, mountain, bee]
BACKGROUNDS = [dunes, hills, leaves, night_city, sea]


def save(kind, scene, width, height, quality):
    board = Board(width, height)
    scene(board)
    file = io.BytesIO()
    Image.fromarray(board.pixels()).save(
        file, "JPEG", quality=quality, optimize=True, subsampling=0 if width < 300 else 2
    )
    data = file.getvalue()
    stem = f"{kind}-{scene.__name__.replace('_', '-')}"
    for old in HERE.glob(f"{stem}.*.jpg"):
        old.unlink()
    name = f"{stem}.{hashlib.sha256(data).hexdigest()[:8]}.jpg"
    (HERE / name).write_bytes(data)
    print(f"{name}  {len(data) / 1000:.1f} kB")


if __name__ == "__main__":
    for avatar in AVATARS:
        save("avatar", avatar, 256, 256, 82)
    for background in BACKGROUNDS:
        save("background", background, 1080, 540, 80)

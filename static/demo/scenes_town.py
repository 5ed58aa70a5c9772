"""Where people live. Each function draws the moment `t` in [0, 1) of its clip on a board of 720×1280."""

import math
import random

import skia

from brush import PLUS, TAU, mix, spline, wave


def rain_window(b, t):
    """Rain on a window above a street at night."""
    b.fill((0, "#0c1430"), (0.5, "#1c2350"), (0.75, "#40305f"), (1, "#15122e"))
    rng = random.Random(21)
    dyes = ["#ffb25b", "#ff6f61", "#ffd98a", "#6ec6ff", "#c38bff", "#ff8fb1", "#72e0c0"]
    for i in range(46):
        x, y, r = rng.uniform(0, 720), rng.gauss(760, 210), rng.uniform(24, 82)
        c = rng.choice(dyes)
        shine = 0.75 + 0.25 * math.sin(TAU * (rng.choice((1, 1, 2)) * t + rng.random()))
        b.disc(x, y, r, c, 0.26 * shine, blur=4, blend=PLUS)
        b.ring(x, y, r, c, 0.2 * shine, width=3, blur=2, blend=PLUS)
    for lane, c, way in [(985, "#fff0c8", 1), (1075, "#ff4d4d", -1)]:
        for k in range(3):
            x = ((k / 3 + way * t / 3) % 1) * 1100 - 190
            for dx in (0, 92):
                b.disc(x + dx, lane, 44, c, 0.42, blur=5, blend=PLUS)
                b.disc(x + dx, lane + 130, 36, c, 0.13, ry=70, blur=14, blend=PLUS)
    for _ in range(330):
        x, y = rng.uniform(0, 720), rng.uniform(0, 1280)
        _drop(b, x, y, 2 + 7 * rng.random() ** 3, 1.0)
    for i in range(11):
        x = 40 + i * 64 + rng.uniform(-16, 16)
        start, size, wind = rng.random(), rng.uniform(9, 15), rng.uniform(0, 6)
        u = (t + start) % 1
        fall = lambda v: (v + 0.035 * math.sin(TAU * 3 * v)) * 1560 - 140
        bend = lambda y: x + 9 * math.sin(y / 85 + wind) + 4 * math.sin(y / 31)
        y = fall(u)
        trail = [(bend(y - k * 22), y - k * 22) for k in range(20)]
        b.curve(
            trail, shader=b.linear((0, y - 420), (0, y), [(0, "#c9d6ff", 0), (1, "#c9d6ff", 0.26)]), width=size * 1.15
        )
        for k in range(5):
            bead = y - 60 - k * 74
            _drop(b, bend(bead), bead, size * 0.42 * (1 - k / 6), 0.9 - k * 0.16)
        _drop(b, bend(y), y, size, 1.0)
    b.fill((0, "#05081a", 0.55), (0.25, "#05081a", 0), (0.8, "#05081a", 0), (1, "#05081a", 0.6))


def _drop(b, x, y, r, a):
    """A drop shows the world upside down: bright below, dark above."""
    shader = b.linear(
        (0, y - r * 1.15), (0, y + r * 1.15), [(0, "#0a1030", 0.75), (0.55, "#5a5f9a", 0.35), (1, "#ffe2b8", 0.85)]
    )
    b.disc(x, y, r, None, a, ry=r * 1.14, shader=shader)
    b.disc(x - r * 0.32, y - r * 0.4, r * 0.2, "#ffffff", 0.85 * a)


def bicycle(b, t):
    """Along the fields in the evening. Every strip of land repeats, the near ones sooner."""
    b.fill((0, "#3f6f9f"), (0.3, "#8fb3c0"), (0.52, "#f7d9a6"), (0.66, "#ffc27d"))
    b.glow(200, 640, 480, "#fff0b0", 0.85)
    b.disc(200, 640, 88, "#fff8dc")
    for x, y, r, period in [(100, 250, 110, 720), (470, 170, 140, 720), (560, 380, 90, 720)]:
        for tile in (0, 1):
            for dx, dy, k in [(0, 0, 1), (-0.7, 0.12, 0.6), (0.75, 0.1, 0.7), (0.2, -0.22, 0.7)]:
                cx = x + dx * r + tile * 960 - 200 + wave(t, (10, 1, x))
                b.disc(cx, y + dy * r, r * k * 0.75, "#fff6e6", 0.32, ry=r * k * 0.27, blur=9)
    hills = [
        (760, 70, 720, "#c99a86", "#e6b48e", 0),
        (850, 60, 480, "#8f9a72", "#b9b07a", 1),
        (930, 40, 360, "#5f8458", "#86a45f", 1),
    ]
    for base, size, period, dark, light, pace in hills:
        s = t * pace
        crest = lambda x: (
            base - size * math.sin(TAU * (x / period + s)) - size * 0.3 * math.sin(TAU * (2 * x / period + 2 * s) + 1)
        )
        b.ground(crest, shader=b.linear((0, base - size), (0, base + 150), [(0, light), (1, dark)]))
        if base == 850:
            for tile in range(-1, 3):
                for off, h in [(60, 70), (96, 92), (132, 64), (330, 80)]:
                    x = tile * 480 + off - s * 480
                    b.disc(x, crest(x) - h * 0.62, h * 0.26, "#55704f", ry=h * 0.66)
                    b.line(x, crest(x) + 6, x, crest(x) - 16, "#4a4038", 5)
    b.fill((0, "#4f7a4b"), (1, "#2f5540"), top=960)
    b.fill((0, "#e0b98a"), (1, "#c2936d"), top=1040, bottom=1120)
    b.fill((0, "#3f6e47"), (1, "#1f4436"), top=1120)
    for tile in range(-1, 4):
        x = tile * 240 - (4 * t % 1) * 240
        b.line(x, 1080, x + 90, 1080, "#f6ddb6", 6, 0.75)
    _rider(b, 372, 1052, t)
    rng = random.Random(8)
    blades = [(rng.uniform(0, 360), rng.uniform(40, 130), rng.uniform(-18, 18), rng.random()) for _ in range(64)]
    for tile in range(-1, 4):
        for x, h, lean, kind in blades:
            x = x + tile * 360 - (3 * t % 1) * 360
            tip = x + lean + wave(t, (7, 2, h))
            b.curve(
                [(x, 1290), (x + lean * 0.3, 1290 - h), (tip, 1290 - h * 1.5)],
                mix("#17382d", "#5f9a4c", h / 150),
                width=5,
            )
            if kind > 0.72:
                dye = ["#ffd34f", "#ff7a59", "#fff1e0", "#e77fb3"][int(kind * 100) % 4]
                for k in range(5):
                    b.disc(tip + 8 * math.cos(k * 1.257), 1290 - h * 1.5 + 8 * math.sin(k * 1.257), 6.5, dye)
                b.disc(tip, 1290 - h * 1.5, 4.5, "#8a4b14")


def _rider(b, x, y, t):
    """Wheels and pedals turn twice in a loop; knees follow from the length of the legs."""
    ink, frame = "#33283d", "#d1495b"
    b.disc(x, y + 20, 220, "#6b4a38", 0.35, ry=10, blur=6)
    with b.moved(x, y - 74 + wave(t, (2, 4, 0)), 0, 1.12):
        crank = TAU * 2 * t
        pedal = lambda p: (34 * math.cos(crank + p), 20 + 34 * math.sin(crank + p))
        hip, neck, head = (-62, -142), (26, -232), (46, -276)
        _leg(b, hip, pedal(math.pi), "#3c4a72", ink)
        for wx in (-128, 132):
            b.ring(wx, 10, 82, ink, width=8)
            b.ring(wx, 10, 74, "#f4e3c8", width=3)
            for k in range(10):
                a = TAU * (2 * t + k / 10)
                b.line(wx, 10, wx + 74 * math.cos(a), 10 + 74 * math.sin(a), "#f4e3c8", 1.8, 0.8)
            b.disc(wx, 10, 8, ink)
        for p, q in [
            ((-128, 10), (0, 20)),
            ((-128, 10), (-50, -92)),
            ((-50, -92), (0, 20)),
            ((-50, -92), (94, -92)),
            ((0, 20), (98, -78)),
            ((132, 10), (88, -128)),
        ]:
            b.line(*p, *q, frame, 9)
        b.line(-50, -92, -58, -122, ink, 7)
        b.curve([(-92, -126), (-60, -130), (-28, -122)], ink, width=13)
        b.curve([(88, -128), (84, -146), (106, -152), (112, -140)], ink, width=7)
        b.path([(104, -130), (168, -130), (158, -82), (112, -82)], "#c99a5f")
        for k in range(4):
            b.disc(112 + k * 16, -136 - (k % 2) * 9, 13, ["#ff8fa3", "#ffe08a", "#ffffff", "#f4728a"][k])
        b.ring(0, 20, 18, ink, width=6)
        b.line(0, 20, *pedal(0), ink, 6)
        _leg(b, hip, pedal(0), "#4f62a0", ink)
        flow = [(24 - k * 22, -236 + 6 * k + (3 + 2.2 * k) * math.sin(TAU * (3 * t) - k * 0.9)) for k in range(6)]
        b.curve(flow, "#f7c548", width=17)
        b.curve([hip, (-40, -196), neck], "#f4efe2", width=52)
        b.line(*neck, *head, "#e9b48c", 18)
        b.curve([(18, -222), (46, -176), (98, -146)], "#e3dccb", width=20)
        b.disc(102, -146, 10, "#e9b48c")
        b.disc(*head, 32, "#e9b48c")
        b.curve(
            [(12, -286), (20, -312), (48, -318), (76, -300), (78, -288), (44, -296), (30, -262), (16, -262)],
            ink,
            close=True,
        )
        b.disc(64, -274, 3.6, ink)
        b.curve([(58, -258), (66, -255), (72, -260)], ink, 0.8, width=2.6)
        b.line(14, -238, 40, -240, "#f7c548", 20)


def _leg(b, hip, foot, cloth, ink):
    thigh, shin = 104, 100
    dx, dy = foot[0] - hip[0], foot[1] - 14 - hip[1]
    d = min(math.hypot(dx, dy), thigh + shin - 1)
    bend = math.acos((thigh**2 + d**2 - shin**2) / (2 * thigh * d))
    a = math.atan2(dy, dx) - bend
    knee = (hip[0] + thigh * math.cos(a), hip[1] + thigh * math.sin(a))
    b.path([hip, knee, (foot[0] - 6, foot[1] - 14)], cloth, close=False, width=30)
    b.line(foot[0] - 10, foot[1] - 5, foot[0] + 20, foot[1] - 4, ink, 17)


def tea(b, t):
    """Steam over a cup beside a window."""
    b.fill((0, "#e9d3b4"), (0.6, "#dcb793"), (1, "#c79a78"))
    b.box(70, 80, 650, 760, 26, "#f7ead3")
    b.box(
        96, 106, 624, 734, 14, shader=b.linear((0, 106), (0, 734), [(0, "#9fc6cf"), (0.55, "#e6e3c9"), (1, "#ffdca8")])
    )
    b.canvas.save()
    b.canvas.clipRect(skia.Rect.MakeLTRB(96, 106, 624, 734))
    b.glow(470, 330, 420, "#fffbe0", 0.9)
    for i, c in enumerate(["#b9cfb4", "#93b596"]):
        b.ground(lambda x: 590 + i * 60 - 34 * math.sin(x / (120 - 30 * i) + i * 2), c)
    for i, (x, y, bend) in enumerate([(600, 96, -190), (640, 150, -120), (560, 96, -250)]):
        _twig(b, x, y, bend, 300 - 40 * i, t, i)
    b.canvas.restore()
    b.box(348, 100, 372, 740, 4, "#f7ead3")
    b.box(90, 408, 630, 430, 4, "#f7ead3")
    b.box(44, 742, 676, 786, 8, shader=b.linear((0, 742), (0, 786), [(0, "#fff6e4"), (1, "#d9b894")]))
    b.fill((0, "#8a5a3c"), (0.12, "#7a4c33"), (1, "#4f2f24"), top=930)
    for i in range(9):
        y = 952 + i * 40 + (i * 17) % 23
        b.curve([(x, y + 5 * math.sin(x / 140 + i * 1.7)) for x in range(-40, 800, 40)], "#2f1a14", 0.16, width=3)
    b.path([(150, 1280), (430, 935), (640, 935), (560, 1280)], "#ffd9a0", 0.16, blur=26)
    b.disc(375, 1112, 240, "#1f0f0c", 0.5, ry=34, blur=16)
    b.disc(360, 1092, 232, "#efe6d8", ry=38)
    b.disc(360, 1086, 196, "#d9cbb8", ry=27)
    cup = [(196, 846), (206, 950), (248, 1040), (300, 1082), (420, 1082), (472, 1040), (514, 950), (524, 846)]
    b.ring(540, 930, 56, "#33708a", width=24, ry=62)
    b.curve(
        cup,
        close=True,
        shader=b.linear((196, 0), (524, 0), [(0, "#1f566f"), (0.3, "#4a93a8"), (0.55, "#3b7f99"), (1, "#153f56")]),
    )
    b.canvas.save()
    b.canvas.clipPath(spline(cup, True), doAntiAlias=True)
    for k in range(-1, 9):
        b.curve(
            [(196 + k * 46 + u * 46, 972 - 24 * math.sin(math.pi * u)) for u in (0, 0.25, 0.5, 0.75, 1)],
            "#d9eef0",
            0.55,
            width=5,
        )
    b.box(190, 992, 530, 1002, 0, "#d9eef0", 0.45)
    b.canvas.restore()
    b.disc(360, 846, 165, "#dcecec", ry=37)
    b.disc(360, 849, 152, "#1c4a60", ry=31)
    b.disc(
        360,
        857,
        145,
        None,
        ry=25,
        shader=b.linear((215, 0), (505, 0), [(0, "#8a4a1c"), (0.6, "#c9782c"), (1, "#eea04a")]),
    )
    b.disc(410 + wave(t, (6, 1, 0)), 852, 60, "#ffe0a0", 0.4, ry=6, blur=4)
    for i in range(5):
        _steam(b, 300 + i * 30, 850, 500 + 40 * (i % 3), i * 1.37, t)


def _twig(b, x, y, bend, length, t, i):
    """A hanging twig with leaves on both sides; the wind grows towards its tip."""
    at = lambda u: (x + bend * u**1.3 + 14 * u * math.sin(TAU * t - u * 2 + i), y + length * u)
    b.curve([at(k / 8) for k in range(9)], "#7a5a3c", width=4)
    for k in range(1, 10):
        side = 1 if k % 2 else -1
        turn = 100 + side * 52 + wave(t, (7, 1, k * 0.8 + i), (3, 2, k))
        with b.moved(*at(k / 9), turn, 1.1 - k * 0.04):
            green = ["#6f9a5c", "#86ad68", "#5b8752"][(k + i) % 3]
            b.curve([(0, 0), (24, -14), (62, 0), (24, 14)], green, 0.95, close=True)
            b.line(4, 0, 48, 0, "#3f6b3f", 1.6, 0.5)


def _steam(b, x, foot, height, p, t):
    """A ribbon whose waves travel upwards; it widens and fades on its way."""
    left, right = [], []
    for k in range(25):
        u = k / 24
        bend = (8 + 64 * u) * math.sin(u * 7.5 - TAU * t + p) + 26 * u * math.sin(u * 13 - TAU * 2 * t + p * 2)
        half = (7 + 24 * u) * (0.55 + 0.45 * math.sin(u * 9 - TAU * t + p * 3))
        left.append((x + bend - half, foot - height * u))
        right.append((x + bend + half, foot - height * u))
    fade = b.linear(
        (0, foot),
        (0, foot - height),
        [(0, "#ffffff", 0), (0.12, "#ffffff", 0.55), (0.5, "#ffffff", 0.36), (1, "#ffffff", 0)],
    )
    b.curve(left + right[::-1], close=True, shader=fade, blur=13)


def night_train(b, t):
    """The window seat of a night train: the moon stays, the land passes."""
    b.fill((0, "#0b1638"), (0.4, "#24407a"), (0.62, "#6a7fb0"), (0.72, "#b9a9b8"))
    stars = random.Random(4)
    for _ in range(80):
        b.disc(
            stars.uniform(60, 660), stars.uniform(110, 560), stars.uniform(0.7, 2), "#f4f8ff", stars.uniform(0.3, 0.9)
        )
    b.glow(480, 320, 300, "#cfdcff", 0.7)
    b.disc(480, 320, 66, "#fffbe9")
    for dx, dy, r in [(-18, -14, 13), (20, 8, 17), (-8, 26, 9)]:
        b.disc(480 + dx, 320 + dy, r, "#e6e0cc", 0.8)
    for base, size, period, pace, top, low in [
        (700, 90, 720, 0, "#5d73a8", "#8b92b5"),
        (770, 70, 360, 1, "#354d84", "#566a9a"),
        (840, 40, 480, 1, "#1f3363", "#2d4272"),
    ]:
        crest = lambda x: (
            base
            - size * abs(math.sin(math.pi * (x / period + t * pace))) ** 1.4
            - size * 0.3 * math.sin(TAU * (2 * x / period + 2 * t * pace))
        )
        b.ground(crest, shader=b.linear((0, base - size * 1.2), (0, base + 90), [(0, top), (1, low)]))
    for tile in range(-1, 4):
        for off, y, lit in [(40, 852, 1), (120, 858, 0), (180, 850, 1), (300, 862, 1)]:
            x = tile * 360 + off - t * 360
            b.path([(x - 22, y), (x, y - 22), (x + 22, y)], "#101d42")
            b.box(x - 18, y, x + 18, y + 30, 0, "#152450")
            if lit:
                b.glow(x, y + 14, 40, "#ffc76b", 0.7)
                b.box(x - 7, y + 7, x + 7, y + 21, 1, "#ffd98c")
    b.ground(lambda x: 886 + 8 * math.sin(TAU * (x / 240 + 2 * t)), "#0e1a3c")
    for tile in range(-1, 3):
        for off, h in [(0, 210), (70, 150), (130, 260), (210, 170), (300, 230), (400, 140), (460, 200)]:
            _pine(b, tile * 540 + off - t * 2 * 540 + 540, 960, h)
    for tile in (-1, 0, 1):
        x = 900 * (tile + 1 - t * 2 % 1)
        b.box(x, 120, x + 15, 970, 0, "#060b1e", 0.9, blur=5)
        b.box(x - 50, 220, x + 65, 229, 0, "#060b1e", 0.9, blur=3)
    for k, y in enumerate((150, 182)):
        b.curve(
            [(x, y + 26 * math.sin(math.pi * ((x / 900 + t * 2) % 1)) + k) for x in range(40, 700, 15)],
            "#060b1e",
            0.7,
            width=2.5,
        )
    _carriage(b, t)


def _pine(b, x, foot, h):
    for k in range(4):
        y, w = foot - h + k * h * 0.2, h * (0.1 + 0.055 * k)
        b.path([(x, y), (x + w, y + h * 0.36), (x - w, y + h * 0.36)], "#081230")


def _carriage(b, t):
    """What does not move: the wall, the frame, the table and what stands on it."""
    hole = skia.Path()
    hole.addRoundRect(skia.Rect.MakeLTRB(70, 110, 650, 930), 84, 84)
    b.canvas.save()
    b.canvas.clipPath(hole, skia.ClipOp.kDifference, True)
    b.fill((0, "#3a2430"), (0.6, "#52303a"), (1, "#2a1a26"))
    b.glow(120, 1010, 420, "#ffb566", 0.5)
    b.canvas.restore()
    for grow, c, w in [(9, "#1c1119", 20), (24, "#c08a54", 10), (31, "#6b4130", 5)]:
        b.box(70 - grow, 110 - grow, 650 + grow, 930 + grow, 84 + grow, c, width=w)
    b.path([(170, 112), (330, 112), (110, 640), (72, 640), (72, 360)], "#ffffff", 0.05)
    b.path([(400, 112), (450, 112), (180, 900), (130, 880)], "#ffffff", 0.04)
    for side in (0, 1):
        folds = [(-6, 60), (46, 60), (74, 330), (54, 700), (86, 1010), (-6, 1010)]
        shape = [(720 - x if side else x, y) for x, y in folds]
        b.curve(
            shape,
            close=True,
            shader=b.linear(
                (720 if side else 0, 0),
                (630 if side else 90, 0),
                [(0, "#4f1f2e"), (0.4, "#8f3a46"), (0.65, "#6a2736"), (1, "#a3484e")],
            ),
        )
    b.box(
        -20,
        1070,
        740,
        1290,
        16,
        shader=b.linear((0, 1070), (0, 1280), [(0, "#9a6238"), (0.1, "#7a4a2e"), (1, "#3d231c")]),
    )
    b.box(-20, 1066, 740, 1078, 6, "#d19a5e")
    b.glow(150, 900, 330, "#ffc77a", 0.75)
    b.line(150, 960, 150, 1062, "#b98346", 9)
    b.disc(150, 1064, 48, "#b98346", ry=9)
    b.curve(
        [(112, 880), (188, 880), (220, 972), (80, 972)],
        close=True,
        shader=b.linear((0, 870), (0, 980), [(0, "#ffe9b8"), (1, "#ffb45c")]),
    )
    b.disc(520, 1070, 74, "#1d0f10", 0.4, ry=10, blur=6)
    b.ring(574, 1010, 24, "#f0e6da", width=10)
    b.curve(
        [(462, 972), (470, 1030), (492, 1066), (548, 1066), (570, 1030), (578, 972)],
        close=True,
        shader=b.linear((462, 0), (578, 0), [(0, "#fff4e2"), (0.6, "#e9d9c8"), (1, "#b99f92")]),
    )
    b.disc(520, 972, 58, "#fff6ea", ry=12)
    b.disc(520, 973, 50, "#5a2f1c", ry=9)
    for i in range(3):
        _steam(b, 500 + i * 20, 972, 200, i * 2.1, t)
    b.path([(300, 1066), (312, 1040), (420, 1040), (432, 1066)], "#33507a")
    b.path([(306, 1042), (318, 1020), (412, 1020), (424, 1042)], "#d9a441")

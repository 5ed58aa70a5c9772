"""What the drawing programs share: a half-float canvas, gradients, periodic noise, and dithering on the way out.

Everything is deterministic: no clock, no unseeded random number. Time `t` runs over [0, 1) and every motion is periodic
in it, so that a clip loops without a seam. Needs `pip install skia-python numpy`.
"""

import math

import numpy as np
import skia

TAU = 2 * math.pi
PLUS = skia.BlendMode.kPlus
SOFT = skia.BlendMode.kScreen


def color(text, alpha=1.0):
    """`#rrggbb` and an opacity as a Skia colour."""
    r, g, b = (int(text[i : i + 2], 16) for i in (1, 3, 5))
    return skia.Color(r, g, b, max(0, min(255, round(alpha * 255))))


def mix(a, b, k):
    """The colour between two `#rrggbb` ones, as `#rrggbb`."""
    k = max(0.0, min(1.0, k))
    pairs = ((int(a[i : i + 2], 16), int(b[i : i + 2], 16)) for i in (1, 3, 5))
    return "#" + "".join(f"{round(x + (y - x) * k):02x}" for x, y in pairs)


def wave(t, *terms):
    """A loop-safe wobble: the sum of amplitude * sin(harmonic * t + phase) with whole harmonics."""
    return sum(a * math.sin(TAU * (h * t) + p) for a, h, p in terms)


def smooth(k):
    """The ease between 0 and 1."""
    k = max(0.0, min(1.0, k))
    return k * k * (3 - 2 * k)


class Board:
    """A canvas with short verbs. Colours are `#rrggbb`, `a` an opacity, `blur` a sigma in pixels."""

    def __init__(self, width, height):
        self.width, self.height = width, height
        info = skia.ImageInfo.Make(width, height, skia.kRGBA_F16_ColorType, skia.kPremul_AlphaType)
        self.surface = skia.Surface.MakeRaster(info)
        self.canvas = self.surface.getCanvas()
        self.canvas.clear(skia.ColorBLACK)
        # The grain is the same in every frame: it breaks the bands of slow gradients and costs the encoder only once.
        rng = np.random.default_rng(7)
        grain = rng.random((height, width, 1)) + rng.random((height, width, 1)) - 1
        self.grain = grain.astype(np.float32)

    def paint(self, c=None, a=1.0, blur=0, width=0, blend=None, shader=None):
        p = skia.Paint(AntiAlias=True)
        if c:
            p.setColor(color(c, a))
        if shader:
            p.setShader(shader)
            p.setAlphaf(a)
        if blur:
            p.setMaskFilter(skia.MaskFilter.MakeBlur(skia.kNormal_BlurStyle, blur))
        if width:
            p.setStyle(skia.Paint.kStroke_Style)
            p.setStrokeWidth(width)
            p.setStrokeCap(skia.Paint.kRound_Cap)
            p.setStrokeJoin(skia.Paint.kRound_Join)
        if blend:
            p.setBlendMode(blend)
        return p

    @staticmethod
    def linear(start, end, stops):
        """A gradient from point to point; `stops` are (position, colour) or (position, colour, opacity)."""
        colors = [color(s[1], s[2] if len(s) > 2 else 1.0) for s in stops]
        return skia.GradientShader.MakeLinear(points=[start, end], colors=colors, positions=[s[0] for s in stops])

    @staticmethod
    def radial(center, radius, stops):
        colors = [color(s[1], s[2] if len(s) > 2 else 1.0) for s in stops]
        return skia.GradientShader.MakeRadial(
            center=center, radius=radius, colors=colors, positions=[s[0] for s in stops]
        )

    def fill(self, *stops, top=0, bottom=None):
        """A vertical gradient over the whole width, between two heights."""
        bottom = self.height if bottom is None else bottom
        shader = self.linear((0, top), (0, bottom), stops)
        self.canvas.drawRect(skia.Rect.MakeLTRB(0, top, self.width, bottom), self.paint(shader=shader))

    def disc(self, x, y, r, c=None, a=1.0, ry=None, **more):
        ry = r if ry is None else ry
        self.canvas.drawOval(skia.Rect.MakeLTRB(x - r, y - ry, x + r, y + ry), self.paint(c, a, **more))

    def ring(self, x, y, r, c, a=1.0, width=2.0, ry=None, **more):
        self.disc(x, y, r, c, a, ry=ry, width=width, **more)

    def glow(self, x, y, r, c, a=1.0, blend=SOFT):
        """Light that fades out with the square of the distance, without an edge."""
        stops = [(k / 8, c, (1 - k / 8) ** 2.2) for k in range(9)]
        self.disc(x, y, r, None, a, shader=self.radial((x, y), r, stops), blend=blend)

    def path(self, points, c=None, a=1.0, close=True, **more):
        self.canvas.drawPath(polygon(points, close), self.paint(c, a, **more))

    def curve(self, points, c=None, a=1.0, close=False, **more):
        """A smooth line (or shape) through the points."""
        self.canvas.drawPath(spline(points, close), self.paint(c, a, **more))

    def line(self, x0, y0, x1, y1, c, width, a=1.0, **more):
        self.path([(x0, y0), (x1, y1)], c, a, close=False, width=width, **more)

    def box(self, x0, y0, x1, y1, r, c=None, a=1.0, **more):
        self.canvas.drawRoundRect(skia.Rect.MakeLTRB(x0, y0, x1, y1), r, r, self.paint(c, a, **more))

    def ground(self, height, c=None, step=6, **more):
        """Everything below the function `height(x)`."""
        xs = range(-step, self.width + 2 * step, step)
        points = [(x, height(x)) for x in xs]
        self.path([(-step, self.height + 9), *points, (self.width + step, self.height + 9)], c, **more)

    def moved(self, x=0.0, y=0.0, turn=0.0, scale=1.0, scale_y=None):
        """`with board.moved(…):` draws in moved, turned (degrees) and scaled coordinates."""
        return _Moved(self.canvas, x, y, turn, scale, scale if scale_y is None else scale_y)

    def pixels(self):
        """The frame as 8-bit RGB, dithered from half floats: smooth skies stay smooth."""
        raw = np.zeros((self.height, self.width, 4), dtype=np.float16)
        info = skia.ImageInfo.Make(self.width, self.height, skia.kRGBA_F16_ColorType, skia.kPremul_AlphaType)
        self.surface.readPixels(info, raw, self.width * 8, 0, 0)
        light = raw[:, :, :3].astype(np.float32) * 255 + self.grain * 0.9 + 0.5
        return np.clip(light, 0, 255).astype(np.uint8)


class _Moved:
    def __init__(self, canvas, x, y, turn, sx, sy):
        self.canvas, self.args = canvas, (x, y, turn, sx, sy)

    def __enter__(self):
        x, y, turn, sx, sy = self.args
        self.canvas.save()
        self.canvas.translate(x, y)
        self.canvas.rotate(turn)
        self.canvas.scale(sx, sy)

    def __exit__(self, *_):
        self.canvas.restore()


def polygon(points, close=True):
    return skia.Path.Polygon([skia.Point(*p) for p in points], close)


def spline(points, close=False):
    """A Catmull-Rom curve through the points, as straight pieces short enough to look round."""
    n = len(points)
    at = (lambda i: points[i % n]) if close else (lambda i: points[max(0, min(n - 1, i))])
    out = []
    for i in range(n if close else n - 1):
        p0, p1, p2, p3 = at(i - 1), at(i), at(i + 1), at(i + 2)
        for k in range(10):
            u = k / 10
            out.append(
                tuple(
                    0.5 * (2 * b + (c - a) * u + (2 * a - 5 * b + 4 * c - d) * u**2 + (3 * b - a - 3 * c + d) * u**3)
                    for a, b, c, d in zip(p0, p1, p2, p3)
                )
            )
    if not close:
        out.append(points[-1])
    return polygon(out, close)

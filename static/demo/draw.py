"""Draws the clips of the demo world: `python3 draw.py [name …]`, all of them without a name.

Needs `pip install skia-python numpy` and ffmpeg with libx264. The clips are committed, so nobody needs to run this to
build or use the server; it is here because a picture without its source can't be corrected.
`python3 draw.py --still NAME TIME FILE.png` saves one moment, to look at while working on a scene.
"""

import pathlib
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import skia

import scenes_nature as nature
import scenes_sky as sky
import scenes_town as town
from brush import Board

WIDTH, HEIGHT, RATE = 720, 1280, 24
HERE = pathlib.Path(__file__).parent

# name: scene, seconds, constant rate factor (higher is smaller); the first frame is the cover
CLIPS = {
    "dusk-waves": (nature.dusk_waves, 5, 29),
    "lanterns": (sky.lanterns, 6, 31),
    "rain-window": (town.rain_window, 5, 31),
    "koi-pond": (nature.koi_pond, 6, 33),
    "aurora": (sky.aurora, 5, 29),
    "bicycle": (town.bicycle, 4, 31),
    "tea": (town.tea, 4, 25),
    "night-train": (town.night_train, 4, 26),
    "sunflower": (nature.sunflower, 5, 28),
    "balloons": (sky.balloons, 5, 25),
}


def encode(name):
    """One clip: frames through a pipe into x264. Main profile and faststart, so that every phone plays it at once."""
    scene, seconds, crf = CLIPS[name]
    target = HERE / f"{name}.mp4"
    command = f"""ffmpeg -hide_banner -loglevel error -y
        -f rawvideo -pix_fmt rgb24 -video_size {WIDTH}x{HEIGHT} -framerate {RATE} -i -
        -vf scale=out_color_matrix=bt709:out_range=tv,format=yuv420p
        -c:v libx264 -profile:v main -level 3.1 -preset slower -tune animation -crf {crf} -g {seconds * RATE}
        -x264-params aq-mode=3:aq-strength=0.8:threads=1
        -colorspace bt709 -color_primaries bt709 -color_trc bt709
        -map_metadata -1 -fflags +bitexact -flags:v +bitexact -movflags +faststart"""
    ffmpeg = subprocess.Popen([*command.split(), str(target)], stdin=subprocess.PIPE)
    frames = seconds * RATE
    for i in range(frames):
        ffmpeg.stdin.write(frame(scene, i / frames).pixels().tobytes())
    ffmpeg.stdin.close()
    if ffmpeg.wait() != 0:
        raise SystemExit(f"ffmpeg failed on {name}")
    return f"{name}: {target.stat().st_size / 1000:.0f} kB"


def frame(scene, t):
    board = Board(WIDTH, HEIGHT)
    scene(board, t)
    return board


def main(arguments):
    if arguments[:1] == ["--still"]:
        _, name, moment, target = arguments
        pixels = frame(CLIPS[name][0], float(moment)).pixels()
        rgba = np.dstack([pixels, 0 * pixels[:, :, 0] + 255]).copy()
        skia.Image.fromarray(rgba, colorType=skia.kRGBA_8888_ColorType).save(target, skia.kPNG)
        return
    with ProcessPoolExecutor(2) as pool:
        for line in pool.map(encode, arguments or CLIPS):
            print(line, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])

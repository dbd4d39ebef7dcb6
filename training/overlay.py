"""A picture with frames around its faces, and the names under them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from indexer.records import Float32, UInt8

_KNOWN, _STRANGER = (80, 220, 100), (190, 190, 190)


def draw_faces(pixels: UInt8, boxes: Float32, captions: Sequence[str | None]) -> UInt8:
    """Return the picture with its faces framed and named, (H, W, 3).

    Args:
        pixels: RGB uint8 (H, W, 3).
        boxes: (N, 4), within the picture.
        captions: (N,), None for a stranger, who gets a grey frame and no name.
    """
    image = Image.fromarray(pixels)
    pen = ImageDraw.Draw(image)
    thick = max(1, round(min(pixels.shape[:2]) / 250))
    font = ImageFont.load_default(max(10.0, min(pixels.shape[:2]) / 28))
    for box, caption in zip(boxes.tolist(), captions, strict=True):
        colour = _KNOWN if caption else _STRANGER
        pen.rectangle(box, outline=colour, width=thick)
        if caption:
            left, top, right, bottom = pen.textbbox((0, 0), caption, font=font)
            x = min(max(0.0, box[0]), max(0.0, image.width - (right - left) - 2 * thick))
            y = min(box[3], image.height - (bottom - top) - 2 * thick)
            pen.rectangle(
                (x, y, x + right - left + 2 * thick, y + bottom - top + 2 * thick), colour
            )
            pen.text((x + thick - left, y + thick - top), caption, fill=(0, 0, 0), font=font)
    return np.asarray(image)

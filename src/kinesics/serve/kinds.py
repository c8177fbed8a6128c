"""What an upload is, by its first bytes; names and types that clients send are not believed."""

from __future__ import annotations

from kinesics.serve.refusal import Refusal

HEAD = 64
"""How many of the first bytes are looked at."""

_PHOTOS = (
    (b"\x89PNG\r\n\x1a\n", ".png"), (b"\xff\xd8\xff", ".jpg"), (b"GIF87a", ".gif"), (b"GIF89a", ".gif"),
    (b"BM", ".bmp"), (b"II*\x00", ".tif"), (b"MM\x00*", ".tif"), (b"\x00\x00\x00\x0cjP  \r\n", ".jp2"),
    (b"P5", ".pgm"), (b"P6", ".ppm"),
)  # fmt: skip
_FILMS = (
    (b"\x1aE\xdf\xa3", ".webm"), (b"FLV\x01", ".flv"), (b"OggS", ".ogv"), (b"\x00\x00\x01\xba", ".mpg"),
    (b"\x00\x00\x01\xb3", ".mpg"), (b"0&\xb2u\x8ef\xcf\x11", ".wmv"),
)  # fmt: skip
_STILL_BRANDS = (b"avif", b"avis")
_NOT_READ = (b"heic", b"heix", b"hevc", b"mif1", b"msf1")
KNOWN = "PNG, JPEG, GIF, WebP, BMP, TIFF, AVIF, JPEG 2000; MP4, MOV, WebM, MKV, AVI, MPEG, Ogg, FLV, WMV"


def suffix_of(head: bytes) -> str:
    """The name ending under which the reading functions know a file that begins so.

    Args:
        head: the first `HEAD` bytes, or all of a shorter file.

    Raises:
        Refusal: 400 for nothing at all, 415 for anything that is neither a picture nor a video.
    """
    if not head:
        raise Refusal(400, "empty", "the upload is empty", "send one picture or video")
    for start, suffix in (*_PHOTOS, *_FILMS):
        if head.startswith(start):
            return suffix
    if head[:4] == b"RIFF":
        if head[8:12] == b"WEBP":
            return ".webp"
        if head[8:12] == b"AVI ":
            return ".avi"
    if head[4:8] == b"ftyp":
        brand = head[8:12]
        if brand in _NOT_READ:
            raise Refusal(415, "unknown_kind", "HEIC pictures are not read", f"send one of: {KNOWN}")
        return ".avif" if brand in _STILL_BRANDS else ".mp4"
    if head[4:8] in (b"moov", b"mdat", b"wide", b"free", b"skip"):
        return ".mov"
    if head[:1] == b"G" and len(head) >= 64 and head[1] & 0x80 == 0 and b"\x00" in head[:16]:
        return ".ts"
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    what = "an SVG drawing or other markup" if text.startswith((b"<svg", b"<?xml", b"<!", b"<html")) else "its content"
    raise Refusal(415, "unknown_kind", f"neither a picture nor a video that is read here: {what}", f"send {KNOWN}")


def is_film(suffix: str) -> bool:
    """Whether the file is a video for certain; pictures may turn out to be animated."""
    return suffix not in {item[1] for item in _PHOTOS} | {".webp", ".avif"}

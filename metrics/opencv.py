"""Import OpenCV's `cv2` in one place, so that a failed import gives a helpful message."""

try:
    import cv2
except ImportError as error:
    raise ImportError(
        f"OpenCV does not load ({error}). On a machine without libGL run "
        "`pip uninstall -y opencv-python && pip install opencv-python-headless`: the same cv2 without windows."
    ) from error

__all__ = ["cv2"]
